"""What the events of the page do."""

import base64
import logging
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from shared.faces.image_io import UnusableImageError
from shared.html_pages import face as data_uri
from shared.page.explain import heat_maps
from shared.page.results import (
    SHOWN_SIDE,
    Analysis,
    analyze,
    distinct,
    drawn_copies,
    message,
    shown_copy,
    table,
    with_copies,
    word,
    write_files,
)
from shared.page.retention import TemporaryStore
from shared.page.texts import texts_for
from shared.predictor import Predictor
from shared.predictor.detect import decode_photograph

MOST_PHOTOGRAPHS = 24
"""Photographs at once; their crops are kept in memory for ten minutes."""


@dataclass(frozen=True)
class Page:
    """The model, the examples (image files), and the analyses of visitors' photographs."""

    predictor: Predictor
    examples: Sequence[Path]
    store: TemporaryStore

    def look_at_uploads(
        self,
        uploads: Sequence[Mapping[str, Any]] | None,
        threshold: float,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (Gradio recognizes the default)
    ) -> list[Any]:
        """Return the key under which the analyses are kept, and the values of all results."""
        images = [upload["image"] for upload in uploads or () if upload.get("image")]
        names = distinct([image.get("orig_name") or Path(image["path"]).name for image in images])
        chosen = {name: Path(image["path"]) for name, image in zip(names, images, strict=True)}
        return self._look(chosen, threshold, request, progress)

    def look_at_example(
        self,
        number: int,
        threshold: float,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:
        """Return the same for the example that was chosen."""
        path = self.examples[number]
        return self._look({path.name: path}, threshold, request, progress)

    def _look(
        self, chosen: Mapping[str, Path], threshold: float, request: gr.Request, progress: gr.Progress
    ) -> list[Any]:
        texts = _texts(request)
        analyses, remarks = [], []
        for at, (name, path) in enumerate(chosen.items()):
            if at == MOST_PHOTOGRAPHS:
                remarks.append(texts["too_many"].format(most=MOST_PHOTOGRAPHS))
                break
            progress((at, len(chosen)), desc=name, unit="")
            try:
                analyses.append(analyze(self.predictor, path, name))
            except Exception:
                logging.getLogger(__name__).exception("a photograph could not be analysed")
                remarks.append(texts["failed"].format(name=name))
        analyses = with_copies(analyses)
        status = _paragraph("\n".join([message(analyses, texts), *remarks]))
        first = next((analysis for analysis in analyses if analysis.photograph.faces), None)
        if first is None:
            # Skip drawn copies and details: nothing shows them.
            return [None, None, status, gr.update(visible=False), *[gr.skip()] * 12]
        folder = Path(tempfile.mkdtemp())
        csv, json = write_files(folder, analyses)
        key = self.store.add(analyses)
        return [
            *(key, None, status, gr.update(visible=True)),
            *self._copies(analyses, threshold, request),
            *(csv, json),
            *self._details(first, first.main, threshold, request),
        ]

    def _copies(self, analyses: Sequence[Analysis], threshold: float, request: gr.Request) -> list[Any]:
        shown, archive = drawn_copies(analyses, threshold)
        path = Path(tempfile.mkdtemp()) / "annotated.zip"
        path.write_bytes(archive)
        rows = table(analyses, threshold, _texts(request))
        return [shown, rows, str(path)]

    def show_again(self, key: str | None, chosen: tuple[str, int], threshold: float, request: gr.Request) -> list[Any]:
        """Return status, headline, drawn copies, table and ZIP file for another threshold."""
        with suppress(OSError):  # An upload that was deleted a moment ago.
            if analyses := self.store.get(key):
                copies = self._copies(analyses, threshold, request)
                return [gr.skip(), _headline(*_find(analyses, chosen), threshold, _texts(request)), *copies]
        return [_paragraph(_texts(request)["gone"]) if key else gr.skip(), *[gr.skip()] * 4]

    def choose_row(self, key: str | None, threshold: float, request: gr.Request, event: gr.SelectData) -> list[Any]:
        """Return the details of the face in a row of the table, which the visitor may have sorted."""
        number, name = event.row_value[0], event.row_value[-1]
        return self._chosen(key, (name, int(number) - 1), threshold, request)

    def choose_photograph(
        self, key: str | None, threshold: float, request: gr.Request, event: gr.SelectData
    ) -> list[Any]:
        """Return the details of the main face of a photograph."""
        return self._chosen(key, (event.value["caption"], None), threshold, request)

    def _chosen(
        self, key: str | None, chosen: tuple[str, int | None], threshold: float, request: gr.Request
    ) -> list[Any]:
        analyses = self.store.get(key)
        if not analyses:
            return [None, _texts(request)["gone"], *[None] * 5]
        analysis, number = _find(analyses, chosen)
        return self._details(analysis, number, threshold, request) if analysis.crops else [gr.skip()] * 7

    def _details(self, analysis: Analysis, number: int, threshold: float, request: gr.Request) -> list[Any]:
        """Return which face is chosen, its headline, crop, probabilities and heat maps."""
        texts, face, crop = _texts(request), analysis.photograph.faces[number], analysis.crops[number]
        bars = [
            {texts[name]: share for name, share in choice.probabilities.items()}
            for choice in (face.mask, face.gender, face.band)
        ]
        heat = [(pixels, texts[name]) for name, pixels in heat_maps(self.predictor, crop).items()]
        chosen = (analysis.photograph.source, number)
        return [chosen, _headline(analysis, number, threshold, texts), crop, *bars, heat]

    def look_at_frame(self, frame: Mapping[str, Any] | None, threshold: float) -> Any:
        """Return a frame of the camera with its predictions drawn on it, as Gradio describes images."""
        if frame is None:
            return gr.skip()
        content = base64.b64decode(frame["url"].partition(",")[2])
        try:
            decoded = replace(decode_photograph(content), upright=True)
        except UnusableImageError:
            return gr.skip()
        # Each frame by itself: a mean over frames would be late when a mask is taken off.
        (photograph,) = self.predictor.predict(self.predictor.detect([decoded]))
        pixels = shown_copy(decoded.enlarged.pixels, photograph, threshold)
        return {"path": "", "url": data_uri(pixels, SHOWN_SIDE)}


def _find(analyses: Sequence[Analysis], chosen: tuple[str, int | None]) -> tuple[Analysis, int]:
    """Return the analysis of a photograph, and the index of the face; None stands for the main face."""
    name, number = chosen
    analysis = next(analysis for analysis in analyses if analysis.photograph.source == name)
    return analysis, analysis.main if number is None else number


def _headline(analysis: Analysis, number: int, threshold: float, texts: Mapping[str, str]) -> str:
    face = analysis.photograph.faces[number]
    words = ", ".join([*(word(choice, threshold, texts) for choice in (face.mask, face.gender)), str(face.age)])
    name = analysis.photograph.source.replace("`", "")  # As code, because it may hold Markdown.
    return f"{texts['headline'].format(number=number + 1, name=f'`{name}`')}\n## {words}"


def _texts(request: gr.Request) -> Mapping[str, str]:
    return texts_for(request.headers.get("accept-language", ""))


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"
