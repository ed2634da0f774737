"""Figures of 06_dalle2: the vendor matrix, what an embedding keeps and what only the noise, edits by words, walks.

Marks and lines are means over the published seeds with their t interval, a star is yours; where nothing is published,
yours stands in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from falsework.core.errors import Refused
from falsework.figures import INK, PAPER, QUIET, SERIES, Figure, canvas, enlarge, finish
from falsework.figures.noise import curve, foot, level, pick, sides, star

BLUE, RED, TEAL, AMBER = SERIES[:4]
FACTS = {"nudge_x": "a pixel left or right", "nudge_y": "a pixel up or down", "background": "wall", "position": "place"}
SETS = {
    "twemoji": "Twemoji",
    "noto": "Noto",
    "notoblob": "Noto blob",
    "fluentflat": "Fluent flat",
    "fluent3d": "Fluent 3D",
    "emojitwo": "EmojiTwo",
}
HOW: dict[str, tuple[str, dict[str, Any]]] = {
    "with_noise": ("drawn again, its own noise", {"marker": "o", "color": BLUE, "ms": 11}),
    "without_noise": ("drawn again, fresh noise", {"marker": "o", "color": PAPER, "ms": 9.5, "mec": RED, "mew": 2.4}),
    "probe": ("read off the embedding", {"marker": "|", "color": INK, "ms": 20, "mew": 3}),
    "untrained": ("before the lessons", {"marker": "|", "color": AMBER, "ms": 15, "mew": 2.5}),
    "chance": ("chance", {"marker": "|", "color": QUIET, "ms": 10, "mew": 2}),
}
WAYS = {
    "picture": ("the embedding of such a picture", BLUE, "o"),
    "prior": ("the prior's guess at it", TEAL, "D"),
    "caption": ("the caption's own, fed directly", RED, "X"),
}
OF = {"target": ("the style that was asked for", AMBER), "offtarget": ("the other six facts", BLUE)}
ASKED = {
    "unclip": "a difference of words",
    "image_difference": "a difference of mean pictures",
    "image_mean": "a mean picture",
    "random_direction": "a random direction",
}
CLIPS = {
    "clip_mixed": "one caption in three names the set",
    "clip_named": "every caption names it",
    "clip_sisters": "every caption names it, and each drawing meets its sister",
}


def fact(name: str) -> str:
    """Return a factor in plain words."""
    return FACTS.get(name, name)


# ---- pictures in rows


def gallery(
    rows: Mapping[str, np.ndarray], heads: Sequence[str] = (), alt: str = "", times: int = 4, bold: Sequence[str] = ()
) -> Figure:
    """Return pictures, uint8 (N, S, S, 3) in each row, under their heads; the row's name stands on its left.

    Raises Refused for rows of different lengths, and for as many heads as there are not columns.
    """
    counts = {len(pictures) for pictures in rows.values()}
    if len(counts) != 1 or (heads and len(heads) != min(counts)):
        given = ", ".join(f"{len(p)} in {name!r}" for name, p in rows.items())
        raise Refused(
            f"The rows hold {given}, under {len(heads)} heads, but must hold as many each as there are heads."
        )
    side, gap = next(iter(rows.values())).shape[1] * times, 8
    strips = [np.concatenate([_framed(enlarge(x, times), gap) for x in pictures], 1) for pictures in rows.values()]
    page = np.concatenate(strips)
    wide = 11.5
    high = wide * 0.86 * len(page) / page.shape[1]
    drawing, axes = canvas(
        wide,
        high + 0.35 * bool(heads),
        gridspec_kw={"left": 0.14, "right": 1, "bottom": 0, "top": 1 - 0.3 / (high + 0.35)},
    )
    ax = axes[0, 0]
    ax.imshow(page, aspect="auto")
    ax.axis("off")
    for k, name in enumerate(rows):
        look = {"ha": "right", "va": "center", "fontsize": 11, "weight": "bold" if name in bold else "normal"}
        ax.text(-gap, (k + 0.5) * (side + gap), name, **look)
    for k, head in enumerate(heads):
        ax.text((k + 0.5) * (side + gap), -gap, head, ha="center", va="bottom", fontsize=11)
    return finish(drawing, alt or f"{len(rows)} rows of {min(counts)} pictures: {'; '.join(rows)}.")


def _framed(image: np.ndarray, gap: int) -> np.ndarray:
    return np.pad(image, ((gap // 2, gap - gap // 2), (gap // 2, gap - gap // 2), (0, 0)), constant_values=255)


def matrix(exhibits: Mapping[str, np.ndarray], name: str) -> Figure:
    """Return the signature figure: one held-out concept in six sets; real, moved keeping the noise, moved without it.

    exhibits: matrix_real, matrix_with_noise, matrix_without_noise, uint8 (6, S, S, 3); the first column is the start.
    """
    rows = {
        "real": exhibits["matrix_real"],
        "moved,\nits own noise": exhibits["matrix_with_noise"],
        "moved,\nfresh noise": exhibits["matrix_without_noise"],
    }
    alt = (
        f"Vendor matrix of {name!r}, a concept that training never showed. Top: as six sets draw it. Middle: the Twemoji "
        "drawing moved to each set by a difference of words, drawn from its own noise. Bottom: the same from fresh noise."
    )
    return gallery(rows, list(SETS.values()), alt, times=5, bold=("real",))


# ---- what an embedding keeps


def kept(table: pd.DataFrame) -> Figure:
    """Return what is there again when scenes are drawn from their embeddings, fact by fact, from own and fresh noise.

    table: rows kept (how, factor), embedding_holds (of, factor). Facts that captions name first, the others below.
    """
    rows, holds = pick(table, "kept"), pick(table, "embedding_holds")
    order = list(dict.fromkeys(rows["factor"]))
    drawing, axes = canvas(10, 0.47 * len(order) + 1.5)
    ax, told = axes[0, 0], []
    for y, factor in enumerate(order):
        own = rows[rows["factor"] == factor]
        found = {"chance": float(own["chance"].iloc[0])}
        for mark, of in (("probe", "trained"), ("untrained", "untrained")):
            found[mark] = level(holds[(holds["factor"] == factor) & (holds["of"] == of)])[0]
        for how in ("with_noise", "without_noise"):
            found[how], low, high = level(own[own["how"] == how])
            look, mine = HOW[how][1], sides(own[own["how"] == how])[1]
            hue = look.get("mec", look["color"])
            ax.plot([max(low, 0), min(high, 1)], [y, y], color=hue, lw=2.5, alpha=0.5)
            if len(mine):
                star(ax, mine["value"].mean(), y + 0.28, hue, ms=10)
        for how in ("chance", "untrained", "probe", "with_noise", "without_noise"):
            ax.plot(found[how], y, ls="", zorder=4 + (how == "without_noise"), **HOW[how][1])
        told.append(f"{fact(factor)}: " + ", ".join(f"{HOW[h][0]} {found[h]:.2f}" for h in HOW))
    for words, look in HOW.values():
        ax.plot([], [], ls="", label=words, **look)
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.42, 1.0), ncols=5, handletextpad=0.2, columnspacing=1.2, fontsize=10
    )
    named = len(order) - sum(f.startswith("nudge") for f in order)
    ax.axhline(named - 0.5, color=QUIET, lw=0.9, ls=":")
    ax.text(1.03, named - 0.5, "captions never name\nwhat is below", va="center", fontsize=9.5, color=QUIET)
    ax.set_yticks(range(len(order)), [fact(f) for f in order])
    ax.set(xlim=(0, 1.02), ylim=(len(order) - 0.4, -0.6), xlabel="share of pictures in which it is right")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    foot(drawing, rows)
    return finish(drawing, "What is there again when a scene is drawn from its embedding. " + "; ".join(told) + ".")


def edits(table: pd.DataFrame) -> Figure:
    """Return how an edit by words goes along its weight, from the scene's own noise (left) and from fresh noise (right).

    table: rows edited (arm, noise, of, weight). Dotted: what was never named, half of which comes right by chance.
    """
    rows = pick(table, "edited", arm="unclip")
    chosen = float(pick(table, "weight")["value"].mean())
    drawing, axes = canvas(10.5, 4.2, ncols=2, sharey=True)
    told = []
    for ax, (noise, title) in zip(axes[0], (("with_noise", "its own noise"), ("without_noise", "fresh noise"))):
        own = rows[rows["noise"] == noise]
        for of, (words, hue) in OF.items():
            line = curve(ax, own[own["of"] == of], "weight", hue, label=words)
            told.append(f"{words}, {title}: {_listed(line)}")
        line = curve(ax, own[own["of"] == "nuisance"], "weight", QUIET, ls=":", ms=4, label="what no caption names")
        told.append(f"what no caption names, {title}: {_listed(line)}")
        ax.axvline(chosen, color=INK, lw=0.8, ls=":")
        ax.set(title=title, xlabel="weight of the words", ylim=(0, 1.03))
    axes[0, 0].set_ylabel("share of pictures")
    axes[0, 0].legend(loc="lower center", bbox_to_anchor=(1.05, 1.1), ncols=3, fontsize=10)
    foot(drawing, rows)
    return finish(
        drawing,
        f"Edits along their weight; dotted, the mean of those chosen, {chosen:.2f}. {'; '.join(told)}.",
    )


def _listed(line: Mapping[float, float]) -> str:
    return ", ".join(f"{v:.2f} at {x:.1f}" for x, v in line.items())


def controls(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return a row for each way to ask for a style: how often it came, and what stayed; means over the published seeds."""
    out = []
    for arm, words in ASKED.items():
        hit, rest = (level(pick(table, m, arm=arm))[0] for m in ("target_success", "offtarget_kept"))
        out.append({"asked by": words, "the style came": f"{hit:.2f}", "the rest stayed": f"{rest:.2f}"})
    return out


