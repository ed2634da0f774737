"""Figures of 09_without_captions: what is paid too much, what captions save at each noise level, and along the compute.

Bits above the least noise of the ladder. Marks and lines are means over the published seeds with their t interval where
there are several, a star is yours; where nothing is published, yours stands in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from falsework.figures import INK, PAPER, QUIET, SERIES, Figure, canvas, enlarge, finish
from falsework.figures.noise import curve, foot, in_noise, level, pick, sides, star, yours

BLUE, RED, TEAL, AMBER, PLUM = SERIES[:5]
GIGA = 1e9
WORDS = {
    "direct": "never a word",
    "s1": "S1: a caption first, then the picture",
    "s1_code": "S1 with a machine code for words",
    "s1_facts": "S1 with made-up words for the same facts",
    "s1_random": "S1 with random codes",
    "s1_name": "S1 with a name for each",
    "s2": "S2: half of the captions left out",
    "s2_code": "S2 with a machine code for words",
    "s2_share": "the half without captions alone",
    "s3": "S3: long, short, none",
    "s3_code": "S3 with a machine code for words",
    "s3_share": "its last third without captions alone",
}
HUES = {
    "s1": BLUE,
    "s1_code": AMBER,
    "s1_random": QUIET,
    "s1_name": INK,
    "s1_facts": "#7fa6cc",
    "s2": TEAL,
    "s3": PLUM,
    "direct": RED,
}


def hue_of(arm: str) -> str:
    """Return the colour of an arm."""
    arm = arm.removeprefix("small_")
    return HUES.get(arm, HUES.get(arm.split("_")[0], QUIET)) if not arm.endswith("share") else QUIET


def by_seed(rows: pd.DataFrame) -> pd.Series:
    """Return the value of each seed."""
    return rows.groupby("seed")["value"].mean()


def saved(table: pd.DataFrame, metric: str, arm: str, floor: str = "direct", **where: Any) -> pd.DataFrame:
    """Return floor - arm for each seed and source that both have: rows with source, seed and value."""
    out = []
    for source in ("published", "yours"):
        own, other = (
            by_seed(r[r["source"] == source]) for r in (pick(table, metric, arm=a, **where) for a in (arm, floor))
        )
        for seed in own.index.intersection(other.index):
            out.append({"source": source, "seed": seed, "value": other[seed] - own[seed]})
    return pd.DataFrame(out, columns=["source", "seed", "value"])


# ---- what is paid too much


def overpaid(table: pd.DataFrame, small: bool = True) -> Figure:
    """Return, for each way to use captions, the bits paid for a picture above the least that anybody could pay."""
    every = pick(table, "bits_per_image", arm="direct")
    panels = [("all 32,768 scenes", "", [a for a in WORDS if len(pick(table, "bits_per_image", False, arm=a))])]
    if small:
        arms = ["direct", "s1", "s1_code", "s1_random", "s1_name"]
        panels.append(
            ("1,024 scenes", "small_", [a for a in arms if len(pick(table, "bits_per_image", False, arm=f"small_{a}"))])
        )
    heights = [len(arms) for _, _, arms in panels]
    grid = {"height_ratios": heights, "hspace": 0.3}
    drawing, axes = canvas(
        10.5, 0.44 * sum(heights) + 1.5 + 0.5 * len(panels), nrows=len(panels), sharex=True, gridspec_kw=grid
    )
    told = []
    for ax, (title, prefix, arms) in zip(axes[:, 0], panels):
        exact = f"{prefix}exact"
        least = level(pick(table, "bits_per_image", arm=exact))[0]
        said = []
        for y, arm in enumerate(arms):
            rows = saved(table, "bits_per_image", exact, f"{prefix}{arm}")
            mean, low, high = level(rows)
            hue = hue_of(arm)
            ax.plot(
                (0, mean),
                (y, y),
                color=hue,
                lw=9,
                solid_capstyle="butt",
                alpha=0.9 if not arm.endswith("share") else 0.45,
            )
            ax.plot((low, high), (y, y), color=INK, lw=1.4)
            once = sides(rows)[0]["seed"].nunique() == 1 < every["seed"].nunique() and not prefix
            beside = f"  (one seed: {-level(saved(table, 'bits_per_image', arm))[0]:+.0f})" if once else ""
            ax.text(max(high, mean) + 3, y, f"{mean:.0f}{beside}", va="center", fontsize=10, color=INK)
            mine = sides(rows)[1]
            if len(mine):
                star(ax, mine["value"].mean(), y, hue)
            said.append(f"{WORDS[arm]} {mean:.0f}")
        direct = level(saved(table, "bits_per_image", exact, f"{prefix}direct"))[0]
        ax.axvline(direct, color=RED, lw=1, ls=":")
        ax.set_yticks(range(len(arms)), [WORDS[a] for a in arms])
        ax.set(ylim=(len(arms) - 0.4, -0.6))
        ax.set_xlim(left=0)
        ax.set_title(f"{title}: the least is {least:.0f} bits", fontsize=11)
        ax.tick_params(axis="y", length=0)
        told.append(f"{title}, least {least:.0f}: {', '.join(said)}")
    axes[-1, 0].set_xlabel("bits paid for a picture above the least, captions included")
    foot(drawing, every)
    return finish(drawing, f"Bits paid too much for a picture, captions included. {'. '.join(told)}.")


# ---- the signature figure


def frame_down(table: pd.DataFrame, budgets: pd.DataFrame, picture: np.ndarray, sigmas: Sequence[float]) -> Figure:
    """Return the signature figure: bits saved over a net without words, band by band of noise, and along the compute.

    table: rows of "scaffold", budgets: of "budgets". picture: uint8 (S, S, 3), shown in the noise of each band. sigmas:
    the ends of the bands. Outlined: what the best possible denoiser saves there when it is told.
    """
    drawing, axes = canvas(12.5, 5.4, ncols=2, gridspec_kw={"width_ratios": [2.4, 1], "wspace": 0.2})
    ax, side = axes[0]
    arms = [a for a in ("s1", "s1_code", "s1_random", "s2", "s3") if len(pick(table, "bits_in_band", False, arm=a))]
    bands = sorted(pick(table, "bits_in_band")["band"].unique())
    wide, told = 0.8 / (len(arms) + 1), []
    for k, arm in enumerate(["exact", *arms]):
        said = []
        for b, band in enumerate([*bands, None]):
            x = b + (k - len(arms) / 2) * wide
            if band is None:
                rows = _caption(table, arm)
            elif arm == "exact":
                rows = saved(table, "bits_in_band", "exact_told", "exact", band=band)
            else:
                rows = saved(table, "bits_in_band", arm, band=band)
            mean, low, high = level(rows)
            look: dict[str, Any] = (
                {"color": PAPER, "edgecolor": INK, "lw": 1.3} if arm == "exact" else {"color": hue_of(arm)}
            )
            ax.bar(x, mean, wide * 0.92, **look)
            ax.plot((x, x), (low, high), color=INK, lw=1.2)
            mine = sides(rows)[1]
            if len(mine) and arm != "exact":
                star(ax, x, mine["value"].mean(), hue_of(arm), ms=9)
            said.append(f"{mean:+.0f}")
        told.append(f"{'the best possible denoiser' if arm == 'exact' else WORDS[arm]} {', '.join(said)}")
        ax.bar([0], [0], 0, label="the best possible denoiser" if arm == "exact" else WORDS[arm], **look)
    ax.axhline(0, color=RED, lw=1.6)
    ax.annotate(
        "never a word", (len(bands) + 0.48, 0), (0, 4), textcoords="offset points", color=RED, ha="right", fontsize=10
    )
    ends = [f"{s:.3g}" for s in sigmas]
    names = [f"σ {a} to {b}" for a, b in pairwise(ends)]
    ax.set_xticks(range(len(bands) + 1), [*names, "the caption\nitself"])
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel("bits saved over the net without words")
    middles = [float(np.sqrt(a * b)) for a, b in pairwise(sigmas)]
    for x, seen in enumerate(in_noise(picture, middles)):
        thumb = ax.inset_axes((x - 0.33, -0.43, 0.66, 0.31), transform=ax.get_xaxis_transform())
        thumb.imshow(enlarge(seen, 4), interpolation="nearest")
        thumb.set_axis_off()
    ax.legend(fontsize=9.5, loc="upper right", bbox_to_anchor=(0.99, 1.04))
    ax.set_xlim(-0.55, len(bands) + 0.5)
    gaps = _gap(side, budgets)
    foot(drawing, pick(table, "bits_in_band"), "", -0.24)
    alt = (
        f"Bits saved over a net that never heard a word, in the bands {', '.join(names)}, and for the caption itself: "
        f"{'; '.join(told)}. Right, what the caption first saves in all, its own bits paid, along the compute: {gaps}."
    )
    return finish(drawing, alt)


def _caption(table: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Return minus what an arm pays for the caption."""
    rows = pick(table, "caption_bits", arm="exact_told" if arm == "exact" else arm)
    return rows.assign(value=-rows["value"])


