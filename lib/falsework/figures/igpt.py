"""Figures of 01_igpt: where the bits go, what the model draws, what its layers know."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from falsework.core.errors import Refused
from falsework.figures import INK, QUIET, SERIES, Figure, canvas, finish, log_axis, picture, sheet, short_number


def heat_map(seen: np.ndarray, bits: np.ndarray, table: pd.DataFrame, columns: int = 6) -> Figure:
    """Return the signature figure: drawings, the bits paid for each pixel, and a bar with the slice a caption names.

    seen: uint8 (N, S, S, 3); bits: (N, S, S); table: rows of the likelihood measure (published).
    """
    drawing, bar = _bill(seen[:columns], bits[:columns], height=6.1)
    own = {"data": "drawings"}
    total, listed = value(table, "bits_per_image", **own), value(table, "caption_bits", level="cells", **own)
    named, longest = (value(table, "caption_code_bits", level=level) for level in ("name", "cells"))
    bar.barh(0, total, color="#f1d9c9", height=0.5)
    bar.barh(0, longest, color="#dbe4ee", hatch="//", edgecolor="white", height=0.5)
    bar.barh(0, named, color="#9db7d3", hatch="//", edgecolor="white", height=0.5)
    bar.barh(0, listed, color=SERIES[0], height=0.5)
    bar.text(total, 0.32, f"the average unseen drawing: {total:.0f} bits", va="bottom", ha="right", color=INK)
    notes = (
        (listed / 2, f"which of our drawings: {listed:.0f} bits"),
        ((listed + named) / 2, f"its name, spelled for a stranger: at most {named:.0f}"),
        ((named + longest) / 2, f"the longest caption, spelled for a stranger: at most {longest:.0f}"),
    )
    for step, (x, words) in enumerate(notes):
        y = -1.05 + 0.32 * step
        bar.plot([x, x], [-0.25, y], color=SERIES[0], lw=1)
        bar.text(x + total * 0.006, y, words, color=SERIES[0], fontsize=10, va="center")
    bar.set(xlim=(0, total), ylim=(-1.2, 0.6), yticks=[], xticks=[])
    alt = (
        "Unseen drawings above, the bits paid for every pixel below: outlines and inner detail glow, flat areas are dark. "
        f"Under them a bar of {total:.0f} bits, the average drawing. Telling which drawing of our list it is takes "
        f"{listed:.0f} of them; its name, spelled for a stranger, at most {named:.0f}; "
        f"the longest caption at most {longest:.0f}."
    )
    return finish(drawing, alt)


def _bill(seen: np.ndarray, bits: np.ndarray, height: float, titles: Sequence[str] = ()) -> tuple[Drawing, Axes]:
    """Return a drawing of pictures over the bits paid for each pixel, and an empty strip of axes under them."""
    drawing, axes = canvas(11, height, nrows=3, ncols=len(seen), height_ratios=[1, 1, 0.62])
    top = float(np.percentile(bits, 99))
    for above, below, picture_SS3, bits_SS in zip(axes[0], axes[1], seen, bits.astype(float)):
        above.imshow(picture_SS3, interpolation="nearest")
        heat = below.imshow(bits_SS, cmap="magma", vmin=0, vmax=top, interpolation="nearest")
        below.set_title(f"{bits_SS.sum():.0f} bits", fontsize=10, loc="center", weight="normal")
        above.set_axis_off()
        below.set_axis_off()
    for ax, words in zip(axes[0], titles):
        ax.set_title(words, fontsize=7.5, loc="left", weight="normal")
    drawing.colorbar(heat, ax=list(axes[:2].flat), shrink=0.72, pad=0.015, label="bits paid for the pixel")
    grid = axes[2, 0].get_gridspec()
    for ax in axes[2]:
        ax.remove()
    bar = drawing.add_subplot(grid[2, :])
    bar.spines[:].set_visible(False)
    return drawing, bar


def value(table: pd.DataFrame, metric: str, **context: object) -> float:
    """Return the mean over published seeds of one metric (over all rows when nothing is published yet)."""
    rows = table[table["metric"] == metric]
    for column, wanted in context.items():
        rows = rows[rows[column] == wanted]
    published = rows[rows["source"] == "published"]
    return float((published if len(published) else rows)["value"].mean())


def samples(pictures: np.ndarray, columns: int = 10) -> Figure:
    """Return what the model draws when nobody asks for anything; pictures uint8 (N, S, S, 3)."""
    return picture(sheet(pictures, columns, times=6), f"{len(pictures)} drawings by the model, asked for nothing.")


def completions(seen: np.ndarray, ended: np.ndarray, columns: int = 6, what: str = "drawing") -> Figure:
    """Return for each unseen picture: the original, the half the model was given, and two endings of its own."""
    side, k = seen.shape[1], len(ended) // len(seen)
    given = seen.copy()
    given[:, side // 2 :] = 232
    n = min(columns, len(seen))
    blocks = [seen[:n], given[:n], *(ended[j::k][:n] for j in range(k))]
    drawing, axes = canvas(
        11, 1.75 * len(blocks), nrows=len(blocks), ncols=n, gridspec_kw={"wspace": 0.06, "hspace": 0.06}
    )
    names = [f"the {what}", "what the model sees", *["its own ending"] * k]
    for r, block in enumerate(blocks):
        for c in range(n):
            ax = axes[r, c]
            ax.imshow(block[c], interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set_visible(False)
            if r > 1:
                ax.axhline(side / 2 - 0.5, color=SERIES[1], lw=1, ls=":")
        axes[r, 0].set_ylabel(names[r], fontsize=10)
    return finish(
        drawing, f"Six unseen {what}s, their upper halves, and {k} endings each that the model drew below them."
    )


def scene_bill(seen: np.ndarray, bits: np.ndarray, said: np.ndarray, table: pd.DataFrame) -> Figure:
    """Return scenes, the bits paid for each pixel, all that a sentence can say of each, and the bill taken apart.

    seen: uint8 (N, S, S, 3); bits: (N, S, S); said: N sentences; table: rows of the likelihood measure.
    """
    told = [textwrap.fill(str(words), 25) for words in said[:5]]
    drawing, bar = _bill(seen[:5], bits[:5], height=6.9, titles=told)
    at = {"arm": "large"}
    total = value(table, "bits_per_image", **at)
    sentence, scene = value(table, "caption_bits", level="near-exact", **at), value(table, "scene_bits", **at)
    parts = (
        (0.0, sentence, SERIES[0], "", f"all that a sentence can say: {sentence:.0f} bits"),
        (sentence, scene, "#9db7d3", "//", f"crumbs, which no sentence names: at most {scene - sentence:.0f} bits"),
        (scene, total, "#f1d9c9", "", f"what the model has not understood: at least {total - scene:.0f} bits"),
    )
    for step, (start, end, colour, hatch, words) in enumerate(parts):
        bar.barh(0, end - start, left=start, color=colour, hatch=hatch, edgecolor="white", height=0.5)
        x, y = (start + end) / 2, -1.05 + 0.32 * step
        bar.plot([x, x], [-0.25, y], color=INK, lw=1)
        bar.text(x + total * 0.006, y, words, va="center", color=INK, fontsize=10)
    bar.text(total, 0.32, f"the average unseen scene: {total:.0f} bits", va="bottom", ha="right", color=INK)
    bar.set(xlim=(0, total), ylim=(-1.2, 0.6), yticks=[], xticks=[])
    alt = (
        f"Unseen scenes with all that a sentence can say of them, and the bits paid for every pixel. Of {total:.0f} bits "
        f"for the average scene a sentence can carry {sentence:.0f}; the crumbs hold at most {scene - sentence:.0f}; "
        f"at least {total - scene:.0f} are what the model has not understood."
    )
    return finish(drawing, alt)


def perfect_share(table: pd.DataFrame, margin: float = 0.2) -> Figure:
    """Return which share of a perfect model's bill a full sentence carries at least, as crumbs or texture grow; no net.

    The star is our largest model's share, at the number of crumbs in the scenes it saw.
    """
    rows = table[table.metric == "perfect_share"]
    rows = rows[rows.source == "published"] if (rows.source == "published").any() else rows
    drawing, axes = canvas(11, 3.6, ncols=2, sharey=True)
    crumbs, texture = (rows[rows[c].notna()].sort_values(c) for c in ("crumbs", "texture"))
    left, right = axes[0]
    left.plot(crumbs["crumbs"], crumbs["value"], "o-", color=SERIES[0], label="a perfect model, at least")
    paid = value(table, "caption_share", level="near-exact", arm="large")
    said = value(table, "caption_bits", level="near-exact", arm="large")
    crumb = said * (1 / float(crumbs[crumbs["crumbs"] == 1]["value"].iloc[0]) - 1)  # bits
    seen = round((value(table, "scene_bits", arm="large") - said) / crumb)
    left.plot(seen, paid, "*", ms=15, color=SERIES[1], label="our largest model")
    left.set(xlabel="crumbs nobody mentions", ylabel="share of the bill that a\nsentence could carry", ylim=(0, 1.03))
    right.plot(texture["texture"], texture["value"], "o-", color=SERIES[0])
    right.set(xlabel="texture, in grey levels of 255 (no crumbs)")
    right.set_xscale("symlog", linthresh=1)
    right.set_xticks([0, 0.25, 0.5, 1, 2, 4, 8], ["0", ".25", ".5", "1", "2", "4", "8"])
    for ax in (left, right):
        ax.axhline(margin, color=QUIET, lw=1, ls=":")
    right.text(8, margin + 0.015, f"{margin:g}", ha="right", va="bottom", fontsize=9, color=QUIET)
    left.legend(fontsize=9)
    turn, few = texture[texture["value"] < margin]["texture"].min(), crumbs[crumbs["value"] < margin]["crumbs"].min()
    return finish(
        drawing,
        f"Share of a perfect model's bill that a full sentence carries at least. It falls below {margin:g} with {few:g} "
        f"crumbs, or with texture of {turn:g} grey levels of 255. Our largest model: {paid:.2f}.",
    )


FACTOR_WORDS = {
    "group": "What kind of thing is it? (group)",
    "style": "How is it drawn? (style)",
    "colour": "colour of the object",
    "shape": "shape of the object",
}


def layers(table: pd.DataFrame, factors: tuple[str, ...] = ("group", "style"), arm: str = "drawings") -> Figure:
    """Return probe accuracy by layer for factors of one arm; raw pixels, the untrained net and chance are floors."""
    drawing, axes = canvas(11, 4.0, ncols=len(factors), sharey=arm != "drawings")
    words = []
    table = table[
        (table.arm == arm) & ((table.labels == ("all" if arm == "drawings" else "few")) | table.labels.isna())
    ]
    for ax, factor in zip(axes[0], factors):
        rows = table[(table.metric == "probe_test") & (table.factor == factor)]
        chance = float(table[(table.metric == "chance") & (table.factor == factor)]["value"].iloc[0])
        shown = rows[rows.source == "published"] if (rows.source == "published").any() else rows
        for weights, colour, name in (("trained", SERIES[0], "iGPT"), ("random", QUIET, "same net, untrained")):
            part = shown[shown.weights == weights].groupby("layer")["value"]
            mean, low, high = part.mean(), part.min(), part.max()
            ax.plot(mean.index, mean, "o-", color=colour, label=name, lw=2)
            ax.fill_between(mean.index, low, high, color=colour, alpha=0.18, lw=0)
        yours = rows[(rows.source == "yours") & (rows.weights == "trained")]
        if len(yours) and (rows.source == "published").any():
            best = yours.groupby("layer")["value"].mean()
            ax.plot(best.index, best, "*", color=SERIES[1], ms=13, label="yours")
        raw = float(shown[shown.weights == "pixels"]["value"].mean())
        ax.axhline(raw, color=SERIES[3], lw=2, label="raw pixels")
        ax.axhline(chance, color=QUIET, lw=1, ls=":", label="chance")
        ax.set(title=FACTOR_WORDS[factor], xlabel="layer", ylim=(0, 1.03 if arm != "drawings" else None))
        ax.set_xticks(sorted(shown[shown.weights == "trained"].layer.astype(int).unique()))
        top = shown[shown.weights == "trained"].groupby("layer")["value"].mean()
        words.append(
            f"{factor}: best layer {int(top.idxmax())} at {top.max():.2f}, raw pixels {raw:.2f}, chance {chance:.2f}"
        )
    axes[0, 0].set_ylabel("balanced accuracy, unseen")
    axes[0, -1].legend(fontsize=9, loc="lower right" if arm == "drawings" else "upper right")
    return finish(drawing, "Linear probes by layer. " + "; ".join(words) + ".")


def sizes(table: pd.DataFrame) -> Figure:
    """Return the figure of C10: few-shot probes on scenes against the size of the net, one panel a factor, and floors."""
    rows = table[(table.metric == "probe_best") & (table.data == "scenes") & (table.labels == "few")]
    factors = ("colour", "style", "shape")
    drawing, axes = canvas(11, 3.8, ncols=3, sharey=True)
    words = []
    for ax, factor in zip(axes[0], factors):
        own = rows[rows.factor == factor]
        shown = own[own.source == "published"] if (own.source == "published").any() else own
        for weights, colour, name in (
            ("trained", SERIES[0], "iGPT, layer chosen on validation"),
            ("random", QUIET, "same net, untrained"),
            ("pixels", SERIES[3], "raw pixels"),
        ):
            part = shown[shown.weights == weights]
            mean = part.groupby("size")["value"].mean()
            ax.plot(mean.index, mean, "-", color=colour, lw=2, label=name)
            ax.plot(part["size"], part["value"], "o", color=colour, ms=5, alpha=0.75)
            if weights == "trained":
                words.append(f"{factor} {mean.iloc[0]:.2f} to {mean.iloc[-1]:.2f}")
        mine = own[(own.source == "yours") & (own.weights == "trained")]
        if len(mine) and (own.source == "published").any():
            ax.plot(mine["size"], mine["value"], "*", color=SERIES[1], ms=13, label="yours")
        chance = float(
            table[(table.metric == "chance") & (table.factor == factor) & (table.data == "scenes")]["value"].iloc[0]
        )
        ax.axhline(chance, color=QUIET, lw=1, ls=":", label="chance")
        ticks = sorted(shown["size"].unique())
        ax.set(title=factor, xlabel="numbers in the net", ylim=(0, 1.03))
        log_axis(ax, ticks, [short_number(t) for t in ticks])
    axes[0, 0].set_ylabel("balanced accuracy,\n32 labels a class")
    axes[0, 2].legend(fontsize=9, loc="upper left")
    return finish(drawing, f"Few-shot probes from the smallest net to the largest: {'; '.join(words)}.")


def curve(curves: pd.DataFrame, floors: dict[str, float]) -> Figure:
    """Return the cost of a pixel in bits while the model trains on drawings, models that need no training as lines.

    curves: columns source, arm, seed, step, loss (nats per pixel); floors: bits per pixel by name.
    """
    curves = curves[curves["arm"] == "drawings"]
    drawing, axes = canvas(9, 3.4)
    ax = axes[0, 0]
    for (source, _), part in curves.groupby(["source", "seed"]):
        smooth = (part["loss"] / np.log(2)).rolling(9, min_periods=1).mean()
        mine = source == "yours"
        ax.plot(
            part["step"],
            smooth,
            color=SERIES[1] if mine else SERIES[0],
            lw=2.2 if mine else 1.2,
            alpha=1 if mine else 0.7,
        )
        if mine:
            ax.plot(part["step"].iloc[-1], smooth.iloc[-1], "*", ms=14, color=SERIES[1])
    right = curves["step"].max()
    for name, bits in floors.items():
        ax.axhline(bits, color=QUIET, lw=1, ls=":")
        ax.text(right, bits, f"{name}: {bits:.2f}", fontsize=9, ha="right", va="bottom", color=QUIET)
    ax.set(xlabel="training step", ylabel="bits per pixel", ylim=(0, max(floors.values()) * 1.06))
    lines = "; ".join(f"{n} {b:.2f}" for n, b in floors.items())
    return finish(
        drawing, f"The price of a pixel falls while the model trains. Models without training: {lines} bits per pixel."
    )


def game_board(exhibits: dict[str, np.ndarray]) -> Figure:
    """Return the "be the model" board: a drawing with ten lettered pixels hidden, and four candidate colours for each."""
    picture_SS3 = exhibits["game_picture"].copy()
    at, colours = exhibits["game_at"], exhibits["game_colours"]
    drawing, axes = canvas(11, 4.6, ncols=2, width_ratios=[1, 1.15])
    left, right = axes[0]
    for row, column in at:
        picture_SS3[row, column] = 150
    left.imshow(picture_SS3, interpolation="nearest")
    for letter, (row, column) in zip("abcdefghij", at):
        left.text(column, row, letter, ha="center", va="center", color="white", weight="bold", fontsize=11)
    left.set_axis_off()
    for i, letter in enumerate("abcdefghij"):
        x, y = (i // 5) * 6, -(i % 5) * 1.25
        right.text(x - 0.7, y, letter, weight="bold", va="center", ha="right")
        for k in range(4):
            colour = colours[i, k] / 255
            right.add_patch(Rectangle((x + k * 1.1 - 0.5, y - 0.45), 1, 0.9, facecolor=colour, edgecolor=QUIET))
            dark = colour @ [0.3, 0.6, 0.1] < 0.55
            right.text(x + k * 1.1, y, str(k + 1), ha="center", va="center", fontsize=9, color="white" if dark else INK)
    right.set(xlim=(-1.6, 10.6), ylim=(-5.7, 0.8))
    right.set_axis_off()
    return finish(
        drawing, "An unseen drawing with ten hidden pixels, a to j, and four candidate colours for each, 1 to 4."
    )


def game_bits(exhibits: dict[str, np.ndarray], choices: str, belief: float) -> tuple[float, float]:
    """Return the bits (yours, the model's) for the ten hidden pixels.

    choices: ten digits 1 to 4; belief: the share given to each choice, .25 to .99, the rest shared equally.
    Raises Refused for other choices or beliefs.
    """
    truth, model = exhibits["game_truth"], exhibits["game_model"]
    if len(choices) != len(truth) or set(choices) - set("1234"):
        raise Refused(f"The choices are {choices!r}, but must be {len(truth)} digits from 1 to 4.")
    if not 0.25 <= belief <= 0.99:
        raise Refused(f"The belief is {belief}, but must lie between 0.25 and 0.99.")
    right = np.array([int(c) - 1 for c in choices]) == truth
    yours = -np.log2(np.where(right, belief, (1 - belief) / 3)).sum()
    return float(yours), float(-np.log2(model[np.arange(len(truth)), truth]).sum())


def layers_in_words(table: pd.DataFrame, factors: tuple[str, ...] = ("group", "style"), arm: str = "drawings") -> str:
    """Return what the probes found, one line a factor: the layer chosen on validation, and its floors."""
    labels = "all" if arm == "drawings" else "few"
    lines = []
    for factor in factors:
        best = {
            weights: value(table, "probe_best", factor=factor, weights=weights, arm=arm, labels=labels)
            for weights in ("trained", "random", "pixels")
        }
        chance = value(table, "chance", factor=factor, arm=arm)
        lines.append(
            f"{factor:6} iGPT {best['trained']:.2f}   untrained {best['random']:.2f}   "
            f"raw pixels {best['pixels']:.2f}   chance {chance:.2f}"
        )
    return "\n".join(lines)


def pools_in_words(table: pd.DataFrame) -> str:
    """Return mean against attention pooling on scenes, one line a factor, for the largest net."""
    lines = []
    for factor in ("colour", "style", "shape"):
        mean, attention = (value(table, "probe_pool", factor=factor, pool=pool) for pool in ("mean", "attention"))
        chance = value(table, "chance", factor=factor, arm="large")
        lines.append(f"{factor:6} mean pooling {mean:.2f}   attention pooling {attention:.2f}   chance {chance:.2f}")
    return "\n".join(lines)
