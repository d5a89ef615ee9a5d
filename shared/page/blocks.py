"""The page in Gradio: its components, and which of them change on which event."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

# Before Gradio is imported; otherwise it and its hub client would report each start to their makers.
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_OFFLINE="1")

import gradio as gr
from fastapi import FastAPI, Request, Response

from shared.html_pages import TEMPLATES
from shared.page.events import Page
from shared.page.results import COLUMNS
from shared.page.retention import delete_regularly
from shared.page.texts import TEXTS

UPLOAD_LIMIT = "16mb"
WAITING = 16
"""Visitors who wait for results at most; Gradio refuses others with a message."""
CAMERAS = 4
"""Live cameras at once; further ones wait."""
CAMERA_SECONDS = 300
"""The longest that one camera keeps its place."""
FRAME_SECONDS = 0.2
CAMERA_SIZE = {"video": {"width": 640, "height": 480}}

CONTENT_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; frame-ancestors 'self'"
)
"""What a browser may fetch, whatever a later Gradio may add: nothing from other servers."""

ON_START = """
element.setAttribute('role', 'status');
new MutationObserver(() => {
    for (const named of document.querySelectorAll('.upload-container, .thumbnail-lg, .empty'))
        named.removeAttribute('aria-label');
    for (const image of document.querySelectorAll('#examples img')) image.alt = image.src.split('/').pop();
    for (const image of document.querySelectorAll('.thumbnail-item img')) image.alt = '';
}).observe(document.body, {childList: true, subtree: true});
"""
"""Makes the status a live region: screen readers announce changes inside an element that stays. Mends what Gradio's
components lack for them: names that differ from the words on a button go, and images get one name."""

QUIET: dict[str, Any] = {"api_visibility": "private", "preprocess": False}
"""`shared.faces` reads more kinds of files than Gradio, and says what is wrong with others: no preprocessing."""
NETWORKS: dict[str, Any] = {"concurrency_id": "networks", "concurrency_limit": 1, **QUIET}
"""The networks see one visitor after the other; live cameras have places of their own."""

text = gr.I18n(**{language: dict(texts) for language, texts in TEXTS.items()})


def create_app(page: Page, folder: Path) -> FastAPI:
    """Return the page as an ASGI application.

    `folder` is where Gradio puts uploads (GRADIO_TEMP_DIR); old files in it are deleted.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        deletion = asyncio.create_task(delete_regularly(folder, page.store, blocks.state_holder))
        yield
        deletion.cancel()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)

    @app.middleware("http")
    async def restrict(request: Request, call_next: Callable[..., Any]) -> Response:
        response: Response = await call_next(request)
        response.headers["Content-Security-Policy"] = CONTENT_POLICY
        return response

    gr.set_static_paths(page.examples)
    blocks = build(page)
    gr.mount_gradio_app(
        app,
        blocks,
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
        i18n=text,
    )
    return app


def build(page: Page) -> gr.Blocks:
    """Return the components and events."""
    with gr.Blocks(title="face18", analytics_enabled=False) as blocks:
        gr.Markdown(f"# {text('title')}")
        gr.Markdown(text("introduction"))
        threshold = gr.Slider(0, 1, 0.5, step=0.05, label=text("threshold"), buttons=[], elem_id="threshold")
        with gr.Tab(text("photographs")):
            _photographs(page, threshold)
        with gr.Tab(text("camera")):
            _camera(page, threshold)
        gr.Markdown(f"{text('model')}: {page.predictor.description}", elem_id="model")
        with gr.Accordion(text("card"), open=False):
            gr.Markdown(f"`{page.predictor.fingerprint}`\n\n{page.predictor.card}")
        gr.Markdown(text("footnote"))
    blocks.queue(max_size=WAITING)
    return blocks


