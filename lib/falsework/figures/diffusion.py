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
from matplotlib.figure import Figure as Drawing
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from falsework.core.errors import Refused
from falsework.core.rng import rng
from falsework.figures import INK, PAPER, QUIET, SERIES, Figure, canvas, enlarge, finish, picture, sheet
from falsework.figures.clip import points
from falsework.world.scene import EXACT

BLUE, RED, TEAL, AMBER, PURPLE = SERIES[:5]
PALE = "#e4e9ed"
COLOURS = {  # of the scenes, dark enough for a line on white
    "red": "#d92b2e",
    "orange": "#f0810f",
    "yellow": "#cfa800",
    "green": "#2f9149",
    "cyan": "#12a5ba",
    "blue": "#2b58cf",
    "purple": "#8a42c4",
    "pink": "#ee7fae",
}
MARKS: dict[str, dict[str, Any]] = {
    "diffusion": {"marker": "o", "color": BLUE, "ms": 11},
    "captioner": {"marker": "s", "color": AMBER, "ms": 8, "mec": INK, "mew": 0.8},
    "clip": {"marker": "D", "color": PAPER, "ms": 7.5, "mec": TEAL, "mew": 2.2},
    "conditional": {"marker": "o", "color": BLUE, "ms": 11},
    "unconditional": {"marker": "o", "color": PAPER, "ms": 9.5, "mec": RED, "mew": 2.2},
    "image_given_text": {"marker": "o", "color": BLUE, "ms": 11},
    "text_given_image": {"marker": "s", "color": AMBER, "ms": 9, "mec": INK, "mew": 0.8},
}
NAMES = {
    "diffusion": "the net that draws",
    "captioner": "a captioner",
    "clip": "a CLIP",
    "conditional": "trained with captions",
    "unconditional": "trained without a word",
    "image_given_text": "draws: picture from text",
    "text_given_image": "tells: text from picture",
}
JUDGED = ("colour", "background", "position")
STAR: dict[str, Any] = {"marker": "*", "color": INK, "ms": 14, "mec": PAPER, "mew": 0.8, "ls": "", "zorder": 7}


# ---- what both notebooks about noise share


def pick(table: pd.DataFrame, metric: str, **where: object) -> pd.DataFrame:
    """Return rows of a metric that have a value, in a context; raises Refused when there are none."""
    rows = table.reindex(columns=list(dict.fromkeys([*table.columns, "source", "arm", "seed", "sigma", *where])))
    rows = rows.assign(value=pd.to_numeric(rows["value"]), seed=rows["seed"].fillna(0))
    rows = rows[(rows["metric"] == metric) & rows["value"].notna()]
    for column, wanted in where.items():
        rows = rows[rows[column].isin(wanted) if isinstance(wanted, (list, tuple)) else rows[column] == wanted]
    if not len(rows):
        about = "".join(f", {k} {v!r}" for k, v in where.items())
        raise Refused(f"The figure needs rows of {metric!r}{about}, but the table has none.")
    return rows


def has(table: pd.DataFrame, metric: str, **where: object) -> bool:
    """Return whether there are such rows."""
    try:
        return bool(len(pick(table, metric, **where)))
    except Refused:
        return False


