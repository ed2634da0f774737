"""What a job is: one (arm, seed) of a notebook, or one judge; which are missing; and doing one.

Jobs are described by plain values, so that any joblib backend can carry them. They leave their results in runs/ and
their models in artefacts/; nothing returns by hand.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from falsework.core import versions
from falsework.core.artefacts import Store, key_of, machine, write_atomic
from falsework.core.config import apply_overrides
from falsework.core.errors import Refused, one_of
from falsework.core.evidence import Result, load_result, save_result
from falsework.experiments import Experiment, Subject, experiment_of


@dataclass(frozen=True)
class Job:
    """One (arm, seed) of a notebook and which of its measures to make; plain values only."""

    notebook: str
    preset: str
    arm: str
    seed: int
    measures: tuple[str, ...]
    overrides: tuple[tuple[str, Any], ...]
    root: str
    threads: int = 1
    watched: bool = False  # whether somebody is looking at the pictures of `Experiment.watch`
    judge: tuple[str, int] | None = None  # train a judge (measure, place among its judges) and measure nothing
    device: str | None = None  # other than the preset's own: a rehearsal


def arms_of(experiment: Experiment, preset: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arms of a preset with overrides applied."""
    return apply_overrides(experiment.arms(preset), overrides)


def result_key(experiment: Experiment, measure: str, preset: str, arm: str, seed: int, recipe: Any) -> str:
    """Return the key of a measured result: model key (or data), measure version, preset, arm and seed."""
    model = None
    if recipe is not None:
        from falsework.recipes import description_of

        model = key_of(description_of(recipe, seed))
    name = f"{experiment.notebook}/{measure}"
    parts: dict[str, Any] = {
        "measure": name,
        "version": versions.MEASURES[name],
        "model": model,
        "data": dict(experiment.data()),
    }
    if measure in experiment.judges:
        from falsework.recipes import description_of

        keys = [key_of(description_of(judge, 0)) for judge in experiment.judges[measure](preset)]
        parts["judge"] = keys[0] if len(keys) == 1 else keys
    return key_of({**parts, "preset": preset, "arm": arm, "seed": seed})


def collect(
    experiment: Experiment, measure: str, preset: str, arms: Mapping[str, Any], seeds: tuple[int, ...], runs: Path
) -> tuple[list[Result], list[tuple[str, int]]]:
    """Return the results that are here, and the (arm, seed) pairs that are missing."""
    have, missing = [], []
    for arm, recipe in arms.items():
        for seed in experiment.seeds_of(preset, arm, seeds):
            key = result_key(experiment, measure, preset, arm, seed, recipe)
            found = load_result(runs, preset, experiment.notebook, (measure, arm, seed, key))
            have.append(found) if found else missing.append((arm, seed))
    return have, missing


def jobs_of(
    notebook: str,
    measures: tuple[str, ...],
    preset: str,
    seeds: tuple[int, ...],
    overrides: Mapping[str, Any],
    root: Path,
    *,
    without: Collection[str] = (),
) -> list[Job]:
    """Return what is missing of the named measures: judges that are not trained yet, then a job per (arm, seed).

    Arms in `without` are left out, such as those that a preset merely shows (`Experiment.shown`).
    """
    from falsework.recipes import description_of

    experiment = experiment_of(notebook)
    assert experiment is not None, f"{notebook} measures nothing"
    for name in measures:
        one_of(f"A measure of {notebook}", name, experiment.measures)
    arms = arms_of(experiment, preset, overrides)
    missing: dict[tuple[str, int], list[str]] = {}
    for name in measures:
        for arm, seed in collect(experiment, name, preset, arms, seeds, root / "runs")[1]:
            if arm not in without:
                missing.setdefault((arm, seed), []).append(name)
    frozen = tuple(overrides.items())
    wanted = {n for (arm, _), names in missing.items() for n in names if arm in experiment.asking.get(n, (arm,))}
    judges = [
        Job(notebook, preset, recipe.name, 0, (), frozen, str(root), judge=(name, i))
        for name in experiment.measures
        if name in wanted and name in experiment.judges
        for i, recipe in enumerate(experiment.judges[name](preset))
        if not _is_trained(recipe, preset, root)
    ]
    once = {key_of(description_of(job_recipe(job), 0)): job for job in judges}
    jobs = [Job(notebook, preset, arm, seed, tuple(names), frozen, str(root)) for (arm, seed), names in missing.items()]
    return [*once.values(), *jobs]


def job_recipe(job: Job) -> Any:
    """Return the recipe that a job trains, or None."""
    experiment = experiment_of(job.notebook)
    assert experiment is not None
    if job.judge:
        return experiment.judges[job.judge[0]](job.preset)[job.judge[1]]
    return arms_of(experiment, job.preset, dict(job.overrides))[job.arm]


def _is_trained(recipe: Any, preset: str, root: Path) -> bool:
    from falsework.recipes import description_of

    key = key_of(description_of(recipe, 0))
    return any((root / "artefacts" / recipe.name).glob(f"*-{key}/manifest.json"))


def run_job(job: Job) -> None:
    """Do one job: obtain the model, make each measure, save each result. Runs in a worker process."""
    experiment = experiment_of(job.notebook)
    assert experiment is not None
    root = Path(job.root)
    recipe, store = job_recipe(job), Store(root / "artefacts", job.device)
    model, curve, facts = None, [], {}
    if recipe is not None:
        import torch

        from falsework.recipes import obtain

        torch.set_num_threads(job.threads)
        preview = preview_path(root, job.preset, job.notebook)

        def watch(model: Any, step: int) -> None:
            pictures = io.BytesIO()
            np.save(pictures, experiment.watch(recipe, model), allow_pickle=False)  # type: ignore[misc]
            with contextlib.suppress(Refused):  # a picture never costs a model
                write_atomic(preview, pictures.getvalue())

        look = watch if job.watched and experiment.watch else None
        trained = obtain(recipe, job.seed, job.preset, store, watch=look)
        model = trained.model
        cost = ("threads", "seconds", "core_seconds", "flops", "parameters", "device", "parents")
        facts = {k: trained.artefact.manifest[k] for k in cost if k in trained.artefact.manifest}
        facts["recipe"] = recipe.name
        facts["model"] = trained.key
        curve = [{"arm": job.arm, "seed": job.seed, **row} for row in trained.artefact.log()]
    subject = Subject(job.preset, job.arm, job.seed, recipe, model, store, facts)
    for name in job.measures:
        start = time.process_time()
        found = experiment.measures[name](subject)
        rows = [{"arm": job.arm, "seed": job.seed, **row} for row in found.rows]
        key = result_key(experiment, name, job.preset, job.arm, job.seed, recipe)
        facts_here = {**facts, "measure_seconds": round(time.process_time() - start, 1), "machine": machine()}
        if name in experiment.judges:
            facts_here["judge"] = experiment.judges[name](job.preset)[0].name
        save_result(
            root / "runs",
            job.preset,
            job.notebook,
            Result(name, job.arm, job.seed, key, rows, curve, found.arrays, facts_here),
        )


def progress_path(root: Path, preset: str, notebook: str) -> Path:
    """Return the file in which a run says how far it is: {"text", "fraction", "left"}; for whoever watches from outside."""
    return root / "runs" / preset / notebook / "progress.json"


def preview_path(root: Path, preset: str, notebook: str) -> Path:
    """Return the file that holds the pictures of the model in training that is being watched."""
    return progress_path(root, preset, notebook).with_name("preview.npy")
