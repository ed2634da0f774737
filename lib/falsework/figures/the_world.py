"""Figures of 00_the_world: the drawings, the caption levels, the melting picture, the two ends of the ladder."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from falsework.core.errors import Refused
from falsework.figures import INK, QUIET, SERIES, Figure, canvas, finish, picture, sheet

BLANK = (5.0, 7.0, 10.0)  # the noise levels the reader fills in; 08 shows them


def six_sets(pictures: np.ndarray, names: Sequence[str], styles: Sequence[str]) -> Figure:
    """Return a table of drawings, one column a concept, one row a set; pictures uint8 (rows, columns, S, S, 3)."""
    rows, columns = pictures.shape[:2]
    drawing, axes = canvas(
        11, 11 / columns * rows, nrows=rows, ncols=columns, gridspec_kw={"wspace": 0.08, "hspace": 0.08}
    )
    for r in range(rows):
        for c in range(columns):
            ax = axes[r, c]
            ax.imshow(pictures[r, c], interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set_visible(False)
        axes[r, 0].set_ylabel(styles[r], fontsize=10, rotation=0, ha="right", va="center")
    for c in range(columns):
        axes[0, c].set_title(textwrap.fill(names[c], 12), fontsize=10, loc="center", weight="normal")
    return finish(drawing, f"{columns} concepts ({', '.join(names)}), each drawn by {rows} sets: {', '.join(styles)}.")


def caption_levels(image: np.ndarray, captions: Mapping[str, str], bits: Mapping[str, float]) -> Figure:
    """Return one drawing beside its captions from nothing to nine cells, with the bits each tells on average."""
    drawing, axes = canvas(11, 4.4, ncols=2, width_ratios=[1, 3.2])
    axes[0, 0].imshow(image, interpolation="nearest")
    axes[0, 0].set_axis_off()
    ax = axes[0, 1]
    y = 0.0
    for level, text in captions.items():
        lines = textwrap.wrap(text or "(nothing)", 58)
        ax.text(0, y, level, weight="bold", va="top", fontsize=11, color=SERIES[0])
        ax.text(0.16, y, "\n".join(lines), va="top", fontsize=10, color=INK if text else QUIET, linespacing=1.25)
        ax.text(1.0, y, f"{bits[level]:.1f} bits", va="top", ha="right", fontsize=10, color=SERIES[1])
        y -= 0.075 + 0.062 * len(lines)
    ax.set(xlim=(0, 1), ylim=(y, 0.02))
    ax.set_axis_off()
    words = "; ".join(f"{level}, {bits[level]:.1f} bits: {text or 'nothing'}" for level, text in captions.items())
    return finish(drawing, f"One drawing and its captions. {words}.")


def narrowing(steps: Sequence[tuple[str, int]], left: np.ndarray, columns: int = 12) -> Figure:
    """Return the counter of drawings still possible after each word, and the drawings that are left (at most 24)."""
    drawing, axes = canvas(11, 3.6, ncols=2, width_ratios=[1, 1.25])
    ax, rest = axes[0]
    counts = [n for _, n in steps]
    ax.plot(range(len(steps)), np.log2(np.maximum(counts, 1)), "o-", color=SERIES[0], lw=2)
    for i, (_, n) in enumerate(steps):
        ax.annotate(f"{n:,}", (i, np.log2(max(n, 1))), (4, 6), textcoords="offset points", fontsize=10)
    ax.set_xticks(range(len(steps)), [w for w, _ in steps], rotation=20, ha="right")
    ax.set(ylabel="bits still missing", ylim=(0, None), title="drawings still possible")
    shown = sheet(left[:24], min(columns, 8), times=2, gap=4)
    rest.imshow(shown, interpolation="nearest")
    rest.set_axis_off()
    rest.set_title("what the words leave", fontsize=12)
    said = ", ".join(f"{w}: {n:,}" for w, n in steps)
    return finish(drawing, f"Drawings still possible after each word. {said}.")


def melting(
    pictures: np.ndarray,
    sigmas: Sequence[float],
    words: Sequence[str],
    ink: np.ndarray,
    guess: np.ndarray | None = None,
) -> Figure:
    """Return the signature figure: one drawing in rising noise, each caption word inked by its exact probability.

    pictures: uint8 (L, S, S, 3); ink: (words, L), 0 to 1; levels in BLANK stay blank, or show `guess` (words, 3).
    Raises Refused for a guess of another shape or outside 0 to 1.
    """
    hidden = [i for i, s in enumerate(sigmas) if s in BLANK]
    if guess is not None and (guess.shape != (len(words), len(hidden)) or guess.min() < 0 or guess.max() > 1):
        raise Refused(
            f"The guess has shape {guess.shape}, but must be {len(words)} x {len(hidden)} numbers from 0 to 1."
        )
    drawing, axes = canvas(12, 2.7, ncols=len(sigmas), gridspec_kw={"wspace": 0.05})
    for i, (ax, sigma) in enumerate(zip(axes[0], sigmas)):
        blank = i in hidden
        ax.imshow(np.full_like(pictures[i], 246) if blank else pictures[i], interpolation="nearest")
        if blank:
            ax.text(15.5, 15.5, "?", ha="center", va="center", fontsize=34, color="#c9d1d8")
        ax.set_axis_off()
        ax.set_title(f"σ = {sigma:g}", fontsize=11, loc="center", weight="normal")
        for w, word in enumerate(words):
            shade = float(ink[w, i]) if not blank else (float(guess[w, hidden.index(i)]) if guess is not None else 0.0)
            colour = SERIES[1] if blank else INK
            y = 35.5 + sum(0.9 + 4.3 * len(textwrap.wrap(x, 13)) for x in words[:w])
            if blank and guess is None:
                ax.add_patch(
                    Rectangle(
                        (2, y),
                        28,
                        4.0 * len(textwrap.wrap(word, 13)),
                        facecolor="#f1f4f6",
                        edgecolor="none",
                        clip_on=False,
                    )
                )
            ax.text(
                15.5,
                y,
                textwrap.fill(word, 13),
                ha="center",
                va="top",
                fontsize=10,
                weight="bold",
                color=colour,
                alpha=shade,
            )
        ax.set_ylim(32, -0.5)
    left, right = (
        ", ".join(f"{s:g}" for s in sigmas[: hidden[0]]),
        ", ".join(f"{s:g}" for s in sigmas[hidden[-1] + 1 :]),
    )
    middle = "your guess fills the middle" if guess is not None else "the middle is left blank"
    alt = (
        f"A drawing melts into noise. At sigma {left} its caption, {', '.join(words)}, stands in full ink; "
        f"at {right} it is gone; {middle}."
    )
    return finish(drawing, alt)


def two_ends(table: pd.DataFrame, total: float) -> Figure:
    """Return J, the bits that are left to say at each noise level, over the drawings, with the middle covered.

    table: rows of the information measure, arm "drawings"; total: the bits of telling one drawing from all.
    """
    rows = table[(table.metric == "J") & (table.arm == "drawings")].groupby("sigma")["value"].mean()
    drawing, axes = canvas(9, 3.6)
    ax = axes[0, 0]
    ax.plot(rows.index, rows, "o-", color=SERIES[0], lw=2)
    ax.axhline(total, color=QUIET, ls=":", lw=1)
    ax.text(rows.index.min(), total * 1.02, f"which of all the drawings: {total:.1f} bits", fontsize=9, color=QUIET)
    ax.axvspan(2.9, 23, color="#f1f4f6", zorder=3)
    ax.text(8.2, total * 0.5, "yours to draw", ha="center", fontsize=12, color=QUIET, zorder=4)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.set(xlabel="noise σ", ylabel="bits the noisy picture still holds", ylim=(0, total * 1.15))
    clean, noisy = rows.iloc[0], rows.iloc[-1]
    alt = (
        f"Bits that a noisy drawing still holds about which drawing it is: {clean:.1f} of {total:.1f} at the clean end, "
        f"{noisy:.2f} at the noisy end; the middle is covered."
    )
    return finish(drawing, alt)


def toy(sigma: np.ndarray, error: np.ndarray, told: np.ndarray) -> Figure:
    """Return the two-picture toy: error without and with the caption, in units of the noise, and the area between."""
    drawing, axes = canvas(9, 3.0)
    ax = axes[0, 0]
    ax.plot(sigma, error, color=SERIES[0], lw=2, label="nobody says which picture")
    ax.plot(sigma, told, color=SERIES[1], lw=2, label="the caption says which")
    ax.fill_between(sigma, told, error, color=SERIES[0], alpha=0.15)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.set(xlabel="noise σ", ylabel="error, in units of the noise", ylim=(0, None))
    ax.legend(fontsize=10)
    return finish(
        drawing,
        "The best guess's error with and without the caption, over noise; the area between is the caption's one bit.",
    )


def contact(images: np.ndarray, columns: int, times: int, alt: str) -> Figure:
    """Return pictures, uint8 (N, S, S, 3), as a contact sheet."""
    return picture(sheet(images, columns, times), alt)
