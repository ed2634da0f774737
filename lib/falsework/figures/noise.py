"""What the figures about noise share: rows, marks over seeds, the axis of noise with its thumbnails.

Marks and lines are means over the published seeds with their t interval, a star is yours; where nothing is published,
yours stands in its place. Noise runs from clean, left, to noisy, right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from falsework.core.errors import Refused
from falsework.core.rng import rng
from falsework.figures import INK, QUIET, enlarge
from falsework.figures.clip import points

PALE = "#e4e9ed"


def pick(table: pd.DataFrame, metric: str, needed: bool = True, **where: object) -> pd.DataFrame:
    """Return rows of a metric that have a value, in a context; raises Refused when there are none, if they are needed."""
    rows = table.reindex(columns=list(dict.fromkeys([*table.columns, "source", "arm", "seed", "sigma", *where])))
    rows = rows.assign(value=pd.to_numeric(rows["value"]), seed=rows["seed"].fillna(0))
    rows = rows[(rows["metric"] == metric) & rows["value"].notna()]
    for column, wanted in where.items():
        rows = rows[rows[column] == wanted]
    if needed and not len(rows):
        about = "".join(f", {k} {v!r}" for k, v in where.items())
        raise Refused(f"The figure needs rows of {metric!r}{about}, but the table has none.")
    return rows


def sides(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (rows to draw, rows to star): published and yours, or yours and none where nothing is published."""
    mine = rows["source"] == "yours"
    return (rows[~mine], rows[mine]) if (~mine).any() else (rows, rows[:0])


def star(ax: Axes, x: Any, y: Any, hue: str = INK, **look: Any) -> None:
    """Draw yours."""
    ax.plot(x, y, **{"marker": "*", "color": hue, "ms": 13, "mec": INK, "mew": 0.9, "ls": "", "zorder": 7, **look})


def curve(ax: Axes, rows: pd.DataFrame, along: str, hue: str, **look: Any) -> dict[float, float]:
    """Draw a line of means with its interval as a band, and stars for yours; return place -> mean."""
    shown, mine = sides(rows)
    x, y, low, high = (np.array(v) for v in zip(*points(shown, along)))
    ax.fill_between(x, low, high, color=hue, alpha=0.16, lw=0)
    ax.plot(x, y, **{"color": hue, "lw": 2.4, "marker": "o", "ms": 6, **look})
    if len(mine):
        own = mine.groupby(along)["value"].mean()
        star(ax, own.index.astype(float), own, hue)
    return dict(zip(x.tolist(), y.tolist()))


def level(rows: pd.DataFrame) -> tuple[float, float, float]:
    """Return mean, low and high over the seeds that are drawn."""
    return points(sides(rows)[0].assign(place=0.0), "place")[0][1:]


def yours(rows: pd.DataFrame, along: str, digits: int = 2) -> str:
    """Return the sentence that says where the stars stand, "" when there are none."""
    own = sides(rows)[1].groupby(along)["value"].mean()
    at = [f"{k} {v:.{digits}f}" if isinstance(k, str) else f"{v:.{digits}f} at {k:.3g}" for k, v in own.items()]
    return f" Yours: {', '.join(at)}." if at else ""


def foot(drawing: Drawing, rows: pd.DataFrame, words: str = "", y: float = -0.02) -> None:
    """Say under a drawing what a star is, if there is one, and other words."""
    told = "    ".join(w for w in (words, "star: yours" if len(sides(rows)[1]) else "") if w)
    if told:
        drawing.text(0.5, y, told, ha="center", va="top", color=QUIET, fontsize=10)


def noise_axis(ax: Axes, ticks: Sequence[float], label: str = "noise σ") -> None:
    """Make x the axis of noise: logarithmic, clean left and noisy right, with these ticks alone."""
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(ticks), [f"{t:.3g}" for t in ticks])
    ax.minorticks_off()
    ax.set_xlabel(label)


def in_noise(clean: np.ndarray, sigmas: Sequence[float], *keys: object) -> np.ndarray:
    """Return a picture, uint8 (S, S, 3), in one noise at rising strength: uint8 (L, S, S, 3), dimmed to fit the screen."""
    noise, x = rng("thumbnails", *keys).standard_normal(clean.shape), clean / 127.5 - 1
    seen = np.stack([(x + s * noise) / math.sqrt(1 + (1.7 * s) ** 2) for s in sigmas])
    return np.clip((seen + 1) * 127.5, 0, 255).round().astype(np.uint8)


def thumbnails(ax: Axes, pictures: np.ndarray, sigmas: Sequence[float], points_wide: float, down: float) -> None:
    """Hang pictures under an axis of noise, each at its sigma, `down` points below it."""
    for shown, sigma in zip(pictures, sigmas):
        image = OffsetImage(enlarge(shown, 8), zoom=points_wide / (8 * len(shown)), interpolation="nearest")
        where: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "boxcoords": "offset points"}
        ax.add_artist(AnnotationBbox(image, (sigma, 0), (0, -down), box_alignment=(0.5, 1), frameon=False, **where))


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """Return heights moved to lie `gap` from each other, order kept."""
    order = np.argsort(heights, kind="stable")
    out = np.asarray(heights, float)[order]
    for _ in range(200):
        short = np.maximum(0, gap - np.diff(out)) / 2
        out[:-1] -= short
        out[1:] += short
    return out[np.argsort(order)].tolist()
