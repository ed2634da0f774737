"""A reader's own experiment: arms, a measure and a claim, by the course's rules, with nothing registered.

`arm` gives a frozen recipe of the course, for `dataclasses.replace` to change; `measure` trains it through the same
store and asks a function that the reader wrote; `judge` applies the same statistics. A net is kept, so nothing is
trained twice; what a function measures is not kept, because a key cannot see a change in the reader's code.

Dimension key: N pictures, S side in pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from PIL import Image

from falsework import figures
from falsework.claims.predicates import Part, RatioAtLeast, RatioAtMost
from falsework.claims.published import Judged
from falsework.claims.registry import Claim
from falsework.claims.verdicts import PRESETS
from falsework.claims.verdicts import judge as verdict_on
from falsework.core.artefacts import Store
from falsework.core.errors import Refused, one_of
from falsework.core.evidence import Row, check_rows, load_evidence
from falsework.core.rng import rng
from falsework.core.stats import MIN_SEEDS, Sample
from falsework.experiments import MODULES, Measured, Subject, experiment_of
from falsework.lesson import Card, Net, Run

UNTRAINED = ", untrained"  # follows an arm's name in the rows of its floor
How = Callable[[Subject], Any]
GROUPS = ("animals and nature", "food and drink", "travel and places", "activities", "objects")
EXAMPLES, TIMES = 48, 4  # pictures of the example folder, and by how much each is enlarged


# ---- arms


def arm(notebook: str, name: str, preset: str = "laptop") -> Any:
    """Return an arm's recipe at a preset: a frozen dataclass to start from.

    Raises Refused for a notebook that trains nothing, and for an arm or a preset that is not there.
    """
    one_of("The preset", preset, PRESETS)
    one_of("The notebook of an arm", notebook, [n for n, module in MODULES.items() if module])
    experiment = experiment_of(notebook)
    assert experiment is not None
    arms = {n: r for n, r in experiment.arms(preset).items() if r is not None}
    return arms[one_of(f"The arm of {notebook}", name, arms)]


def net(notebook: str, name: str) -> Net:
    """Return a network that ships with the course: recipe, model and seed; raises Refused for one that does not."""
    one_of("The notebook of a network", notebook, [n for n, module in MODULES.items() if module])
    from falsework.core.paths import root

    return Run(notebook, "laptop", (), {}, root()).net(name)


def _check_arms(arms: object) -> dict[str, Any]:
    if not isinstance(arms, Mapping) or not arms:
        raise Refused(f"The arms are {arms!r}, but must be a dict of names and recipes, such as {{'mine': recipe}}.")
    for name, recipe in arms.items():
        if not isinstance(name, str) or not name or name.endswith(UNTRAINED):
            raise Refused(f"The name of an arm is {name!r}, but must be a text that does not end in {UNTRAINED!r}.")
        if not dataclasses.is_dataclass(recipe) or isinstance(recipe, type) or not hasattr(recipe, "fit"):
            raise Refused(f"The arm {name!r} is {recipe!r}, but must be a recipe: yours.arm gives one to start from.")
        if own := _foreign(recipe):
            raise Refused(
                f"The arm {name!r} is built with your own class {own}, but a key cannot see its code, so that an old "
                "net might pass for a new one; CONTRIBUTING.md says how to add a kind of recipe."
            )
    return dict(arms)


def _foreign(recipe: Any) -> str:
    """Return the name of a class in a recipe that is not the course's own, or ""."""
    if not dataclasses.is_dataclass(recipe):
        return ""
    if not type(recipe).__module__.startswith("falsework."):
        return type(recipe).__name__
    return next((own for f in dataclasses.fields(recipe) if (own := _foreign(getattr(recipe, f.name)))), "")


# ---- training and measuring


