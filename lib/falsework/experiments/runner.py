"""Run jobs in parallel processes, here (loky) or on a cluster (dask), and say in one line how far they are."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool

from falsework.core.artefacts import Store, key_of
from falsework.core.errors import Refused
from falsework.core.evidence import Result
from falsework.experiments import experiment_of
from falsework.experiments.cluster import on_cluster
from falsework.experiments.jobs import Job, arms_of, collect, job_recipe, jobs_of, preview_path, progress_path, run_job


def measure(
    notebook: str,
    measures: tuple[str, ...],
    preset: str,
    seeds: tuple[int, ...],
    overrides: Mapping[str, Any],
    root: Path,
    say: Callable[[str], None] | None = None,
    show: Callable[[np.ndarray], None] | None = None,
    *,
    without: Collection[str] = (),
    device: str | None = None,
) -> dict[str, list[Result]]:
    """Return results of the named measures for every arm and seed, training and measuring what is missing.

    `say` receives one line a second, `show` pictures of the first model in training (`Experiment.watch`), for whoever
    looks on. Arms in `without` are not trained; their results are returned if they are here. `device` other than the
    preset's own is for rehearsals, under a root of their own. Interrupting ends the workers; what they had trained is
    kept, and the next call goes on from there.
    """
    jobs = jobs_of(notebook, measures, preset, seeds, overrides, root, without=without)
    experiment = experiment_of(notebook)
    assert experiment is not None
    if jobs:
        cores = joblib.cpu_count()
        threads = max(1, cores // len(jobs))
        jobs = [replace(job, threads=threads, device=device) for job in jobs if not (job.judge and device)]
        if show is not None:
            first = next(i for i, job in enumerate(jobs) if not job.judge)
            jobs[first] = replace(jobs[first], watched=True)
        # Never fewer than two workers: with one, joblib would train inside this process and could not be stopped.
        workers = 2 if preset == "gpu" else max(2, min(cores, len(jobs)))
        with _progress(jobs, root, say or _line, show):
            _run_all(jobs, workers)
    arms = arms_of(experiment, preset, overrides)
    return {name: collect(experiment, name, preset, arms, seeds, root / "runs")[0] for name in measures}


def _run_all(jobs: list[Job], workers: int) -> None:
    """Do all jobs; the first that fails ends the others."""
    for _, fault in run_jobs(jobs, workers):
        if fault is not None:
            raise fault


def run_jobs(jobs: list[Job], workers: int) -> Iterator[tuple[int, Exception | None]]:
    """Yield (place in `jobs`, what went wrong or None) as jobs end, through joblib's present backend.

    Workers that were killed from outside (a full memory, mostly) are replaced, three times at most; the jobs that had
    not ended begin again at their checkpoints. Leaving the loop early ends the workers.
    """
    # loky replaces a worker whose memory has grown, and says so to everybody
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
    left, chances = dict(enumerate(jobs)), 3
    ended: Any = iter(())
    try:
        while left:
            parallel = joblib.Parallel(n_jobs=-1 if on_cluster() else workers, return_as="generator_unordered")
            parent = None if on_cluster() else os.getpid()
            ended = parallel(joblib.delayed(_tried)(i, job, parent) for i, job in list(left.items()))
            try:
                for i, fault in ended:
                    del left[i]
                    yield i, fault
            except BrokenProcessPool as broken:
                chances -= 1
                if not chances:
                    killed = Refused(
                        f"Worker processes were killed three times ({type(broken).__name__}), as happens when memory "
                        "is full; run again with fewer at once, such as --jobs 1."
                    )
                    yield from ((i, killed) for i in left)
                    return
    except BaseException:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # joblib's, on the jobs that are cancelled: that is the wish
            getattr(ended, "close", lambda: None)()
        get_reusable_executor().shutdown(wait=False, kill_workers=True)
        raise


def _tried(i: int, job: Job, parent: int | None) -> tuple[int, Exception | None]:
    if parent is not None:
        _follow(parent)
    try:
        run_job(job)
    except Refused as refusal:
        return i, Refused(str(refusal))
    except Exception as fault:  # neither a traceback nor every kind of exception travels between processes
        plain = RuntimeError(f"{type(fault).__name__}: {fault}")
        plain.add_note("".join(traceback.format_exception(fault)))
        return i, plain
    return i, None


@cache
def _follow(parent: int) -> None:
    """Let this worker end within a second of the process that started it: nobody would ever hear of its results."""
    if os.getppid() != parent:  # the parent itself, or a system that tells another number
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Progress:
    """How far jobs are trained, read from the logs that they write; for any number of jobs, of any notebooks."""

    def __init__(self, jobs: list[Job], root: Path) -> None:
        from falsework.recipes import description_of

        def logs(recipe: Any, job: Job) -> list[tuple[Path, str, Path, int]]:
            """Return where a net and its parents write: (folder in the making, key, folder of its kind, steps)."""
            key = key_of(description_of(recipe, job.seed))
            folder = Store(root / "artefacts").folder(recipe.name, job.preset, key)
            own = (folder.with_name(folder.name + ".part"), key, folder.parent, recipe.train.steps)
            return [own, *(log for parent in recipe.parents().values() for log in logs(parent, job))]

        recipes = [job_recipe(job) for job in jobs]
        self.trains = any(recipe is not None for recipe in recipes)
        self._logs = [[] if recipe is None else logs(recipe, job) for job, recipe in zip(jobs, recipes)]
        self._ended = [0.0] * len(jobs)

    def end(self, i: int) -> None:
        """Say that a job has ended."""
        self._ended[i] = 1.0

    def shares(self) -> list[float]:
        """Return how far each job is, 0 to 1; one without a net to train stays at 0 until it has ended."""
        return [ended or self._share(logs) for ended, logs in zip(self._ended, self._logs)]

    def trained(self) -> float:
        """Return the mean of `shares`."""
        return fmean(self.shares())

    def _share(self, logs: list[tuple[Path, str, Path, int]]) -> float:
        steps = [log[3] for log in logs]
        own = _log_share(*logs[0]) if logs else 0.0
        if own == 1 or len(logs) < 2:  # its parents may be gone
            return own
        return fmean([own, *(_log_share(*log) for log in logs[1:])], weights=steps)


def _log_share(part: Path, key: str, kind: Path, steps: int) -> float:
    """Return how much of a net's training its log shows, whatever preset it was made for."""
    for path in (part / "log.jsonl", *(f / "log.jsonl" for f in kind.glob(f"*-{key}"))):
        with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
            return (json.loads(path.read_text().splitlines()[-1])["step"] + 1) / steps
    return 0.0


