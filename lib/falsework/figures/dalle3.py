"""Figures of 07_dalle3: the compute that each kind of caption needs, drawings along it, rewritten words, words or net.

Marks and lines are means over the published seeds with their t interval where there are several, a star is yours; where
nothing is published, yours stands in its place.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from falsework.core.stats import first_reach
from falsework.figures import INK, PAPER, QUIET, SERIES, Figure, canvas, enlarge, finish
from falsework.figures.noise import PALE, apart, curve, foot, level, pick, sides, star, yours

BLUE, RED, TEAL, AMBER, PLUM = SERIES[:5]
FACTS: dict[str, tuple[str, str]] = {  # what short captions name as well: mark and hue
    "background": ("s", SERIES[0]),
    "position": ("^", SERIES[2]),
    "colour": ("o", SERIES[1]),
    "size": ("D", SERIES[3]),
}
MORE = {"style": "*", "shape": "P", "light": "X"}  # what only longer ones name
NAMES = {"background": "wall", "position": "place"}
LEVELS = ("thing", "short", "descriptive", "ultra", "near-exact")
GIGA = 1e9


def fact(name: str) -> str:
    """Return a fact's everyday name."""
    return NAMES.get(name, name)


def half_way(rows: pd.DataFrame) -> tuple[float, bool]:
    """Return the FLOPs at which a fact is drawn half-way from chance to always, and whether that was reached.

    rows: range_share of one arm and fact; seeds by their geometric mean. Never reached: the largest budget.
    """
    found = []
    for _, own in rows.groupby("seed"):
        line = own.groupby("flops")["value"].mean()
        found.append(first_reach(line.index.to_numpy(float), line.to_numpy(float), 0.5))
    places, censored = (np.array(v) for v in zip(*found))
    return float(np.exp(np.log(places).mean())), not bool((censored > 0).any())


def _arms(table: pd.DataFrame) -> list[tuple[str, float]]:
    """Return (arm, share of its captions that are right) with several budgets, in the order of the figure."""
    rows = pick(table, "range_share")
    budgets = rows.groupby(["arm", "correct"])["flops"].nunique()
    order = {name: k for k, name in enumerate((*LEVELS, "rewritten"))}
    many = [(str(arm), float(right)) for (arm, right), count in budgets.items() if count > 1 and arm in order]
    return sorted(many, key=lambda one: (order[one[0]], -one[1]))


def arm_words(arm: str, correct: float) -> str:
    """Return what an arm is called."""
    if arm == "rewritten":
        return "half wrong, then rewritten*"
    return arm if correct == 1 else f"{arm}, {1 - correct:.0%} wrong".replace("25%", "a quarter").replace("50%", "half")