def _gap(ax: Axes, budgets: pd.DataFrame) -> str:
    rows = pick(budgets, "gap", arm="ultra_over_none")
    rows = rows.assign(flops=rows["flops"] / GIGA)
    found = curve(ax, rows, "flops", BLUE)
    ax.axhline(0, color=RED, lw=1.6)
    ax.set_xscale("log")
    ticks = sorted(found)
    ax.set_xticks(ticks, [f"{t:.0f}" for t in ticks])
    ax.minorticks_off()
    ax.set_xlabel("training compute, GFLOP")
    ax.set_title("in all, along the compute", fontsize=11)
    return ", ".join(f"{v:+.0f} at {k:.0f} GFLOP" for k, v in found.items()) + yours(rows, "flops", 0)


# ---- along the compute


def budgets(table: pd.DataFrame) -> Figure:
    """Return what is left to learn along the compute, in bits above the least, a line for each caption level."""
    rows = pick(table, "kl")
    drawing, axes = canvas(8.2, 4.2)
    ax, told = axes[0, 0], []
    names = {int(k): str(n) for k, n in zip(rows["level"], rows["name"])}
    hues = dict(zip(sorted(names), (RED, AMBER, PLUM, TEAL, BLUE) if len(names) > 3 else (RED, AMBER, BLUE)))
    for number, name in sorted(names.items()):
        own = rows[rows["level"] == number]
        found = curve(ax, own.assign(flops=own["flops"] / GIGA), "flops", hues[number])
        words = "told nothing" if name == "none" else f"told {name} captions"
        ax.annotate(words, list(found.items())[-1], (9, 0), textcoords="offset points", color=hues[number], va="center")
        told.append(f"{words}: {', '.join(f'{v:.0f} at {k:.0f}' for k, v in found.items())}")
    ax.set(xscale="log", yscale="log", xlabel="training compute, GFLOP", ylabel="bits above the least possible")
    ticks = sorted(set(rows["flops"] / GIGA))
    ax.set_xticks(ticks, [f"{t:.0f}" for t in ticks])
    marks = [m for m in (100, 150, 200, 300, 500, 800, 1500, 3000) if rows["value"].min() < m < rows["value"].max()]
    ax.set_yticks(marks, [str(m) for m in marks])
    ax.minorticks_off()
    foot(drawing, rows)
    return finish(drawing, f"Bits above the least along the compute in GFLOP. {'. '.join(told)}.")


