"""Figures of 08_noise_ladder: how many words a picture in noise can use, exactly and by a trained net, and what breaks it.

Exact answers are lines, a trained net is dots with their t interval over seeds, a star is yours. Noise runs from clean,
left, to noisy, right. The staircase: at each noise level the shortest caption that covers half of what there is to say.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.transforms import blended_transform_factory

from falsework.core.errors import Refused
from falsework.figures import INK, PAPER, QUIET, SERIES, Figure, canvas, finish
from falsework.figures.clip import points
from falsework.figures.noise import PALE, apart, foot, noise_axis, pick, sides, star, thumbnails, yours

RED, TEAL, RISE = SERIES[1], SERIES[2], "#ff5a36"
HUES = {  # the more words, the darker
    "none": "#ffffff",
    "thing": "#e9b44c",
    "short": "#d98b3a",
    "descriptive": "#c0562f",
    "ultra": "#8c2f3f",
    "near-exact": "#54245a",
    "pixel-words": "#33204f",
    "pixels": "#16162e",
    "group": "#e9b44c",
    "name": "#c0562f",
    "name and style": "#54245a",
}
TEXT = {**HUES, "thing": "#a8740c", "group": "#a8740c", "short": "#b3661b"}  # to be read on white
LADDER = ("none", "thing", "short", "descriptive", "ultra", "near-exact", "pixel-words", "pixels")
SAID = {"pixel-words": "pixel words", "pixels": "every pixel"}
HALF, PIXELS = 0.5, "pixels"
TICKS = (0.0625, 0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
BLANK = (5.0, 7.0, 10.0)  # what 00 asks its reader to guess
ORDERS = {
    "exact": "words by what one sees first",
    "exact_human": "words by human habit",
    "exact_plain": "grain switched off",
}


# ---- rows


def _lines(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Return level -> its mean over the seeds that are drawn by sigma, the shortest level first, silent ones left out."""
    rows = sides(rows)[0].astype({"sigma": float, "level": float})
    rows = rows[(rows["sigma"] > 0) & ~rows["name"].isin(["none", "pixel-words"])]
    means = rows.groupby(["name", "sigma", "seed"])["value"].mean().groupby(["name", "sigma"]).mean()
    return {str(name): means[name] for name in rows.groupby("name")["level"].first().sort_values().index}


def stairs(rows: pd.DataFrame) -> pd.Series:
    """Return sigma -> the shortest level that covers half of what there is to say, from rows of coverage."""
    enough = pd.DataFrame(_lines(rows)).ge(HALF)
    return enough.apply(lambda at: at.idxmax() if at.any() else PIXELS, axis=1)


def _runs(steps: pd.Series) -> list[tuple[str, float, float]]:
    """Return (level, from, to) for each run of equal steps, its ends half-way to the neighbours on the log axis."""
    logs, names = np.log(np.asarray(steps.index, float)), list(steps)
    gaps = np.diff(logs) if len(logs) > 1 else np.array([np.log(2)])
    edges = np.exp([logs[0] - gaps[0] / 2, *(logs[:-1] + gaps[: len(logs) - 1] / 2), logs[-1] + gaps[-1] / 2])
    cuts = [0, *(k for k in range(1, len(names)) if names[k] != names[k - 1]), len(names)]
    return [(names[a], float(edges[a]), float(edges[b])) for a, b in pairwise(cuts)]


def _mean(rows: pd.DataFrame) -> pd.Series:
    """Return the mean over the seeds that are drawn, by sigma; sigma 0, where nothing is noise, left out."""
    shown = sides(rows)[0].astype({"sigma": float})
    return shown[shown["sigma"] > 0].groupby("sigma")["value"].mean()


def _told(steps: pd.Series) -> str:
    """Return a staircase in words."""
    parts = []
    for name, low, high in _runs(steps):
        at = [s for s in steps.index if low < s < high]
        where = f"at {at[0]:.2g}" if len(at) == 1 else f"from {at[0]:.2g} to {at[-1]:.2g}"
        parts.append(f"{SAID.get(name, name)} {where}")
    return ", ".join(parts)


