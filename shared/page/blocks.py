"""The page in Gradio: a place for a photograph, the photograph with its faces, and the results of the chosen face."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before Gradio is imported; otherwise it and its hub client would report each start to their makers.
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_OFFLINE="1")

import cv2
import gradio as gr
from fastapi import FastAPI, HTTPException, Request, Response

from shared.faces.image_io import UnusableImageError
from shared.html_pages import TEMPLATES
from shared.page.explain import Analysis, Pixels, analyze, heat_maps
from shared.page.rendering import examples_html, face_html, headline, photo_html, sentence_about, sentence_html
from shared.page.retention import TemporaryStore, delete_regularly
from shared.predictor import Predictor

TITLE = "face18"
INTRODUCTION = """<h1>Mask, gender, age</h1>
<p>of every face in a photograph, as three specialists estimate them.</p>"""
FOOTNOTE = """<p>Estimates from looks: often wrong, more often for some groups than for others, and no basis for
decisions about people. The photograph stays on the machine that serves this page and is deleted after ten
minutes.</p>"""
NO_FACE = "No face was found in this image. One that is larger, brighter or seen from the front may be."
GONE = "This photograph was deleted after ten minutes. Please choose it again."
FAILED = "The page failed on this image. Please choose another."

UPLOAD_LIMIT = "16mb"
WAITING = 16
"""Visitors who wait for results at most; Gradio refuses others with a message."""
JPEG_QUALITY = 85

CONTENT_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; frame-ancestors 'self'"
)
"""What a browser may fetch, whatever a later Gradio may add: nothing from other servers."""

ON_START = """
element.setAttribute('role', 'status');
let again = false;
new MutationObserver(() => {
    const button = document.querySelector('#photograph .upload-container[aria-label]');
    if (!button) return;
    button.removeAttribute('aria-label');
    if (again) button.focus();
    again = true;
}).observe(document.body, {childList: true, subtree: true});
"""
"""Makes the status a live region: the element must stay, because screen readers announce only changes of its content.
Gradio gives the upload button a name that differs from the words on it, so that name is removed whenever the button
appears; it gets the focus when it appears again, because the button that was pressed is gone."""
SHOW_BUSY = """() => '<span class="busy"></span> Looking for faces …'"""
CHOOSE_FACE = """
element.addEventListener('change', (event) => trigger('select', {face: Number(event.target.value)}));
requestAnimationFrame(() => (element.querySelector('input:checked') || document.querySelector('#another'))?.focus());
"""
"""Runs when a photograph appears: the file button that had the focus is gone, so that it moves to the main face."""
CHOOSE_EXAMPLE = """
element.addEventListener('click', (event) => {
    const button = event.target.closest('[data-example]');
    if (button) trigger('select', {example: Number(button.dataset.example)});
});
"""


def create_app(predictor: Predictor, examples: Sequence[bytes], folder: Path) -> FastAPI:
    """Return the page as an ASGI application.

    `examples` are image files. `folder` is where Gradio puts uploads (GRADIO_TEMP_DIR); old files in it are deleted.
    """
    store = TemporaryStore()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        deletion = asyncio.create_task(delete_regularly(folder, store))
        yield
        deletion.cancel()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)

    @app.get("/images/{key}")
    async def image(key: str) -> Response:
        content = store.get(key)
        if not isinstance(content, bytes):
            raise HTTPException(404)
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @app.middleware("http")
    async def restrict(request: Request, call_next: Callable[..., Any]) -> Response:
        response: Response = await call_next(request)
        response.headers["Content-Security-Policy"] = CONTENT_POLICY
        return response

    gr.mount_gradio_app(
        app,
        build(Page(predictor, store, examples)),
        path="/",
        footer_links=[],
        run_history=False,
        max_file_size=UPLOAD_LIMIT,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=False,
        theme=theme(),
        css_paths=[TEMPLATES / "page.css"],
    )
    return app


def build(page: "Page") -> gr.Blocks:
    """Return the components, and which of them change on which event."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        key = gr.State(None)
        gr.HTML(INTRODUCTION, elem_classes="introduction")
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                status = gr.HTML("", elem_id="status", js_on_load=ON_START)
                with gr.Column(elem_classes="begin") as begin:
                    upload = gr.Image(
                        sources=["upload", "webcam", "clipboard"],
                        label="Photograph",
                        show_label=False,
                        height=380,
                        elem_id="photograph",
                        buttons=[],
                        placeholder="Drop a photograph here\nor click to choose one",
                    )
                    examples = gr.HTML(page.examples_html(), js_on_load=CHOOSE_EXAMPLE, visible=bool(page.examples))
                photo = gr.HTML(visible=False, elem_id="photo", js_on_load=CHOOSE_FACE)
                another = gr.Button("Another photograph", visible=False, elem_id="another")
            with gr.Column(scale=6, min_width=320, visible=False) as column:
                results = gr.HTML(elem_id="results", js_on_load=None)
        gr.HTML(FOOTNOTE, elem_classes="footnote")

        changed = [key, status, begin, photo, another, column, results]
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        # The networks see one visitor after the other. `preprocess=False`: `shared.faces` reads more kinds of files
        # than Gradio, and says what is wrong with others.
        networks: dict[str, Any] = {"concurrency_id": "networks", "concurrency_limit": 1, "preprocess": False}
        for trigger, inputs, look in (
            (upload.input, upload, page.look_at_upload),
            (examples.select, None, page.look_at_example),
        ):
            trigger(None, None, status, js=SHOW_BUSY, **quiet)
            trigger(look, inputs, changed, **networks, **quiet)
        photo.select(page.choose, key, results, **networks, **quiet)
        another.click(page.reset, None, [*changed, upload], queue=False, **quiet)
    blocks.queue(max_size=WAITING)
    return blocks


