"""Figures and faces as data URIs. matplotlib is imported only to draw: it is slow to load, and an extra."""

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from shared.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
    # Ids inside the picture; a fixed salt, so that the same data give the same page.
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