def sides(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (rows to draw, rows to star): published and yours, or yours and none where nothing is published."""
    mine = rows["source"] == "yours"
    return (rows[~mine], rows[mine]) if (~mine).any() else (rows, rows[:0])


def mean(rows: pd.DataFrame) -> float:
    """Return the mean over the seeds that are drawn."""
    return float(sides(rows)[0].groupby("seed")["value"].mean().mean())


def curve(ax: Axes, rows: pd.DataFrame, along: str, hue: str, stars: bool = True, **look: Any) -> dict[float, float]:
    """Draw a line of means with its interval as a band, and stars for yours; return place -> mean."""
    shown, mine = sides(rows)
    found = points(shown, along)
    x, y, low, high = (np.array(v) for v in zip(*found))
    ax.fill_between(x, low, high, color=hue, alpha=0.16, lw=0)
    ax.plot(x, y, **{"color": hue, "lw": 2.4, "marker": "o", "ms": 6, **look})
    if stars and len(mine):
        own = mine.groupby(along)["value"].mean()
        ax.plot(own.index.astype(float), own, **STAR)
    return dict(zip(x.tolist(), y.tolist()))


def spot(ax: Axes, rows: pd.DataFrame, y: float, look: Mapping[str, Any]) -> float:
    """Draw one mean across a row of a chart, with its interval and a star for yours; return the mean."""
    shown, mine = sides(rows)
    _, middle, low, high = points(shown.assign(place=0.0), "place")[0]
    line = look.get("mec", look["color"]) if look["color"] == PAPER else look["color"]
    ax.plot([max(low, 0), min(high, 1)], [y, y], color=line, lw=2.5, alpha=0.45, zorder=3, solid_capstyle="butt")
    ax.plot(middle, y, zorder=5, ls="", **look)
    if len(mine):
        ax.plot(mine["value"].mean(), y, **STAR)
    return middle


def yours(rows: pd.DataFrame, along: str, digits: int = 2) -> str:
    """Return the sentence that says where the stars stand, "" when there are none."""
    own = sides(rows)[1].groupby(along)["value"].mean()
    at = [f"{v:.{digits}f} ({k})" if isinstance(k, str) else f"{v:.{digits}f} at {k:g}" for k, v in own.items()]
    return f" Yours: {', '.join(at)}." if at else ""


def foot(drawing: Drawing, *all_rows: pd.DataFrame, words: str = "", y: float = -0.01) -> None:
    """Say under a drawing what a star is, if there is one, and other words."""
    star = any(len(sides(rows)[1]) for rows in all_rows)
    told = "    ".join(w for w in (words, "star: yours" if star else "") if w)
    if told:
        drawing.text(0.5, y, told, ha="center", va="top", color=QUIET, fontsize=10)


def noise_axis(ax: Axes, ticks: Sequence[float], label: str = "noise σ") -> None:
    """Make x the axis of noise: logarithmic, clean left and noisy right, with these ticks alone."""
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(ticks), [f"{t:.2g}" for t in ticks])
    ax.minorticks_off()
    ax.set_xlabel(label)


def in_noise(clean: np.ndarray, sigmas: Sequence[float], *keys: object) -> np.ndarray:
    """Return a picture, uint8 (S, S, 3), in one noise at rising strength: uint8 (L, S, S, 3), dimmed to fit the screen."""
    noise, x = rng("thumbnails", *keys).standard_normal(clean.shape), clean / 127.5 - 1
    seen = [(x + s * noise) / math.sqrt(1 + (1.7 * s) ** 2) for s in sigmas]
    return np.clip((np.stack(seen) + 1) * 127.5, 0, 255).round().astype(np.uint8)


def thumbnails(ax: Axes, pictures: np.ndarray, sigmas: Sequence[float], pixels: float, down: float) -> None:
    """Hang pictures under an axis of noise, each at its sigma, `down` points below it and `pixels` points wide."""
    for shown, sigma in zip(pictures, sigmas):
        image = OffsetImage(enlarge(shown, 8), zoom=pixels / (8 * shown.shape[0]) * 72 / 72, interpolation="nearest")
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "boxcoords": "offset points"}
        ax.add_artist(
            AnnotationBbox(image, (sigma, 0), (0, -down), box_alignment=(0.5, 1), frameon=False, pad=0, **place)
        )


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """Return heights moved as little as needed to lie `gap` from each other, order kept."""
    order = np.argsort(heights, kind="stable")
    out = np.asarray(heights, float)[order]
    for _ in range(200):
        for k in range(len(out) - 1):
            short = gap - (out[k + 1] - out[k])
            if short > 1e-9:
                out[k] -= short / 2
                out[k + 1] += short / 2
    moved = np.empty_like(out)
    moved[order] = out
    return moved.tolist()


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
    heights = {"height_ratios": [1, 0.08], "hspace": 0.03, "wspace": 0.04, "left": 0.1, "right": 0.9, "top": 0.78}
    drawing, axes = canvas(11.5, 5.8, nrows=2, ncols=2, sharey="row", gridspec_kw=heights)
    wins = [_tangle(axes[:, c], sigmas, ahead[c], hues, truth, clean) for c in (0, 1)]
    for ax, title, won, hue in zip(
        axes[0], ("a noise of its own for each", "the same noise for all"), wins, (RED, TEAL)
    ):
        ax.set_title(title, fontsize=14, pad=27)
        ax.text(
            0, 1.035, f"the right one is best at {won} of {len(sigmas)} noise levels", transform=ax.transAxes, color=hue
        )
    axes[0, 0].set_ylabel("bits better (up) or worse (down)\nthan the captions' mean")
    axes[0, 1].tick_params(axis="y", length=0)
    ends = apart(axes[0, 1].transData.transform([(1, v) for v in ahead[1, :, -4:].mean(1)])[:, 1].tolist(), 23)
    for k, y in enumerate(axes[0, 1].transAxes.inverted().transform([(0, y) for y in ends])[:, 1]):
        look = {"color": hues[k], "weight": "bold" if k == truth else "normal", "fontsize": 14 if k == truth else 10.5}
        axes[0, 1].text(1.015, y, words[k], transform=axes[0, 1].transAxes, va="center", **look)
    inset = drawing.add_axes((0.0, 0.79, 0.075, 0.15))
    _show(inset, clean)
    drawing.text(0.0, 0.965, captions[truth], fontsize=11, weight="bold", color=hues[truth])
    axes[1, 0].text(-0.02, 0.5, "the best one", transform=axes[1, 0].transAxes, ha="right", va="center", fontsize=10)
    alt = (
        f"How well {len(captions)} captions ({', '.join(captions)}) help to remove noise from a picture of "
        f"{captions[truth]!r}, at {len(sigmas)} noise levels. With a noise of its own for each, the lines are a tangle and "
        f"the right caption is best at {wins[0]} levels; with the same noise for all, it is best at {wins[1]}."
    )
    return finish(drawing, alt)


def _tangle(
    axes: Sequence[Axes], sigmas: np.ndarray, ahead_KJ: np.ndarray, hues: list[str], truth: int, clean: Any
) -> int:
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
    strip.scatter(sigmas, 0 * sigmas, s=125, marker="s", c=[hues[k] for k in best], lw=0)
    strip.plot(sigmas[best == truth], 0 * sigmas[best == truth], "o", color=PAPER, ms=4)
    at = [s for s in (0.25, 0.5, 1, 2, 4, 8) if sigmas[0] * 0.99 <= s <= sigmas[-1] * 1.01]
    for panel in (ax, strip):
        noise_axis(panel, at, "")
        panel.set_xlim(sigmas[0] / 1.1, sigmas[-1] * 1.1)
        panel.spines["left"].set_visible(panel is ax)
    ax.tick_params(axis="x", length=0, labelbottom=False)
    ax.spines["bottom"].set_visible(False)
    strip.set(ylim=(-1, 1), yticks=[])
    strip.set_xlabel("noise σ, and the picture in it", labelpad=58)
    thumbnails(strip, in_noise(clean, at), at, 48, 22)
    return int((best == truth).sum())


def _show(ax: Axes, image: np.ndarray) -> None:
    ax.imshow(image, interpolation="nearest")
    ax.set_axis_off()


# ---- who recognises what


def recognised(table: pd.DataFrame) -> Figure:
    """Return the share of pictures named rightly, factor by factor, between chance and the best possible reader.

    table: rows of the classifier measure; arms that are missing are left out.
    """
    rows = pick(table, "accuracy")
    arms = [a for a in ("diffusion", "captioner", "clip") if a in set(rows["arm"])]
    factors = [f for f in dict.fromkeys(rows["factor"]) if f in EXACT.factors]
    drawing, axes = canvas(10.5, 0.5 * len(factors) + 0.9)
    ax, told, found = axes[0, 0], [], {}
    for y, factor in enumerate(factors):
        own = rows[rows["factor"] == factor]
        ends = {a: mean(own[own["arm"] == a]) for a in ("chance", "bayes") if (own["arm"] == a).any()}
        low, high = ends.get("chance", 1 / len(EXACT.factors[factor])), ends.get("bayes", 1.0)
        ax.barh(y, high - low, 0.62, left=low, color=PALE, lw=0, zorder=0)
        ax.plot([high, high], [y - 0.36, y + 0.36], color=INK, lw=3, zorder=4)
        ax.plot([low, low], [y - 0.31, y + 0.31], color=QUIET, lw=2, zorder=2)
        found[factor] = {a: spot(ax, own[own["arm"] == a], y, MARKS[a]) for a in arms if (own["arm"] == a).any()}
        said = [f"{NAMES[a]} {v:.2f}" for a, v in found[factor].items()]
        told.append(f"{factor}: {', '.join(said)}, the best possible reader {high:.2f}, chance {low:.2f}")
        found[factor]["bayes"] = high
    _key(ax, arms, {"chance": {"marker": "|", "color": QUIET, "ms": 14, "mew": 2}, "the best possible reader": {
        "marker": "|", "color": INK, "ms": 14, "mew": 3}})  # fmt: skip
    _shares(ax, factors, "share of pictures named rightly")
    judged = [f for f in JUDGED if "diffusion" in found.get(f, {})]
    share = float(np.mean([found[f]["diffusion"] / found[f]["bayes"] for f in judged])) if judged else math.nan
    of_bayes = f" Over {', '.join(judged)} the net reaches {share:.0%} of the best possible." if judged else ""
    drawn = rows[rows["arm"] == "diffusion"] if "diffusion" in arms else rows
    foot(drawing, rows, words=of_bayes.strip().rstrip("."), y=-0.02)
    return finish(drawing, f"Who recognises what. {'; '.join(told)}.{of_bayes}" + yours(drawn, "factor"))


def _key(ax: Axes, arms: Sequence[str], more: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Say above a chart what its marks are."""
    for name, look in {**{NAMES[a]: MARKS[a] for a in arms}, **(more or {})}.items():
        ax.plot([], [], ls="", label=name, **look)
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=6, handletextpad=0.2, columnspacing=1.4, fontsize=10.5
    )


