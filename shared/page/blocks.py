"""The page itself, in gradio: a place for a photograph, the photograph with its faces, and the face that is chosen."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Before gradio is loaded: it, and the hub's client that comes with it, would tell their makers that they were.
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_OFFLINE="1")

import gradio as gr

from shared.showing.boxes import draw_boxes
from shared.showing.card import card, in_short, sentence
from shared.showing.sight import Sight, Viewer

STYLE = Path(__file__).with_name("page.css")
TITLE = "face18"
INTRODUCTION = """<h1>Mask, gender, age</h1>
<p>of every face in a photograph, as three specialists guess them.</p>"""
FOOTNOTE = """<p>Guesses from looks: often wrong, more often for some groups than for others, and nothing to decide
about people by. The photograph stays on the machine that shows this page, and is deleted after ten minutes.</p>"""
NO_FACE = "No face was found in this image. One that is larger, brighter or seen from the front may be."
KEPT_SECONDS = 600
"""An upload lives so long at most."""
UPLOAD_LIMIT = "16mb"
WAITING = 16
"""Visitors who wait at most; further ones are told so."""


def build(viewer: Viewer, examples: Sequence[Path]) -> gr.Blocks:
    """The page; `examples` are files to begin with."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(60, KEPT_SECONDS)) as page:
        sight = gr.State(None, time_to_live=KEPT_SECONDS)
        gr.HTML(INTRODUCTION, elem_classes="introduction", padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                with gr.Column(elem_classes="begin") as begin:
                    photograph = _place_for_photograph()
                    if examples:
                        gr.Examples([[str(path)] for path in examples], photograph, label="or try drawn faces")
                marked = gr.Image(
                    visible=False, show_label=False, interactive=False, format="jpeg", elem_id="marked", buttons=[]
                )
                chosen = gr.Radio(visible=False, show_label=False, container=False, elem_id="chosen")
                another = gr.Button("Another photograph", visible=False, elem_id="another")
            with gr.Column(scale=6, min_width=320, visible=False) as told:
                answer = gr.HTML(elem_id="answer", padding=False)
        gr.HTML(FOOTNOTE, elem_classes="footnote", padding=False)

        def look(path: str | None) -> list[Any]:
            return _looked(viewer, path)

        def choose(seen: Sight | None, number: int | None) -> list[Any]:
            return [gr.skip(), gr.skip()] if seen is None or number is None else _chosen(viewer, seen, number)

        def point(seen: Sight | None, event: gr.SelectData) -> list[Any]:
            at = None if seen is None else seen.face_at(*event.index)
            return [gr.skip() if at is None else at, *choose(seen, at)]

        shown = [sight, begin, marked, chosen, another, told, answer]
        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
        one_by_one: dict[str, Any] = {"concurrency_id": "networks", "concurrency_limit": 1}
        photograph.change(look, photograph, shown, **one_by_one, **quiet)
        chosen.input(choose, [sight, chosen], [marked, answer], **one_by_one, **quiet)
        marked.select(point, sight, [chosen, marked, answer], **one_by_one, **quiet)
        another.click(lambda: None, None, photograph, queue=False, **quiet)
    page.queue(max_size=WAITING)
    return page


def theme() -> gr.Theme:
    """With the fonts that are there: gradio's own themes would fetch them from Google."""
    return gr.themes.Soft(
        primary_hue="teal",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


def _place_for_photograph() -> gr.Image:
    place = gr.Image(
        type="filepath",
        sources=["upload", "webcam", "clipboard"],
        show_label=False,
        height=380,
        elem_id="photograph",
        buttons=[],
        placeholder="Drop a photograph here\nor click to choose one",
    )
    # `shared.faces` reads more files than gradio, and says what is wrong with others. Set here and not in a class of
    # our own, for which gradio would write a stub into this folder; it lasts as long as no update touches the place.
    place.preprocess = _path_of  # type: ignore[method-assign, assignment]
    return place


def _path_of(upload: Any) -> str | None:
    return None if upload is None else upload.path


def _looked(viewer: Viewer, path: str | None) -> list[Any]:
    """What becomes of the page, with a photograph or without one."""
    if path is None:
        return [None, _shown(), _hidden(None), _hidden(None), _hidden(), _hidden(), ""]
    seen = viewer.look(path)
    if isinstance(seen, str):
        return [None, _hidden(), _hidden(None), _hidden(None), _shown(), _shown(), sentence(seen)]
    faces = len(seen.faces)
    image, answer = _chosen(viewer, seen, 0) if faces else (seen.pixels, sentence(NO_FACE))
    choices = [(f"face {number + 1}", number) for number in range(faces)]
    return [
        seen,
        _hidden(),
        gr.update(value=image, visible=True),
        gr.update(choices=choices, value=0 if faces else None, visible=faces > 1),
        _shown(),
        _shown(),
        answer,
    ]


def _chosen(viewer: Viewer, seen: Sight, at: int) -> list[Any]:
    image = draw_boxes(seen.pixels, seen.boxes, [in_short(face) for face in seen.faces], at)
    return [image, card(seen.faces[at], seen.crops[at], viewer.heat(seen, at))]


def _shown() -> Any:
    return gr.update(visible=True)


def _hidden(*value: None) -> Any:
    return gr.update(visible=False, value=None) if value else gr.update(visible=False)
