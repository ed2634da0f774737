"""Figures of 05_diffusion_classifier: one noise for all, who recognises what, noise on both sides, and what it draws.

Marks and lines are means over the published seeds with their t interval, a star is yours; where nothing is published,
yours stands in its place. Noise runs from clean, left, to noisy, right.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from falsework.figures import INK, PAPER, QUIET, SERIES, Figure, canvas, enlarge, finish, sheet
from falsework.figures.noise import (
    PALE,
    apart,
    curve,
    foot,
    in_noise,
    level,
    noise_axis,
    pick,
    sides,
    star,
    thumbnails,
    yours,
)
from falsework.world.scene import EXACT

BLUE, RED, TEAL, AMBER = SERIES[:4]
OCHRE = "#a8740c"
HUES = ("#d92b2e", "#f0810f", "#cfa800", "#2f9149", "#12a5ba", "#2b58cf", "#8a42c4", "#ee7fae")
NUDGES = {"nudge_x": "nudged to a side", "nudge_y": "nudged up or down"}
COLOURS = dict(zip(EXACT.factors["colour"], HUES))  # dark enough for a line on white
DOT, RING = {"marker": "o", "color": BLUE, "ms": 11}, {"marker": "o", "color": PAPER, "ms": 9.5, "mec": RED, "mew": 2.2}
SQUARE = {"marker": "s", "color": AMBER, "ms": 8, "mec": INK, "mew": 0.8}
MARKS: dict[str, tuple[str, dict[str, Any]]] = {
    "diffusion": ("the net that draws", DOT),
    "captioner": ("a captioner", SQUARE),
    "clip": ("a CLIP", {"marker": "D", "color": PAPER, "ms": 7.5, "mec": TEAL, "mew": 2.2}),
    "conditional": ("trained with captions", DOT),
    "unconditional": ("trained without a word", RING),
    "chance": ("chance", {"marker": "|", "color": QUIET, "ms": 15, "mew": 2}),
    "bayes": ("the best possible reader", {"marker": "|", "color": INK, "ms": 22, "mew": 3.5}),
}
SIDES = {"image_given_text": ("the net that draws", BLUE, "o"), "text_given_image": ("the captioner", OCHRE, "s")}
JUDGED = ("colour", "background", "position")
WAYS = {
    "unguided": "told its caption",
    "guided": "told more firmly",
    "ancestral": "with fresh noise on the way",
    "nothing said": "told nothing",
    "real": "real pictures",
}


# ---- the signature figure


def same_noise(exhibits: Mapping[str, np.ndarray]) -> Figure:
    """Return the signature figure: how much better than their mean each caption helps to remove noise from one picture.

    Left each caption has a noise of its own, right all have the same; below, the best caption at each noise level.
    exhibits: curve_sigmas (J,), curve_errors (2, K, J), squared error of the noise per number, first shared, then own;
    curve_captions (K,), curve_truth (1,), curve_picture uint8 (S, S, 3).
    """
    sigmas, clean = np.asarray(exhibits["curve_sigmas"], float), exhibits["curve_picture"]
    captions, truth = [str(c) for c in exhibits["curve_captions"]], int(exhibits["curve_truth"][0])
    bits = np.asarray(exhibits["curve_errors"], float)[::-1] * clean.size / math.log(2)
    ahead = bits.mean(1, keepdims=True) - bits
    words = [next((w for w in c.split() if w in COLOURS), c) for c in captions]
    hues = [COLOURS.get(w, SERIES[k % 6]) for k, w in enumerate(words)]
    grid = {"height_ratios": [1, 0.08], "hspace": 0.03, "wspace": 0.04, "left": 0.1, "right": 0.9, "top": 0.78}
    drawing, axes = canvas(11.5, 5.8, nrows=2, ncols=2, sharey="row", gridspec_kw=grid)
    wins = [_tangle(axes[:, c], sigmas, ahead[c], hues, truth, clean) for c in (0, 1)]
    titles = ("a noise of its own for each", "the same noise for all")
    for ax, title, won, hue in zip(axes[0], titles, wins, (RED, "#1f776c")):
        ax.set_title(title, fontsize=14, pad=27)
        said = f"the right one is best at {won} of {len(sigmas)} noise levels"
        ax.text(0, 1.035, said, transform=ax.transAxes, color=hue)
    axes[0, 0].set_ylabel("bits better (up) or worse (down)\nthan the captions' mean")
    axes[0, 1].tick_params(axis="y", length=0)
    to_ink, to_axes = axes[0, 1].transData.transform, axes[0, 1].transAxes.inverted().transform
    ends = apart(to_ink([(1, v) for v in ahead[1, :, -4:].mean(1)])[:, 1].tolist(), 23)
    for k, y in enumerate(to_axes([(0, y) for y in ends])[:, 1]):
        look = {"color": hues[k], "weight": "bold" if k == truth else "normal", "fontsize": 14 if k == truth else 10.5}
        axes[0, 1].text(1.015, y, words[k], transform=axes[0, 1].transAxes, va="center", **look)
    _show(drawing.add_axes((0.0, 0.79, 0.075, 0.15)), clean)
    drawing.text(0.0, 0.965, captions[truth], fontsize=11, weight="bold", color=hues[truth])
    asked = f"One picture and {len(captions)} captions. Under which one is its noise easiest to remove?"
    drawing.text(0.1, 0.92, asked, fontsize=11.5, color=QUIET)
    axes[1, 0].text(-0.02, 0.5, "the best one", transform=axes[1, 0].transAxes, ha="right", va="center", fontsize=10)
    alt = (
        f"How well {len(captions)} captions ({', '.join(captions)}) help to remove noise from a picture of "
        f"{captions[truth]!r}, at {len(sigmas)} noise levels. With a noise of its own for each, the lines are a tangle and "
        f"the right caption is best at {wins[0]} levels; with the same noise for all, it is best at {wins[1]}."
    )
    return finish(drawing, alt)


def _tangle(axes: Any, sigmas: np.ndarray, ahead_KJ: np.ndarray, hues: list[str], truth: int, clean: np.ndarray) -> int:
    """Draw the captions' lines, the best one at each noise level and the picture there; return how often it is right."""
    ax, strip = axes
    for k in np.argsort(np.arange(len(hues)) == truth, kind="stable"):
        for hue, more in ((PAPER, 2.5), (hues[k], 0)):
            ax.plot(sigmas, ahead_KJ[k], color=hue, lw=(6 if k == truth else 1.8) + more, solid_joinstyle="round")
    ax.axhline(0, color=QUIET, lw=0.8, ls=":")
    ax.set_yscale("asinh", linear_width=2)
    top = max(10.0, float(np.abs(ahead_KJ[:, 2:]).max()))
    ticks = [t for t in (-100, -30, -10, -3, 0, 3, 10, 30, 100) if abs(t) <= top]
    ax.set_yticks(ticks, [f"{t:+g}".replace("-", "−") if t else "0" for t in ticks])
    ax.set_ylim(-top, top)
    best = ahead_KJ.argmax(0)
    right = sigmas[best == truth]
    strip.scatter(sigmas, 0 * sigmas, s=125, marker="s", c=[hues[k] for k in best], lw=0)
    strip.plot(right, 0 * right, "o", color=PAPER, ms=4)
    at = [s for s in (0.25, 0.5, 1, 2, 4) if sigmas[0] <= s <= sigmas[-1]]
    for panel in (ax, strip):
        noise_axis(panel, at, "")
        panel.set_xlim(sigmas[0] / 1.12, sigmas[-1] * 1.12)
    ax.tick_params(axis="x", length=0, labelbottom=False)
    ax.spines["bottom"].set_visible(False)
    strip.spines["left"].set_visible(False)
    strip.set(ylim=(-1, 1), yticks=[])
    strip.set_xlabel("noise σ, and the picture in it", labelpad=58)
    thumbnails(strip, in_noise(clean, at), at, 48, 22)
    return len(right)