def _shares(ax: Axes, names: Sequence[str], label: str, at: Sequence[float] | None = None) -> None:
    """Finish a chart of shares: one line a name, from the top."""
    places = list(range(len(names))) if at is None else list(at)
    ax.set_yticks(places, names)
    ax.set(xlim=(0, 1.02), ylim=(places[-1] + 0.6, -0.6), xlabel=label)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def features(table: pd.DataFrame) -> Figure:
    """Return what linear probes read from the blocks of the net with captions and of the one without a word.

    table: rows of the features measure (metric probe_accuracy; column named 1 or 0).
    """
    rows = pick(table, "probe_accuracy")
    arms = [a for a in ("conditional", "unconditional") if a in set(rows["arm"])]
    named = {f: bool(own["named"].astype(float).iloc[0]) for f, own in rows.groupby("factor", sort=False)}
    factors = sorted(named, key=lambda f: not named[f])
    drawing, axes = canvas(10.5, 0.46 * len(factors) + 1.4)
    ax, told, at = axes[0, 0], [], [k + 0.7 * (not named[f]) for k, f in enumerate(factors)]
    for y, factor in zip(at, factors):
        own = rows[rows["factor"] == factor]
        if factor in EXACT.factors:
            ax.plot(1 / len(EXACT.factors[factor]), y, "|", color=QUIET, ms=16, mew=2)
        found = {a: spot(ax, own[own["arm"] == a], y, MARKS[a]) for a in arms if (own["arm"] == a).any()}
        ax.plot(list(found.values()), [y] * len(found), color=PALE, lw=7, zorder=1, solid_capstyle="butt")
        told.append(f"{factor.replace('_', ' ')}: {', '.join(f'{NAMES[a]} {v:.2f}' for a, v in found.items())}")
    _key(ax, arms, {"chance": {"marker": "|", "color": QUIET, "ms": 14, "mew": 2}})
    _shares(ax, [f.replace("nudge_x", "nudged to a side") for f in factors], "share read rightly by a linear probe", at)
    if not all(named.values()) and any(named.values()):
        middle = (at[sum(named.values()) - 1] + at[sum(named.values())]) / 2
        ax.axhline(middle, color=QUIET, lw=0.8, ls=":")
        for words, side in (("captions name", -0.1), ("no caption names", 0.1)):
            va = "bottom" if side < 0 else "top"
            ax.text(0, middle + side, words, fontsize=10, color=QUIET, va=va)
    foot(drawing, rows, y=-0.02)
    drawn = rows[rows["arm"] == arms[0]]
    return finish(drawing, f"What probes read from the blocks of two nets. {'; '.join(told)}." + yours(drawn, "factor"))


