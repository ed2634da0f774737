"""Train what is missing, measure what is missing, in parallel processes; say how far it is in one line.

A job is one (arm, seed) of a notebook, described by plain values, so that any joblib backend can carry it: loky here,
dask or ray on a cluster (`joblib.parallel_config`). Jobs leave their results in runs/; nothing returns by hand.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import joblib
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
    threads: int
    watched: bool = False  # whether somebody is looking at the pictures of `Experiment.watch`


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


def measure(
    notebook: str,
    measures: tuple[str, ...],
    preset: str,
    seeds: tuple[int, ...],
    overrides: Mapping[str, Any],
    root: Path,
    say: Callable[[str], None] | None = None,
    show: Callable[[np.ndarray], None] | None = None,
) -> dict[str, list[Result]]:
    """Return results of the named measures for every arm and seed, training and measuring what is missing.

    `say` receives one line a second, `show` pictures of the first model in training (`Experiment.watch`), for whoever
    looks on. Interrupting ends the workers; what they had trained is kept, and the next call goes on from there.
    """
    experiment = experiment_of(notebook)
    assert experiment is not None, f"{notebook} measures nothing"
    for name in measures:
        one_of(f"A measure of {notebook}", name, experiment.measures)
    arms = arms_of(experiment, preset, overrides)
    runs = root / "runs"
    missing: dict[tuple[str, int], list[str]] = {}
    for name in measures:
        for pair in collect(experiment, name, preset, arms, seeds, runs)[1]:
            missing.setdefault(pair, []).append(name)
    if missing:
        cores = joblib.cpu_count()
        threads = max(1, cores // len(missing))
        frozen = tuple(overrides.items())
        jobs = [
            Job(notebook, preset, arm, seed, tuple(names), frozen, str(root), threads, show is not None and not i)
            for i, ((arm, seed), names) in enumerate(missing.items())
        ]
        # Never fewer than two workers: with one, joblib would train inside this process and could not be stopped.
        workers = 2 if preset == "gpu" else max(2, min(cores, len(jobs)))
        with _progress(jobs, arms, root, say or _line, show):
            _run_all(jobs, workers)
    return {name: collect(experiment, name, preset, arms, seeds, runs)[0] for name in measures}


def _run_all(jobs: list[Job], workers: int) -> None:
    try:
        joblib.Parallel(n_jobs=workers)(joblib.delayed(run_job)(job) for job in jobs)
    except Refused as refusal:
        raise Refused(str(refusal)) from None
    except BaseException:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=False, kill_workers=True)
        raise


def run_job(job: Job) -> None:
    """Do one job: obtain the model, make each measure, save each result. Runs in a worker process."""
    experiment = experiment_of(job.notebook)
    assert experiment is not None
    root = Path(job.root)
    recipe = arms_of(experiment, job.preset, dict(job.overrides))[job.arm]
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
        trained = obtain(recipe, job.seed, job.preset, Store(root / "artefacts"), watch=look)
        model = trained.model
        cost = ("threads", "seconds", "core_seconds", "flops", "parameters", "device", "parents")
        facts = {k: trained.artefact.manifest[k] for k in cost if k in trained.artefact.manifest}
        facts["recipe"] = recipe.name
        facts["model"] = trained.key
        curve = [{"arm": job.arm, "seed": job.seed, **row} for row in trained.artefact.log()]
    subject = Subject(job.preset, job.arm, job.seed, recipe, model, Store(root / "artefacts"), facts)
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


@contextlib.contextmanager
def _progress(
    jobs: list[Job],
    arms: Mapping[str, Any],
    root: Path,
    say: Callable[[str], None],
    show: Callable[[np.ndarray], None] | None,
) -> Iterator[None]:
    """Poll the jobs' training logs once a second and say one line while the body runs."""
    done, began = threading.Event(), time.monotonic()

    def trained(recipe: Any, job: Job) -> float:
        from falsework.recipes import description_of

        folder = Store(root / "artefacts").folder(recipe.name, job.preset, key_of(description_of(recipe, job.seed)))
        whole = folder.parent.glob(f"*-{folder.name.partition('-')[2]}/log.jsonl")  # whatever preset it was made for
        for path in (folder.with_name(folder.name + ".part") / "log.jsonl", *whole):
            with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
                return (json.loads(path.read_text().splitlines()[-1])["step"] + 1) / recipe.train.steps
        return 0.0

    def fraction(job: Job) -> float:
        recipe = arms[job.arm]
        if recipe is None:
            return 0.0
        own = trained(recipe, job)
        if own == 1:  # its parents may be gone
            return own
        chain = [recipe, *recipe.parents().values()]
        return fmean([own, *(trained(p, job) for p in chain[1:])], weights=[r.train.steps for r in chain])

    def poll() -> None:
        first = None
        trains = any(arms[j.arm] is not None for j in jobs)
        names = sorted({j.arm for j in jobs})
        what = ", ".join(names) if len(names) <= 6 else f"{len(names)} arms"
        path = progress_path(root, jobs[0].preset, jobs[0].notebook)
        preview, seen = preview_path(root, jobs[0].preset, jobs[0].notebook), 0.0
        with contextlib.suppress(OSError):
            preview.unlink(missing_ok=True)
        while not done.wait(1.0):
            share = sum(map(fraction, jobs)) / len(jobs)
            now = time.monotonic() - began
            first = first or (now, share)
            pace = (share - first[1]) / (now - first[0]) if now - first[0] > 3 and share > first[1] else 0.0
            left = (1 - share) / pace if pace else None
            stage = f"{share:.0%} trained" if trains and share < 1 else "measuring"
            after = f", about {left:.0f} s left" if left is not None and share < 1 else ""
            text = f"{what}, {len(jobs)} to do: {stage}{after}"
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps({"text": text, "fraction": share, "left": left}))
            say(text)
            with contextlib.suppress(OSError, ValueError):
                if show is not None and preview.stat().st_mtime != seen:
                    seen = preview.stat().st_mtime
                    show(np.load(preview, allow_pickle=False))

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=2)
        with contextlib.suppress(OSError):
            progress_path(root, jobs[0].preset, jobs[0].notebook).unlink()


def _line(text: str) -> None:
    """Overwrite one line on stdout: the only place the library speaks while it works."""
    sys.stdout.write("\r" + text.ljust(72))
    sys.stdout.flush()