def captions(table: pd.DataFrame) -> Figure:
    """Return how right a caption is drawn: through the prior, from its own embedding, and from that of such a picture.

    table: rows drawn_right (how, factor).
    """
    rows = pick(table, "drawn_right")
    order = list(dict.fromkeys(rows["factor"]))
    drawing, axes = canvas(9.5, 0.46 * len(order) + 1.4)
    ax, told = axes[0, 0], []
    for how, (words, hue, marker) in WAYS.items():
        means = {}
        for y, factor in enumerate(order):
            own = rows[(rows["how"] == how) & (rows["factor"] == factor)]
            means[factor], low, high = level(own)
            hollow = {"color": PAPER, "mec": hue, "mew": 2.2} if how == "prior" else {"color": hue}
            ax.plot([max(low, 0), min(high, 1)], [y, y], color=hue, lw=2.5, alpha=0.5)
            ax.plot(means[factor], y, marker=marker, ms=9, ls="", label=words if not y else None, zorder=5, **hollow)
            mine = sides(own)[1]
            if len(mine):
                star(ax, mine["value"].mean(), y + 0.28, hue, ms=10)
        told.append(f"{words}: " + ", ".join(f"{fact(f)} {v:.2f}" for f, v in means.items()))
    ax.legend(loc="lower center", bbox_to_anchor=(0.42, 1.0), ncols=3, handletextpad=0.2, fontsize=10)
    ax.set_yticks(range(len(order)), [fact(f) for f in order])
    ax.set(xlim=(0, 1.03), ylim=(len(order) - 0.4, -0.6), xlabel="share of drawings in which it is as the caption says")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    foot(drawing, rows)
    return finish(drawing, f"How right a caption is drawn, by what the decoder is given. {'; '.join(told)}.")