def _listed(line: pd.Series, digits: int = 2) -> str:
    """Return a few points of a line in words."""
    some = line.iloc[np.unique(np.linspace(0, len(line) - 1, 5).round().astype(int))]
    return ", ".join(f"{v:.{digits}f} at {s:.2g}" for s, v in some.items())


def _dots(ax: Axes, rows: pd.DataFrame, hue: str, **look: Any) -> None:
    """Draw a trained net: dots with intervals over seeds, and stars for yours."""
    shown, mine = sides(rows)
    x, y, low, high = (np.array(v) for v in zip(*points(shown, "sigma")))
    ax.vlines(x, low, high, color=hue, lw=2, alpha=0.6, zorder=4)
    ax.plot(x, y, **{"marker": "o", "ms": 7, "color": hue, "mec": PAPER, "mew": 1, "ls": "", "zorder": 5, **look})
    if len(mine):
        own = mine.groupby("sigma")["value"].mean()
        star(ax, own.index.astype(float), own, hue, ms=10)


def _names_right(ax: Axes, lines: Mapping[str, pd.Series], gap: float) -> None:
    """Write the names of lines beside their right ends."""
    where = blended_transform_factory(ax.transAxes, ax.transData)
    ends = [float(line.iloc[-1]) for line in lines.values()]
    for (name, line), y in zip(lines.items(), apart(ends, gap)):
        look: dict[str, Any] = {
            "color": TEXT[name],
            "va": "center",
            "fontsize": 10.5,
            "weight": "bold",
            "annotation_clip": False,
        }
        tie = {"arrowstyle": "-", "color": HUES[name], "lw": 1, "shrinkA": 1, "shrinkB": 1}
        ax.annotate(name, (line.index[-1], line.iloc[-1]), (1.02, y), textcoords=where, arrowprops=tie, **look)


def _coverage(ax: Axes, exact: pd.DataFrame, trained: pd.DataFrame | None = None) -> dict[str, pd.Series]:
    """Draw how much of what there is to say each level covers: lines, and dots where a net was trained; return the lines."""
    lines = _lines(exact)
    for name, line in lines.items():
        ax.plot(line.index, line, color=HUES[name], lw=3, zorder=3)
        if trained is not None:
            _dots(ax, trained[trained["name"] == name], HUES[name])
    ax.axhline(HALF, color=QUIET, ls=":", lw=1.4)
    ax.set(ylim=(0, 1.04), yticks=[0, HALF, 1])
    ax.set_yticklabels(["nothing", "half", "all"])
    _names_right(ax, lines, 0.075)
    return lines


# ---- the figure of the course


