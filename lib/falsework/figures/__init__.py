"""Tables and arrays in, Figure(png, alt text) out. Figures know neither torch nor files."""

from __future__ import annotations

import base64
import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib

matplotlib.use("agg", force=False)
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from PIL import Image

INK, QUIET, PAPER = "#26323d", "#8795a1", "#ffffff"
STATE_COLOURS = {
    "supported": "#2a9d8f",
    "refuted": "#c8553d",
    "undecided": "#e9b44c",
    "exact": "#3d6fa5",
    "not judged": "#d9dee3",
    "interpretive": "#ffffff",
}
STATE_HATCHES = {
    "supported": "",
    "refuted": "xx",
    "undecided": "//",
    "exact": "..",
    "not judged": "",
    "interpretive": "",
}
SERIES = ["#3d6fa5", "#c8553d", "#2a9d8f", "#e9b44c", "#7d5a9b", "#8795a1"]


@dataclass(frozen=True)
class Figure:
    """A picture and its words: shown in a notebook with alt text; as text it is the alt text."""

    png: bytes
    alt: str

    def __repr__(self) -> str:
        return f"[picture] {self.alt}"

    def _repr_html_(self) -> str:
        source = base64.b64encode(self.png).decode()
        alt = self.alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
        style = "max-width:100%;height:auto;background:#fff;border-radius:6px"
        return f'<img alt="{alt}" style="{style}" src="data:image/png;base64,{source}">'


def canvas(width: float = 9.0, height: float = 4.0, **grid: object) -> tuple[Drawing, np.ndarray]:
    """Return (drawing, axes array) in the course's style; sizes in inches, `grid` as for plt.subplots."""
    sns.set_theme(style="ticks", context="notebook", palette=SERIES, rc=_RC)
    drawing, axes = plt.subplots(figsize=(width, height), squeeze=False, **grid)  # type: ignore[call-overload]
    sns.despine(drawing)
    return drawing, axes


_RC = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "font.family": "DejaVu Sans",
    "hatch.color": "#ffffff",
    "legend.frameon": False,
}


def finish(drawing: Drawing, alt: str, dpi: int = 110) -> Figure:
    """Return the drawing as a Figure and close it."""
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    plt.close(drawing)
    return Figure(buffer.getvalue(), alt)


def short_number(n: float) -> str:
    """Return a count as people say it: 950, 12 k, 1.2 M."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if n >= 0.9995 * unit:
            return f"{n / unit:.{int(unit > 1e3 and n < 9.95 * unit)}f}{name}"
    return f"{n:.0f}"


def log_axis(ax: Axes, places: Sequence[float] | np.ndarray, names: Sequence[str], apart: float = 0.13) -> list[float]:
    """Make x a log axis with ticks at these places alone; return the places that are named.

    Names nearer to each other than a share of the axis give way, the last one to none. Call it when all is drawn.
    """
    ax.set_xscale("log")
    low, high = (math.log(v) for v in ax.get_xlim())
    at, kept = [(math.log(v) - low) / max(high - low, 1e-9) for v in places], [False] * len(places)
    for k in sorted(range(len(places)), key=lambda k: (k != len(places) - 1, k)):
        kept[k] = bool(names[k]) and all(abs(at[k] - at[j]) >= apart for j in range(len(places)) if kept[j])
    ax.set_xticks(places, [name if keep else "" for name, keep in zip(names, kept)])
    ax.minorticks_off()
    return [place for place, keep in zip(places, kept) if keep]


def enlarge(image: np.ndarray, times: int) -> np.ndarray:
    """Return a picture with every pixel a `times` x `times` block, so that pixels stay pixels."""
    return np.kron(image, np.ones((times, times, 1), image.dtype))


def sheet(images: np.ndarray, columns: int, times: int = 4, gap: int = 6, paper: int = 255) -> np.ndarray:
    """Return a contact sheet, uint8 (H, W, 3), of pictures (N, h, w, 3), row by row, with white gaps of `gap` px."""
    rows = -(-len(images) // columns)
    h, w = images.shape[1] * times, images.shape[2] * times
    out = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), paper, np.uint8)
    for i, image in enumerate(images):
        r, c = divmod(i, columns)
        out[r * (h + gap) : r * (h + gap) + h, c * (w + gap) : c * (w + gap) + w] = enlarge(image, times)
    return out


def picture(image: np.ndarray, alt: str) -> Figure:
    """Return an array, uint8 (H, W, 3), as a Figure, pixel for pixel."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", optimize=True)
    return Figure(buffer.getvalue(), alt)


def dial(stops: list[tuple[str, str, float | None]], here: str) -> Figure:
    """Return the language dial: bits of caption per picture used by each station, `here` marked.

    stops: (number, name, bits or None while the station is not built). Heights are log2(1 + bits).
    """
    drawing, axes = canvas(11, 1.25)
    ax = axes[0, 0]
    top = max(5.0, *(np.log2(1 + b) for _, _, b in stops if b is not None))
    for x, (number, name, bits) in enumerate(stops):
        chosen = number == here
        ax.bar(x, top, 0.84, color="#f1f4f6", edgecolor=SERIES[1] if chosen else "none", lw=2)
        ax.bar(x, np.log2(1 + (bits or 0)), 0.84, color=SERIES[1] if chosen else "#b8c4ce")
        label = "coming" if bits is None else f"{bits:.0f} bits"
        ax.text(x, top * 0.5, label, ha="center", va="center", fontsize=9, color=QUIET if bits is None else INK)
        ax.text(x, -0.5, number, ha="center", va="top", fontsize=10, weight="bold", color=SERIES[1] if chosen else INK)
        ax.text(x, -2.1, textwrap.fill(name, 10), ha="center", va="top", fontsize=8, linespacing=1.1)
    ax.set(xlim=(-0.5, len(stops) - 0.5), ylim=(-0.1, top * 1.05))
    ax.set_axis_off()
    words = ", ".join(f"{n} {w}: {'coming' if b is None else f'{b:.0f} bits'}" for n, w, b in stops)
    return finish(
        drawing, f"The language dial, bits of caption per picture at each station. {words}. You are at {here}."
    )