# ---- noise


def seen_in_noise(table: pd.DataFrame) -> Figure:
    """Return accuracy on pictures that are noisy themselves, a panel for each factor: the net under the best possible."""
    rows = pick(table, "accuracy_seen_in_noise")
    factors = list(dict.fromkeys(rows["factor"]))
    drawing, axes = canvas(11, 3.3, ncols=len(factors), sharey=True, gridspec_kw={"wspace": 0.1})
    told = []
    for k, (ax, factor) in enumerate(zip(axes[0], factors)):
        own, lines = rows[rows["factor"] == factor], {}
        chance = 1 / len(EXACT.factors.get(factor, (0,)))
        for arm, hue, look in (("bayes", INK, {"marker": "", "lw": 3}), ("diffusion", BLUE, {"ms": 7})):
            if (own["arm"] == arm).any():
                lines[arm] = curve(ax, own[own["arm"] == arm], "sigma", hue, **look)
        ticks = list(next(iter(lines.values())))
        if len(lines) == 2:
            ax.fill_between(
                ticks, list(lines["diffusion"].values()), list(lines["bayes"].values()), color=PALE, zorder=0
            )
        ax.axhline(chance, color=QUIET, ls=":", lw=1.4)
        noise_axis(ax, ticks, "noise σ in the picture")
        ax.set_title(factor, fontsize=12)
        ax.set_ylim(0, 1.04)
        if k == 0:
            for words, x, y, hue in (("the best possible", 0.05, 0.57, INK), (NAMES["diffusion"], 0.05, 0.47, BLUE)):
                ax.text(x, y, words, color=hue, weight="bold", fontsize=10, transform=ax.transAxes)
            ax.text(ticks[0], chance + 0.02, "chance", color=QUIET, fontsize=9.5)
        each = "; ".join(
            f"{'best possible' if a == 'bayes' else 'the net'} {', '.join(f'{v:.2f} at {s:g}' for s, v in line.items())}"
            for a, line in lines.items()
        )
        told.append(f"{factor}: {each}")
    axes[0, 0].set_ylabel("share named rightly")
    foot(drawing, rows, y=-0.04)
    net = rows[rows["arm"] == "diffusion"]
    return finish(drawing, f"Naming what is seen in noise of sigma. {'. '.join(told)}." + yours(net, "sigma"))