def talk(
    table: pd.DataFrame, thumbs: np.ndarray, sigmas: Sequence[float], captions: Mapping[str, str], pixels: str = ""
) -> Figure:
    """Return the talk's figure, measured: how much of a noisy picture a caption covers, and the shortest that suffices.

    table: rows of the coverage measure, arms exact and, if there is one, trained. thumbs: one scene in noise, uint8
    (L, S, S, 3), at these sigmas; captions: level -> the scene's own caption; pixels: the first pixels, as words.
    """
    exact, trained = (pick(table, "coverage", arm=arm, needed=arm == "exact") for arm in ("exact", "trained"))
    J = _mean(pick(table, "J", arm="exact"))
    grid = {"hspace": 0.08, "left": 0.13, "right": 0.88}
    drawing, axes = canvas(11.5, 8.8, nrows=2, sharex=True, height_ratios=[1, 1.6], gridspec_kw=grid)
    (top,), (low,) = axes
    _coverage(top, exact, trained if len(trained) else None)
    top.set_ylabel("of what there is to say\nthe caption covers")
    steps = stairs(exact)
    rows = [n for n in LADDER if n != "pixel-words" or n in set(steps)]
    _walls(low, steps, rows, J.index)
    _written(low, steps, rows, captions, pixels)
    for _, _, edge in _runs(steps)[:-1]:
        top.plot([edge, edge], [0, HALF], color=QUIET, lw=1, ls=":")
    words = _trained_steps(low, trained, rows) if len(trained) else ""
    noise_axis(low, sigmas, "")
    top.tick_params(axis="x", length=0)
    thumbnails(low, thumbs, sigmas, 46, 24)
    place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "fontsize": 11}
    for sigma in sigmas:
        bits = float(np.exp(np.interp(np.log(sigma), np.log(J.index), np.log(J))))
        low.annotate(f"{bits:.0f}" if bits > 9.5 else f"{bits:.2g}", (sigma, 0), (0, -92), ha="center", **place)
    for word, down in (("noise σ", -16), ("bits to say", -92)):
        low.annotate(word, (low.get_xlim()[0], 0), (-6, down), ha="right", **place)
    low.text(0.99, 0.965, "the shortest one that covers half of it", transform=low.transAxes, ha="right", color=QUIET)
    _key(top, trained, "upper left")
    alt = (
        f"The talk's figure, measured. With noise rising from sigma {J.index[0]:.2g} to {J.index[-1]:.2g}, what there is to "
        f"say falls from {J.iloc[0]:.0f} to {J.iloc[-1]:.2f} bits, and the shortest caption that covers half of it is: "
        f"{_told(steps)}.{words} Captions: {'; '.join(f'{n}, {c}' for n, c in captions.items() if c)}."
    )
    return finish(drawing, alt)


def _written(ax: Axes, steps: pd.Series, rows: Sequence[str], captions: Mapping[str, str], pixels: str) -> None:
    """Write each step's caption on it: the pixels into their block, the others from their edge to the right."""
    low, high = np.log(ax.get_xlim())
    for name, a, b in _runs(steps):
        a = max(a, ax.get_xlim()[0])
        room: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False}
        if name == PIXELS:
            wide = int(118 * (np.log(b / a)) / (high - low))
            lines = textwrap.wrap(pixels, max(8, wide))[: int(3.9 * rows.index(name))]
            look: dict[str, Any] = {"family": "monospace", "fontsize": 8.4, "color": "#8d86b5", "linespacing": 1.22}
            ax.annotate("\n".join(lines), (a, rows.index(name)), (7, -12), va="top", **room, **look)
        elif captions.get(name):
            text = textwrap.fill(captions[name], max(26, int(106 * (high - np.log(a)) / (high - low))))
            ax.annotate(text, (a, rows.index(name)), (6, 8), fontsize=11, linespacing=1.1, **room)


def _walls(ax: Axes, steps: pd.Series, rows: Sequence[str], sigmas: Any = ()) -> None:
    """Draw a staircase: a block for each run of equal steps, an arrow where it rises with noise, the ground at its end."""
    before = len(rows)
    for name, a, b in _runs(steps):
        y = rows.index(name)
        ax.fill_between([a, b], 0, y, color=HUES[name], lw=0)
        if y > before:
            ax.annotate("", (a, y), (a, before), arrowprops={"arrowstyle": "-|>", "color": RED, "lw": 2.5})
        before = y
    ax.set_yticks(range(1, len(rows)), [SAID.get(n, n) for n in rows[1:]])
    for tick, name in zip(ax.get_yticklabels(), rows[1:]):
        tick.set(color=TEXT[name], weight="bold", fontsize=10.5)
    ax.tick_params(axis="y", length=0)
    ends = [*steps.index, *sigmas]
    ax.set(ylim=(0, len(rows) - 0.4), xlim=(min(ends) / 1.27, max(ends) * 1.27))
    if max(ends) > max(steps.index):
        edge = (_runs(steps)[-1][2], 0)
        ax.annotate("no\nwords", edge, (4, 5), textcoords="offset points", fontsize=10.5, color=QUIET)


