"""Figures of 02_dalle1: what nets of different size draw, what they learn first, and what they make of a row of things.

Everywhere: small dots are single seeds, a large mark their mean, a star yours. Where nothing is published, yours is drawn
in its place.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle
from scipy.stats import kendalltau

from falsework.core.errors import Refused
from falsework.figures import (
    INK,
    PAPER,
    QUIET,
    SERIES,
    Figure,
    canvas,
    finish,
    log_axis,
    picture,
    sheet,
    short_number,
)

BLUE, RED, TEAL, AMBER = SERIES[:4]
OCHRE = "#a8740c"  # amber that can be read as text
BLANK = np.array([226, 231, 235], np.uint8)  # what a picture keeps to itself
NUMBERS = ("seed", "value", "size", "best_of", "flops", "dose", "chance")
WORDS = ("source", "arm", "metric", "factor", "told", "training", "operation")
LADDER = ("tiny", "small", "medium", "big", "dalle")  # the sheets, from the smallest net to the largest
HALF = 0.5  # of the way from chance to never wrong
ACCURACY = ("accuracy", "accuracy_by_dose")
TRAINED = ("alone", "dalle", "taught")
WAY = ["chance", "half-way", "never wrong"]


# ---- rows


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows with every column that a figure asks for, numbers as numbers; raises Refused for words among them."""
    out = table.reset_index(drop=True).reindex(columns=list(dict.fromkeys([*table.columns, *NUMBERS, *WORDS])))
    for column in NUMBERS:
        try:
            out[column] = pd.to_numeric(out[column])
        except (ValueError, TypeError) as e:
            raise Refused(f"The column {column!r} must hold numbers, but: {e}.") from e
    return out.assign(seed=out["seed"].fillna(0))


def _pick(table: pd.DataFrame, metric: str | Sequence[str], **context: object) -> pd.DataFrame:
    """Return tidy rows of a metric, or of several, in a context; raises Refused for none, and for one without a value."""
    rows = _tidy(table)
    rows = rows[rows["metric"].isin([metric] if isinstance(metric, str) else metric)]
    for column, wanted in context.items():
        rows = rows[rows[column] == wanted]
    if not len(rows):
        where = "".join(f", {k} {v!r}" for k, v in context.items())
        raise Refused(f"The figure needs rows of {metric!r}{where}, but the table has none.")
    if rows["value"].isna().any():
        raise Refused(
            f"Rows of {metric!r} have no value ({int(rows['value'].isna().sum())} of them), but each needs one."
        )
    return rows