def measure(run: Run, arms: Mapping[str, Any], how: How) -> list[Row]:
    """Return tidy rows of every arm and seed of the run, training what the store lacks; [] without seeds.

    how(subject) gives a list of rows: "metric", "value" (a number) and any context; "item" names a member of a finite
    test set that all seeds share. Arm and seed are added. Each arm is also measured before any training, under its
    name and UNTRAINED. Arms and seeds share the cores in processes of their own.

    Raises Refused for what is no recipe, no function or no row. A fault in `how` comes before any training, where the
    recipe needs no parents: it is tried on an untrained net first.
    """
    checked = _check_arms(arms)
    if not callable(how):
        raise Refused(f"The measure is {how!r}, but must be a function of a subject that returns rows.")
    first, recipe = next(iter(checked.items()))
    if not recipe.parents():
        seed = run.seeds[0] if run.seeds else 0
        _rows(how, Subject(run.preset, first + UNTRAINED, seed, recipe, _untrained(recipe, seed, {}, run.preset)))
    jobs = [(name, recipe, seed) for name, recipe in checked.items() for seed in run.seeds]
    if not jobs:
        print("Nothing was trained: SEEDS is empty.")
        return []
    cores = joblib.cpu_count()
    threads = max(1, cores // len(jobs))
    # as in the runner: never fewer than two workers, or joblib trains in this process, where nobody can stop it
    workers = 2 if run.preset == "gpu" else max(2, min(cores, len(jobs)))
    tasks = [joblib.delayed(_job)(*job, run.preset, run.root, threads, how) for job in jobs]
    rows: list[Row] = []
    try:
        for done, found in enumerate(joblib.Parallel(n_jobs=workers, return_as="generator")(tasks), 1):
            rows += found
            print(f"\r{done} of {len(jobs)} trained and measured", end="", flush=True)
    except Refused as refusal:
        raise Refused(str(refusal)) from None
    except BaseException:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=False, kill_workers=True)
        raise
    print()
    return rows


def _job(name: str, recipe: Any, seed: int, preset: str, root: Path, threads: int, how: How) -> list[Row]:
    """Train one arm with one seed, unless it is in the store, and measure it after and before training."""
    import torch

    from falsework.recipes import obtain

    torch.set_num_threads(threads)
    store = Store(root / "artefacts")
    trained = obtain(recipe, seed, preset, store)
    state, manifest = trained.model.state_dict(), trained.artefact.manifest
    theirs = {k: v.cpu() for k, v in state.items() if k.partition(".")[0] in recipe.parents()}
    cost: dict[str, Any] = {k: manifest[k] for k in ("flops", "core_seconds", "parameters", "parents") if k in manifest}
    after = Subject(preset, name, seed, recipe, trained.model, store, cost)
    before = Subject(preset, name + UNTRAINED, seed, recipe, _untrained(recipe, seed, theirs, preset), store)
    return _rows(how, after) + _rows(how, before)


def _untrained(recipe: Any, seed: int, theirs: Mapping[str, Any], preset: str) -> Any:
    """Return a net as it is before training; its parents, if any, are trained."""
    from falsework.recipes import device_of

    model = recipe.build(seed, dict(theirs) or None)
    model.load_state_dict(theirs, strict=False)
    return model.to(device_of(preset)).eval()


def _rows(how: How, subject: Subject) -> list[Row]:
    found = how(subject)
    rows = found.rows if isinstance(found, Measured) else found
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
        raise Refused(f"The measure gave {found!r:.80}, but must give rows, such as [{{'metric': 'm', 'value': 0.5}}].")
    about = {"arm": subject.arm, "seed": subject.seed}
    tidy = [{**{str(k): _plain(v) for k, v in row.items()}, **about} for row in rows]
    for row in tidy:  # a yes or no is a number here
        row["value"] = float(row["value"]) if isinstance(row.get("value"), bool) else row.get("value")
    check_rows(tidy, "your measure")
    return tidy


def _plain(value: Any) -> Any:
    """Return a number of numpy's or torch's as Python's own; whatever else as it is."""
    return value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value


# ---- verdicts


def judge(run: Run, claim: Claim, rows: Sequence[Row]) -> Card:
    """Return the card of a reader's claim on rows that were measured at the run's preset.

    The rules are those of every other claim: nothing is judged at smoke or below three seeds. Raises Refused for what
    is no claim, and for a metric or an arm that the rows do not have.
    """
    if rows:
        _check_claim(claim, rows)
    named = [{**row, "experiment": claim.experiment} for row in rows]
    return Card(Judged(claim, verdict_on(claim, {(claim.notebook, run.preset): named})))


def judge_published(run: Run, claim: Claim) -> Card:
    """Return the card of a reader's claim on what the course has published; the claim names notebook and experiment.

    Raises Refused for what is no claim, for a notebook without evidence, and for an experiment, a metric or an arm
    that the evidence does not have.
    """
    _check_claim(claim)
    one_of(f"The notebook of claim {claim.id}", claim.notebook, MODULES)
    found = {preset: load_evidence(run.root / "evidence", claim.notebook, preset) for preset in PRESETS}
    evidence = {(claim.notebook, preset): e.all_rows() for preset, e in found.items() if e}
    if not evidence:
        raise Refused(f"There is no published evidence of {claim.notebook}, but claim {claim.id} asks for it.")
    named = sorted({row["experiment"] for rows in evidence.values() for row in rows})
    one_of(f"The experiment of claim {claim.id}", claim.experiment, named)
    _check_claim(claim, [r for rows in evidence.values() for r in rows if r["experiment"] == claim.experiment])
    verdict = verdict_on(claim, evidence)
    at = found.get(verdict.preset)
    old = [n for n in at.stale if n == f"{claim.notebook}/{claim.experiment}" or "/" not in n] if at else []
    return Card(Judged(claim, verdict, tuple(old)))


