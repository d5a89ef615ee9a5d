"""What is said of one face, as HTML that needs no reading: images, bars, a scale of years."""

import base64
from collections.abc import Mapping
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.labels import BAND_EDGES
from shared.predictor.results import Age, Choice, Face

WORDS = {"worn": "worn", "incorrect": "worn wrongly", "none": "no mask", "<30": "under 30", "30-59": "30 to 59"}
WORDS |= {">=60": "60 or older"}
"""Classes as people say them; others stand for themselves."""
OLDEST = 100
JPEG_QUALITY = 85

Images = Mapping[str, NDArray[np.uint8]]


def card(face: Face, crop: NDArray[np.uint8], heat: Images) -> str:
    """One face: its aligned crop, and for mask, gender and age the answer, the bars, and where was looked.

    `heat` holds an image for each specialist that has one, by its name.
    """
    mask = WORDS.get(face.mask.name, face.mask.name)
    headline = f"{mask_in_words(face)}, {face.gender.name}, {_years(face.age)}"
    return (
        f'<div class="face"><div class="head"><img alt="the face" src="{data_url(crop)}">'
        f"<h2>{escape(headline)}</h2></div>"
        '<div class="parts">'
        f"{_part('mask', 'Mask', mask, _bars(face.mask), heat)}"
        f"{_part('gender', 'Gender', face.gender.name, _bars(face.gender), heat)}"
        f"{_part('age', 'Age', _years(face.age), _scale(face.age) + _bars(face.band), heat)}"
        f"</div>{_legend(heat)}</div>"
    )


def mask_in_words(face: Face) -> str:
    """For example "no mask" or "mask worn"."""
    mask = WORDS.get(face.mask.name, face.mask.name)
    return mask if face.mask.name == "none" else f"mask {mask}"


def in_short(face: Face) -> list[str]:
    """Two lines to write beside a face."""
    return [mask_in_words(face), f"{face.gender.name}, {face.age.years:.0f}"]


def sentence(text: str) -> str:
    """Something to say instead of an answer."""
    return f'<div class="sentence" role="status">{escape(text)}</div>'


def data_url(image: NDArray[np.uint8]) -> str:
    """An image that travels within the page."""
    _, jpeg = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"


def _part(name: str, title: str, answer: str, evidence: str, heat: Images) -> str:
    looked = ""
    if name in heat:
        looked = f'<img class="heat" alt="where the {name} specialist looked" src="{data_url(heat[name])}">'
    return (
        f'<section class="part {name}"><h3>{title}</h3><p class="answer">{escape(answer)}</p>'
        f"{looked}{evidence}</section>"
    )


def _bars(choice: Choice) -> str:
    rows = [_bar(name, value, name == choice.name) for name, value in choice.probabilities.items()]
    return f'<div class="bars">{"".join(rows)}</div>'


def _bar(name: str, probability: float, answered: bool) -> str:
    percent = f"{100 * probability:.0f} %"
    return (
        f'<div class="bar{" answered" if answered else ""}"><span>{escape(WORDS.get(name, name))}</span>'
        f'<span class="percent">{percent}</span><i style="width:{100 * probability:.1f}%"></i></div>'
    )


def _years(age: Age) -> str:
    return f"about {age.years:.0f}"


def _upper(age: Age) -> str:
    return f"{age.top_code} or more" if age.open_above else f"{age.high:.0f}"


def _scale(age: Age) -> str:
    """The years from 0 to `OLDEST`, with the interval, the answer, and the edges of the bands."""
    end = OLDEST if age.open_above else age.high
    marks = "".join(f'<b style="left:{100 * edge / OLDEST}%">{edge}</b>' for edge in (0, *BAND_EDGES, OLDEST))
    return (
        f'<p class="interval">{age.low:.0f} to {_upper(age)} in 8 of 10 cases</p><div class="scale">'
        f'<i style="left:{100 * age.low / OLDEST:.1f}%;width:{100 * (end - age.low) / OLDEST:.1f}%"></i>'
        f'<u style="left:{100 * age.years / OLDEST:.1f}%"></u>{marks}</div>'
    )


def _legend(heat: Images) -> str:
    return '<p class="legend">Bright: where each specialist looked.</p>' if heat else ""