def _show(ax: Axes, image: np.ndarray) -> None:
    ax.imshow(image, interpolation="nearest")
    ax.set_axis_off()


# ---- who recognises what


def recognised(table: pd.DataFrame) -> Figure:
    """Return the share of pictures named rightly, factor by factor, between chance and the best possible reader.

    table: rows of the classifier measure; arms that are missing are left out.
    """
    rows = pick(table, "accuracy")
    arms = [a for a in ("diffusion", "captioner", "clip", "bayes") if (rows["arm"] == a).any()]
    factors = list(dict.fromkeys(rows["factor"]))
    drawing, axes = canvas(10.5, 0.5 * len(factors) + 0.9)
    found, told = _rows_of_marks(axes[0, 0], rows, arms, factors, list(range(len(factors))))
    for y, each in enumerate(found.values()):
        axes[0, 0].barh(y, each.get("bayes", 1) - each["chance"], 0.6, left=each["chance"], color=PALE, lw=0, zorder=0)
    axes[0, 0].set_xlabel("share of pictures named rightly")
    ways = [
        found[f]["diffusion"] / found[f]["bayes"] for f in JUDGED if {"diffusion", "bayes"} <= set(found.get(f, ()))
    ]
    words = f"Over {', '.join(JUDGED)} the net reaches {np.mean(ways):.0%} of the best possible" if ways else ""
    foot(drawing, rows, words)
    drawn = rows[rows["arm"] == arms[0]]
    return finish(drawing, f"Who recognises what. {told}. {words}." + yours(drawn, "factor"))