def compute_map(
    table: pd.DataFrame, picture: np.ndarray, captions: Mapping[str, str], bits: Mapping[str, float]
) -> Figure:
    """Return the signature figure: over one picture with its captions, the compute to draw each fact half of the way.

    table: rows of "descriptiveness". picture: uint8 (S, S, 3); captions and bits by level.
    """
    rows, arms = pick(table, "range_share"), _arms(table)
    height = 0.42 * len(arms) + 4.1
    drawing, axes = canvas(11.5, height, nrows=2, gridspec_kw={"height_ratios": [1.75, height - 2.3], "hspace": 0.24})
    _captions(axes[0, 0], picture, captions, bits)
    ax, words = axes[1, 0], []
    shown, mine = sides(rows)
    places = np.sort(list(_painter_flops(shown).values())) / GIGA
    never = places[-1] * 1.9
    for y, (arm, correct) in enumerate(arms):
        ax.axhline(y, color=PALE, lw=7, zorder=0, solid_capstyle="butt")
        said = []
        for kind, own in (("shown", shown), ("mine", mine)):
            own = own[(own["arm"] == arm) & (own["correct"] == correct)]
            if arm == "rewritten":  # the captioner is paid once for a collection: its price is told apart
                own = own.assign(flops=own["steps"].map(_painter_flops(shown)))
            for k, name in enumerate((*FACTS, *MORE)):
                one = own[own["factor"] == name]
                named = (
                    name in FACTS
                    or arm in ("ultra", "near-exact", "rewritten")
                    or (arm, name) == ("descriptive", "style")
                )
                if not len(one) or (arm == "thing" and name != "background") or not named:
                    continue
                flops, reached = half_way(one)
                x = flops / GIGA if reached else never * 1.13 ** (k - 2)
                if kind == "mine":
                    star(ax, x, y, FACTS.get(name, ("", INK))[1], ms=11)
                    continue
                if name in FACTS:
                    mark, hue = FACTS[name]
                    ax.plot(x, y, mark, color=hue, ms=9.5, mec=PAPER, mew=0.9, zorder=5)
                else:
                    ax.plot(x, y, MORE[name], color=PAPER, mec=INK, ms=9.5, mew=1, zorder=4)
                said.append(f"{fact(name)} {f'{flops / GIGA:.0f}' if reached else 'never'}")
        words.append(f"{arm_words(arm, correct)}: {', '.join(said)}")
    ax.set_yticks(range(len(arms)), [arm_words(*arm) for arm in arms])
    for tick, (_, correct) in zip(ax.get_yticklabels(), arms):
        tick.set_color(INK if correct == 1 or tick.get_text().endswith("*") else RED)
    ax.set(ylim=(len(arms) - 0.4, -0.6), xscale="log", xlim=(places[0] * 0.93, never * 1.75))
    ax.set_xticks([*places, never], [*(f"{t:.0f}" for t in places), "never,\nin this budget"])
    ax.minorticks_off()
    ax.axvline(places[-1] * 1.25, color=QUIET, lw=1, ls=":")
    ax.set_xlabel("compute until the fact is drawn as asked, half of the way from chance to always, in GFLOP")
    for name, (mark, hue) in FACTS.items():
        ax.plot([], [], mark, color=hue, ms=9.5, label=fact(name))
    for name, mark in MORE.items():
        ax.plot([], [], mark, color=PAPER, mec=INK, ms=9.5, label=f"{name} (long captions only)")
    ax.legend(loc="lower center", bbox_to_anchor=(0.44, 1.0), ncols=7, fontsize=9, handletextpad=0.1, columnspacing=1.1)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    foot(drawing, rows, "* the rewriting itself is not counted" if "rewritten" in dict(arms) else "", 0.015)
    ends = f"{min(bits.values()):.0f} to {max(bits.values()):.0f}"
    alt = (
        f"A picture with its captions from {ends} bits. Below, for each kind of caption, the GFLOP after which each fact "
        f"is drawn as asked half of the way from chance: {'; '.join(words)}."
    )
    return finish(drawing, alt)


def _painter_flops(rows: pd.DataFrame) -> dict[float, float]:
    """Return steps -> FLOPs of the model that draws."""
    own = rows[rows["arm"] == "ultra"]
    return own.groupby("steps")["flops"].mean().to_dict()


def _captions(ax: Axes, picture: np.ndarray, captions: Mapping[str, str], bits: Mapping[str, float]) -> None:
    """Draw a picture, and its captions beside it, each with its bits."""
    ax.set_axis_off()
    side = ax.inset_axes((0.0, 0.0, 0.17, 1.0))
    side.imshow(picture, interpolation="nearest")
    side.set_axis_off()
    gap = 1 / len(captions)
    for k, (name, caption) in enumerate(captions.items()):
        y = 1 - (k + 0.5) * gap
        ax.text(0.275, y, name, ha="right", va="center", weight="bold", fontsize=11)
        ax.text(0.34, y, f"{bits[name]:.0f} bits", ha="right", va="center", color=QUIET, fontsize=10)
        ax.text(0.36, y, textwrap.shorten(caption, 108, placeholder=" …"), va="center", fontsize=10)


# ---- drawings along the budgets