def theme() -> gr.Theme:
    """Return a theme with the fonts of the visitor's system; Gradio's own themes fetch fonts from Google."""
    return gr.themes.Soft(
        primary_hue="teal",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


@dataclass(frozen=True)
class Page:
    """What the events do. Nothing of a photograph is kept but in `store`."""

    predictor: Predictor
    store: TemporaryStore
    examples: Sequence[bytes]

    def examples_html(self) -> str:
        """Return buttons for the examples, which are shown as long as the page runs."""
        return examples_html(self.examples)

    def look_at_upload(self, upload: dict[str, Any] | None) -> list[Any]:
        """Return the new values of `changed` for an upload as Gradio describes it."""
        return [gr.skip()] * 7 if upload is None else self._look(Path(upload["path"]).read_bytes())

    def look_at_example(self, event: gr.EventData) -> list[Any]:
        """Return the new values of `changed` for the example that was clicked."""
        return self._look(self.examples[event.example])

    def _look(self, content: bytes) -> list[Any]:
        try:
            analysis = analyze(self.predictor, content)
        except UnusableImageError as problem:
            return self._show(None, sentence_about(problem), None, sentence_html(sentence_about(problem)))
        except Exception:
            logging.getLogger(__name__).exception("a photograph could not be analysed")
            return self._show(None, FAILED, None, sentence_html(FAILED))
        photo = photo_html(analysis, self._address)
        if not analysis.faces:
            return self._show(None, NO_FACE, photo, sentence_html(NO_FACE))
        count = len(analysis.faces)
        status = f"{count} faces found: choose one in the photograph." if count > 1 else headline(analysis.faces[0])
        return self._show(self.store.add(analysis), status, photo, self._results(analysis, analysis.main))

    def choose(self, key: str | None, event: gr.EventData) -> str:
        """Return the results of the face that was chosen."""
        analysis, number = self.store.get(key), event.face
        if not isinstance(analysis, Analysis) or number not in range(len(analysis.faces)):
            return sentence_html(GONE)
        return self._results(analysis, number)

    def reset(self) -> list[Any]:
        """Return the values of `changed`, and of the upload, with which the page begins."""
        return [None, "", _visible(True), _visible(False), _visible(False), _visible(False), "", None]

    def _results(self, analysis: Analysis, number: int) -> str:
        crop = analysis.crops[number]
        heat = {name: self._address(pixels) for name, pixels in heat_maps(self.predictor, crop).items()}
        return face_html(analysis.faces[number], number + 1, len(analysis.faces), self._address(crop), heat)

    def _show(self, key: str | None, status: str, photo: str | None, results: str) -> list[Any]:
        image = _visible(False) if photo is None else gr.update(value=photo, visible=True)
        return [key, status, _visible(False), image, _visible(True), _visible(True), results]

    def _address(self, pixels: Pixels) -> str:
        """Keep an image; return the address from which the browser fetches it."""
        _, jpeg = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return f"images/{self.store.add(jpeg.tobytes())}"


def _visible(visible: bool) -> Any:
    return gr.update(visible=visible)