def features(table: pd.DataFrame) -> Figure:
    """Return what linear probes read from the blocks of the net with captions and of the one without a word.

    table: rows of the features measure (metric probe_accuracy; column named, 1 or 0).
    """
    rows = pick(table, "probe_accuracy")
    arms = [a for a in ("conditional", "unconditional") if (rows["arm"] == a).any()]
    named = (
        rows.groupby("factor", sort=False)["named"].first().astype(float).sort_values(ascending=False, kind="stable")
    )
    places = [k + 0.8 * (not name) for k, name in enumerate(named)]
    drawing, axes = canvas(10.5, 0.46 * len(named) + 1.4)
    ax = axes[0, 0]
    found, told = _rows_of_marks(ax, rows, arms, list(named.index), places)
    for y, each in zip(places, found.values()):
        ax.plot([each[a] for a in arms if a in each], [y] * len(set(arms) & set(each)), color=PALE, lw=8, zorder=0)
    ax.set_xlabel("share read rightly by a linear probe")
    if 0 < named.sum() < len(named):
        ax.axhline(named.sum() - 0.1, color=QUIET, lw=0.8, ls=":")
        for words, y, va in (("captions name", -0.2, "bottom"), ("no caption names", 0.0, "top")):
            ax.text(0, named.sum() + y, words, fontsize=10, color=QUIET, va=va)
    foot(drawing, rows)
    own = yours(rows[rows["arm"] == arms[0]], "factor")
    return finish(drawing, f"What probes read from the blocks of two nets. {told}." + own)


def _rows_of_marks(
    ax: Axes, rows: pd.DataFrame, arms: Sequence[str], factors: Sequence[str], places: Sequence[float]
) -> tuple[dict[str, dict[str, float]], str]:
    """Draw a row of marks for each factor, one for each arm, with a star below for yours; return means and words."""
    found: dict[str, dict[str, float]] = {}
    for factor, y in zip(factors, places):
        found[factor] = {"chance": 1 / len(EXACT.factors.get(factor, (0,)))}
        ax.plot(found[factor]["chance"], y, ls="", zorder=2, **MARKS["chance"][1])
        for arm in arms:
            own = rows[(rows["arm"] == arm) & (rows["factor"] == factor)]
            if len(own):
                look, mine = MARKS[arm][1], sides(own)[1]
                hue = look["mec"] if look["color"] == PAPER else look["color"]
                found[factor][arm], low, high = level(own)
                ax.plot(found[factor][arm], y, zorder=5, ls="", **look)
                if arm != "bayes":
                    ax.plot([max(low, 0), min(high, 1)], [y, y], color=hue, lw=2.5, alpha=0.5)
                    if len(mine):
                        star(ax, mine["value"].mean(), y + 0.28, hue, ms=10)
    for arm in dict.fromkeys((*arms, "chance")):
        ax.plot([], [], ls="", label=MARKS[arm][0], **MARKS[arm][1])
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=6, handletextpad=0.2, columnspacing=1.4, fontsize=10.5
    )
    ax.set_yticks(places, [NUDGES.get(f, f) for f in factors])
    ax.set(xlim=(0, 1.02), ylim=(places[-1] + 0.6, -0.6))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    told = (f"{f}: {', '.join(f'{MARKS[a][0]} {v:.2f}' for a, v in each.items())}" for f, each in found.items())
    return found, "; ".join(told)