def along_budgets(
    exhibits: Mapping[str, np.ndarray], arms: Mapping[str, str], prompts: Sequence[str], chosen: Sequence[int]
) -> Figure:
    """Return drawings: a row for each arm, a column for each budget, a block for each prompt, and the real thing at the end.

    exhibits: "drawn_<arm>_<steps>" uint8 (N, S, S, 3), "shown_real". arms: "short_100" -> its words. chosen: which of the
    N scenes are shown, one for each of the prompts.
    """
    budgets = {arm: sorted(int(k.rsplit("_", 1)[1]) for k in exhibits if k.startswith(f"drawn_{arm}_")) for arm in arms}
    steps = sorted(set().union(*map(set, budgets.values())))
    real = exhibits["shown_real"]
    wide = len(steps) + 1.35
    drawing, axes = canvas(11.5, 0.55 + 0.83 * len(arms) + 0.35, nrows=1)
    ax = axes[0, 0]
    ax.set_axis_off()
    for block, scene in enumerate(chosen):
        left = block * (wide + 0.5)
        for r, arm in enumerate(arms):
            for k, step in enumerate(steps):
                if step in budgets[arm]:
                    image = enlarge(exhibits[f"drawn_{arm}_{step}"][scene], 4)
                    ax.imshow(image, extent=(left + k, left + k + 0.92, -r - 0.92, -r), interpolation="nearest")
            if not block:
                ax.text(-0.15, -r - 0.46, textwrap.fill(arms[arm], 16), ha="right", va="center", fontsize=10)
        for k, step in enumerate(steps):
            ax.text(left + k + 0.46, 0.12, f"{step}", ha="center", va="bottom", fontsize=9, color=QUIET)
        middle = -len(arms) / 2
        x = left + len(steps) + 0.25
        ax.imshow(enlarge(real[scene], 4), extent=(x, x + 0.92, middle - 0.46, middle + 0.46), interpolation="nearest")
        ax.text(x + 0.46, middle + 0.52, "real", ha="center", va="bottom", fontsize=9, color=QUIET)
        ax.text(left, 0.62, textwrap.fill(prompts[block], 60), fontsize=9.5, va="bottom", weight="bold")
    ax.text(-0.15, 0.12, "steps", ha="right", va="bottom", fontsize=9, color=QUIET)
    ax.set(xlim=(-0.1, len(chosen) * (wide + 0.5)), ylim=(-len(arms) - 0.05, 1.3))
    alt = (
        f"Drawings of {' and of '.join(map(repr, prompts))} by nets trained for {', '.join(map(str, steps))} steps, a row "
        f"for each kind of caption: {', '.join(arms.values())}. At the end of each row block stands the real picture."
    )
    return finish(drawing, alt)


# ---- the race, fact by fact


def races(table: pd.DataFrame, named: Sequence[str], unnamed: Sequence[str]) -> Figure:
    """Return two panels, compute across: facts that short captions name as well, and those that only long ones name.

    Lines: the mean share of the way from chance to always drawn as asked; short, ultra, and the two collections.
    """
    rows = pick(table, "range_share")
    drawing, axes = canvas(11.5, 4.3, ncols=2, sharey=True)
    lines = {
        ("short", 1.0): ("short", RED, "-"),
        ("ultra", 1.0): ("ultra", BLUE, "-"),
        ("short", 0.5): ("short, half wrong", RED, ":"),
        ("rewritten", 0.5): ("rewritten", TEAL, "-"),
    }
    told, flops = [], _painter_flops(sides(rows)[0])
    for ax, facts, title in zip(axes[0], (named, unnamed), ("facts both name", "facts only long captions name")):
        ends: dict[str, tuple[float, str]] = {}
        for (arm, correct), (words, hue, dash) in lines.items():
            own = rows[(rows["arm"] == arm) & (rows["correct"] == correct) & rows["factor"].isin(facts)]
            if not len(own):
                continue
            own = own.assign(flops=own["steps"].map(flops) / GIGA)
            found = curve(ax, own, "flops", hue, ls=dash)
            ends[words] = (list(found.values())[-1], hue)
            told.append(f"{title}, {words}: {', '.join(f'{v:.2f}' for v in found.values())}{yours(own, 'flops')}")
        for y, (words, (_, hue)) in zip(apart([e[0] for e in ends.values()], 0.085), ends.items()):
            ax.annotate(words, (1.015, y), xycoords=("axes fraction", "data"), color=hue, va="center", fontsize=10)
        ax.axhline(0.5, color=QUIET, lw=0.9, ls="--")
        ax.set(title=title, xscale="log", ylim=(-0.12, 1.05))
        places = sorted(v / GIGA for v in flops.values())
        ax.set_xticks(places, [f"{p:.0f}" for p in places])
        ax.minorticks_off()
        ax.set_xlabel("training compute, GFLOP")
    axes[0, 0].set_ylabel("drawn as asked,\nfrom chance (0) to always (1)")
    drawing.subplots_adjust(wspace=0.36)
    foot(drawing, rows)
    return finish(drawing, f"Share of drawings as asked, along the compute. {'. '.join(told)}.")


# ---- words that were rewritten


