"""The page on a socket, with nothing fetched from outside."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from shared.predictor import Predictor
from shared.serving.server import address_of, bind, serve
from shared.showing import blocks
from shared.showing.examples import draw_examples
from shared.showing.sight import Viewer

import gradio as gr  # isort: skip - blocks has told it first to send no statistics

STOP_SECONDS = 5
HEADER_SECONDS = 10
CONNECTIONS = 256

ONLY_FROM_HERE = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; frame-ancestors 'self'"
)
"""What a browser may fetch, whatever a later gradio might want: nothing from other servers."""


def serve_page(model: Path, host: str, port: int, examples: Path | None) -> None:
    """Serve the page until Ctrl-C. `examples` is the folder to draw faces in, None for none."""
    listener = bind(host, port)  # Before the model is read, which takes seconds.
    with listener:
        viewer = Viewer(Predictor.load(model))
        app = page_app(viewer, draw_examples(examples) if examples else [])
        listener.listen()  # Whoever reads the next line may ask at once.
        print(f"the page is at {address_of(listener)}", flush=True)
        serve(app, listener, STOP_SECONDS, HEADER_SECONDS, CONNECTIONS)


def page_app(viewer: Viewer, examples: Sequence[Path]) -> Any:
    """The page as an ASGI application."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    page = blocks.build(viewer, examples)
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        max_file_size=blocks.UPLOAD_LIMIT,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=False,
        theme=blocks.theme(),
        css_paths=[blocks.STYLE],
    )
    return Guarded(app)


class Guarded:
    """Adds `ONLY_FROM_HERE` to every response."""

    def __init__(self, app: Any):
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"content-security-policy", _POLICY)]
            await send(message)

        await self._app(scope, receive, guarded)


_POLICY = ONLY_FROM_HERE.encode()