# ---- real drawings


def held_out(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return what judges see in drawings of new concepts and of known ones, by how they were drawn."""
    words = {
        "real": "the real drawings",
        "with_noise": "drawn again from their own noise",
        "without_noise": "drawn again from fresh noise",
        "shuffled": "drawn from another's embedding",
        "prior": "drawn from name and set, by the prior",
        "caption": "drawn from the caption's own embedding",
    }
    out = []
    for how, said in words.items():
        row = {"": said}
        for part, about in (("test", "new concept"), ("train", "known concept")):
            for metric, what in (("concept_kept", "named, of 32"), ("style_kept", "set, of six")):
                rows = pick(table, metric, needed=False, part=part, how=how)
                seeds = rows.groupby(["source", "seed"], as_index=False)["value"].mean()
                row[f"{about}: {what}"] = f"{level(seeds)[0]:.2f}" if len(rows) else ""
        out.append(row)
    return out


def moved(table: pd.DataFrame, part: str = "style_concept") -> Figure:
    """Return how drawings move to another set along the weight of the words: the set, the concept, and what stays in place.

    table: rows edited (arm, part, noise, of, weight, item). Levels: the real drawings, and the starts.
    """
    rows = pick(table, "edited", part=part)
    rows = rows.assign(weight=pd.to_numeric(rows["weight"], errors="coerce"))
    means = rows.groupby(["source", "seed", "arm", "noise", "of", "weight"], dropna=False, as_index=False)[
        "value"
    ].mean()
    drawing, axes = canvas(10.5, 4.2, ncols=2, sharey=True)
    told, hues = [], {"target": AMBER, "concept": BLUE}
    said = {"target": "read as the set asked for", "concept": "still named rightly, of 32"}
    for ax, (noise, title) in zip(axes[0], (("with_noise", "its own noise"), ("without_noise", "fresh noise"))):
        for of, hue in hues.items():
            own = means[(means["arm"] == "unclip") & (means["noise"] == noise) & (means["of"] == of)]
            line = curve(ax, own, "weight", hue, label=said[of])
            told.append(f"{said[of]}, {title}: {_listed(line)}")
            real = level(means[(means["arm"] == "real") & (means["of"] == of)])[0]
            _rule(ax, real, hue, f"real {real:.2f}" if noise == "without_noise" else "")
        ax.set(title=title, xlabel="weight of the words", ylim=(0, 1.03))
    axes[0, 0].set_ylabel("share of drawings")
    axes[0, 0].legend(loc="lower center", bbox_to_anchor=(1.05, 1.1), ncols=2, fontsize=10)
    foot(drawing, means, "dashed: real drawings of that set")
    return finish(drawing, "Drawings moved to another set along the weight of the words. " + "; ".join(told) + ".")


def _rule(ax: Axes, at: float, hue: str, words: str) -> None:
    ax.axhline(at, color=hue, lw=1, ls="--", alpha=0.8)
    if words:
        ax.text(1.01, at, words, transform=ax.get_yaxis_transform(), va="center", fontsize=9, color=hue)


def styles(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return a row for each CLIP: how much of a set its embedding holds, and what it cost in names."""
    out = []
    for arm, words in CLIPS.items():
        new, seen = (level(pick(table, "concept_named", arm=arm, part=part))[0] for part in ("test", "style_concept"))
        out.append(
            {
                "what CLIP heard of sets": words,
                "set, by a linear probe": f"{level(pick(table, 'style_probe', arm=arm))[0]:.2f}",
                "set, by words": f"{level(pick(table, 'style_named', arm=arm, part='test'))[0]:.2f}",
                "known concepts, of 32": f"{seen:.2f}",
                "new concepts, of 32": f"{new:.2f}",
            }
        )
    return out