def _trained_steps(ax: Axes, rows: pd.DataFrame, names: Sequence[str]) -> str:
    """Draw a trained net's staircase as dots, with a bar from the lowest to the highest seed; return it in words."""
    shown, mine = sides(rows)
    steps = stairs(rows)
    each = pd.DataFrame([stairs(own).map(names.index) for _, own in shown.groupby("seed")])[steps.index]
    ax.vlines(steps.index, each.min(), each.max(), color=INK, lw=2.2, zorder=5)
    ax.plot(steps.index, steps.map(names.index), "o", color=INK, mec=PAPER, mew=1.6, ms=10, zorder=6, clip_on=False)
    if len(mine):
        own = stairs(mine.assign(source="published"))
        star(ax, own.index, own.map(names.index), PAPER, ms=12)
    return f" A trained net's: {_told(steps)}." + (f" Yours: {_told(own)}." if len(mine) else "")


# ---- in bits


def bits(table: pd.DataFrame) -> Figure:
    """Return the bits that a noisy picture still holds, and how many of them each caption tells: lines, and a net's dots.

    table: rows of the coverage measure: J and caption_information (arm exact), J and caption_worth (arm trained).
    """
    exact, worth = pick(table, "caption_information", arm="exact"), pick(table, "caption_worth", False, arm="trained")
    lines, told = _lines(exact), []
    J = _mean(pick(table, "J", arm="exact"))
    drawing, axes = canvas(11, 5.2)
    ax = axes[0, 0]
    top = 1.12 * max(float(rows["value"].max()) for rows in (exact[exact["name"].isin(lines)], worth) if len(rows))
    ax.plot(J.index, J, color=INK, lw=3)
    if len(worth):
        _dots(ax, pick(table, "J", arm="trained"), INK)
    for name, line in lines.items():
        ax.plot(line.index, line, color=HUES[name], lw=3)
        own = worth[worth["name"] == name]
        told.append(f"{name} {_listed(line, 1)}")
        if len(own):
            _dots(ax, own, HUES[name])
            told[-1] += f"; the net's {_listed(_mean(own), 1)}"
    _names_left(ax, {f"{n}, {line.iloc[0]:.3g} bits": (line.iloc[0], TEXT[n]) for n, line in lines.items()}, top)
    x = 2.6 * float(np.exp(np.interp(-0.78 * top, -J, np.log(J.index))))
    words = f"all that is left to say\n({J.iloc[0]:.0f} bits at σ {J.index[0]:.3g})"
    ax.text(x, 0.78 * top, words, fontsize=11, va="center", weight="bold")
    ax.set_xlim(J.index[0] / 1.25, J.index[-1] * 1.25)
    _key(ax, worth)
    alt = f"Bits, by noise sigma. All that is left to say: {_listed(J, 1)}. Told by a caption: {'. '.join(told)}."
    return finish(drawing, alt + yours(worth[worth["name"] == [*lines][-1]], "sigma", 1))


def _names_left(ax: Axes, ends: Mapping[str, tuple[float, str]], top: float) -> None:
    """Finish a chart of bits: names at the lines' left ends, the scale at the right."""
    for (words, (_, hue)), y in zip(ends.items(), apart([v for v, _ in ends.values()], top / 20)):
        where = blended_transform_factory(ax.transAxes, ax.transData)
        ax.text(-0.01, y, words, ha="right", va="center", color=hue, fontsize=11, weight="bold", transform=where)
    noise_axis(ax, TICKS)
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.spines["left"].set_visible(False)
    ax.spines["right"].set_visible(True)
    ax.set(ylim=(0, top), ylabel="bits")


def _key(ax: Axes, trained: pd.DataFrame, where: Any = "upper right") -> None:
    """Say what lines, dots and stars are."""
    ax.plot([], [], color=INK, lw=3, label="exact")
    if len(trained):
        ax.plot([], [], "o", color=INK, ms=7, label="a trained net")
        if len(sides(trained)[1]):
            star(ax, [], [], label="yours")
    ax.legend(loc=where, fontsize=10.5, handlelength=1.4, borderaxespad=0.2)


