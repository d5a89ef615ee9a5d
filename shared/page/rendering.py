"""The photograph with its faces marked, and the results of one face, as HTML (shared/templates/page_*.html)."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shared.faces.image_io import MissingReaderError, UnusableImageError
from shared.html_pages import render
from shared.labels import BAND_EDGES, IN_WORDS
from shared.page.explain import Analysis, Box, Pixels
from shared.predictor import Age, Choice, Face

REASONS = {
    "empty file": "This file is empty. Please choose another.",
    "not an image": "This file is not an image that the page reads. JPEG, PNG and WebP are fine.",
    "truncated": "This image is incomplete, perhaps cut off while it was sent or saved. Please choose another.",
}
"""Sentences for reasons of `UnusableImageError`; other reasons have a general one."""
OLDEST = 100
"""Years at the right end of the age scale."""
CAPTION_SHARE = 0.12
"""Faces at least this wide, as a share of the photograph's width, have words below them; smaller ones a number."""


@dataclass(frozen=True)
class Mark:
    """A face as marked on the photograph; lengths in percent of its width and height."""

    left: float
    top: float
    width: float
    height: float
    layer: int
    """Smaller faces lie above larger ones, so that each can be clicked."""
    lines: Sequence[str]
    captioned: bool


def photo_html(analysis: Analysis, address_of: Callable[[Pixels], str]) -> str:
    """Return the photograph with one radio button over each face; the main face is chosen.

    `address_of` returns an address from which the browser fetches an image.
    """
    return render(
        "page_photo.html",
        image=address_of(analysis.pixels),
        ratio=analysis.pixels.shape[1] / analysis.pixels.shape[0],
        marks=marks(analysis.boxes, analysis.faces),
        main=analysis.main,
        remarks=analysis.remarks,
    )


def marks(boxes: Sequence[Box], faces: Sequence[Face]) -> list[Mark]:
    """Return where each face is marked; `boxes` as in `Analysis`."""
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes]
    by_area = sorted(areas, reverse=True)
    return [
        Mark(
            left=round(100 * x0, 2),
            top=round(100 * y0, 2),
            width=round(100 * (x1 - x0), 2),
            height=round(100 * (y1 - y0), 2),
            layer=1 + by_area.index(area),
            lines=summary(face),
            captioned=x1 - x0 >= CAPTION_SHARE,
        )
        for (x0, y0, x1, y1), face, area in zip(boxes, faces, areas, strict=True)
    ]


def face_html(face: Face, number: int, count: int, crop: str, heat: Mapping[str, str]) -> str:
    """Return the results of one face: its crop, and for each specialist the prediction, bars and heat map.

    `number` counts from 1. `crop` is an address; `heat` holds the addresses of heat maps by the specialist's name.
    """
    return render(
        "page_face.html",
        name=f"Face {number} of {count}" if count > 1 else "",
        headline=headline(face),
        crop=crop,
        heat=heat,
        mask=bars(face.mask),
        gender=bars(face.gender),
        band=bars(face.band),
        scale=scale(face.age),
    )


def sentence_about(problem: UnusableImageError) -> str:
    """Return for people why an image cannot be used."""
    if isinstance(problem, MissingReaderError):
        return f"This page cannot read {problem.image_format}. Please save the photograph as JPEG, and choose that."
    return REASONS.get(str(problem), f"This image cannot be used: {problem}. Please choose another.")


def sentence_html(text: str) -> str:
    """Return a sentence that stands instead of results."""
    return render("page_sentence.html", text=text)


def examples_html(files: Sequence[bytes]) -> str:
    """Return a row of buttons, one for each example, a JPEG file."""
    images = [f"data:image/jpeg;base64,{base64.b64encode(content).decode()}" for content in files]
    return render("page_examples.html", images=images)


def headline(face: Face) -> str:
    """Return a line about a face, for example "no mask, female, about 33"."""
    return f"{IN_WORDS[face.mask.name]}, {face.gender.name}, about {int(face.age.years)}"


def summary(face: Face) -> list[str]:
    """Return two short lines about a face, for example "no mask" and "female, 33"."""
    return [IN_WORDS[face.mask.name], f"{face.gender.name}, {int(face.age.years)}"]


def percent(probability: float) -> str:
    """Return a probability in percent; never "100 %" or "0 %", which no network knows."""
    if probability > 0.995:
        return "> 99 %"
    return "< 1 %" if probability < 0.005 else f"{100 * probability:.0f} %"


def bars(choice: Choice) -> list[tuple[str, str, float, bool]]:
    """Return name, percentage, width of the bar in percent, and whether it is the prediction, of each class."""
    return [
        (IN_WORDS[name], percent(value), round(100 * value, 1), name == choice.name)
        for name, value in choice.probabilities.items()
    ]


def scale(age: Age) -> dict[str, object]:
    """Return the age and its 80 % interval as words and as places on a scale of 0 to `OLDEST` years, in percent."""
    upper = f"{age.top_code} or more" if age.open_above else f"{int(age.high)}"
    end = OLDEST if age.open_above else age.high
    return {
        "words": f"{int(age.low)} to {upper} in 8 of 10 cases",
        "years": f"about {int(age.years)}",
        "left": 100 * age.low / OLDEST,
        "width": 100 * (end - age.low) / OLDEST,
        "middle": 100 * age.years / OLDEST,
        "ticks": [(edge, 100 * edge / OLDEST) for edge in (0, *BAND_EDGES, OLDEST)],
    }