@contextlib.contextmanager
def _progress(
    jobs: list[Job], root: Path, say: Callable[[str], None], show: Callable[[np.ndarray], None] | None
) -> Iterator[None]:
    """Poll the jobs' training logs once a second and say one line while the body runs."""
    ended, began = threading.Event(), time.monotonic()
    progress = Progress(jobs, root)
    named = [j for j in jobs if not j.judge]

    def poll() -> None:
        first = None
        names = sorted({j.arm for j in named})
        what = ", ".join(names) if len(names) <= 6 else f"{len(names)} arms"
        path = progress_path(root, jobs[0].preset, jobs[0].notebook)
        preview, seen = preview_path(root, jobs[0].preset, jobs[0].notebook), 0.0
        with contextlib.suppress(OSError):
            preview.unlink(missing_ok=True)
        while not ended.wait(1.0):
            share = progress.trained()
            now = time.monotonic() - began
            first = first or (now, share)
            pace = (share - first[1]) / (now - first[0]) if now - first[0] > 3 and share > first[1] else 0.0
            left = (1 - share) / pace if pace else None
            stage = f"{share:.0%} trained" if progress.trains and share < 1 else "measuring"
            after = f", about {left:.0f} s left" if left is not None and share < 1 else ""
            text = f"{what}, {len(named)} to do: {stage}{after}"
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
        ended.set()
        thread.join(timeout=2)
        with contextlib.suppress(OSError):
            progress_path(root, jobs[0].preset, jobs[0].notebook).unlink()


def _line(text: str) -> None:
    """Overwrite one line on stdout: the only place the library speaks while it works."""
    sys.stdout.write("\r" + text.ljust(72))
    sys.stdout.flush()