def bracket(table: pd.DataFrame, name: str = "ultra") -> Figure:
    """Return a caption's bits between what a reader can be sure of and what the net makes of it; name: the caption level.

    table: rows of the coverage measure: caption_information (arm exact), caption_least (reader), caption_worth and
    caption_apart (trained).
    """
    told, ends, drawing, axes = [], {}, *canvas(10, 4.4)
    ax = axes[0, 0]
    for metric, arm, words, hue, mark in BRACKET:
        rows = pick(table, metric, needed=False, arm=arm, name=name)
        rows = rows[rows["sigma"] > 0]
        if len(rows):
            line = _mean(rows)
            ax.plot(line.index, line, color=hue, lw=1.4 if mark else 3.5)
            if mark:
                _dots(ax, rows, hue, marker=mark)
            ends[words] = (float(line.iloc[0]), hue)
            told.append(f"{words} {_listed(line, 1)}")
    if not ends:
        raise Refused(f"The figure needs rows about the caption level {name!r}, but the table has none.")
    _names_left(ax, ends, 1.1 * max(v for v, _ in ends.values()))
    ax.set_title(f"what the caption level {name!r} tells", fontsize=12)
    worth = pick(table, "caption_worth", needed=False, arm="trained", name=name)
    foot(drawing, worth)
    return finish(
        drawing, f"What the caption level {name!r} tells, in bits: {'; '.join(told)}." + yours(worth, "sigma", 1)
    )


BRACKET = (
    ("caption_worth", "trained", "error it saves the net", SERIES[0], "o"),
    ("caption_apart", "trained", "how far it moves the net", SERIES[4], "s"),
    ("caption_information", "exact", "exact", INK, ""),
    ("caption_least", "reader", "a reader is sure of", TEAL, "^"),
)


def bands(table: pd.DataFrame, levels: Sequence[str] = ("none", "ultra")) -> Figure:
    """Return where the net lacks: its error beside the exact one at each noise level, told nothing and told a caption.

    table: rows of the coverage measure, paid and paid_exact (bits per e-fold of noise) of the arms trained and, for the
    level none, unconditional.
    """
    drawing, axes = canvas(11, 4.2, ncols=len(levels), sharey=True, gridspec_kw={"wspace": 0.06})
    told, ends = [], []
    for ax, name in zip(axes[0], levels):
        net, exact = (pick(table, m, arm="trained", name=name) for m in ("paid", "paid_exact"))
        paid, least = map(_mean, (net, exact))
        ax.fill_between(least.index, least, paid.reindex(least.index), color=RED, alpha=0.18, lw=0)
        ax.plot(least.index, least, color=INK, lw=3)
        _dots(ax, net, SERIES[0], ms=10)
        extra = float(np.trapezoid(paid - least, np.log(least.index)))
        worst = float((paid / least).idxmax())
        said = "told nothing" if name == "none" else f"told the caption level {name!r}"
        note = f"{extra:.0f} bits too many in all,\n{paid[worst] / least[worst]:.1f} times the least at σ {worst:.2g}"
        told.append(f"{said}: the net pays {_listed(paid, 1)}, the least is {_listed(least, 1)}; ")
        told[-1] += note.replace("\n", " ").replace("σ", "sigma")
        ax.set_title(said, fontsize=12)
        ax.text(0.97, 0.9, note, transform=ax.transAxes, ha="right", va="top", fontsize=10.5, color=RED)
        alone = pick(table, "paid", needed=False, arm="unconditional", name=name)
        if len(alone):
            _dots(ax, alone, RED, marker="D", fillstyle="none", mec=RED, mew=1.8, ms=5)
            told[-1] += f"; a net that never heard a word pays {_listed(_mean(alone), 1)}"
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        ends.append((least.min(), max(paid.max(), least.max())))
        noise_axis(ax, TICKS[::2])
    axes[0, 0].set(ylabel="bits of error per e-fold of noise", ylim=(min(ends)[0] / 1.6, 1.6 * max(e for _, e in ends)))
    key = axes[0, 0]
    key.plot([], [], color=INK, lw=3, label="the least possible")
    key.plot([], [], "o", color=SERIES[0], label="the net")
    if len(pick(table, "paid", needed=False, arm="unconditional")):
        key.plot([], [], "D", fillstyle="none", mec=RED, mew=1.8, ms=5, label="a net that never heard a word")
    key.legend(loc="lower left", fontsize=10.5, handlelength=1.4)
    net = pick(table, "paid", arm="trained", name=levels[-1])
    foot(drawing, net)
    return finish(drawing, f"Where the net lacks, by noise sigma. {'. '.join(told)}." + yours(net, "sigma", 1))