def passes(table: pd.DataFrame) -> Figure:
    """Return accuracy by the number of noise levels tried for each caption: the same noise for all, or own noise."""
    rows = pick(table, "accuracy_by_draws")
    drawing, axes = canvas(8.5, 3.9)
    ax, told = axes[0, 0], []
    for shared, hue, words in ((1, TEAL, "the same noise for all"), (0, RED, "a noise of its own for each")):
        own = rows[rows["shared"].astype(float) == shared]
        if len(own):
            line = curve(ax, own, "draws", hue, ms=8, marker="o" if shared else "s")
            (x, y), below = list(line.items())[-1], not shared
            ax.annotate(words, (x, y), (10, -5 if below else 3), textcoords="offset points", color=hue, weight="bold")
            told.append(f"{words}: {', '.join(f'{v:.2f} with {d:g}' for d, v in line.items())}{yours(own, 'draws')}")
    draws = sorted(rows["draws"].astype(float).unique())
    ax.set_xscale("log", base=2)
    ax.set_xticks(draws, [f"{d:g}" for d in draws])
    ax.axhline(1 / 8, color=QUIET, ls=":", lw=1.4)
    ax.text(draws[-1], 1 / 8 + 0.015, "chance", color=QUIET, fontsize=10, ha="right")
    ax.set(
        ylim=(0, 1.02), xlabel="looks through the net for each of the eight captions", ylabel="colours named rightly"
    )
    foot(drawing, rows, y=-0.03)
    return finish(drawing, f"Colours named rightly, by looks for each caption. {'; '.join(told)}.".replace("..", "."))


