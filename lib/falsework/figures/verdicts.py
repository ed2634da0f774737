"""Figures of 10_verdicts: the arch of claims, and what was guessed beside what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from matplotlib.patches import Patch, Polygon

from falsework.figures import INK, QUIET, STATE_COLOURS, STATE_HATCHES, Figure, canvas, finish


def _stone(a: float, b: float, inner: float, outer: float) -> np.ndarray:
    """Return the corners of a stone of the arch between angles a and b (radians), as a polygon with curved sides."""
    arc = np.linspace(a, b, 60)
    ring = np.stack([np.cos(arc), np.sin(arc)], 1)
    return np.concatenate([outer * ring, inner * ring[::-1]])


def arch(states: Mapping[str, str], primary: set[str]) -> Figure:
    """Return the arch: one stone a claim in talk order, coloured and hatched by verdict, primary ones larger.

    states: verdict by claim id. The timber below is the falsework: what holds an arch until it stands alone.
    """
    drawing, axes = canvas(11, 6.4)
    ax = axes[0, 0]
    weight = np.array([1.45 if c in primary else 1.0 for c in states])
    edges = np.pi * (1 - np.concatenate([[0], np.cumsum(weight)]) / weight.sum())
    for x in np.linspace(-0.6, 0.6, 5):
        ax.plot([x, x], [0, np.sqrt(0.7**2 - x**2)], color="#e3d5bf", lw=5, solid_capstyle="butt", zorder=0)
    for y in (0.18, 0.4):
        half = np.sqrt(0.68**2 - y**2)
        ax.plot([-half, half], [y, y], color="#e3d5bf", lw=4, zorder=0)
    ax.add_patch(Polygon(_stone(np.pi, 0, 0.68, 0.715), closed=True, facecolor="#d5c2a3", edgecolor="none"))
    for claim, a, b in zip(states, edges, edges[1:]):
        state, outer = states[claim], 1.13 if claim in primary else 1.05
        outline = state == "interpretive"
        look = {
            "facecolor": STATE_COLOURS[state],
            "edgecolor": QUIET if outline or state == "not judged" else "white",
            "lw": 1.0,
            "ls": "--" if outline else "-",
        }
        # The name stands on a plain foot, for letters on a hatch cannot be read.
        for inner, hatch in ((0.73, ""), (0.93, STATE_HATCHES[state])):
            if hatch or inner < 0.9:
                ax.add_patch(Polygon(_stone(a - 0.004, b + 0.004, inner, outer), closed=True, hatch=hatch, **look))
        middle, turn = (a + b) / 2, np.degrees((a + b) / 2)
        ax.text(
            0.83 * np.cos(middle),
            0.83 * np.sin(middle),
            claim,
            rotation=turn if turn <= 90 else turn - 180,
            ha="center",
            va="center",
            fontsize=11 if claim in primary else 9.5,
            weight="bold" if claim in primary else "normal",
            color="white" if state in ("supported", "refuted", "exact") else INK,
        )
    counts = Counter(states.values())
    handles = [
        Patch(facecolor=STATE_COLOURS[s], hatch=STATE_HATCHES[s], edgecolor=QUIET, label=f"{s} ({counts[s]})")
        for s in STATE_COLOURS
        if counts[s]
    ]
    ax.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, -0.1),
        ncols=len(handles),
        fontsize=10,
        handleheight=1.4,
    )
    ax.set(xlim=(-1.16, 1.16), ylim=(-0.02, 1.16), aspect="equal")
    ax.set_axis_off()
    words = ", ".join(f"{n} {s}" for s, n in counts.items())
    return finish(drawing, f"The arch of verdicts, one stone a claim in the order of the talk: {words}.")


def guesses(rows: list[tuple[str, float, float]]) -> Figure:
    """Return the reader's guesses beside the measured numbers; rows of (question, guess, measured), both 0 to 100."""
    drawing, axes = canvas(9, 0.9 + 0.6 * max(1, len(rows)))
    ax = axes[0, 0]
    for y, (_, guess, found) in enumerate(rows):
        ax.plot([guess, found], [y, y], color=QUIET, lw=1)
        ax.plot(guess, y, "o", color=STATE_COLOURS["undecided"], ms=11, label="your guess" if not y else None)
        ax.plot(found, y, "D", color=STATE_COLOURS["exact"], ms=9, label="measured" if not y else None)
    ax.set(
        yticks=range(len(rows)),
        yticklabels=[q for q, *_ in rows],
        xlim=(-2, 102),
        ylim=(-0.6, len(rows) - 0.4),
        xlabel="of 100",
    )
    ax.legend(fontsize=9)
    words = "; ".join(f"{q}: guessed {g:.0f}, measured {m:.0f}" for q, g, m in rows)
    return finish(drawing, f"Your guesses beside the evidence. {words}.")