def _check_claim(claim: object, rows: Sequence[Row] = ()) -> None:
    """Refuse what is no claim and, where there are rows, a metric or an arm that none of them has."""
    if not isinstance(claim, Claim):
        raise Refused(f"The claim is {claim!r}, but must be a Claim.")
    for pick in claim.picks if rows else ():
        one_of(f"The metric of claim {claim.id}", pick.metric, sorted({str(r["metric"]) for r in rows}))
        if pick.arm:
            one_of(f"The arm of claim {claim.id}", pick.arm, sorted({str(r["arm"]) for r in rows}))


# ---- pictures


def example_folder(run: Run) -> Path:
    """Return a folder of pictures to begin with, one sub-folder a name: 48 drawings by a vendor that 03 never shows.

    It lies in runs/, is written once, and takes more pictures gladly: whoever adds a sub-folder adds a name. The
    drawings are 128 x 128 pixels, drawn by chance from the things that 03's CLIP knows by other vendors' hands.
    """
    from falsework.data.emoji import STYLES, load_emoji
    from falsework.recipes.pairs import spared

    folder = run.root / "runs" / "pictures"
    emoji, theirs = load_emoji(), spared("noto")[1]
    theirs = theirs[emoji.labels(theirs, "style") == STYLES.index("noto")]
    groups, names = emoji.captions(theirs, "group"), emoji.captions(theirs, "name")
    short = [k for k, (g, n) in enumerate(zip(groups, names)) if g in GROUPS and len(n.split()) <= 2 and len(n) <= 14]
    chosen = theirs[np.sort(rng("pictures").choice(short, EXAMPLES, replace=False))]
    for name, picture in zip(emoji.captions(chosen, "name"), emoji.images(chosen)):
        path = folder / name / "noto.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")  # another reader of the folder sees a whole picture or none
            Image.fromarray(figures.enlarge(picture, TIMES)).save(part, "png")
            part.replace(path)
    return folder