def schedules(table: pd.DataFrame) -> Figure:
    """Return what the pruned schedule saves and costs: for each factor, the full schedule's accuracy and the pruned one's.

    table: rows of the classifier measure.
    """
    full, pruned, cost = (pick(table, m) for m in ("accuracy", "accuracy_pruned", "evaluations_share"))
    full = full[full["arm"] == "diffusion"]
    factors = [
        f for f in dict.fromkeys(pruned["factor"]) if (full["factor"] == f).any() and (cost["factor"] == f).any()
    ]
    drawing, axes = canvas(8.5, 4.2)
    ax, ends, told = axes[0, 0], {}, []
    for factor in factors:
        before, after, share = (mean(rows[rows["factor"] == factor]) for rows in (full, pruned, cost))
        ax.plot([100, 100 * share], [before, after], color=QUIET, lw=1.5, zorder=1)
        ax.plot(100, before, "o", color=PAPER, mec=BLUE, mew=2.2, ms=9, clip_on=False)
        ax.plot(100 * share, after, "o", color=BLUE, ms=9)
        for rows, x in ((full, 100), (pruned, 100 * share)):
            mine = sides(rows[rows["factor"] == factor])[1]
            if len(mine):
                ax.plot(x, mine["value"].mean(), **STAR)
        ends[factor] = (100 * share, after)
        told.append(f"{factor}: {before:.2f} before, {after:.2f} at {share:.0%} of the looks")
    left = min(x for x, _ in ends.values())
    for factor, y in zip(ends, apart([y for _, y in ends.values()], 0.055)):
        ax.text(left - 2.5, y, factor, ha="right", va="center", fontsize=10.5)
    ax.set(xlim=(left - 22, 101), ylim=(0, 1.04), ylabel="share named rightly")
    ax.set_xticks([t for t in (0, 25, 50, 75, 100) if t > left - 8])
    ax.set_xlabel("looks through the net, of 100 in the full schedule")
    foot(drawing, full, pruned, y=-0.03)
    own = yours(pruned, "factor")
    return finish(drawing, f"Dropping hopeless captions early. {'; '.join(told)}." + own)


# ---- under shift