def _sides(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (rows to draw, rows to star): the published ones and yours, or only yours where nothing is published."""
    own = rows["source"] == "yours"
    return (rows[~own], rows[own]) if (~own).any() else (rows, rows[:0])


def _by(rows: pd.DataFrame, along: str) -> dict[Any, np.ndarray]:
    """Return place -> one mean for each seed, places in order."""
    means = rows.groupby([along, "seed"])["value"].mean()
    return {place: at.to_numpy() for place, at in means.groupby(level=0)}


def _means(rows: pd.DataFrame, along: str) -> dict[Any, float]:
    return {place: float(seeds.mean()) for place, seeds in _by(rows, along).items()}


def _mean(rows: pd.DataFrame) -> float:
    return float(_sides(rows)[0]["value"].mean())


def _order(shares: Mapping[str, float]) -> list[str]:
    """Return the factors from the largest share to the smallest, equal ones by name."""
    return sorted(shares, key=lambda f: (-shares[f], f))


def _half_way(sizes: Sequence[float], shares: Sequence[float]) -> float | None:
    """Return the size at which a line between the points first reaches half-way (log sizes), None when it never does."""
    for k, share in enumerate(shares):
        if share >= HALF and k == 0:
            return float(sizes[0])
        if share >= HALF:
            part = (HALF - shares[k - 1]) / (share - shares[k - 1])
            return float(sizes[k - 1] * (sizes[k] / sizes[k - 1]) ** part)
    return None


# ---- paper


def _paper(width: float, height: float) -> Drawing:
    """Return an empty drawing in the course's style, to lay panels on."""
    drawing, axes = canvas(width, height)
    axes[0, 0].remove()
    return drawing


def _panel(drawing: Drawing, place: Any) -> Axes:
    ax = drawing.add_subplot(place)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _show(ax: Axes, picture_SS3: np.ndarray) -> None:
    ax.imshow(picture_SS3, interpolation="nearest")
    ax.set_axis_off()


def _note(ax: Axes, words: str, place: Any, shift: tuple[float, float] = (0, 0), of: str = "data", **look: Any) -> None:
    """Write words at a place, shifted by points; of: "data", or "axes fraction"."""
    ax.annotate(words, place, shift, xycoords=of, textcoords="offset points", **{"color": INK, **look})


def _stars(ax: Axes, places: Mapping[Any, float], across: bool = False) -> None:
    for place, value in places.items():
        x, y = (value, place) if across else (place, value)
        ax.plot(x, y, "*", color=INK, ms=14, mec=PAPER, mew=0.8, zorder=6, clip_on=False)


def _curve(ax: Axes, rows: pd.DataFrame, along: str, hue: str, **look: Any) -> tuple[np.ndarray, np.ndarray]:
    """Draw seeds, means and stars along a column; return (places, means)."""
    shown, mine = _sides(rows)
    for place, seeds in _by(shown, along).items():
        if len(seeds) > 1:
            ax.plot([place] * len(seeds), seeds, ".", color=hue, ms=6, alpha=0.45, zorder=3)
    means = _means(shown, along)
    x, y = np.array(list(means)), np.array(list(means.values()))
    ax.plot(x, y, **{"marker": "o", "color": hue, "ms": 8, "lw": 2.5, **look})
    _stars(ax, _means(mine, along))
    return x, y


def _foot(drawing: Drawing, rows: pd.DataFrame, y: float) -> None:
    """Say what a star is, if there is one."""
    if len(_sides(rows)[1]):
        drawing.text(0.5, y, "star: yours", ha="center", va="top", color=QUIET, fontsize=10)


def _yours(rows: pd.DataFrame, along: str) -> str:
    """Return the sentence that says where the stars stand, "" when there are none."""
    means = _means(_sides(rows)[1], along)
    told = [
        f"{k} {v:.2f}" if isinstance(k, str) else f"{v:.2f} at {short_number(k) if k >= 1000 else f'{k:g}'}"
        for k, v in means.items()
    ]
    return f" Yours: {', '.join(told)}." if told else ""


def _check(pictures: np.ndarray, shape: str, what: str) -> np.ndarray:
    """Return the pictures as an array; raises Refused for other axes than `shape` names, other numbers, and none."""
    array = np.asarray(pictures)
    if array.ndim != len(shape.split()) or array.shape[-1] != 3 or array.dtype != np.uint8 or not array.size:
        need = f"uint8 ({', '.join(shape.split())})"
        raise Refused(f"The {what} have shape {array.shape} of {array.dtype}, but must be {need}, at least one.")
    return array


def _pair_up(what: str, *things: Sequence[Any] | np.ndarray) -> None:
    """Raise Refused unless there are as many of each."""
    if len({len(t) for t in things}) > 1:
        raise Refused(f"There are {' and '.join(str(len(t)) for t in things)} {what}, but must be as many of each.")


def _label(ax: Axes, points: Mapping[str, tuple[float, float]], hues: Sequence[str], hidden: Sequence[Any]) -> None:
    """Write each point's name beside it, where it hides least of points, labels and hidden places; limits must stand."""
    ax.figure.canvas.draw()
    scale = 72 / ax.figure.dpi
    at = ax.transData.transform([*points.values(), *hidden]) * scale  # in points, as offsets are
    (left, low), (right, high) = ax.transAxes.transform([(0, 0), (1, 1)]) * scale
    taken = [(x - r, y - r, x + r, y + r) for (x, y), r in zip(at, [6] * len(points) + [3] * len(hidden))]
    for (px, py), (word, place), hue in zip(at, points.items(), hues):
        wide, tall = 6.6 * len(word), 12.0
        best = (math.inf, 0.0, 0.0, (0.0, 0.0, 0.0, 0.0))
        for up in np.arange(0, 90, 13.0):
            sideways = [(x0, y0) for y0 in (up, -up) for x0 in (9.0, -9.0 - wide)]
            for dx, dy in (*sideways, (-wide / 2, 14 + up), (-wide / 2, -14 - up)):
                a, b, c, d = px + dx, py + dy - tall / 2, px + dx + wide, py + dy + tall / 2
                over = [(min(c, o[2]) - max(a, o[0]), min(d, o[3]) - max(b, o[1])) for o in taken]
                cost = sum(w * h for w, h in over if w > 0 and h > 0) + 2 * up + abs(dy) / 4
                out = max(0, left + 5 - a) + max(0, c - right) + max(0, low - b) + max(0, d - high)
                best = min(best, (cost + 40 * out, dx, dy, (a, b, c, d)))
        taken.append(best[3])
        line = {"arrowstyle": "-", "color": QUIET, "lw": 0.7} if abs(best[2]) > 20 else None
        _note(ax, word, place, best[1:3], color=hue, fontsize=10.5, va="center", arrowprops=line)


# ---- the signature figure


def contact_sheet(exhibits: Mapping[str, np.ndarray], table: pd.DataFrame, captions: Sequence[str]) -> Figure:
    """Return the signature figure: what nets of growing size draw of six captions, and when each factor is half learned.

    exhibits: sheet_small, sheet_medium ..., each uint8 (captions, S, S, 3); table: rows of the sizes measure. Raises
    Refused when there is not a sheet for each size.
    """
    rows = _pick(table, "range_share", arm="dalle")
    paid = _means(_sides(_pick(table, "bits_per_image", arm="dalle"))[0], "size")
    names = [n for n in LADDER if f"sheet_{n}" in exhibits]
    if len(names) != len(paid):
        raise Refused(f"There are {len(names)} sheets and {len(paid)} sizes of nets, but each net needs its sheet.")
    sheets = [_check(exhibits[f"sheet_{n}"], "N S S 3", "pictures of a sheet") for n in names]
    for pictures in sheets:
        _pair_up("captions and pictures of a sheet", captions, pictures)
    R, N = len(sheets), len(captions)
    drawing = _paper(11, 1.55 * R + 4.15)
    high = drawing.get_figheight()
    grid = drawing.add_gridspec(
        R, N, left=0.105, right=1, bottom=2.75 / high, top=1 - 1.4 / high, wspace=0.05, hspace=0.05
    )
    for r, (size, bits) in enumerate(paid.items()):
        for c in range(N):
            ax = _panel(drawing, grid[r, c])
            _show(ax, sheets[r][c])
            if r == 0:
                _headline(ax, captions[c])
            if c == 0:
                left: dict[str, Any] = {"of": "axes fraction", "ha": "right", "va": "center"}
                _note(ax, short_number(size), (0, 0.5), (-8, 9), fontsize=17, weight="bold", **left)
                _note(ax, "numbers", (0, 0.5), (-8, -8), fontsize=10, **left)
                _note(ax, f"{bits:.0f} bits a picture", (0, 0.5), (-8, -24), fontsize=8, **left, color=QUIET)
    told = _which_when(drawing, rows)
    _foot(drawing, rows, 0.02)
    sizes = ", ".join(f"{short_number(s)} numbers at {b:.0f} bits a picture" for s, b in paid.items())
    nets = f"{R} nets, from the smallest to the largest ({sizes}), draw" if R > 1 else f"a net ({sizes}) draws"
    return finish(
        drawing,
        f"Contact sheet: {nets} the same {N} captions. Under it, how far each factor has come from chance (0) to never "
        f"wrong (1), by size, and where it passes half-way: {told}." + _yours(rows, "factor"),
    )


def _headline(ax: Axes, caption: str) -> None:
    """Write a caption over a picture: its things in bold, their stage below."""
    cuts = [at for word in (" in the ", " at the ", " on a ") if (at := caption.find(word)) > 0]
    at = min(cuts, default=len(caption))
    things = [(line, {"fontsize": 9, "weight": "bold"}) for line in textwrap.wrap(caption[:at], 20)]
    stage = [(line, {"fontsize": 8, "color": QUIET}) for line in textwrap.wrap(caption[at:].strip(), 25)]
    for k, (line, look) in enumerate([*things, *stage][::-1]):
        _note(ax, line, (0, 1), (0, 4 + 11 * k), of="axes fraction", va="bottom", **look)


def _which_when(drawing: Drawing, rows: pd.DataFrame) -> str:
    """Draw a strip for each factor: its share of the range against size, and where it passes half-way; return words."""
    lines = {f: _means(own, "size") for f, own in _sides(rows)[0].groupby("factor")}
    order = _order({f: next(iter(line.values())) for f, line in lines.items()})
    high, low = drawing.get_figheight(), min(-0.06, *(v for line in lines.values() for v in line.values())) - 0.07
    strip = drawing.add_gridspec(1, len(order), left=0.105, right=1, bottom=0.8 / high, top=2.0 / high, wspace=0.16)
    words = []
    for k, factor in enumerate(order):
        ax = _panel(drawing, strip[0, k])
        sizes, shares = list(lines[factor]), list(lines[factor].values())
        passed = _half_way(sizes, shares)
        hue = TEAL if passed == sizes[0] else AMBER if passed else RED
        when = "from the start" if hue == TEAL else f"at {short_number(passed)}" if passed else "not yet"
        fine = np.geomspace(sizes[0], sizes[-1], 200 if len(sizes) > 1 else 1)
        line = np.interp(np.log(fine), np.log(sizes), shares)
        ax.fill_between(fine, HALF, line, where=(line >= HALF).tolist(), color=hue, alpha=0.28, lw=0)
        ax.axhline(HALF, color=QUIET, lw=1.2, ls=":")
        ax.set_xscale("log")
        _curve(ax, rows[rows["factor"] == factor], "size", hue, ms=6.5)
        if passed and hue == AMBER:
            ax.plot(passed, HALF, "D", color=PAPER, mec=hue, mew=2, ms=7, zorder=5)
        ax.set_title(factor, fontsize=10.5, loc="center", pad=19)
        ax.text(0.5, 1.06, when, ha="center", color=OCHRE if hue == AMBER else hue, transform=ax.transAxes, fontsize=9)
        ax.set(ylim=(low, 1.06), yticks=[0, HALF, 1])
        ax.set_yticklabels(WAY if k == 0 else [], fontsize=9)
        ax.margins(x=0.24)
        ends = [short_number(s) if s in (sizes[0], sizes[-1]) else "" for s in sizes]
        log_axis(ax, sizes, ends, apart=0.6)
        ax.tick_params(axis="x", labelsize=8, labelcolor=QUIET)
        if k == 0:
            _note(ax, "passes half-way", (0, 1.06), (-8, 0), of="axes fraction", ha="right", fontsize=9, color=QUIET)
        words.append(f"{factor} {when} ({' to '.join(f'{v:.2f}' for v in shares)})")
    drawing.text(0.553, 0.33 / high, "numbers in the net", ha="center", fontsize=10)
    return "; ".join(words)


# ---- the tokenizer


def tokenizer(real: np.ndarray, rebuilt: np.ndarray, codes: np.ndarray, columns: int = 8) -> Figure:
    """Return pictures over what the tokenizer rebuilds of them, one code for each cell; codes: uint8 (K, c, c, 3)."""
    real, rebuilt = _check(real, "N S S 3", "real pictures"), _check(rebuilt, "N S S 3", "rebuilt pictures")
    K, cell = _check(codes, "K c c 3", "codes").shape[:2]
    _pair_up("real and rebuilt pictures", real, rebuilt)
    n, side = min(columns, len(real)), real.shape[1]
    cells = (side // cell) ** 2
    before, after = side * side * 24, cells * math.log2(K)
    error = float(np.abs(real.astype(float) - rebuilt).mean())
    drawing = _paper(11, 2 * 9.75 / n)
    grid = drawing.add_gridspec(2, n, left=0.115, right=1, bottom=0, top=1, wspace=0.05, hspace=0.05)
    sides = ((real, "unseen\npictures", before), (rebuilt, f"rebuilt from\n{cells} codes", after))
    for r, (pictures, name, bits) in enumerate(sides):
        for c in range(n):
            ax = _panel(drawing, grid[r, c])
            _show(ax, pictures[c])
            if c == 0:
                left: dict[str, Any] = {"of": "axes fraction", "ha": "right", "va": "center", "fontsize": 11}
                _note(ax, name, (0, 0.5), (-9, 10), weight="bold", **left)
                _note(ax, f"{bits:,.0f} bits", (0, 0.5), (-9, -18), color=QUIET, **left)
            for line in np.arange(cell, side, cell) - 0.5 if r == c == 0 else ():  # the cells, on one picture
                ax.axhline(line, color=PAPER, lw=0.9)
                ax.axvline(line, color=PAPER, lw=0.9)
    return finish(
        drawing,
        f"{n} unseen pictures of {side} x {side} pixels over what the tokenizer rebuilds of them from {cells} cells, each "
        f"one of {K:,} codes: {after:.0f} bits instead of {before:,}. The mean error over {len(real)} pictures is "
        f"{error:.1f} grey levels of 255.",
    )


def code_book(codes: np.ndarray) -> Figure:
    """Return all codes, uint8 (K, c, c, 3), as a mosaic: dark ones left, bright ones right, plain on top, busy below."""
    codes = _check(codes, "K c c 3", "codes")
    K, cell = codes.shape[:2]
    wish = math.ceil(math.sqrt(4 * K))  # four times as wide as high, and no gaps if that can be
    columns = next((c for c in range(wish, 2 * wish) if K % c == 0), wish) if K > 3 else K
    flat = codes.reshape(K, -1, 3).astype(float)
    light, busy = (flat @ [0.299, 0.587, 0.114]).mean(1), flat.std(1).sum(1)
    page = np.full((-(-K // columns) * columns, cell, cell, 3), 255, np.uint8)
    for c, part in enumerate(np.array_split(np.argsort(light, kind="stable"), columns)):
        page[np.arange(len(part)) * columns + c] = codes[part[np.argsort(busy[part], kind="stable")]]
    gap = 3 if columns * (3 * cell + 3) < 1150 else 1
    times = max(1, min(12, round((1150 / columns - gap) / cell)))
    return picture(
        sheet(page, columns, times, gap),
        f"The tokenizer's {K:,} codes, {cell} x {cell} pixels each, from a brightness of {light.min():.0f} on the left to "
        f"{light.max():.0f} of 255 on the right; plain ones on top, busy ones below.",
    )


# ---- does it draw what it is asked?


DRAWN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chance": ("chance", QUIET, {"marker": "|", "ms": 19, "mew": 2.5}),
    "shuffled": ("told somebody else's caption", RED, {"marker": "o", "ms": 9, "mfc": PAPER, "mew": 2.2}),
    "dalle": ("told its caption", BLUE, {"marker": "o", "ms": 12}),
    "rebuilt": ("real, rebuilt by the tokenizer", TEAL, {"marker": "D", "ms": 8, "mfc": PAPER, "mew": 2.2}),
    "real": ("real", INK, {"marker": "|", "ms": 19, "mew": 2.5}),
}


def drawing(table: pd.DataFrame) -> Figure:
    """Return how often each factor is drawn as asked, the first try taken, between its floors and its ceilings.

    table: rows of the drawing measure, which reads every picture by the renders it could have been.
    """
    rows = _pick(table, "accuracy")
    rows = rows[rows["best_of"].isna() | (rows["best_of"] == 1)]
    judged = _pick(rows, "accuracy", arm="dalle")
    order = _order(_means(_sides(judged)[0], "factor"))
    paper, axes = canvas(10.5, 0.47 * len(order) + 2.0)
    ax = axes[0, 0]
    words = []
    places = [0, *(k + 1.35 for k in range(len(order)))]
    for at, factor in zip(places, ["mean of all", *order]):
        own = rows[rows["factor"] == factor] if at else rows
        found: dict[str, float] = {}
        for arm, (name, hue, look) in DRAWN.items():
            shown, mine = _sides(_pick(own, "accuracy", arm=arm))
            seeds = _by(shown, "arm")[arm]
            found[arm] = float(seeds.mean())
            ax.plot(found[arm], at, color=hue, ls="", zorder=4, label=None if at else name, **look)
            if len(seeds) > 1 and look["marker"] != "|":
                ax.plot(seeds, [at + 0.24] * len(seeds), ".", color=hue, ms=6, alpha=0.55, zorder=3)
            if arm == "dalle" and len(mine):
                _stars(ax, {at: float(mine["value"].mean())}, across=True)
        ax.plot([found["shuffled"], found["dalle"]], [at, at], color=BLUE, lw=8, alpha=0.22, solid_capstyle="butt")
        ax.text(1.035, at, f"{found['dalle']:.2f}", va="center", color=BLUE, fontsize=11, weight="bold")
        words.append(f"{factor}: " + ", ".join(f"{DRAWN[a][0]} {v:.2f}" for a, v in found.items()))
    ax.axhline(0.67, color=QUIET, lw=0.8, ls=":")
    ax.set(xlim=(0, 1.02), ylim=(places[-1] + 0.6, -0.6), xlabel="share drawn as asked, first try")
    ax.set_yticks(places, ["mean of all", *order], fontsize=11.5)
    ax.get_yticklabels()[0].set_weight("bold")
    ax.tick_params(axis="y", length=0)
    if len(_sides(judged)[1]):
        ax.plot([], [], "*", color=INK, ms=12, mec=PAPER, label="yours")
    ax.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=3, fontsize=10, columnspacing=1.4)
    asked = f"How often a picture shows what its caption asks for. {'; '.join(words)}."
    return finish(paper, asked + _yours(judged, "factor"))


def best_of(table: pd.DataFrame, eight: np.ndarray, captions: Sequence[str]) -> Figure:
    """Return how often factors are right when CLIP chooses among several tries, beside tries to choose from oneself.

    table: rows of the drawing measure; eight: uint8 (captions, tries, S, S, 3). CLIP's choice is not marked.
    """
    eight = _check(eight, "N k S S 3", "tries")
    _pair_up("captions and rows of tries", captions, eight)
    rows = _pick(table, "accuracy_of_best", arm="dalle")
    N, k, side = eight.shape[:3]
    paper = _paper(11, 1.22 * N + 0.3)
    high = paper.get_figheight()
    ax = _panel(paper, paper.add_gridspec(1, 1, left=0, right=0.27, bottom=0.5 / high, top=1 - 0.3 / high)[0, 0])
    for _, own in _sides(rows)[0].groupby("factor"):
        ax.plot(*zip(*_means(own, "best_of").items()), color=BLUE, alpha=0.18, lw=1.5)
    x, y = _curve(ax, rows, "best_of", BLUE, ms=10, lw=3)
    for place, value in {x[0]: y[0], x[-1]: y[-1]}.items():
        _note(ax, f"{value:.2f}", (place, value), (0, 11), ha="center", color=BLUE, weight="bold", fontsize=12)
    ax.set(
        ylim=(0, 1.08),
        yticks=np.linspace(0, 1, 6),
        xlabel="tries that CLIP chooses from",
        ylabel="share drawn as asked",
    )
    ax.margins(x=0.12)
    ax.set_xscale("log")
    log_axis(ax, x, [f"{v:.0f}" for v in x])
    key = "strong: the mean of all factors\nfaint: each of them"
    ax.text(0.04, 0.03, key, transform=ax.transAxes, color=QUIET, fontsize=10)
    grid = paper.add_gridspec(N, k, left=0.315, right=1, bottom=0, top=1 - 0.28 / high, wspace=0.06, hspace=0.3)
    for r in range(N):
        for c in range(k):
            axis = _panel(paper, grid[r, c])
            _show(axis, eight[r, c])
            if c == 0:
                axis.text(-0.5, -0.1 * side, textwrap.fill(captions[r], 118), fontsize=9, va="bottom")
            if r == N - 1:
                _note(axis, str(c + 1), (0.5, 0), (0, -5), of="axes fraction", ha="center", va="top", color=QUIET)
    _foot(paper, rows, -0.08)
    path = ", ".join(f"best of {b:.0f} {v:.2f}" for b, v in zip(x, y))
    return finish(
        paper,
        f"Share of factors drawn as asked when CLIP chooses among tries, mean of all factors: {path}. Beside it {k} tries "
        f"at each of {N} captions: {'; '.join(captions)}." + _yours(rows, "best_of"),
    )


# ---- what does it learn first?


def pixels_or_tokens(table: pd.DataFrame) -> Figure:
    """Return what a model of tokens and one of pixels know at their FLOPs: the mean of all factors, and each alone."""
    hues = {"tokens": BLUE, "pixels": RED}
    rows = pd.concat([_pick(table, "range_share", arm=arm) for arm in hues])
    rows["flops"] = (rows["flops"] / 1e12).map(lambda v: float(f"{v:.3g}"))  # of equal runs the same
    tokens = _sides(rows[rows["arm"] == "tokens"])[0]
    order = _order(_means(tokens[tokens["flops"] == tokens["flops"].max()], "factor"))
    columns = -(-len(order) // 2)
    paper = _paper(11, 4.7)
    wide = paper.add_gridspec(1, 1, left=0, right=0.34, bottom=0.1, top=0.93)
    grid = paper.add_gridspec(2, columns, left=0.42, right=1, bottom=0.1, top=0.93, wspace=0.14, hspace=0.42)
    panels = {"mean of all factors": _panel(paper, wide[0, 0])}
    panels |= {f: _panel(paper, grid[divmod(k, columns)]) for k, f in enumerate(order)}
    low, high = float(rows["flops"].min()) / 1.35, float(rows["flops"].max()) * 1.35
    ticks = [m * 10.0**e for e in range(-9, 12) for m in (1, 2, 5) if low <= m * 10.0**e <= high]
    ticks = ticks if len(ticks) < 5 else [t for t in ticks if f"{t:e}"[0] == "1"]
    names = [f"{t:g}" for t in ticks]
    floor = min(-0.05, float(rows["value"].min())) - 0.02
    words = []
    for k, (title, ax) in enumerate(panels.items()):
        own = rows[rows["factor"] == title] if k else rows
        look = {"ms": 6, "lw": 2} if k else {"ms": 10, "lw": 3}
        ends = {}
        for arm, hue in hues.items():
            x, y = _curve(ax, own[own["arm"] == arm], "flops", hue, **look)
            ends[arm] = (x[-1], y[-1])
            path = ", ".join(f"{v:.2f} at {f:.3g}" for f, v in zip(x, y))
            words.append(f"{title}, {arm} {y[-1]:.2f}" if k else f"{title}, {arm} {path} million million FLOPs")
        for arm, hue in hues.items() if k == 0 else ():
            above = arm == max(ends, key=lambda a: ends[a][1])
            shift = (0, 13) if above else (4, -30)  # below, the line comes up from the left
            _note(ax, arm, ends[arm], shift, color=hue, weight="bold", ha="center", fontsize=13)
        ax.axhline(HALF, color=QUIET, lw=1.2, ls=":")
        ax.set(xlim=(low, high), ylim=(floor, 1.06), yticks=[0, HALF, 1])
        log_axis(ax, ticks, [""] * len(ticks) if 0 < k <= len(order) - columns else names, apart=0.35 if k else 0.13)
        ax.set_title(title, fontsize=11 if k else 12)
        ax.set_yticklabels(WAY if k == 0 else ["0", ".5", "1"] if k % columns == 1 else [])
    paper.text(0.5, -0.01, "training, in million million FLOPs, the tokenizer's counted in", ha="center", fontsize=11)
    _foot(paper, rows, -0.04)
    told = f"Tokens or pixels: how far from chance (0) to never wrong (1) at the FLOPs of training. {'; '.join(words)}."
    return finish(paper, told + _yours(rows[rows["arm"] == "tokens"], "flops"))


def order(table: pd.DataFrame) -> Figure:
    """Return how well each factor is known against how much it moves the pixels, on the stage and where colour is faint.

    The net of the stage is the one whose size is nearest to that of the faint stage's. Raises Refused for an energy that
    is not above 0.
    """
    rows = {arm: _pick(table, "range_share", arm=arm) for arm in ("dalle", "faint")}
    meant = float(_sides(rows["faint"])[0]["size"].iloc[0])
    size = min(_means(_sides(rows["dalle"])[0], "size"), key=lambda s: abs(math.log(s / meant)))
    rows["dalle"] = rows["dalle"][rows["dalle"]["size"] == size]
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for arm, own in rows.items():
        moved = _means(_sides(_pick(table, "pixel_energy", arm=arm))[0], "factor")
        if min(moved.values()) <= 0:
            raise Refused(f"The smallest pixel energy is {min(moved.values()):g}, but each must be above 0.")
        known = _means(_sides(own)[0], "factor")
        found[arm] = {f: (math.log10(moved[f]), known[f]) for f in moved if f in known}
    first, second = found.values()
    far = max((f for f in second if f in first), key=lambda f: abs(second[f][0] - first[f][0]))
    x_all, y_all = np.array([*first.values(), *second.values()]).T
    pad = max(0.35, 0.13 * float(np.ptp(x_all)))
    paper, axes = canvas(11, 4.9, ncols=2, sharex=True, sharey=True, gridspec_kw={"wspace": 0.08})
    axes[0, 0].set(xlim=(x_all.min() - pad, x_all.max() + pad), ylim=(min(-0.05, y_all.min()) - 0.06, 1.12))
    ticks = np.arange(math.ceil(x_all.min() - pad), math.floor(x_all.max() + pad) + 1)
    words = []
    for ax, (arm, own), title in zip(axes[0], found.items(), ("the stage", "the same stage, hardly any colour")):
        x, y = np.array(list(own.values())).T
        hues = [RED if f == far else BLUE for f in own]
        tau = float(kendalltau(x, y).statistic) if len(set(x)) > 1 and len(set(y)) > 1 else None
        said = (
            "no order to compare" if tau is None else f"agreement with the order of energy (Kendall's tau): {tau:.2f}"
        )
        hidden: list[tuple[float, float]] = []  # places that labels had better leave free
        if len(set(x)) > 1:
            line = np.linspace(x.min() - 0.2, x.max() + 0.2, 30)
            trend = np.polyval(np.polyfit(x, y, 1), line)
            ax.plot(line, trend, color=QUIET, lw=1.4, ls="--", zorder=1)
            hidden += zip(line, trend)
        ax.axhline(HALF, color=QUIET, lw=1, ls=":", zorder=0)
        ax.scatter(x, y, s=95, c=hues, zorder=4, linewidths=0)
        if arm == "faint":  # where the factor stood with all its colour
            arrow = {"arrowstyle": "-|>", "color": RED, "lw": 1.6, "alpha": 0.6, "shrinkA": 7, "shrinkB": 7}
            ax.plot(*first[far], "o", mfc="none", mec=RED, ms=11, mew=1.5, alpha=0.6)
            ax.annotate("", own[far], first[far], arrowprops=arrow)
            hidden += zip(np.linspace(first[far][0], own[far][0], 15), np.linspace(first[far][1], own[far][1], 15))
        _stars(ax, {own[f][0]: v for f, v in _means(_sides(rows[arm])[1], "factor").items() if f in own})
        ax.set_title(title, pad=24)
        ax.text(0, 1.02, said, transform=ax.transAxes, fontsize=10.5, color=QUIET, va="bottom")
        ax.set_xticks(ticks, [f"{10.0**t:,.0f}" if t >= 0 else f"{10.0**t:g}" for t in ticks])
        ax.set_yticks([0, HALF, 1], WAY)
        _label(ax, own, hues, hidden)
        listed = (f"{f} {10**a:,.0f} and {b:.2f}" for f, (a, b) in sorted(own.items(), key=lambda v: -v[1][0]))
        words.append(f"{title}: {said}; {', '.join(listed)}")
    paper.text(0.5, -0.02, "how much the factor moves a pixel: grey levels squared, mean", ha="center", fontsize=11)
    _foot(paper, pd.concat(rows.values()), -0.05)
    return finish(
        paper,
        f"How much a factor moves the pixels, and how far it is known, from chance (0) to never wrong (1), by a net of "
        f"{short_number(size)} numbers. {'. '.join(words)}." + _yours(rows["dalle"], "factor"),
    )


def ladder_text(table: pd.DataFrame) -> Figure:
    """Return three scores of one skill, writing unseen strings, against size: whole strings right, letters right, bits.

    table: rows of the sizes measure. Dashed: the letters' share squared, what two letters right at once would come to.
    """
    exact, letters = (_pick(table, metric, arm="dalle") for metric in ("exact_match", "letters_right"))
    sure = _pick(table, "log2_posterior", arm="dalle", factor="text")
    squared = {size: v**2 for size, v in _means(_sides(letters)[0], "size").items()}
    paper, axes = canvas(11, 3.9, ncols=3, gridspec_kw={"wspace": 0.32})
    first, _, last = axes[0]
    first.plot(*zip(*squared.items()), "--", color=AMBER, lw=2, zorder=1)
    panels = (
        (exact, RED, "both letters drawn right", "share of strings"),
        (letters, AMBER, "each letter drawn right", "share of letters"),
        (sure, BLUE, "how sure of a letter", ""),
    )
    told = []
    for ax, (rows, hue, title, unit) in zip(axes[0], panels):
        x, y = _curve(ax, rows, "size", hue, ms=10, lw=3)
        ax.set_xscale("log")
        ax.set(title=title, ylabel=unit, xlabel="numbers in the net")
        ax.margins(x=0.15)
        named = log_axis(ax, x, [short_number(v) for v in x], apart=0.23)
        written = [f"{v:.2f}".replace("-", "−") for v in y]
        for place, value, words in zip(x, y, written):
            above = max(value, squared.get(place, value)) if ax is first else value
            if place in named:
                steep = place == x[0] and max(y) > value  # the line leaves the first dot upwards: write beside it
                shift, side = ((14, -4), "left") if steep else ((0, 11), "center")
                _note(ax, words, (place, above), shift, ha=side, fontsize=11)
        told.append(f"{title}, {unit or 'in bits from certain'}: {', '.join(written)}")
        ax.set(ylim=(-0.03, 1.05), yticks=[0, HALF, 1])
    text: dict[str, Any] = {"fontsize": 10, "va": "top"}
    first.text(0.03, 0.98, "dashed: the middle\npanel, squared", color=OCHRE, transform=first.transAxes, **text)
    chance = _tidy(table)[lambda t: (t["factor"] == "text") & (t["chance"] > 0)]["chance"].mean()
    low = min(float(sure["value"].min()), math.log2(chance) if chance > 0 else 0.0, -1.0)
    every = max(1, round(-low / 6))
    last.set(ylim=(1.06 * low, -0.12 * low))
    ticks = range(0, -int(-low) - 1, -every)
    last.set_yticks(ticks, ["certain", *(f"−{-t} bit{'s' if t < -1 else ''}" for t in ticks[1:])])
    if chance > 0:
        last.axhline(math.log2(chance), color=QUIET, lw=1.3, ls=":")
        beside: dict[str, Any] = {"fontsize": 10, "ha": "right", "transform": last.get_yaxis_transform()}
        last.text(0.98, math.log2(chance), "a blind guess", color=QUIET, va="bottom", **beside)
    _foot(paper, exact, -0.06)
    sizes = ", ".join(short_number(v) for v in squared)
    return finish(
        paper,
        f"One skill, writing letters, scored in three ways for nets of {sizes} numbers. {'; '.join(told)}. "
        f"What must be right all at once starts later than its parts: squared, the letters' share is "
        f"{', '.join(f'{v:.2f}' for v in squared.values())}." + _yours(exact, "size"),
    )


# ---- without words


def puzzles(pictures: np.ndarray, right: Sequence[int], chosen: Sequence[int], count: int = 4) -> Figure:
    """Return puzzles: three cells and a blank, and the answers, the right one framed, the model's choice marked.

    pictures: uint8 (N, answers, S, S, 3), each puzzle with each answer in its last cell. Raises Refused for an answer that
    there is not.
    """
    pictures = _check(pictures, "N A S S 3", "puzzles")
    _pair_up("puzzles, right answers and choices", pictures, right, chosen)
    n, A, side = min(count, len(pictures)), pictures.shape[1], pictures.shape[2]
    for given in (*right, *chosen):
        if not 0 <= int(given) < A:
            raise Refused(f"An answer is {int(given)}, but must lie between 0 and {A - 1}.")
    half, wide, rows, columns = side // 2, -(-A // 2), -(-n // 2), min(2, n)
    spread = {"hspace": 0.1, "wspace": 0.05, "left": 0, "right": 1, "bottom": 0, "top": 1}
    paper, axes = canvas(5.5 * columns, 1.95 * rows, nrows=rows, ncols=columns, gridspec_kw=spread)
    words, step = [], 1.16  # an answer's place; its picture is 1 wide
    for ax in axes.flat:
        ax.set_axis_off()
    for p, ax in zip(range(n), axes.flat):
        asked = pictures[p, 0].copy()
        asked[half:, half:] = BLANK
        ax.imshow(asked, extent=(0, 2.2, 2.2, 0), interpolation="nearest")
        ax.text(1.65, 1.65, "?", ha="center", va="center", fontsize=34, color=QUIET, weight="bold")
        for a in range(A):
            x, y = 2.52 + step * (a % wide), step * (a // wide)
            ax.imshow(pictures[p, a, half:, half:], extent=(x, x + 1, y + 1, y), interpolation="nearest")
            if a == right[p]:
                ax.add_patch(Rectangle((x - 0.03, y - 0.03), 1.06, 1.06, fill=False, ec=TEAL, lw=4.5))
            if a == chosen[p]:
                hue, mark = (TEAL, "✓") if a == right[p] else (RED, "✗")
                ax.plot(x + 0.86, y + 0.14, "o", ms=18, color=hue, mec=PAPER, mew=1.5, zorder=5)
                look: dict[str, Any] = {"fontsize": 11, "weight": "bold", "ha": "center", "va": "center", "zorder": 6}
                ax.text(x + 0.86, y + 0.145, mark, color=PAPER, **look)
        ax.set(xlim=(-0.06, 2.52 + step * wide), ylim=(2.28, -0.08))
        words.append(f"puzzle {p + 1}: right is {int(right[p]) + 1}, chosen {int(chosen[p]) + 1}")
    hits = sum(int(right[p]) == int(chosen[p]) for p in range(n))
    note = f"green frame: the right answer     ✓ or ✗: the model's answer     {hits} of these {n} right"
    paper.text(0.5, -0.015, note, ha="center", va="top", fontsize=11.5)
    return finish(
        paper, f"{n} puzzles of three cells, each with {A} answers: {hits} answered rightly. {'; '.join(words)}."
    )


Line = tuple[pd.DataFrame, str, str, str]  # rows, hue, line style, name


def shown(in_context: pd.DataFrame, matrices: pd.DataFrame, halved: pd.DataFrame) -> Figure:
    """Return what seeing such pictures in training does: examples followed, matrices completed, halves continued.

    The tables: rows of the measures in_context, puzzles and halves. From left to right in each panel: more of them.
    """
    changed, solved, drawn = _pick(in_context, ACCURACY), _pick(matrices, ACCURACY), _pick(halved, "accuracy")
    blind, strange = _pick(solved, ACCURACY, arm="answers_alone"), "the three cells of another"
    apart: list[Line] = [] if blind["training"].isna().any() else [(blind, RED, "-", strange)]
    lines: tuple[list[Line], ...] = (
        [
            (changed[(changed["arm"] == arm) & (changed["operation"] == operation)], hue, style, f"{whose}, {change}")
            for arm, hue, whose in (("example", BLUE, "its own example"), ("unrelated", RED, "another example"))
            for operation, style, change in (("seen", "-", "known change"), ("heldout", "--", "new change"))
        ],
        [(solved[solved["arm"].isin(TRAINED)], BLUE, "-", "the likeliest of 8 answers"), *apart],
        [
            (drawn[drawn["arm"] == arm], hue, "-", f"under {whose} upper half")
            for arm, hue, whose in (("upper_half", BLUE, "its own"), ("unrelated", RED, "another's"))
        ],
    )
    paper, axes = canvas(11, 4.0, ncols=3, sharey=True, gridspec_kw={"wspace": 0.1})
    titles = ("follows an example", "completes a matrix", "goes on with one change")
    words = [_doses(ax, title, of) for ax, title, of in zip(axes[0], titles, lines)]
    if blind["training"].isna().any():  # of all trainings together
        level = _mean(blind)
        axes[0, 1].axhline(level, color=RED, lw=2, ls="-.", label=strange)
        words[1] += f"; {strange} {level:.2f}"
    chances = _mean(_pick(in_context, "chance")), _mean(_pick(solved, ACCURACY, arm="chance"))
    for k, (ax, chance) in enumerate(zip(axes[0], chances)):
        ax.axhline(chance, color=QUIET, lw=1.3, ls=":", label="chance")
        words[k] += f"; chance {chance:.3g}"
    for ax in axes[0]:
        ax.set(ylim=(0, 1.03), yticks=[0, 0.25, 0.5, 0.75, 1])
        ax.legend(loc="upper left", bbox_to_anchor=(-0.04, 1.43), fontsize=10, handlelength=2.6, labelspacing=0.35)
    axes[0, 0].set_ylabel("share right")
    axes[0, 1].set_xlabel("training, and the share of its pictures that were such", labelpad=8)
    _foot(paper, pd.concat([changed, solved, drawn]), -0.1)
    mine = [changed[changed["arm"] == "example"], lines[1][0][0], drawn[drawn["arm"] == "upper_half"]]
    told = f"By how many such pictures training showed. {'. '.join(words)}."
    return finish(paper, told + "".join(_yours(own, "training") for own in mine))


def _doses(ax: Axes, title: str, lines: Sequence[Line]) -> str:
    """Draw shares against the doses of training, each a step to the right; return words."""
    for own, _, _, name in lines:
        if not len(own) or own["training"].isna().any():
            raise Refused(f"The panel {title!r} needs rows for {name!r} that say their training, but lacks them.")
    doses = pd.concat([own for own, *_ in lines]).groupby("training")["dose"].mean().sort_values(kind="stable")
    step, told = {training: float(k) for k, training in enumerate(doses.index)}, []
    for own, hue, style, name in lines:
        look = {"ls": style, "label": name} | ({"mfc": PAPER, "mew": 2} if style == "--" else {})
        x, y = _curve(ax, own.assign(step=own["training"].map(step)), "step", hue, **look)
        told.append(f"{name} " + ", ".join(f"{v:.2f} ({doses.index[int(k)]})" for k, v in zip(x, y)))
    ax.set_title(title, pad=98)
    ax.set_xticks(list(step.values()), [f"{t}\n{100 * d:.3g} %" for t, d in doses.items()])
    ax.set_xlim(-0.3, len(doses) - 0.7)
    return f"{title}: {'; '.join(told)}"


def halves(given: np.ndarray, by_training: Mapping[str, np.ndarray], columns: int = 8) -> Figure:
    """Return upper halves, and the lower halves that models drew under them, a row for each training.

    given: uint8 (N, S, S, 3), the whole pictures; their own lower halves stand in the last row.
    """
    given = _check(given, "N S S 3", "pictures given")
    n, half = min(columns, len(given)), given.shape[1] // 2
    begun = given.copy()
    begun[:, half:] = BLANK
    rows = {"given": begun, **by_training, "the world's own": given}
    for name, pictures in by_training.items():
        _pair_up(f"pictures given and drawn ({name})", given, _check(pictures, "N S S 3", "pictures drawn"))
    spread = {"wspace": 0.06, "hspace": 0.06, "left": 0.12, "right": 1, "bottom": 0, "top": 1}
    paper, axes = canvas(11, 9.68 / n * len(rows), nrows=len(rows), ncols=n, gridspec_kw=spread)
    for row, (name, pictures) in zip(axes, rows.items()):
        drawn = name in by_training
        for ax, picture_SS3 in zip(row, pictures):
            _show(ax, picture_SS3)
            if name != "given":
                ax.axhline(half - 0.5, color=PAPER, lw=1.4, ls=(0, (2, 2)))
        look = {"weight": "bold"} if drawn else {"color": QUIET}
        words = textwrap.fill(name, 12)
        _note(row[0], words, (0, 0.5), (-10, 0), of="axes fraction", ha="right", va="center", fontsize=12, **look)
    return finish(
        paper,
        f"{n} upper halves, and under each the lower half that a model drew, a row for each training "
        f"({', '.join(by_training)}); in the last row the world's own lower halves, one attribute changed.",
    )


# ---- how little words weigh


def information(table: pd.DataFrame) -> Figure:
    """Return a picture's bits when the model is told nothing, its caption (whose own bits are added), or somebody else's.

    table: rows of the information measure; small dots are seeds.
    """
    bars = {
        "none": ("told nothing", "#b9c3cc"),
        "ultra": ("told its caption", BLUE),
        "shuffled": ("told another's", RED),
    }
    rows = pd.concat([_pick(table, "bits_per_image", told=told) for told in bars])
    published, mine = _sides(rows)
    bits, said = _means(published, "told"), _mean(_pick(table, "caption_bits"))
    paper, axes = canvas(11, 3.1, gridspec_kw={"left": 0.16, "right": 0.99, "bottom": 0.02, "top": 0.98})
    ax, both = axes[0, 0], bits["ultra"] + said
    for y, (told, (name, hue)) in enumerate(bars.items()):
        ax.barh(y, bits[told], height=0.56, color=hue, lw=0)
        ax.text(-4, y, name, va="center", ha="right", fontsize=12.5, weight="bold")
        seeds = published.loc[published["told"] == told, "value"]
        ax.plot(seeds, [y + 0.36] * len(seeds), "o", color=hue, ms=3.5, alpha=0.7)
    ax.barh(1, said, left=bits["ultra"], height=0.56, color=AMBER, lw=0)
    notes = {
        "none": f"{bits['none']:.0f} bits",
        "ultra": f"{bits['ultra']:.0f} bits, and {said:.0f} to say the caption first: {both:.0f}",
        "shuffled": f"{bits['shuffled']:.0f} bits",
    }
    for y, (told, words) in enumerate(notes.items()):
        inside = bits[told] > 0.5 * float(rows["value"].max())
        x = bits[told] - 4 if inside else max(bits[told], both if told == "ultra" else 0) + 4
        look = {"ha": "right", "color": PAPER} if inside else {"ha": "left", "color": INK}
        ax.text(x, y, words, va="center", fontsize=12.5, weight="bold", **look)
    _stars(ax, {list(bars).index(t): v for t, v in _means(mine, "told").items()}, across=True)
    ax.set(xlim=(0, float(rows["value"].max()) * 1.02), ylim=(2.55, -0.45))
    ax.set_axis_off()
    _foot(paper, rows, 0.02)
    listed = ", ".join(f"{name} {bits[t]:.1f}" for t, (name, _) in bars.items())
    return finish(
        paper,
        f"Bits that an unseen picture costs the model: {listed}. A caption holds {said:.1f} bits: said first and then "
        f"drawn, a picture costs {both:.1f}." + _yours(rows, "told"),
    )


def emoji(pictures: np.ndarray, captions: Sequence[str], columns: int = 8) -> Figure:
    """Return drawings of emoji, uint8 (N, S, S, 3), over the captions that asked for them."""
    pictures = _check(pictures, "N S S 3", "drawings")
    _pair_up("captions and drawings", captions, pictures)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    spread = {"wspace": 0.07, "hspace": 0.38, "left": 0, "right": 1, "bottom": 0, "top": 1}
    paper, axes = canvas(11, (11 / columns + 0.5) * rows - 0.5, nrows=rows, ncols=columns, gridspec_kw=spread)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, picture_SS3, caption in zip(axes.flat, pictures, captions):
        name, _, style = str(caption).partition(" in ")
        under: dict[str, Any] = {"of": "axes fraction", "ha": "center", "va": "top"}
        _show(ax, picture_SS3)
        _note(ax, name, (0.5, 0), (0, -4), fontsize=11.5, weight="bold", **under)
        _note(ax, f"in {style}" if style else "", (0.5, 0), (0, -20), fontsize=9.5, **under, color=QUIET)
    asked = ", ".join(map(str, captions))
    return finish(paper, f"{len(pictures)} drawings by the model, and what was asked for: {asked}.")