def _photographs(page: Page, threshold: gr.Slider) -> None:
    key, chosen = gr.State(None), gr.State(None)
    upload = gr.Gallery(
        label=text("choose"),
        file_types=["image"],
        interactive=True,
        height=170,
        elem_id="upload",
    )
    examples = gr.Dataset(
        components=[gr.Image(render=False)],
        samples=[[str(path)] for path in page.examples],
        label=text("examples"),
        type="index",
        visible=bool(page.examples),
        elem_id="examples",
    )
    status = gr.HTML("", elem_id="status", js_on_load=ON_START)
    with gr.Column(visible=False) as results:
        with gr.Row():
            with gr.Column(scale=5, min_width=320):
                shown = gr.Gallery(
                    label=text("drawn"),
                    interactive=False,
                    preview=True,
                    format="jpeg",
                    buttons=["download", "fullscreen"],
                    elem_id="shown",
                )
            with gr.Column(scale=6, min_width=320):
                headline, *details = _details()
        table = gr.Dataframe(
            headers=[TEXTS["en"][name] for name in COLUMNS],
            label=text("table"),
            interactive=False,
            buttons=["fullscreen"],
            elem_id="table",
        )
        with gr.Row():
            archive, csv, json = (
                gr.DownloadButton(str(text(f"download_{kind}")), elem_id=f"download-{kind}", size="md")
                for kind in ("images", "csv", "json")
            )

    copies, face = [shown, table, archive], [chosen, headline, *details]
    changed = [key, upload, status, results, *copies, csv, json, *face]
    upload.upload(page.look_at_uploads, [upload, threshold], changed, **NETWORKS)
    examples.click(page.look_at_example, [examples, threshold], changed, **NETWORKS)
    quick: dict[str, Any] = {"show_progress": "hidden"}
    threshold.release(page.show_again, [key, chosen, threshold], [status, headline, *copies], **quick, **QUIET)
    table.select(page.choose_row, [key, threshold], face, **quick, **NETWORKS)
    shown.select(page.choose_photograph, [key, threshold], face, **quick, **NETWORKS)


def _details() -> list[Any]:
    """Make the components of one face: headline, crop, probabilities, heat maps."""
    with gr.Row():
        crop = gr.Image(
            alt_text=str(text("crop")),
            show_label=False,
            format="jpeg",
            buttons=[],
            height=110,
            min_width=110,
            scale=1,
        )
        with gr.Column(min_width=180, scale=4):
            headline = gr.Markdown(elem_id="headline")
    with gr.Row():
        labels = [gr.Label(label=text(name), show_heading=False, min_width=150) for name in ("mask", "gender", "band")]
    with gr.Accordion(text("heat"), open=False, elem_id="heat"):
        gr.Markdown(text("heat_hint"))
        heat = gr.Gallery(
            show_label=False, columns=3, height=220, format="jpeg", allow_preview=False, buttons=[], interactive=False
        )
    return [headline, crop, *labels, heat]


def _camera(page: Page, threshold: gr.Slider) -> None:
    gr.Markdown(text("camera_hint"))
    with gr.Row():
        camera = gr.Image(
            sources=["webcam"],
            streaming=True,
            show_label=False,
            buttons=[],
            height=180,
            min_width=320,
            scale=2,
            webcam_options=gr.WebcamOptions(mirror=False, constraints=CAMERA_SIZE),
            elem_id="camera",
        )
        live = gr.Image(
            label=text("drawn"), interactive=False, buttons=["fullscreen"], min_width=320, scale=5, elem_id="live"
        )
    camera.stream(
        page.look_at_frame,
        [camera, threshold],
        live,
        stream_every=FRAME_SECONDS,
        time_limit=CAMERA_SECONDS,
        concurrency_id="cameras",
        concurrency_limit=CAMERAS,
        show_progress="hidden",
        postprocess=False,  # Otherwise every frame would become a file.
        **QUIET,
    )


def theme() -> gr.Theme:
    """Return a theme with the fonts of the visitor's system; Gradio's own themes fetch fonts from Google."""
    return gr.themes.Default(
        primary_hue="teal",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["system-ui", "sans-serif"],
    )