def shifted(table: pd.DataFrame) -> Figure:
    """Return what a tie between shape and wall does to a net that draws and to one that tells, where it no longer holds.

    table: rows of the shift measure. Left: accuracy with the tie and without; right: pictures that keep it or break it.
    """
    rows = pick(table, "accuracy")
    arms = [a for a in ("image_given_text", "text_given_image") if a in set(rows["arm"])]
    drawing, axes = canvas(11, 3.9, ncols=2, sharey=True, gridspec_kw={"wspace": 0.08})
    when = pick(table, "accuracy_when", domain="shift") if has(table, "accuracy_when", domain="shift") else rows[:0]
    sets = (
        (axes[0, 0], rows, "domain", ("in", "shift"), ("where 95 of 100 are tied", "where only half are")),
        (axes[0, 1], when.assign(tied=when.get("tied", pd.Series(dtype=float)).astype(float)), "tied", (1.0, 0.0),
         ("as it always was", "against all habit")),
    )  # fmt: skip
    told = []
    for (ax, some, along, values, words), title in zip(sets, ("two worlds", "in the second world: pictures")):
        ends = {}
        for arm in arms:
            own = [some[(some["arm"] == arm) & (some[along] == v)] for v in values]
            if all(map(len, own)):
                ends[arm] = _slope(ax, own, MARKS[arm])
                said = ", ".join(f"{w} {v:.2f}{yours(o, 'arm')}" for w, v, o in zip(words, ends[arm], own))
                told.append(f"{NAMES[arm]}, {said}")
        for arm, y in zip(ends, apart([v[1] for v in ends.values()], 0.07)):
            hue = BLUE if arm == "image_given_text" else "#a8740c"
            ax.text(1.06, y, NAMES[arm].split(":")[0], color=hue, va="center", weight="bold", fontsize=11)
        ax.set_title(title, fontsize=12)
        ax.set_xticks([0, 1], words)
        ax.set(xlim=(-0.25, 1.35), ylim=(0, 1.04))
        ax.axhline(0.25, color=QUIET, ls=":", lw=1.4)
    axes[0, 0].set_ylabel("shapes named rightly")
    axes[0, 0].text(-0.22, 0.265, "chance", color=QUIET, fontsize=10)
    foot(drawing, rows, when, words="Both were raised where 95 of 100 shapes go with their own wall.", y=-0.02)
    return finish(
        drawing, f"Shapes named by nets raised on shapes tied to walls. {'; '.join(told)}.".replace("..", ".")
    )


def _slope(ax: Axes, ends: Sequence[pd.DataFrame], look: Mapping[str, Any]) -> list[float]:
    """Draw a line between two means with their intervals and stars; return the means."""
    values = []
    for x, rows in enumerate(ends):
        shown, mine = sides(rows)
        _, middle, low, high = points(shown.assign(place=0.0), "place")[0]
        ax.plot([x, x], [low, high], color=look["color"], lw=2.5, alpha=0.45)
        if len(mine):
            ax.plot(x, mine["value"].mean(), **STAR)
        values.append(middle)
    ax.plot([0, 1], values, color=look["color"], lw=2.5, zorder=2)
    ax.plot([0, 1], values, ls="", zorder=4, **look)
    return values


# ---- it draws


def film(frames_FNSS3: np.ndarray, captions: Sequence[str], sigmas: Sequence[float] | None = None) -> Figure:
    """Return a film strip for each caption: what the net believes as the noise falls, the last frame finished.

    frames_FNSS3: uint8; sigmas: of the frames, the last one's may be missing.
    """
    F, N = frames_FNSS3.shape[:2]
    drawing, axes = canvas(12, 1.42 * N + 0.4, nrows=N, gridspec_kw={"hspace": 0.12, "left": 0.17, "top": 0.93})
    for ax, caption, frames in zip(axes[:, 0], captions, frames_FNSS3.transpose(1, 0, 2, 3, 4)):
        ax.imshow(_strip(frames), interpolation="nearest")
        ax.set_axis_off()
        words = {"ha": "right", "va": "center", "fontsize": 10, "transform": ax.transAxes, "linespacing": 1.25}
        ax.text(-0.012, 0.5, textwrap.fill(caption, 24), **words)
    heads = [f"σ {s:.2g}" for s in list(sigmas or [])[: F - 1]] + [""] * (F - 1 - len(sigmas or [])) + ["finished"]
    if sigmas is None:
        heads[0] = "noise →"
    for k, head in enumerate(heads[:F]):
        axes[0, 0].text((k + 0.5) / F, 1.03, head, ha="center", transform=axes[0, 0].transAxes, fontsize=10.5)
    at = f" at sigma {', '.join(f'{s:.2g}' for s in list(sigmas)[: F - 1])}" if sigmas is not None else ""
    alt = f"Film strips of {F} frames: what the net believes it sees{at} as noise falls away, the last one finished, for: "
    return finish(drawing, alt + f"{'; '.join(captions)}.")