def wall(pictures_NSS3: np.ndarray, names: Sequence[str], said: Sequence[str], columns: int = 8) -> figures.Figure:
    """Return every picture over what a net calls it: in one colour where that is its name, else struck out over the name.

    pictures: uint8 (N, S, S, 3). Raises Refused unless there is a name and an answer for each.
    """
    if not len(pictures_NSS3) == len(names) == len(said) or not len(said):
        given = f"{len(pictures_NSS3)} pictures, {len(names)} names and {len(said)} answers"
        raise Refused(f"The wall got {given}, but needs as many of each, and one or more.")
    high = -(-len(said) // columns)
    drawing, axes = figures.canvas(11, 1.75 * high, nrows=high, ncols=columns, gridspec_kw={"hspace": 0.5})
    for ax in axes.flat:
        ax.set_axis_off()
    right = [a == b for a, b in zip(names, said)]
    for ax, picture_SS3, name, answer, hit in zip(axes.flat, pictures_NSS3, names, said, right):
        ax.imshow(picture_SS3, interpolation="nearest")
        colour = figures.STATE_COLOURS["supported" if hit else "refuted"]
        ax.set_title(answer, y=-0.24, loc="center", fontsize=8.5, color=colour, weight="bold" if hit else "normal")
        if not hit:
            ax.plot([0.02, 0.98], [0.02, 0.98], color=colour, lw=1.6, transform=ax.transAxes)
            at = {"ha": "center", "va": "top", "transform": ax.transAxes}
            ax.text(0.5, -0.27, f"is {name}", fontsize=7.5, color=figures.QUIET, **at)
    hits = ", ".join(name for name, hit in zip(names, right) if hit) or "none"
    return figures.finish(drawing, f"{len(said)} pictures over what a net calls them; {sum(right)} right: {hits}.")


def field(claim: Claim, rows: Sequence[Row] = ()) -> figures.Figure:
    """Return the ground on which a claim stands or falls, and with rows where the seeds landed on it.

    Each part of the claim is a strip: what counts for it, what counts against it, a dot a seed, and from three seeds
    on the 95 % interval. Above the strips, for each metric, every arm that was measured. Raises Refused for what is no
    claim, and for rows that lack what it reads.
    """
    _check_claim(claim, rows)
    table = pd.DataFrame(list(rows))
    metrics = claim.metrics if rows else ()
    arms = len(table["arm"].unique()) if rows else 0
    heights = [0.45 * arms + 0.3] * len(metrics) + [1.1] * len(claim.parts)
    drawing, axes = figures.canvas(
        9.5,
        sum(heights) + 0.9 * len(heights),
        nrows=len(heights),
        gridspec_kw={"height_ratios": heights, "hspace": 0.7},
    )
    words = [_arms(ax, table, metric) for ax, metric in zip(axes[:, 0], metrics)]
    words += [_strip(ax, part, rows) for ax, part in zip(axes[len(metrics) :, 0], claim.parts)]
    return figures.finish(drawing, f"Claim {claim.id}. {' '.join(words)}")


def _arms(ax: Any, table: pd.DataFrame, metric: str) -> str:
    """Draw a row of dots for each arm, one a seed, and return them in words."""
    own = table[table["metric"] == metric]
    words = []
    for y, name in enumerate(own["arm"].unique()):
        seeds = own[own["arm"] == name].groupby("seed")["value"].mean()
        hue = figures.QUIET if name.endswith(UNTRAINED) else figures.SERIES[0]
        ax.plot(seeds, [y] * len(seeds), "o", color=hue, ms=8, alpha=0.6)
        ax.text(seeds.max(), y, f"   {seeds.mean():.2f}", va="center", color=hue, fontsize=10)
        words.append(f"{name} {seeds.mean():.2f}")
    ax.set_yticks(range(len(words)), own["arm"].unique())
    ax.set(title=metric, ylim=(len(words) - 0.5, -0.5))
    ax.margins(x=0.12)
    return f"{metric}: {', '.join(words)}."


def _strip(ax: Any, part: Part, rows: Sequence[Row]) -> str:
    """Draw one part of a claim as a strip and return it in words."""
    sample = part.effect.sample(rows) if rows else Sample(())
    values, reach = np.array(sample.values), 1.0
    ends = [sample.interval().low, sample.interval().high] if len(values) >= MIN_SEEDS else []
    grid, holds = np.empty(0), np.empty(0, bool)
    while reach < 1e9:  # until the bar lies inside
        grid = np.linspace(-reach, reach, 2001)
        holds = np.array([part.predicate.holds(Sample((float(x),))) for x in grid])
        if holds.any() and not holds.all():
            break
        reach *= 10
    edges = grid[1:][np.diff(holds.astype(int)) != 0]
    far = np.abs(np.concatenate([edges, values, np.clip(ends, -reach, reach), [reach / 6]])).max() * 1.5
    for a, b in zip([-far, *edges], [*edges, far]):
        good = bool(holds[np.abs(grid - np.clip((a + b) / 2, grid[0], grid[-1])).argmin()])
        hue = figures.STATE_COLOURS["supported" if good else "refuted"]
        ax.axvspan(a, b, color=hue, alpha=0.16, lw=0)
        ax.text(
            (a + b) / 2, 0.9, "for the claim" if good else "against it", ha="center", va="top", color=hue, fontsize=9
        )
    ax.axvline(0, color=figures.QUIET, lw=1, ls=":")
    told = "no seed yet"
    if len(values):
        if ends:
            ax.plot(np.clip(ends, -far, far), [0.3, 0.3], color=figures.INK, lw=3, alpha=0.5)
        ax.plot(values, [0.3] * len(values), "o", color=figures.INK, ms=9, mec=figures.PAPER)
        told = f"{len(values)} seed{'s' * (len(values) != 1)}, mean {values.mean():.2f}"
    else:
        paper = {"facecolor": figures.PAPER, "edgecolor": "none", "boxstyle": "round", "alpha": 0.9}
        ax.text(
            0.5, 0.4, told, transform=ax.transAxes, ha="center", va="center", style="italic", fontsize=10, bbox=paper
        )
    ax.set(xlim=(-far, far), ylim=(0, 1), yticks=[], xlabel=part.effect.unit or "effect")
    ax.tick_params(labelsize=10)
    ax.spines["left"].set_visible(False)
    if isinstance(part.predicate, RatioAtLeast | RatioAtMost):  # such an effect is a logarithm
        ax.xaxis.set_major_formatter(lambda x, _: f"{np.exp(x):.2g}")
    return f"{part.predicate.bar().capitalize()} ({part.effect.unit}) is needed: {told}."
