"""The parts of a page, as HTML text. Whatever comes from data is escaped; images are data URIs.

Figures and faces as data URIs. matplotlib is imported only to draw: it is slow to load, and an extra.
"""

import base64
import io
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from shared.files import write_text
from shared.messages import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = Path(__file__).parents[1] / "templates/style.css"

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Of the browser: whatever a page of ours should contain by mistake, nothing is fetched and nothing is run."""


@dataclass(frozen=True)
class Section:
    """One subject, with a place in the list at the top of the page."""

    title: str
    parts: Sequence[str]
    """HTML, as the functions below make it."""

    @property
    def anchor(self) -> str:
        """Lower-case words joined by hyphens."""
        return "-".join("".join(sign if sign.isalnum() else " " for sign in self.title.lower()).split())


@dataclass(frozen=True)
class Tile:
    """One or more faces with a line or two below them."""

    images: Sequence[str]
    """Data URIs."""
    name: str
    text: str


def write_page(path: Path, title: str, lead: str, sections: Sequence[Section]) -> None:
    """Write the page, whole or not at all. Raises `UserError` where the disk refuses."""
    write_text(path, page(title, lead, sections))


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole document."""
    links = "".join(f'<a href="#{section.anchor}">{escape(section.title)}</a>' for section in sections)
    body = "".join(
        f'<section id="{section.anchor}"><h2>{escape(section.title)}</h2>{"".join(section.parts)}</section>\n'
        for section in sections
    )
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text(encoding='utf-8')}</style></head>\n"
        f"<body><header><h1>{escape(title)}</h1>{paragraph(lead)}<nav>{links}</nav></header>\n"
        f"<main>{body}</main><footer>face18, {made}. This page holds everything it shows.</footer></body></html>\n"
    )


def paragraph(text: str, kind: str = "") -> str:
    """`kind` is a class of the style sheet: soft, warn."""
    return f"<p{_class(kind)}>{escape(text)}</p>"


def heading(text: str) -> str:
    """Within a section."""
    return f"<h3>{escape(text)}</h3>"


def plain_text(text: str, wrap: bool = False) -> str:
    """As it is, in a fixed pitch: what a terminal shows, and, with `wrap`, commands."""
    return f"<pre{_class('wrap' if wrap else '')}>{escape(text)}</pre>"


def cards(values: Iterable[tuple[str, str, str]]) -> str:
    """Figures that sum up: what, how much, and a note."""
    made = "".join(
        f'<div class="card"><div class="label">{escape(label)}</div><div class="value">{escape(value)}</div>'
        f'<div class="note">{escape(note)}</div></div>'
        for label, value, note in values
    )
    return f'<div class="cards">{made}</div>'


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", text_columns: Collection[int] = (0,)
) -> str:
    """Columns are right-aligned numbers but for `text_columns`."""
    kinds = ["text" if column in text_columns else "" for column in range(len(head))]
    titles = "".join(f"<th{_class(kind)}>{escape(name)}</th>" for name, kind in zip(head, kinds, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{_class(kind)}>{escape(v)}</td>" for v, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    told = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{told}<thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>'


def figure(image: str, caption: str, wide: bool = False) -> str:
    """An image (data URI); its caption is also what is read aloud."""
    text = escape(caption)
    return (
        f'<figure{_class("wide" if wide else "")}><img src="{image}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def figures(made: Iterable[str]) -> str:
    """Side by side where there is room."""
    return f'<div class="figures">{"".join(made)}</div>'


def beside(parts: Iterable[str]) -> str:
    """Two columns where there is room."""
    return f'<div class="beside">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def tiles(made: Iterable[Tile]) -> str:
    """A contact sheet."""
    parts = []
    for tile in made:
        faces = "".join(f'<img src="{image}" alt="{escape(tile.name)}">' for image in tile.images)
        kind = "tile pair" if len(tile.images) > 1 else "tile"
        text = "<br>".join(escape(line) for line in tile.text.splitlines())
        parts.append(f'<div class="{kind}"><div class="faces">{faces}</div><b>{escape(tile.name)}</b>{text}</div>')
    return f'<div class="tiles">{"".join(parts)}</div>'


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


COLOURS = ("#1f5f99", "#d1701f", "#3b8c5a", "#8e4a9e", "#b5485d", "#6b7683", "#a88420", "#2a9d9d")
"""Told apart also by most of the colour-blind, and in print."""

SOFT = "#6b7683"

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": "#1c2430",
    "axes.edgecolor": "#9aa5b1",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8ecf0",
    "grid.linewidth": 0.8,
    "xtick.color": "#3d4855",
    "ytick.color": "#3d4855",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "svg.fonttype": "path",
    # Ids inside the image; a fixed salt, so that the same data give the same page.
    "svg.hashsalt": "face18",
}


def chart(draw: Callable[["Figure"], None], width: float = 5.2, height: float = 3.4) -> str:
    """An SVG of what `draw` puts on a figure of so many inches. Raises `UserError` without matplotlib."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise UserError("the figures need matplotlib: pip install 'face18[figures]'") from None
    with mpl.rc_context(_STYLE):
        # Without pyplot: no window system is asked for, and nothing lives on after the call.
        drawn = Figure(figsize=(width, height), layout="constrained")
        draw(drawn)
        content = io.BytesIO()
        drawn.savefig(content, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _uri("image/svg+xml", content.getvalue())


def plot(draw: Callable[["Axes"], None], width: float = 5.2, height: float = 3.4) -> str:
    """As `chart`, for a figure of one pair of axes."""
    return chart(lambda drawn: draw(drawn.add_subplot()), width, height)


def bars(names: list[str], values: list[float], xlabel: str, title: str) -> str:
    """Horizontal bars in their order, each with its number."""

    def draw(axes: "Axes") -> None:
        made = axes.barh(names, values, color=COLOURS[0], height=0.65)
        axes.bar_label(made, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.14)
        axes.grid(axis="y", visible=False)
        axes.set(xlabel=xlabel, title=title)

    return plot(draw, height=1.1 + 0.3 * max(len(names), 3))


def face(pixels: np.ndarray, side: int = 128, quality: int = 85) -> str:
    """A JPEG of uint8 RGB pixels (H, W, 3), its longer side `side` pixels at most."""
    scale = min(1.0, side / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return _uri("image/jpeg", encoded.tobytes())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