# ---- what breaks it


def controls(table: pd.DataFrame) -> Figure:
    """Return three staircases: levels by what is seen first, levels by human habit, and no texture.

    table: rows of coverage, arms exact, exact_human and exact_plain; missing ones are left out.
    """
    found = {arm: pick(table, "coverage", needed=False, arm=arm) for arm in ORDERS}
    steps = {arm: stairs(rows) for arm, rows in found.items() if len(rows)}
    if not steps:
        raise Refused("The figure needs rows of 'coverage' of the exact arms, but the table has none.")
    rows = [n for n in LADDER if n != "pixel-words" or any(n in set(s) for s in steps.values())]
    drawing, axes = canvas(11.5, 3.7, ncols=len(steps), sharey=True, gridspec_kw={"wspace": 0.07})
    told = []
    for ax, (arm, own) in zip(axes[0], steps.items()):
        _walls(ax, own, rows)
        noise_axis(ax, TICKS[::3])
        ax.set_title(ORDERS[arm], fontsize=12)
        rises = _rises(own)
        note = "and rises again" if rises else "never needs every pixel" if PIXELS not in set(own) else ""
        ax.text(0.98, 0.93, note, transform=ax.transAxes, ha="right", color=RED, fontsize=11.5, weight="bold")
        told.append(f"{ORDERS[arm]}: {_told(own)}{', so it rises again with noise' if rises else ''}")
    return finish(drawing, f"The shortest caption that suffices, by noise sigma, in three worlds. {'; '.join(told)}.")


def _rises(steps: pd.Series) -> int:
    """Return how often a staircase asks for more words as noise rises."""
    return int((np.diff([LADDER.index(n) for n in steps]) > 0).sum())


def swept(table: pd.DataFrame) -> Figure:
    """Return the shortest caption that suffices as a colour, by noise and texture, for both orders of the levels.

    table: rows of the sweep measure (metric least_level; columns name, sigma, order, texture).
    """
    rows = pick(table, "least_level")
    told, textures = [], sorted(rows["texture"].astype(float).unique())
    drawing, axes = canvas(11.5, 0.5 * len(textures) + 1.6, ncols=2, sharey=True, gridspec_kw={"wspace": 0.05})
    for ax, (order, words) in zip(axes[0], {"energy": ORDERS["exact"], "human": ORDERS["exact_human"]}.items()):
        for y, texture in enumerate(textures):
            own = rows[(rows["order"] == order) & (rows["texture"].astype(float) == texture)]
            if len(own):
                places = sides(own)[0].assign(place=own["name"].map(LADDER.index)).groupby("sigma")["place"].median()
                steps = pd.Series([LADDER[int(k)] for k in places], places.index.astype(float))
                _stripe(ax, steps, y)
                told.append(f"{words}, grain {texture:g}: {_told(steps)}")
        noise_axis(ax, TICKS[::2])
        ax.set(ylim=(-0.5, len(textures) - 0.5), title=words)
        ax.spines["left"].set_visible(False)
    axes[0, 0].set_yticks(range(len(textures)), [f"{t:g}" for t in textures])
    axes[0, 0].set_ylabel("grain")
    for ax in axes[0]:
        ax.tick_params(axis="y", length=0)
    used = [n for n in LADDER[1:] if n in set(rows["name"])]
    blocks = [Patch(color=HUES[n], label=SAID.get(n, n)) for n in used] + [Patch(color=RISE, label="rises with noise")]
    drawing.legend(
        handles=blocks,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02 - 0.08 / len(textures)),
        ncols=8,
        fontsize=10,
        handlelength=1,
    )
    return finish(drawing, f"The shortest caption that suffices, by noise sigma and grain. {'. '.join(told)}.")


