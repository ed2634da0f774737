"""Figures of 03_clip: two races on one axis of compute, a zero-shot classifier at work, and how far it travels."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from falsework.core.stats import t_interval
from falsework.figures import INK, PAPER, QUIET, SERIES, Figure, canvas, finish

HUES = {
    "clip": SERIES[0],
    "zero_shot": SERIES[0],
    "igpt": SERIES[1],
    "supervised": SERIES[2],
    "labels": SERIES[2],
    "captioner": SERIES[3],
    "bag_of_words": SERIES[4],
    "clip_cnn": SERIES[5],
}
WORDS = {
    "clip": "CLIP",
    "zero_shot": "CLIP, by name",
    "igpt": "iGPT",
    "supervised": "supervised",
    "labels": "supervised",
    "captioner": "captioner",
    "bag_of_words": "bag of words",
    "clip_cnn": "CLIP, convolutions",
}


def points(rows: pd.DataFrame, along: str) -> list[tuple[float, float, float, float]]:
    """Return (place, mean, low, high) over seeds for each place of a column; one seed has no interval."""
    out = []
    for place, at in rows.groupby(along):
        seeds = at.groupby("seed")["value"].mean().to_numpy()
        found = t_interval(seeds) if len(seeds) > 1 else None
        mean = float(seeds.mean())
        out.append((float(place), mean, found.low if found else mean, found.high if found else mean))
    return out


def races(table: pd.DataFrame, factors: Mapping[str, Sequence[str]]) -> Figure:
    """Return the signature figure: probe accuracy along FLOPs, a panel for each kind of factor.

    table: rows of the efficiency measure. factors: panel title -> the factors that its lines are the mean of. Dashed:
    what the same network reads before any training.
    """
    drawing, axes = canvas(11, 4.6, ncols=len(factors), sharex=True)
    published = table[table["source"] == "published"]
    words = []
    for ax, (title, names) in zip(axes[0], factors.items()):
        for kind in ("igpt", "clip"):
            own = published[(published["arm"] == kind) & published["factor"].isin(names)]
            trained = own[own["metric"] == "probe_accuracy"]
            line = points(trained, "flops")
            x, y, low, high = (np.array(v) for v in zip(*line))
            ax.plot(x, y, "o-", color=HUES[kind], lw=2.5, ms=7)
            ax.fill_between(x, low, high, color=HUES[kind], alpha=0.15, lw=0)
            above = 1 if kind == "clip" else -1
            ax.annotate(
                WORDS[kind], (x[-1], y[-1]), (8, 4 * above), textcoords="offset points", color=HUES[kind], weight="bold"
            )
            seconds = trained.groupby("flops")["core_seconds"].mean()
            for place, value in zip(x, y):
                ax.annotate(
                    f"{seconds[place]:.0f} s",
                    (place, value),
                    (0, 11 if kind == "clip" else -18),
                    textcoords="offset points",
                    color=HUES[kind],
                    fontsize=8,
                    ha="center",
                )
            floor = own[(own["metric"] == "probe_floor") & (own["of"] == "untrained")]["value"].mean()
            ax.axhline(floor, color=HUES[kind], ls=":", lw=1.3)
            words.append(f"{title}: {WORDS[kind]} goes from {y[0]:.2f} to {y[-1]:.2f}, untrained {floor:.2f}")
            mine = table[(table["source"] == "yours") & (table["arm"] == kind) & table["factor"].isin(names)]
            mine = mine[mine["metric"] == "probe_accuracy"]
            if len(mine):
                stars = mine.groupby("flops")["value"].mean()
                ax.plot(stars.index, stars, "*", color=INK, ms=13, mec=PAPER, zorder=5, label="yours")
        ax.set(title=title, xscale="log", xlabel="training, in million million FLOPs")
        ticks = sorted(published.loc[published["arm"].isin(["igpt", "clip"]), "flops"].dropna().round(-11).unique())
        ax.set_xticks(ticks, [f"{t / 1e12:.1f}" for t in ticks])
        ax.minorticks_off()
        ax.margins(x=0.16, y=0.14)
    axes[0, 0].set_ylabel("share read rightly by a probe")
    drawing.text(
        0.5,
        -0.04,
        "Numbers at the points: core-seconds of training. Dotted: the same network before any training.",
        ha="center",
        color=QUIET,
        fontsize=9,
    )
    return finish(drawing, f"Two races on one axis of compute. {'; '.join(words)}.")


def learners(table: pd.DataFrame, named: Sequence[str], unnamed: Sequence[str]) -> Figure:
    """Return a heat table: five ways to learn from the same pictures at the same FLOPs, and what each can read."""
    published = table[table["source"] == "published"]
    all_of = published[(published["arm"] == "bag_of_words") & (published["metric"] == "probe_accuracy")]
    seed, share = all_of["seed"].iloc[0], all_of["share"].iloc[0]  # those that every learner has
    published = published[published["seed"] == seed]
    rows = published[(published["metric"] == "probe_accuracy") & (published["share"] == share)]
    kinds = [k for k in ("igpt", "clip", "captioner", "bag_of_words", "labels", "clip_cnn") if k in set(rows["arm"])]
    factors = [*named, *unnamed]
    grid = np.array(
        [[rows[(rows["arm"] == k) & (rows["factor"] == f)]["value"].mean() for f in factors] for k in kinds]
    )
    floors = published[published["metric"] == "probe_floor"]
    chance = np.array([floors[(floors["of"] == "chance") & (floors["factor"] == f)]["value"].mean() for f in factors])
    way = (grid - chance) / (1 - chance)
    drawing, axes = canvas(10.5, 0.55 * len(kinds) + 1.5)
    ax = axes[0, 0]
    ax.imshow(np.clip(way, 0, 1), cmap="BuGn", vmin=0, vmax=1.15, aspect="auto")
    for (r, c), value in np.ndenumerate(grid):
        ax.text(c, r, f"{value:.2f}", ha="center", va="center", color=PAPER if way[r, c] > 0.75 else INK, fontsize=10)
    ax.axvline(len(named) - 0.5, color=PAPER, lw=8)
    ax.set_xticks(range(len(factors)), [f"{f}\n(chance {x:.2f})" for f, x in zip(factors, chance)], fontsize=9)
    ax.set_yticks(range(len(kinds)), [WORDS[k] for k in kinds])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.text((len(named) - 1) / 2, -0.8, "captions name", ha="center", weight="bold")
    ax.text(len(named) + (len(unnamed) - 1) / 2, -0.8, "captions never name", ha="center", weight="bold")
    told = "; ".join(
        f"{WORDS[k]}: " + ", ".join(f"{f} {v:.2f}" for f, v in zip(factors, row)) for k, row in zip(kinds, grid)
    )
    return finish(drawing, f"What each learner reads at equal FLOPs, seed {seed:.0f}. {told}.")


def guesses(pictures: np.ndarray, names: Sequence[str], share_NK: np.ndarray, columns: int = 6, top: int = 3) -> Figure:
    """Return drawings, each over the names that a zero-shot classifier finds likeliest; share_NK: rows that sum to one."""
    rows = -(-len(pictures) // columns)
    drawing, axes = canvas(11, 2.75 * rows, nrows=rows, ncols=columns, gridspec_kw={"hspace": 0.75, "wspace": 0.35})
    words = []
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, picture_SS3, share_K in zip(axes.flat, pictures, share_NK):
        ax.imshow(picture_SS3, interpolation="nearest")
        best = np.argsort(-share_K, kind="stable")[:top]
        words.append(names[best[0]])
        side = picture_SS3.shape[0]
        for k, at in enumerate(best):
            y = side * (1.1 + 0.17 * k)
            _bar(ax, y, side, float(share_K[at]), names[at], k == 0)
    return finish(drawing, f"Drawings and the names a classifier of words gives them: {', '.join(words)}.")


def _bar(ax: Axes, y: float, side: int, share: float, name: str, first: bool) -> None:
    ax.barh(y, side * share, side * 0.13, left=0, color="#8fb3d9" if first else "#c9d6e4", clip_on=False)
    ax.text(
        side * 0.02,
        y,
        f"{textwrap.shorten(name, 16, placeholder='...')} {100 * share:.0f}",
        va="center",
        fontsize=8,
        color=INK,
        clip_on=False,
    )


def journey(table: pd.DataFrame) -> Figure:
    """Return how well names are found among 32: at home, at a vendor never seen, and where labels have no answer.

    table: rows of the transfer measure. Dots: means over seeds with 95 % intervals over seeds.
    """
    stops = [
        ("in", "seen concept, seen vendor"),
        ("shift", "seen concept, vendor never shown"),
        ("paraphrase", "called by its keywords only"),
        ("new concept", "concept never shown"),
        ("new concept, shift", "neither concept nor vendor shown"),
    ]
    published = table[(table["source"] == "published") & (table["metric"] == "accuracy")]
    drawing, axes = canvas(10.5, 4.0)
    ax = axes[0, 0]
    words = []
    for y, (domain, title) in enumerate(stops):
        for k, arm in enumerate(("zero_shot", "supervised")):
            rows = published[(published["arm"] == arm) & (published["domain"] == domain)]
            if not len(rows):
                ax.text(
                    0.06, y + 0.17, "labels have no answer", color=HUES[arm], fontsize=9, va="center", style="italic"
                )
                continue
            (_, mean, low, high) = points(rows.assign(place=0.0), "place")[0]
            at = y - 0.17 + 0.34 * k
            ax.plot([low, high], [at, at], color=HUES[arm], lw=3, alpha=0.5)
            ax.plot(mean, at, "o", color=HUES[arm], ms=9, label=WORDS[arm] if y == 0 else None)
            ax.text(high + 0.012, at, f"{mean:.2f}", va="center", color=HUES[arm], fontsize=10)
            words.append(f"{title}, {WORDS[arm]}: {mean:.2f}")
            mine = table[(table["source"] == "yours") & (table["arm"] == arm) & (table["domain"] == domain)]
            mine = mine[mine["metric"] == "accuracy"]
            if len(mine):
                ax.plot(mine["value"].mean(), at, "*", color=INK, ms=12, mec=PAPER, zorder=5)
    ax.axvline(1 / 32, color=QUIET, ls=":", lw=1.3)
    ax.text(1 / 32 + 0.005, -0.62, "chance", color=QUIET, fontsize=9)
    ax.set(xlim=(0, 0.8), ylim=(len(stops) - 0.5, -0.75), xlabel="named rightly among 32 names")
    ax.set_yticks(range(len(stops)), [title for _, title in stops])
    ax.legend(loc="lower right")
    return finish(drawing, f"Naming real drawings among 32 names. {'; '.join(words)}.")


def races_in_words(table: pd.DataFrame, factors: Sequence[str]) -> str:
    """Return a text table: what each racer reads of each factor, untrained and at its largest budget."""
    own = table[table["source"] == "published"]
    lines = [f"{'':12}{'iGPT before':>12}{'after':>7}{'CLIP before':>15}{'after':>7}"]
    for factor in factors:
        cells = []
        for kind in ("igpt", "clip"):
            rows = own[(own["arm"] == kind) & (own["factor"] == factor)]
            trained = rows[rows["metric"] == "probe_accuracy"]
            largest = trained[trained["flops"] > 0.9 * trained["flops"].max()]
            floor = rows[(rows["metric"] == "probe_floor") & (rows["of"] == "untrained")]
            cells += [floor["value"].mean(), largest["value"].mean()]
        lines.append(f"{factor:12}{cells[0]:12.2f}{cells[1]:7.2f}{cells[2]:15.2f}{cells[3]:7.2f}")
    return "\n".join(lines)


def journey_in_words(table: pd.DataFrame) -> str:
    """Return lines on the harder questions: among its own group, among all names, other prompts, retrieval, style."""
    own = table[table["source"] == "published"]

    def mean(metric: str, **context: object) -> float:
        rows = own[own["metric"] == metric]
        for column, wanted in context.items():
            rows = rows[rows[column] == wanted]
        return float(rows["value"].mean())

    lines = []
    for arm in ("zero_shot", "supervised"):
        for among in ("7 of its group", "all"):
            home, away = (mean("accuracy_among", arm=arm, domain=d, among=among) for d in ("in", "shift"))
            names = round(1 / own[(own["among"] == "all") & (own["domain"] == "in")]["chance"].mean())
            what = among if among != "all" else f"all {names:,} names"
            lines.append(f"{WORDS[arm]:14} among {what:15}: at home {home:.2f}, vendor never shown {away:.2f}")
    one, five = mean("accuracy", domain="in", arm="zero_shot"), mean("accuracy", domain="ensemble")
    lines.append(f"{'':14} among 32, one prompt a name {one:.2f}, five prompts {five:.2f}")
    for way in ("caption to picture", "picture to caption"):
        first, ten, rank = (mean(f"retrieval_{m}", way=way) for m in ("at_1", "at_10", "median_rank"))
        lines.append(f"{way}: first {first:.2f}, among ten {ten:.2f}, median rank {rank:.0f} of {mean_n(own):.0f}")
    trained, untrained = (mean("style_probe", of=of) for of in ("trained", "untrained"))
    chance = float(own[own["metric"] == "style_probe"]["chance"].mean())
    lines.append(
        f"whose hand drew it, read from the embedding: {trained:.2f}, untrained {untrained:.2f}, chance {chance:.2f}"
    )
    return "\n".join(lines)


def mean_n(table: pd.DataFrame) -> float:
    """Return how many pictures retrieval searched."""
    return float(table[table["metric"] == "retrieval_at_1"]["n"].mean())