# ---- noise


def seen_in_noise(table: pd.DataFrame) -> Figure:
    """Return accuracy on pictures that are noisy themselves, a panel for each factor: the net under the best possible."""
    rows = pick(table, "accuracy_seen_in_noise")
    factors, told = list(dict.fromkeys(rows["factor"])), []
    drawing, axes = canvas(11, 3.4, ncols=len(factors), sharey=True, gridspec_kw={"wspace": 0.1})
    for ax, factor in zip(axes[0], factors):
        own, lines = rows[rows["factor"] == factor], {}
        for arm, hue, look in (("bayes", INK, {"marker": "", "lw": 3.5}), ("diffusion", BLUE, {"ms": 7})):
            if (own["arm"] == arm).any():
                some = own[own["arm"] == arm]
                lines[arm] = curve(ax, some if arm == "diffusion" else sides(some)[0], "sigma", hue, **look)
        ticks = list(next(iter(lines.values())))
        if len(lines) == 2:
            ax.fill_between(ticks, *(list(line.values()) for line in lines.values()), color=PALE, zorder=0)
        ax.axhline(1 / len(EXACT.factors[factor]), color=QUIET, ls=":", lw=1.4)
        noise_axis(ax, ticks, "noise σ in the picture")
        ax.set(title=factor, ylim=(-0.03, 1.04))
        said = {a: ", ".join(f"{v:.2f} at {s:g}" for s, v in line.items()) for a, line in lines.items()}
        told.append(f"{factor}: {'; '.join(f'{MARKS[a][0]} {words}' for a, words in said.items())}")
    for arm, y, hue in (("bayes", 0.34, INK), ("diffusion", 0.25, BLUE), ("chance", 0.04, QUIET)):
        axes[0, 0].text(0.05, y, MARKS[arm][0], color=hue, fontsize=10, transform=axes[0, 0].transAxes)
    axes[0, 0].set_ylabel("share named rightly")
    foot(drawing, rows, y=-0.08)
    net = rows[(rows["arm"] == "diffusion") & (rows["factor"] == factors[0])]
    own_words = yours(net, "sigma").replace("Yours:", f"Yours, {factors[0]}:")
    return finish(drawing, f"Naming what is seen in noise of sigma. {'. '.join(told)}." + own_words)


def passes(table: pd.DataFrame) -> Figure:
    """Return accuracy by the number of noise levels tried for each caption: the same noise for all, or own noise."""
    rows = pick(table, "accuracy_by_draws")
    drawing, axes = canvas(8.5, 3.9)
    ax, told, shared = axes[0, 0], [], rows["shared"].astype(float)
    for kind, hue, words in ((1, TEAL, "the same noise for all"), (0, RED, "a noise of its own for each")):
        if (shared == kind).any():
            line = curve(ax, rows[shared == kind], "draws", hue, ms=8, marker="o" if kind else "s")
            end = list(line.items())[-1]
            ax.annotate(words, end, (12, 8 * kind - 6), textcoords="offset points", color=hue, weight="bold")
            told.append(f"{words}: {', '.join(f'{v:.2f} with {d:g}' for d, v in line.items())}")
    draws = sorted(rows["draws"].astype(float).unique())
    chance = 1 / len(EXACT.factors["colour"])
    ax.set_xscale("log", base=2)
    ax.set_xticks(draws, [f"{d:g}" for d in draws])
    ax.axhline(chance, color=QUIET, ls=":", lw=1.4)
    ax.text(draws[-1], chance + 0.015, "chance", color=QUIET, fontsize=10, ha="right")
    ax.set(
        ylim=(0, 1.02), xlabel="looks through the net for each of the eight captions", ylabel="colours named rightly"
    )
    foot(drawing, rows, y=-0.03)
    own = yours(rows[shared == 1], "draws")
    return finish(drawing, f"Colours named rightly, by looks for each caption. {'; '.join(told)}." + own)


