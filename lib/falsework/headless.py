"""The course without a screen: one pool of workers trains what lacks, each notebook is executed when its own is there.

A station is a notebook with the seeds it is run with and the jobs that it still lacks. Stations fail alone: the others
go on, and what failed is said last. One that was executed before, and that nothing could change since, is left as it is
(`falsework.executed`). Nothing here knows a model; see `experiments.jobs` for what a job does.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import joblib
import nbformat

from falsework import executed
from falsework.core.artefacts import key_of
from falsework.core.errors import Refused, one_of
from falsework.core.evidence import Evidence, load_evidence
from falsework.experiments import MODULES, experiment_of
from falsework.experiments.jobs import Job, arms_of, job_recipe, jobs_of
from falsework.experiments.runner import Progress, run_jobs


@dataclass
class Station:
    """A notebook of a run: what it lacks, how it fared."""

    name: str
    seeds: tuple[int, ...]
    jobs: list[Job] = field(default_factory=list)
    left: int = 0
    fault: str = ""
    before: bool = False  # it was executed before and still stands


def standing(root: Path) -> list[str]:
    """Return the course's own notebooks that are there, in order; a reader's copies are not among them."""
    return [n for n in MODULES if (root / "notebooks" / f"{n}.ipynb").is_file()]


def chosen(only: str, names: list[str]) -> list[str]:
    """Return the notebooks that "--only 01,03_clip" names; all for "". Raises Refused for one that is not there."""
    asked = [x.strip() for x in only.split(",") if x.strip()]
    full = [next((n for n in names if x == n or x.zfill(2) == n[:2]), x) for x in asked]
    found = {one_of("--only", name, names) for name in full}
    return [n for n in names if n in found] if asked else names


def plan(names: list[str], preset: str, seeds: tuple[int, ...] | None, root: Path) -> list[Station]:
    """Return a station per notebook: its own seeds when `seeds` is None, and what it lacks; a net is asked for once."""
    stations, asked = [], set()
    for name in names:
        experiment = experiment_of(name)
        own = () if experiment is None else experiment.seeds[preset] if seeds is None else seeds
        station = Station(name, own)
        if experiment is not None and own:
            measures = tuple(m for m in experiment.measures if m not in experiment.published_only)
            without = experiment.shown(preset, own)
            for job in jobs_of(name, measures, preset, own, {}, root, without=without):
                judge = key_of({"judge": str(job_recipe(job))}) if job.judge else None
                if judge is None or judge not in asked:
                    station.jobs.append(job)
                asked.add(judge)
        stations.append(station)
    return stations


def forget(names: list[str], preset: str, seeds: tuple[int, ...] | None, root: Path) -> int:
    """Remove what was trained and measured here for these notebooks, judges and parents included; return the nets."""
    from falsework.recipes import description_of

    removed = 0
    for name in names:
        executed.forget(name, preset, root)
        experiment = experiment_of(name)
        if experiment is None:
            continue
        shutil.rmtree(root / "runs" / preset / name / "measured", ignore_errors=True)
        nets = [
            (recipe, seed)
            for arm, recipe in arms_of(experiment, preset, {}).items()
            if recipe is not None
            for seed in experiment.seeds_of(preset, arm, experiment.seeds[preset] if seeds is None else seeds)
        ]
        nets += [(judge, 0) for judges in experiment.judges.values() for judge in judges(preset)]
        while nets:
            recipe, seed = nets.pop()
            nets += [(parent, seed) for parent in recipe.parents().values()]
            for folder in (root / "artefacts" / recipe.name).glob(f"*-{key_of(description_of(recipe, seed))}*"):
                removed += (folder / "manifest.json").is_file()
                shutil.rmtree(folder, ignore_errors=True)
    return removed


def run_course(
    names: list[str], preset: str, seeds: tuple[int, ...] | None, root: Path, workers: int | None = None
) -> list[Station]:
    """Train what the notebooks lack and execute each into runs/<preset>/, unless it stands there; return the stations.

    At most `workers` jobs train and as many notebooks run at once (None: as many as there are cores). A notebook that
    only reads what the others measured waits for all jobs. Says one line per notebook, and one live line for the whole.
    """
    stations = plan(names, preset, seeds, root)
    workers = workers or (2 if preset == "gpu" else joblib.cpu_count())
    threads = max(1, joblib.cpu_count() // workers)
    owner = [s for s in stations for _ in s.jobs]
    jobs = [replace(job, threads=threads) for s in stations for job in s.jobs]
    order = sorted(range(len(jobs)), key=lambda i: not jobs[i].judge)  # judges first: everybody waits for them
    jobs, owner = [jobs[i] for i in order], [owner[i] for i in order]
    readers = [s for s in stations if MODULES[s.name] is None]
    for s in stations:
        s.left = len(s.jobs)
    with ThreadPoolExecutor(workers) as pool, _Line(preset, jobs, stations, root) as line:
        running: list[Future[None]] = []

        def execute(station: Station) -> None:
            running.append(pool.submit(_execute, station, preset, root, line))

        for s in stations:
            if not s.left and s not in readers:
                execute(s)
        try:
            for i, fault in run_jobs(jobs, workers) if jobs else ():
                line.end(i)
                owner[i].left -= 1
                if fault is not None and not owner[i].fault:
                    owner[i].fault = _kept(fault, jobs[i], root)
                if not owner[i].left:
                    execute(owner[i])
            for s in readers:
                execute(s)
            for future in running:
                future.result()
        except BaseException:
            line.stop()
            raise
    return stations


def check_notebook(path: Path) -> None:
    """Raise Refused for a notebook that cannot be run as it stands: unreadable, or without its cell of parameters."""
    restore = f"restore it with `git checkout -- notebooks/{path.name}`"
    try:
        book = nbformat.read(path, 4)
        nbformat.validate(book)
    except Exception as fault:  # nbformat raises many kinds, json errors among them
        cause = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise Refused(f"The notebook {path.name} cannot be read ({cause}); {restore}.") from fault
    tagged = [c for c in book.cells if "parameters" in c.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise Refused(
            f"The notebook {path.name} has {len(tagged)} cells tagged 'parameters', but needs one; {restore}."
        )


def _execute(station: Station, preset: str, root: Path, line: _Line) -> None:
    """Execute one notebook in a process of its own, through papermill; the outcome goes into the station."""
    if line.stopped or station.fault:
        line.said(station, 0.0)
        return
    began = time.monotonic()
    source, target = root / "notebooks" / f"{station.name}.ipynb", executed.executed_path(station.name, preset, root)
    parameters = {"PRESET": preset, "SEEDS": list(station.seeds), "OVERRIDES": {}}
    command = [sys.executable, "-m", "papermill", str(source), str(target), "-y", json.dumps(parameters)]
    # the kernel's own warnings are not for this page
    command += ["-k", "python3", "--cwd", str(source.parent), "--no-progress-bar", "--log-level", "ERROR"]
    try:
        check_notebook(source)
        made = executed.made_of(station.name, preset, station.seeds, root)
        station.before = not station.jobs and executed.stands(station.name, preset, made, root)
        if station.before:
            line.said(station, 0.0)
            return
        executed.forget(station.name, preset, root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        environment = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        with line.child(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        ) as child:
            said = child.communicate()[0]
        if child.returncode:
            station.fault = f"{_cause(target, said)}; see {target}"
        else:
            executed.note(station.name, preset, made, root)
    except Refused as refusal:
        station.fault = str(refusal)
    except OSError as fault:
        station.fault = f"{target} cannot be written: {fault.strerror or fault}"
    line.said(station, time.monotonic() - began)


def _cause(target: Path, said: str) -> str:
    """Return the first line of what went wrong in an executed notebook; else the last that papermill said."""
    with contextlib.suppress(Exception):  # half-written, or never written: then papermill's own words must do
        for cell in nbformat.read(target, 4).cells:
            for output in cell.get("outputs", ()):
                if output.output_type == "error":
                    name = "" if output.ename == "Refused" else f"{output.ename}: "
                    return name + (output.evalue.splitlines() or [""])[0].rstrip(".")
    if "No space left" in said:
        return "the disk is full; what was trained is kept"
    last = (said.strip().splitlines() or ["it ended without a word"])[-1].rstrip(".")
    return re.sub(r"^(\w+\.)+(\w+: )", r"\2", last)  # an error's own name, without its module's


def _kept(fault: Exception, job: Job, root: Path) -> str:
    """Return one sentence on a failed job; the traceback of a fault in the code is kept in a file, which it names."""
    arm = f"{job.arm} seed {job.seed}"
    if isinstance(fault, Refused):
        return f"{arm}: {str(fault).rstrip('.')}"
    path = root / "runs" / job.preset / job.notebook / f"failed-{job.arm}-{job.seed}.txt"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([str(fault), *getattr(fault, "__notes__", [])]) + "\n", encoding="utf-8")
    return f"{arm}: {(str(fault).splitlines() or ['no words'])[0]}; see {path}"


class _Line:
    """The live line of a run: how much is trained, how long it took, how long it will take; a line a minute in a log."""

    def __init__(self, preset: str, jobs: list[Job], stations: list[Station], root: Path) -> None:
        self.preset, self.stations, self.jobs = preset, stations, jobs
        published = {name: _published(name, preset, root) for name in {job.notebook for job in jobs}}
        self.weights = [_cost(job, published[job.notebook]) for job in jobs]
        self.progress = Progress(jobs, root) if jobs else None
        self.done, self.told, self.stopped = 0, 0, False
        self.children: set[subprocess.Popen[str]] = set()
        self.lock, self.over = threading.RLock(), threading.Event()
        self.screen = sys.stdout.isatty()
        self.thread = threading.Thread(target=self._draw, daemon=True)

    def __enter__(self) -> _Line:
        self.began = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self._wipe()

    def end(self, i: int) -> None:
        """Note that a job has ended."""
        self.done += 1
        if self.progress:
            self.progress.end(i)

    def said(self, station: Station, seconds: float) -> None:
        """Print the line of a station that is through."""
        with self.lock:
            self.told += 1
            self._wipe()
            done = "executed before, and it still stands" if station.before else f"executed in {seconds:.0f} s"
            fate = f"failed ({station.fault})" if station.fault else done
            trained = f"{len(station.jobs)} trained and measured, " if station.jobs and not station.fault else ""
            print(f"[{self.told}/{len(self.stations)}] {station.name}: {trained}{fate}", flush=True)

    @contextlib.contextmanager
    def child(self, process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
        """Keep hold of a notebook's process, so that `stop` can end it."""
        self.children.add(process)
        try:
            yield process
        finally:
            self.children.discard(process)

    def stop(self) -> None:
        """End the notebooks that are being executed; no further one begins."""
        self.stopped = True
        for process in list(self.children):
            process.terminate()

    def text(self) -> str:
        """Return the line: "laptop: 41 % trained, 88 of 210 jobs, 3 of 12 notebooks; 36 min so far, about 50 left"."""
        spent = time.monotonic() - self.began
        share, left = 1.0, ""
        if self.progress:
            shares = self.progress.shares()
            share = sum(w * s for w, s in zip(self.weights, shares)) / sum(self.weights)
            if share < 1 and spent > 20 and share > 0.005:
                left = f", about {_minutes(spent * (1 - share) / share)} left"
        books = f"{self.told} of {len(self.stations)} notebooks"
        trained = f"{share:.0%} trained, {self.done} of {len(self.jobs)} jobs, " if self.jobs else ""
        return f"{self.preset}: {trained}{books}; {_minutes(spent)} so far{left}"

    def _draw(self) -> None:
        said = self.began
        while not self.over.wait(1.0):
            if not self.screen and time.monotonic() - said < 60:
                continue
            said = time.monotonic()
            text = self.text()
            with self.lock:
                if self.screen:
                    width = shutil.get_terminal_size().columns - 1
                    sys.stdout.write("\r" + text[:width].ljust(width))
                    sys.stdout.flush()
                else:
                    print(text, flush=True)

    def _wipe(self) -> None:
        if self.screen:
            sys.stdout.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _cost(job: Job, evidence: Evidence | None) -> float:
    """Return about how many core-seconds a job takes: what was published for it, else 10."""
    if evidence is None or job.judge:
        return 10.0
    models = evidence.manifest.get("models", {})
    measuring = evidence.manifest.get("measuring_core_seconds", 0.0) / max(1, len(models))
    return max(1.0, models.get(f"{job.arm}/{job.seed}", {}).get("core_seconds", 10.0) + measuring)


def _published(notebook: str, preset: str, root: Path) -> Evidence | None:
    """Return what is published of a notebook; None where nothing is, or where it cannot be read."""
    try:
        return load_evidence(root / "evidence", notebook, preset)
    except Refused:
        return None