def _strip(frames_FSS3: np.ndarray, times: int = 7) -> np.ndarray:
    """Return frames side by side on film: dark, with a row of holes above and below."""
    F, side = len(frames_FSS3), frames_FSS3.shape[1] * times
    gap, edge = 8, 20
    out = np.full((side + 2 * edge, F * (side + gap) + gap, 3), 32, np.uint8)
    for k, frame in enumerate(frames_FSS3):
        x = gap + k * (side + gap)
        out[edge : edge + side, x : x + side] = enlarge(frame, times)
    for x in range(6, out.shape[1] - 10, 20):
        out[6:14, x : x + 9] = out[-14:-6, x : x + 9] = 255
    return out


def drawn(asked: np.ndarray, unguided: np.ndarray, guided: np.ndarray, blank: np.ndarray, columns: int = 12) -> Figure:
    """Return pictures to be judged by eye: real ones over what the net drew of their captions, and some told nothing.

    All uint8 (N, S, S, 3); the first three belong together column by column.
    """
    N, side = len(asked), asked.shape[1] * 6
    bands = [[p[k : k + columns] for p in (asked, unguided, guided)] for k in range(0, N, columns)]
    names = ["real", "told its caption", "told more firmly"]
    rows = [r for band in bands for r in zip(names, band)] + [
        ("told nothing", blank[k : k + columns]) for k in range(0, len(blank), columns)
    ]
    high = len(rows) * (side + 6) + 26 * len(bands)
    page, y, places = np.full((high, columns * (side + 6) - 6, 3), 255, np.uint8), 0, []
    for k, (name, pictures) in enumerate(rows):
        block = sheet(pictures, columns, times=6)
        page[y : y + side, : block.shape[1]] = block
        places.append((name, (y + side / 2) / high))
        y += side + 6 + (26 if k % 3 == 2 and k // 3 < len(bands) else 0)
    drawing, axes = canvas(
        12, 12 * 0.885 * high / page.shape[1], gridspec_kw={"left": 0.115, "right": 1, "bottom": 0, "top": 1}
    )
    _show(axes[0, 0], page)
    for name, at in places:
        bold = "bold" if name == "real" else "normal"
        axes[0, 0].text(
            -0.01, 1 - at, name, ha="right", va="center", transform=axes[0, 0].transAxes, fontsize=11, weight=bold
        )
    alt = (
        f"{N} real pictures; under each what the net drew when told its caption, and when told more firmly; "
        f"and {len(blank)} pictures that it drew when told nothing."
    )
    return finish(drawing, alt)


def fidelity_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return how real the drawn pictures are: a row for each way of drawing, means over seeds; yours in rows of their own.

    Columns: share of pictures whose factor reads as asked, then distance to the nearest render, Frechet distance to other
    real pictures, and the share of those that it covers.
    """
    ways = {"unguided": "told its caption", "guided": "told more firmly", "ancestral": "with fresh noise on the way"}
    ways |= {"nothing said": "told nothing", "real": "real pictures"}
    rows = pick(table, "drawn_right")
    factors = list(dict.fromkeys(rows["factor"]))
    rest = {"off_render": "off any render", "frechet": "Fréchet distance", "coverage": "coverage"}
    parts = [rows.assign(column=rows["factor"])]
    parts += [pick(table, m).assign(column=name) for m, name in rest.items() if has(table, m)]
    every = pd.concat(parts)
    every["drawn"] = every["how"].map(ways) + np.where(every["source"] == "yours", " (yours)", "")
    out = every.pivot_table(index="drawn", columns="column", values="value", aggfunc="mean")
    order = [w + end for w in ways.values() for end in ("", " (yours)")]
    out = out.reindex([w for w in order if w in out.index])[[c for c in (*factors, *rest.values()) if c in out]]
    out.index.name = out.columns.name = None
    return out.round(2)