# ---- under shift


def shifted(table: pd.DataFrame) -> Figure:
    """Return what a tie between shape and wall does to a net that draws and to a captioner, where it no longer holds.

    table: rows of the shift measure. Left: both domains; right: pictures that keep the tie and those that break it.
    """
    rows, when = pick(table, "accuracy"), pick(table, "accuracy_when", needed=False, domain="shift")
    drawing, axes = canvas(11, 3.9, ncols=2, sharey=True, width_ratios=[1.3, 1.9], gridspec_kw={"wspace": 0.06})
    panels: list[tuple[pd.DataFrame, str, dict[Any, str], str]] = [
        (rows, "domain", {"in": "95 of 100 tied,\nas in training", "shift": "only half tied"}, "all pictures"),
        (when, "tied", {1: "on the usual wall", 0: "on another wall"}, "where only half are tied: shapes"),
    ]
    told = []
    for ax, (some, along, ends, title) in zip(axes[0], panels):
        lines, last = {}, along == "tied" or not len(when)
        for arm, (name, hue, mark) in SIDES.items():
            own = [some[(some["arm"] == arm) & (some.get(along) == end)] for end in ends]
            if all(map(len, own)):
                middle, low, high = zip(*map(level, own))
                ax.vlines([0, 1], low, high, color=hue, lw=3, alpha=0.4)
                ax.plot([0, 1], middle, mark + "-", color=hue, lw=2.6, ms=10)
                mine = {x: sides(o)[1]["value"].mean() for x, o in enumerate(own) if len(sides(o)[1])}
                star(ax, [x + 0.06 for x in mine], list(mine.values()), hue)
                said = ", ".join(f"{words} {v:.2f}".replace("\n", " ") for words, v in zip(ends.values(), middle))
                stars = f" (yours {', '.join(f'{v:.2f}' for v in mine.values())})" if mine else ""
                told.append(f"{title}, {name}: {said}{stars}")
                lines[arm] = middle[1]
        for arm, y in zip(lines if last else (), apart(list(lines.values()), 0.075)):
            ax.text(1.15, y, SIDES[arm][0], color=SIDES[arm][1], va="center", weight="bold", fontsize=11)
        ax.set_title(title, fontsize=12)
        ax.set_xticks([0, 1], list(ends.values()))
        ax.set(xlim=(-0.3, 1.9 if last else 1.3), ylim=(-0.03, 1.04))
        ax.axhline(0.25, color=QUIET, ls=":", lw=1.4)
    axes[0, 0].set_ylabel("shapes named rightly")
    axes[0, 0].text(-0.28, 0.265, "chance", color=QUIET, fontsize=10)
    foot(drawing, rows, y=-0.06)
    return finish(drawing, f"Shapes named by nets raised where shape and wall are tied. {'; '.join(told)}.")


# ---- it draws


def film(frames_FNSS3: np.ndarray, captions: Sequence[str], sigmas: Sequence[float] | None = None) -> Figure:
    """Return a film strip for each caption: what the net believes as the noise falls, the last frame finished.

    frames_FNSS3: uint8; sigmas: of the frames, the last one's is not shown.
    """
    F, N = frames_FNSS3.shape[:2]
    at = [] if sigmas is None else [f"{s:.2g}" for s in list(sigmas)[: F - 1]]
    drawing, axes = canvas(12, 1.42 * N + 0.4, nrows=N, gridspec_kw={"hspace": 0.12, "left": 0.19, "top": 0.93})
    for ax, caption, frames in zip(axes[:, 0], captions, frames_FNSS3.transpose(1, 0, 2, 3, 4)):
        _show(ax, _strip(frames))
        look = {"ha": "right", "va": "center", "fontsize": 10, "transform": ax.transAxes, "linespacing": 1.25}
        ax.text(-0.012, 0.5, textwrap.fill(caption, 27), **look)
    for k, head in enumerate([*([f"σ {s}" for s in at] or ["all noise", *[""] * (F - 2)]), "finished"]):
        axes[0, 0].text((k + 0.5) / F, 1.03, head, ha="center", transform=axes[0, 0].transAxes, fontsize=10.5)
    when = f" at sigma {', '.join(at)}" if at else ""
    alt = f"Film strips of {F} frames: what the net believes it sees{when} as noise falls away, the last one finished, for: "
    return finish(drawing, alt + f"{'; '.join(captions)}.")