# ---- the step at which captions are taken away


def taken_away(table: pd.DataFrame, steps: int) -> Figure:
    """Return what a short run pays without captions, by the step at which they were taken away; a star is yours."""
    rows = pick(table, "bits_per_image", arm="frame")
    drawing, axes = canvas(8.2, 3.9)
    ax = axes[0, 0]
    shown, mine = sides(rows)
    first = shown.groupby("seed")["until"].nunique().idxmax()  # who has every step
    line = shown[shown["seed"] == first].groupby("until")["value"].mean()
    others = shown[shown["seed"] != first]
    ax.plot(others["until"], others["value"], "o", color=QUIET, ms=6, zorder=3)
    inside = line[line.index < steps]
    ax.plot(inside.index, inside, "o-", color=BLUE, lw=2.4, ms=7)
    top = float(inside.max()) * 1.12
    for until, value in line[line.index >= steps].items():
        ax.annotate(
            f"never: {value:,.0f}", (until, top), (0, -4), textcoords="offset points", ha="center", va="top", color=RED
        )
        ax.plot(until, top, "^", color=RED, ms=9)
    ax.axhline(inside.iloc[0], color=RED, lw=1.2, ls=":")
    ax.annotate("never a word", (steps * 0.62, inside.iloc[0]), (0, 5), textcoords="offset points", color=RED)
    if len(mine):
        own = mine.groupby("until")["value"].mean()
        star(ax, own.index, np.minimum(own, top))
    ax.set(xlabel=f"captions taken away at step … of {steps}", ylabel="bits for a picture\nwithout a caption")
    ax.set_ylim(float(inside.min()) * 0.97, top * 1.03)
    ax.set_xticks(sorted(line.index), [f"{int(t)}" for t in sorted(line.index)])
    foot(drawing, rows, "line: one seed" + "    grey: four others" * (len(others) == 4))
    told = ", ".join(f"{v:,.0f} at step {int(k)}" for k, v in line.items())
    return finish(
        drawing, f"Bits for a picture without a caption, by the step of {steps} at which captions end: {told}."
    )


# ---- the toy


def toy(points_N2: np.ndarray, sigmas: np.ndarray, savings: Mapping[str, np.ndarray]) -> Figure:
    """Return eight clouds on a circle, and what being told the cloud saves at each noise level, by kind of learner.

    savings: learner -> bits per e-fold of noise, (len(sigmas),); its area is the bits saved in all.
    """
    drawing, axes = canvas(10.5, 3.7, ncols=2, gridspec_kw={"width_ratios": [1, 2.1]})
    ax, side = axes[0]
    ax.scatter(*points_N2.T, s=5, color=BLUE, alpha=0.5, lw=0)
    ax.set_aspect("equal")
    ax.set_axis_off()
    told = []
    for (name, bits), hue in zip(savings.items(), (INK, BLUE, TEAL)):
        area = float(np.trapezoid(bits, np.log(sigmas)))
        side.plot(sigmas, bits, color=hue, lw=2.4)
        side.fill_between(sigmas, bits, color=hue, alpha=0.15, lw=0)
        top = int(np.argmax(bits))
        side.annotate(
            f"{name}: {area:.2f} bits", (sigmas[top], bits[top]), (6, 5), textcoords="offset points", color=hue
        )
        told.append(f"{name} {area:.2f} bits in all")
    side.set_xscale("log", base=2)
    ticks = [t for t in (0.01, 0.03, 0.1, 0.3, 1, 3, 10) if sigmas.min() <= t <= sigmas.max()]
    side.set_xticks(ticks, [f"{t:g}" for t in ticks])
    side.minorticks_off()
    side.set(xlabel="noise σ", ylabel="bits saved by the label,\nper e-fold of noise", ylim=(0, None))
    return finish(drawing, f"Eight clouds on a circle. Told which cloud, a denoiser saves: {'; '.join(told)}.")
