"""Figures of 04_captioners: the swap test, who passes it, what else each learns, and sentences written by a net."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from falsework.figures import INK, PAPER, QUIET, SERIES, Figure, canvas, finish
from falsework.figures.clip import points

HUES = {
    "captioner": SERIES[3],
    "clip": SERIES[0],
    "cappa": SERIES[4],
    "labels": SERIES[2],
    "captioner_ultra": SERIES[3],
    "clip_ultra": SERIES[0],
}
WORDS = {
    "captioner": "captioner",
    "cappa": "captioner, all words at once",
    "clip": "CLIP",
    "captioner_ultra": "captioner, longer captions",
    "clip_ultra": "CLIP, longer captions",
    "clip_bag": "CLIP that hears a bag of words",
    "bag_of_words": "bag of words",
    "blind": "captioner, blindfolded",
    "labels": "supervised",
}
ARMS = ("captioner", "captioner_ultra", "cappa", "clip", "clip_ultra", "clip_bag", "bag_of_words", "blind")
NAMED = ("shape", "shape_2", "colour", "colour_2", "style", "style_2", "relation")
UNNAMED = ("lane", "background", "floor", "light")
SHORT = {"captioner": "captioner", "clip": "CLIP", "clip_bag": "bag"}
HEADS = {"captioner": "captioner", "cappa": "all at once", "captioner_ultra": "longer captions"}


def swap_test(
    pictures: np.ndarray, captions: np.ndarray, prefers: Mapping[str, np.ndarray], pairs: Sequence[int]
) -> Figure:
    """Return the signature figure: pairs of pictures, two sentences of the same words, ticks and crosses.

    pictures: uint8 (2N, S, S, 3), of pair k the pictures 2k and 2k + 1; captions: (2N, 2), each picture's own first;
    prefers: arm -> float (2N,), above 0 when the arm likes the picture's own sentence better.
    """
    columns = 2
    rows = -(-len(pairs) // columns)
    drawing, axes = canvas(11.5, 2.75 * rows, nrows=rows, ncols=columns, gridspec_kw={"hspace": 0.12, "wspace": 0.06})
    for ax in axes.flat:
        ax.set(xlim=(0, 10), ylim=(5.4, 0))
        ax.set_axis_off()
    right = dict.fromkeys(prefers, 0)
    for ax, pair in zip(axes.flat, pairs):
        for k in (0, 1):
            i, left = 2 * pair + k, 5.05 * k
            ax.imshow(pictures[i], extent=(left, left + 2.2, 2.35, 0.15), interpolation="nearest", aspect="auto")
            sentence = textwrap.fill(str(captions[i][0]), 34)
            ax.text(left, 2.6, sentence, fontsize=8.5, va="top", color=INK, linespacing=1.15)
            for row, (arm, liked) in enumerate(prefers.items()):
                same = abs(liked[i]) < 1e-4  # to this listener both sentences are one
                right[arm] += int(liked[i] > 0 and not same)
                y = 0.45 + 0.55 * row
                mark, hue = ("=", QUIET) if same else ("✓", SERIES[2]) if liked[i] > 0 else ("✗", SERIES[1])
                ax.text(left + 2.4, y, mark, color=hue, fontsize=13, weight="bold", va="center")
                ax.text(left + 2.85, y, SHORT[arm], fontsize=9, va="center", color=QUIET)
        ax.set_ylim(3.75, 0)
    told = "; ".join(f"{WORDS[arm]} right on {n} of {2 * len(pairs)} pictures" for arm, n in right.items())
    return finish(drawing, f"The swap test: pairs of pictures whose two sentences have the same words. {told}.")


def binding(table: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Return the share of swaps told apart, by arm: a mark for each thing that is swapped, a line at the coin's .5.

    table: rows of the measures binding and swaps.
    """
    rows = table[table["metric"].isin(["binding_accuracy", "shape_binding"])]
    drawing, axes = canvas(10.5, 0.62 * len(arms) + 1.0)
    ax = axes[0, 0]
    marks = {"colour": ("o", "full"), "style": ("s", "none"), "shape in place": ("D", "full")}
    words = []
    for y, arm in enumerate(arms):
        for k, (attribute, (mark, fill)) in enumerate(marks.items()):
            own = rows[(rows["arm"] == arm) & (rows["attribute"] == attribute)]
            published, mine = (own[own["source"] == source] for source in ("published", "yours"))
            at, hue = y - 0.22 + 0.22 * k, HUES.get(arm, QUIET)
            if len(published):
                (_, mean, low, high) = points(published.assign(place=0.0), "place")[0]
                ax.plot([low, high], [at, at], color=hue, lw=2.5, alpha=0.4)
                ax.plot(mean, at, mark, color=INK if k == 2 else hue, ms=7, fillstyle=fill, mew=1.8)
                words.append(f"{WORDS[arm]}, {attribute} swapped: {mean:.2f}")
            if len(mine):
                ax.plot(mine["value"].mean(), at, "*", color=SERIES[1], ms=12, mec=PAPER, zorder=5)
    ax.axvline(0.5, color=QUIET, ls=":", lw=1.5)
    ax.text(0.503, -0.62, "a coin", color=QUIET, fontsize=9)
    for attribute, (mark, fill) in marks.items():
        words_of = attribute.replace("shape in place", "shape, each look stays in its place")
        ax.plot([], [], mark, color=INK, fillstyle=fill, mew=1.8, ls="", label=f"swapped: {words_of}")
    ax.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3)
    ax.set(xlim=(0.42, 1.02), ylim=(len(arms) - 0.5, -0.75), xlabel="pictures whose own sentence is preferred")
    ax.set_yticks(range(len(arms)), [WORDS[a] for a in arms])
    return finish(drawing, f"The swap test. {'; '.join(words)}.")


