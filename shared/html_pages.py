"""HTML pages from the Jinja2 templates in shared/templates: the only way in which this project makes HTML.

    write_page(Path("report.html"), "report.html", title="face18: report", lead="...", scores=frame)

A page is one file that opens without a network. Values are escaped, tables come from `DataFrame.to_html`, figures and
faces are embedded as data URIs. matplotlib and Jinja2 are imported only when they are used, because they load slowly.
"""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd

from shared.files import write_text
from shared.messages import UserError

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEMPLATES = Path(__file__).with_name("templates")

SOFT = "#6b7683"
"""Colour of reference lines in figures."""


@dataclass(frozen=True)
class Tile:
    """One or more faces with a name and lines of text below them."""

    name: str
    lines: Sequence[str] = ()
    images: Sequence[str] = field(default=())
    """Data URIs."""


def write_page(path: Path, template: str, **values: object) -> None:
    """Render a template into a file. Raises `UserError` if the disk refuses."""
    write_text(path, render(template, **values))


def render(template: str, **values: object) -> str:
    """Return the page that a template of shared/templates makes of `values`."""
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return _environment().get_template(template).render(made=made, **values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"table": _table, "anchor": _anchor}
    return environment


def _anchor(title: str) -> str:
    """Return a title as an id: lower-case words joined by hyphens."""
    return "-".join("".join(sign if sign.isalnum() else " " for sign in title.lower()).split())


def _table(frame: pd.DataFrame, text: bool = False) -> "Markup":
    """Return a table whose first column is the index; `text` aligns the other columns to the left as well."""
    from markupsafe import Markup

    # Without the option pandas cuts texts after 50 characters.
    with pd.option_context("display.max_colwidth", None):
        return Markup(frame.map(_cell).to_html(border=0, index_names=False, classes="text" if text else None))


def _cell(value: object) -> str:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


def chart(draw: Callable[["Figure"], None], width: float = 5.2, height: float = 3.4) -> str:
    """Return what `draw` puts on a figure of that size (inches) as an SVG data URI.

    Raises `UserError` if matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise UserError("the figures need matplotlib: pip install 'face18[figures]'") from None
    with mpl.rc_context(fname=TEMPLATES / "chart.mplstyle"):
        # A Figure without pyplot needs no display and is freed after the call.
        drawn = Figure(figsize=(width, height))
        draw(drawn)
        content = io.BytesIO()
        # Without dates and versions, so that the same data give the same page.
        metadata: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        drawn.savefig(content, format="svg", metadata=metadata)
    return _data_uri("image/svg+xml", content.getvalue())


def plot(draw: Callable[["Axes"], None], width: float = 5.2, height: float = 3.4) -> str:
    """Return a `chart` of one pair of axes."""
    return chart(lambda drawn: draw(drawn.add_subplot()), width, height)


def face(pixels: np.ndarray, side: int = 128, quality: int = 85) -> str:
    """Return uint8 RGB pixels (H, W, 3) as a JPEG data URI, its longer side at most `side` pixels."""
    scale = min(1.0, side / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return _data_uri("image/jpeg", encoded.tobytes())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