def rewritten(table: pd.DataFrame) -> Figure:
    """Return, fact by fact, what the captions of a collection say rightly, wrongly and not at all: before and after."""
    said = set(pick(table, "right")["factor"])
    facts = [f for f in (*FACTS, *MORE) if f in said]
    drawing, axes = canvas(11.5, 0.45 * len(facts) + 1.5, ncols=2, sharey=True)
    told = []
    for ax, when, title in zip(axes[0], ("before", "after"), ("as the collection came", "as the captioner wrote them")):
        words = []
        for y, name in enumerate(facts):
            right, wrong = (level(pick(table, metric, when=when, factor=name))[0] for metric in ("right", "wrong"))
            ax.barh(y, right, 0.66, color=TEAL)
            ax.barh(y, wrong, 0.66, left=right, color=RED, hatch="///", edgecolor=PAPER, lw=0)
            ax.barh(y, 1 - right - wrong, 0.66, left=right + wrong, color=PALE)
            if right > 0.08:
                ax.text(right / 2, y, f"{right:.0%}", ha="center", va="center", color=PAPER, weight="bold", fontsize=10)
            words.append(f"{fact(name)} {right:.0%} right, {wrong:.0%} wrong")
        ax.set_title(title)
        ax.set(
            xlim=(0, 1), ylim=(len(facts) - 0.4, -0.6), xticks=[0, 0.5, 1], xticklabels=["0", "half", "all captions"]
        )
        ax.tick_params(axis="y", length=0)
        ax.spines[["left", "bottom"]].set_visible(False)
        told.append(f"{title}: {', '.join(words)}")
    axes[0, 0].set_yticks(range(len(facts)), [fact(f) for f in facts])
    key = [Patch(color=hue, label=name) for hue, name in ((TEAL, "right"), (RED, "wrong"), (PALE, "not said"))]
    drawing.legend(handles=key, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=3, fontsize=10)
    return finish(drawing, f"What captions say of seven facts. {'. '.join(told)}.")


# ---- words or net


def words_or_net(table: pd.DataFrame) -> Figure:
    """Return the two-by-two: worse and better captions across, a line for each net, drawn as asked upwards."""
    drawing, axes = canvas(6.4, 4.0)
    ax, told = axes[0, 0], []
    for net, words, hue, mark in (("better", "the net that paints", BLUE, "o"), ("worse", "EDM's skip", RED, "s")):
        own = pick(table, "accuracy", architecture=net)
        values = [level(own[own["captions"] == c]) for c in ("worse", "better")]
        y = [v[0] for v in values]
        ax.plot((0, 1), y, mark + "-", color=hue, lw=2.4, ms=9)
        for x, (_, low, high) in enumerate(values):
            ax.plot((x, x), (low, high), color=hue, lw=1.6)
        up = 7 if net == "better" else -7
        ax.annotate(words, (1, y[1]), (12, up), textcoords="offset points", color=hue, va="center")
        mine = sides(own)[1]
        if len(mine):
            at = mine.groupby("captions")["value"].mean()
            star(ax, [("worse", "better").index(c) for c in at.index], at.to_numpy(), hue)
        told.append(
            f"{words}: {y[0]:.2f} with short captions of which half are wrong, {y[1]:.2f} with right, ultra ones"
        )
    ax.set_xticks((0, 1), ["short, half wrong", "ultra, right"])
    ax.set(xlim=(-0.25, 1.2), ylim=(0, 1.05), ylabel="drawn as asked, mean of four facts")
    foot(drawing, pick(table, "accuracy"))
    return finish(drawing, f"Two nets by two kinds of caption, equal compute. {'; '.join(told)}.")


def blend_table(table: pd.DataFrame, named: Sequence[str]) -> pd.DataFrame:
    """Return, by the share of long captions in the blend, how often drawings are as asked: in long words and in short."""
    out: list[dict[str, Any]] = []
    rows = pick(table, "accuracy")
    steps = rows[rows["arm"] == "blend"]["steps"].max()
    seeds = rows[rows["arm"] == "blend"]["seed"].unique()
    for own in (0.65, 0.8, 0.95):
        line: dict[str, Any] = {"long captions": f"{own:.0%}"}
        for metric, words in (("accuracy", "asked in long words"), ("accuracy_short", "asked in short words")):
            found = pick(table, metric)
            found = found[found["seed"].isin(seeds) & (found["steps"] == steps) & found["factor"].isin(named)]
            arm = (
                found[(found["arm"] == "ultra") & (found["correct"] == 1)]
                if own == 0.95
                else found[found["own"] == own]
            )
            line[words] = f"{sides(arm)[0]['value'].mean():.2f}"
        out.append(line)
    return pd.DataFrame(out)