def _stripe(ax: Axes, steps: pd.Series, y: float) -> None:
    """Draw a staircase as one stripe of colours with the levels' names, a red bar where it rises."""
    before = ""
    for name, a, b in _runs(steps):
        ax.fill_between([a, b], y - 0.46, y + 0.46, color=HUES[name], lw=0)
        if np.log2(b / a) > 0.15 * len(SAID.get(name, name)) + 0.1:
            hue = INK if name in ("thing", "short") else PAPER
            ax.text((a * b) ** 0.5, y, SAID.get(name, name), ha="center", va="center", fontsize=9.5, color=hue)
        if before and LADDER.index(name) > LADDER.index(before):
            ax.plot([a, a], [y - 0.46, y + 0.46], color=RISE, lw=4, solid_capstyle="butt")
        before = name


# ---- real drawings


def on_drawings(
    table: pd.DataFrame,
    guess: Mapping[str, Sequence[float]] | None = None,
    ink: Mapping[str, Sequence[float]] | None = None,
    sigmas: Sequence[float] = (),
) -> Figure:
    """Return the ladder on real drawings; beside it, if given, how certain each word of one drawing is, and your guess.

    table: rows of the coverage measure, arm drawings. guess: word -> its ink at sigma 5, 7 and 10, as 00 took it;
    ink: word -> its true ink at these sigmas.
    """
    rows = pick(table, "coverage", arm="drawings")
    beside = bool(guess or ink)
    drawing, axes = canvas(11.5, 4.2, ncols=1 + beside, gridspec_kw={"wspace": 0.62, "right": 0.95})
    lines, steps = _coverage(axes[0, 0], rows), stairs(rows)
    noise_axis(axes[0, 0], TICKS[2::2])
    axes[0, 0].set_ylabel("of what there is to say\nthe caption covers")
    axes[0, 0].set_title("drawings, all together", fontsize=12)
    told = "; ".join(f"{name} covers {_listed(line)}" for name, line in lines.items())
    alt = f"The ladder on real drawings, by noise sigma. {told}. The shortest that covers half: {_told(steps)}."
    if beside:
        alt += _guessed(axes[0, 1], guess or {}, ink or {}, sigmas)
        foot(drawing, rows[:0], "star: your guess in 00" if guess else "", y=-0.04)
    return finish(drawing, alt)


def _guessed(
    ax: Axes, guess: Mapping[str, Sequence[float]], ink: Mapping[str, Sequence[float]], sigmas: Sequence[float]
) -> str:
    """Draw how certain each word of one drawing is, and what was guessed; return it in words."""
    said = []
    hues = dict(zip(dict.fromkeys([*ink, *guess]), (SERIES[0], SERIES[2], "#a8740c", SERIES[4])))
    for word, hue in hues.items():
        parts = []
        if word in ink:
            ax.plot(sigmas, ink[word], color=hue, lw=3)
            parts.append(f"truly {', '.join(f'{v:.2f} at {s:g}' for v, s in zip(ink[word], sigmas))}")
        if word in guess:
            ax.plot(BLANK, guess[word], color=hue, lw=1.2, ls="--")
            star(ax, BLANK, guess[word], hue)
            parts.append(f"you guessed {', '.join(f'{v:.2f} at {s:g}' for v, s in zip(guess[word], BLANK))}")
        said.append(f"{word}: {'; '.join(parts)}")
    ax.axvspan(BLANK[0], BLANK[-1], color=PALE, zorder=0, lw=0)
    noise_axis(ax, [1, 2, 5, 7, 10, 20, 64])
    ax.set(xlim=(0.5, 75), ylim=(0, 1.04), ylabel="how certain a word is")
    ax.set_title("one drawing, its words", fontsize=12)
    for k, (word, hue) in enumerate(hues.items()):
        ax.text(0.03, 0.3 - 0.09 * k, word, color=hue, weight="bold", fontsize=11, transform=ax.transAxes)
    return f" One drawing: {'. '.join(said)}."