def probes(table: pd.DataFrame, named: Sequence[str], unnamed: Sequence[str], arms: Sequence[str], pool: str) -> Figure:
    """Return what linear probes read from each tower, factor by factor; a tick marks chance."""
    published = table[(table["source"] == "published") & (table["metric"] == "probe_accuracy")]
    published = published[published["pool"] == pool]
    factors = [*named, *unnamed]
    drawing, axes = canvas(10.5, 0.36 * len(factors) + 1.2)
    ax = axes[0, 0]
    words = []
    for y, factor in enumerate(factors):
        at = y + (0.6 if factor in unnamed else 0)
        own = published[published["factor"] == factor]
        ax.plot(own["chance"].mean(), at, "|", color=QUIET, ms=14, mew=2)
        for arm in arms:
            rows = own[own["arm"] == arm]
            if len(rows):
                (_, mean, low, high) = points(rows.assign(place=0.0), "place")[0]
                ax.plot([low, high], [at, at], color=HUES[arm], lw=1.5, alpha=0.35)
                ax.plot(mean, at, "o", color=HUES[arm], ms=9, label=WORDS[arm] if y == 0 else None)
                words.append(f"{factor}, {WORDS[arm]}: {mean:.2f}")
    places = [y + (0.6 if f in unnamed else 0) for y, f in enumerate(factors)]
    ax.set_yticks(places, [f.replace("_2", " of the second") for f in factors])
    ax.axhline(len(named) - 0.2, color=QUIET, lw=0.8, ls=":")
    ax.text(1.0, len(named) - 0.35, "captions name", ha="right", fontsize=9, color=QUIET)
    ax.text(1.0, len(named) + 0.1, "captions never name", ha="right", fontsize=9, color=QUIET)
    ax.set(xlim=(0, 1.02), ylim=(len(factors) + 0.4, -0.6), xlabel=f"share read rightly by a probe, {pool} pooling")
    ax.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=len(arms))
    return finish(drawing, f"What probes read from each tower. {'; '.join(words)}.")


def told(pictures: np.ndarray, sentences: Sequence[str], truths: Sequence[str], columns: int = 4) -> Figure:
    """Return pictures over the sentences a captioner wrote; words that are wrong stand in red."""
    rows = -(-len(pictures) // columns)
    drawing, axes = canvas(11, 3.3 * rows, nrows=rows, ncols=columns, gridspec_kw={"hspace": 0.42, "wspace": 0.12})
    count = 0
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, picture_SS3, said, truth in zip(axes.flat, pictures, sentences, truths):
        ax.imshow(picture_SS3, interpolation="nearest")
        side, x, y = picture_SS3.shape[0], 0.0, picture_SS3.shape[0] * 1.06
        own = str(truth).split()
        for k, word in enumerate(str(said).split()):
            good = k < len(own) and own[k] == word
            count += not good
            width = (len(word) + 1) * side * 0.034
            if x + width > side * 1.08:
                x, y = 0.0, y + side * 0.1
            ax.text(x, y, word, fontsize=8.5, family="monospace", color=INK if good else SERIES[1])
            x += width
    said = "; ".join(map(str, sentences))
    return finish(drawing, f"Sentences written by a captioner under the pictures it saw, {count} words wrong. {said}.")


def told_in_words(table: pd.DataFrame) -> str:
    """Return a line for each fact: how often captioners that write by themselves say it rightly."""
    own = table[(table["source"] == "published") & (table["metric"] == "told_right")]
    arms = [a for a in HEADS if a in set(own["arm"])]
    lines = [f"{'said rightly':22}" + "".join(f"{HEADS[a]:>17}" for a in arms)]
    for factor in NAMED:
        means = [own[(own["arm"] == a) & (own["factor"] == factor)]["value"].mean() for a in arms]
        lines.append(f"{factor.replace('_2', ' of the second'):22}" + "".join(f"{m:17.2f}" for m in means))
    return "\n".join(lines)