def _strip(frames_FSS3: np.ndarray, times: int = 7, gap: int = 8, edge: int = 20) -> np.ndarray:
    """Return frames side by side on film: dark, with a row of holes above and below."""
    side = frames_FSS3.shape[1] * times
    out = np.full((side + 2 * edge, len(frames_FSS3) * (side + gap) + gap, 3), 32, np.uint8)
    for k, frame in enumerate(frames_FSS3):
        out[edge:-edge, gap + k * (side + gap) :][:, :side] = enlarge(frame, times)
    for x in range(6, out.shape[1] - 10, 20):
        out[6:14, x : x + 9] = out[-14:-6, x : x + 9] = 255
    return out


def drawn(asked: np.ndarray, unguided: np.ndarray, guided: np.ndarray, blank: np.ndarray, columns: int = 12) -> Figure:
    """Return pictures to be judged by eye: real ones over what the net drew of their captions, and some told nothing.

    All uint8 (N, S, S, 3); the first three belong together column by column.
    """
    told = {"real": asked, WAYS["unguided"]: unguided, WAYS["guided"]: guided}
    bands = [{n: p[k : k + columns] for n, p in told.items()} for k in range(0, len(asked), columns)]
    blocks = [sheet(np.concatenate(list(band.values())), len(band["real"]), times=6) for band in bands]
    blocks.append(sheet(blank, columns, times=6))
    names = [*bands[0]] * len(bands) + [WAYS["nothing said"]] * -(-len(blank) // columns)
    wide, step = max(b.shape[1] for b in blocks), asked.shape[1] * 6 + 6
    high = sum(len(b) for b in blocks) + 30 * (len(blocks) - 1)
    page, y, middles = np.full((high, wide, 3), 255, np.uint8), 0, []
    for block in blocks:
        page[y : y + len(block), : block.shape[1]] = block
        middles += [1 - (y + step * r + step / 2 - 3) / high for r in range((len(block) + 6) // step)]
        y += len(block) + 30
    drawing, axes = canvas(12, 12 * 0.885 * high / wide, gridspec_kw={"left": 0.115, "right": 1, "bottom": 0, "top": 1})
    _show(axes[0, 0], page)
    for name, middle in zip(names, middles):
        look = {"ha": "right", "va": "center", "fontsize": 11, "weight": "bold" if name == "real" else "normal"}
        axes[0, 0].text(-0.01, middle, name, transform=axes[0, 0].transAxes, **look)
    alt = (
        f"{len(asked)} real pictures; under each what the net drew when told its caption, and when told more firmly; "
        f"and {len(blank)} pictures that it drew when told nothing."
    )
    return finish(drawing, alt)


def fidelity_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return how real the drawn pictures are: a row for each way of drawing, means over seeds; yours in rows of their own.

    Columns: share of pictures whose factor reads as asked, then distance to the nearest render, Frechet distance to other
    real pictures, and the share of those that it covers.
    """
    rest = {"off_render": "off any render", "frechet": "Fréchet distance", "coverage": "real pictures met"}
    rows = pick(table, "drawn_right")
    parts = [rows.assign(column=rows["factor"])]
    parts += [pick(table, m, needed=False).assign(column=name) for m, name in rest.items()]
    every = pd.concat([p for p in parts if len(p)])
    every["drawn"] = every["how"].map(WAYS) + np.where(every["source"] == "yours", " (yours)", "")
    out = every.pivot_table(index="drawn", columns="column", values="value", aggfunc="mean")
    order = [way + end for way in WAYS.values() for end in ("", " (yours)")]
    columns = [c for c in (*dict.fromkeys(rows["factor"]), *rest.values()) if c in out]
    out = out.reindex([way for way in order if way in out.index])[columns].rename_axis(index="drawn", columns=None)
    return out.map(lambda v: "" if np.isnan(v) else f"{v:.2f}").reset_index()
