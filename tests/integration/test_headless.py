"""`falsework run`: stations fail alone, what is trained is kept, the page stands at the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from falsework import cli, executed, headless
from falsework.claims.registry import CLAIMS
from falsework.core.errors import Refused
from falsework.experiments import MODULES, experiment_of, runner
from falsework.experiments.jobs import Job

REPOSITORY = Path(__file__).resolve().parents[2]
PARAMETERS = 'PRESET: str = "laptop"\nSEEDS: list = [0]\nOVERRIDES: dict = {}'


def book(root: Path, name: str, *cells: str, tagged: bool = True) -> Path:
    """Write a small notebook of the course's shape that does not need the course."""
    first = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]} if tagged else {})
    whole = new_notebook(cells=[first, *map(new_code_cell, cells)])
    whole.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = root / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(whole, path)
    return path


def texts(path: Path) -> str:
    return "".join(o.get("text", "") for c in nbformat.read(path, 4).cells for o in c.get("outputs", ()))


# ---- notebooks that fail, alone


def test_notebooks_fail_alone_and_each_says_its_cause(tmp_path, capsys):
    book(tmp_path, "00_the_world", "print(PRESET, SEEDS)")
    book(tmp_path, "01_igpt", "1 / 0", "print('never')")
    book(tmp_path, "02_dalle1", "print('unseen')", tagged=False)
    (tmp_path / "notebooks" / "03_clip.ipynb").write_text('{"cells": [')
    book(tmp_path, "04_captioners", "import os; os._exit(7)")
    book(tmp_path, "10_verdicts", "print('verdicts')")
    names = headless.standing(tmp_path)
    stations = {s.name: s for s in headless.run_course(names, "smoke", (), tmp_path, 2)}
    out = tmp_path / "runs" / "smoke"
    assert texts(out / "00_the_world.ipynb") == "smoke []\n" and not stations["00_the_world"].fault
    assert stations["01_igpt"].fault == f"ZeroDivisionError: division by zero; see {out / '01_igpt.ipynb'}"
    assert "never" not in texts(out / "01_igpt.ipynb")
    for name, words in {
        "02_dalle1": "has 0 cells tagged 'parameters', but needs one",
        "03_clip": "cannot be read",
    }.items():
        assert words in stations[name].fault and f"`git checkout -- notebooks/{name}.ipynb`" in stations[name].fault
        assert not (out / f"{name}.ipynb").exists()
    assert stations["04_captioners"].fault.startswith("DeadKernelError: Kernel died")
    assert texts(out / "10_verdicts.ipynb") == "verdicts\n"
    said = capsys.readouterr().out.splitlines()
    assert [line.partition("]")[0] for line in said] == [f"[{i}/6" for i in range(1, 7)]
    assert sum("failed" in line for line in said) == 4 and sum("executed in" in line for line in said) == 2


def test_the_command_says_what_failed_last_and_its_exit_code_is_1(tmp_path, capsys, monkeypatch):
    book(tmp_path, "00_the_world", "raise ValueError('no world')")
    monkeypatch.setattr(cli, "root", lambda: tmp_path)
    monkeypatch.setattr(headless, "plan", lambda names, *_: [headless.Station(n, ()) for n in names])
    assert cli.main(["run", "--preset=smoke"]) == 1
    out, err = capsys.readouterr()
    page = tmp_path / "runs" / "smoke" / "verdicts.html"
    assert "0 of 1 notebooks executed" in out and str(page) in out
    assert err.strip() == f"00_the_world failed (ValueError: no world; see {page.with_name('00_the_world.ipynb')})."
    assert "ValueError: no world" in page.read_text("utf-8")


@pytest.mark.parametrize("fault", [Refused("The loss became nan at step 3 of igpt."), KeyError("a bug")])
def test_a_job_that_fails_takes_its_own_notebook_along_and_no_other(tmp_path, monkeypatch, fault):
    for name in ("01_igpt", "03_clip"):
        book(tmp_path, name, "print('here')")
    book(tmp_path, "10_verdicts", "print(len(list(__import__('pathlib').Path('..').glob('*.done'))))")
    done = []

    def run_job(job: Job) -> None:
        done.append((job.notebook, job.arm))
        (tmp_path / f"{job.arm}.done").touch()
        if (job.notebook, job.arm) == ("01_igpt", "medium"):
            raise fault

    jobs = [
        Job(n, "smoke", a, 0, (), (), str(tmp_path))
        for n, a in [("01_igpt", "medium"), ("01_igpt", "small"), ("03_clip", "clip_3")]
    ]
    names = ("01_igpt", "03_clip", "10_verdicts")
    stations = [headless.Station(n, (0,), [j for j in jobs if j.notebook == n]) for n in names]
    monkeypatch.setattr(runner, "run_job", run_job)
    monkeypatch.setattr(headless, "plan", lambda *_: stations)
    headless.run_course(list(names), "smoke", (0,), tmp_path, 1)
    bad, good, _ = stations
    assert texts(tmp_path / "runs/smoke/10_verdicts.ipynb") == "3\n"  # it reads what all have measured
    assert len(done) == 3 and not good.fault and texts(tmp_path / "runs/smoke/03_clip.ipynb") == "here\n"
    assert not (tmp_path / "runs/smoke/01_igpt.ipynb").exists()
    if isinstance(fault, Refused):
        assert bad.fault == "medium seed 0: The loss became nan at step 3 of igpt"
    else:
        kept = tmp_path / "runs/smoke/01_igpt/failed-medium-0.txt"
        assert bad.fault == f"medium seed 0: KeyError: 'a bug'; see {kept}" and "in run_job" in kept.read_text()


# ---- notebooks that stand


def test_an_executed_notebook_stands_until_it_fails_or_is_forgotten_or_changes(tmp_path, capsys):
    path, out = book(tmp_path, "00_the_world", "print('once')"), tmp_path / "runs" / "smoke" / "00_the_world.ipynb"

    def run() -> bool:
        (station,) = headless.run_course(["00_the_world"], "smoke", (), tmp_path, 1)
        assert bool(station.fault) is ("1 / 0" in path.read_text())
        return station.before

    assert not run() and run()
    assert capsys.readouterr().out.splitlines()[-1] == "[1/1] 00_the_world: executed before, and it still stands"
    headless.forget(["00_the_world"], "smoke", (), tmp_path)  # --fresh
    assert not run() and run()
    out.unlink()
    assert not run() and run()
    for source in ("1 / 0", "print('twice')"):
        book(tmp_path, "00_the_world", source)
        assert not run()
    assert texts(out) == "twice\n" and run()
    book(tmp_path, "00_the_world", "1 / 0")
    assert not run() and not run()  # what failed is tried again


def touched(root: Path, at: str) -> None:
    (root / at).parent.mkdir(parents=True, exist_ok=True)
    (root / at).write_text("new")


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ("notebooks/{}.ipynb", True),
        ("evidence/03_clip/laptop/transfer.csv", True),
        ("data/emoji.npz", True),
        ("exhibits/03_clip/zero_shot.safetensors", True),
        ("runs/laptop/03_clip/measured/transfer/zero_shot-17-0123456789ab.json", "reader"),
        ("runs/guesses.json", "reader"),
        ("runs/smoke/03_clip/measured/transfer/zero_shot-17-0123456789ab.json", False),
        ("runs/laptop/03_clip/progress.json", False),
        ("notebooks/11_your_claim.ipynb", False),
        ("README.md", False),
    ],
)
def test_a_notebook_stands_on_all_that_it_reads_and_on_nothing_else(tmp_path, change, moves):
    for name in ("03_clip", "10_verdicts"):
        book(tmp_path, name, "print('here')")
        before = executed.made_of(name, "laptop", (0,), tmp_path)
        assert before == executed.made_of(name, "laptop", (0,), tmp_path)
        touched(tmp_path, change.format(name))
        after = executed.made_of(name, "laptop", (0,), tmp_path)
        assert (after != before) is (moves is True or (moves == "reader" and name == "10_verdicts"))
        (tmp_path / change.format(name)).unlink()


def test_other_seeds_another_preset_another_library_or_torch_are_another_notebook(tmp_path, monkeypatch):
    book(tmp_path, "03_clip", "print('here')")

    def made(preset: str = "laptop", seeds: tuple[int, ...] = (0,)) -> str:
        return executed.made_of("03_clip", preset, seeds, tmp_path)

    package = tmp_path / "package"
    touched(package, "claims/registry.py")
    monkeypatch.setattr(executed, "__file__", str(package / "executed.py"))
    found = {made(), made(seeds=(0, 1)), made("smoke")}
    touched(package, "page.css")
    found.add(made())
    touched(package, "__pycache__/page.pyc")
    assert made() in found and len(found) == 4
    monkeypatch.setattr(executed, "machine", lambda: {"torch": "9.9"})
    assert made() not in found


# ---- what is asked


def test_notebooks_are_named_by_number_or_name_in_the_course_s_order():
    names = list(MODULES)
    assert headless.chosen("", names) == names
    assert headless.chosen("03_clip, 1,00", names) == ["00_the_world", "01_igpt", "03_clip"]
    with pytest.raises(Refused, match=r"--only is '03_clp'.*did you mean '03_clip'\?"):
        headless.chosen("00,03_clp", names)


def test_a_run_trains_what_is_judged_and_a_reader_s_seed_0_not_what_is_merely_shown(tmp_path):
    (one,) = headless.plan(["02_dalle1"], "laptop", None, tmp_path)
    nets = {(job.arm, job.seed) for job in one.jobs if not job.judge}
    assert nets == {("dalle", 0), ("dalle", 1), ("dalle", 2)}
    (one,) = headless.plan(["01_igpt"], "laptop", (0,), tmp_path)  # drawings: one seed, the reader's
    assert {job.arm for job in one.jobs if not job.judge} == {"drawings", "small", "medium", "large"}
    (one,) = headless.plan(["01_igpt"], "laptop", None, tmp_path)
    assert {job.arm for job in one.jobs if not job.judge} == {"small", "medium", "large"}


@pytest.mark.parametrize("name", [n for n, m in MODULES.items() if m])
def test_a_run_measures_what_its_notebook_asks_for_and_its_claims_read_and_nothing_else(name):
    cells = nbformat.read(REPOSITORY / "notebooks" / f"{name}.ipynb", 4).cells
    asked = {m for c in cells for m in re.findall(r"run\.(?:measure|curves|exhibits)\(\"(\w+)\"\)", c.source)}
    read = {claim.experiment for claim in CLAIMS if claim.notebook == name}
    experiment = experiment_of(name)
    assert set(experiment.published_only) == set(experiment.measures) - asked - read


def test_a_judge_of_several_notebooks_is_trained_once(tmp_path):
    stations = headless.plan([n for n, m in MODULES.items() if m], "overnight", None, tmp_path)
    judges = [str(headless.job_recipe(job)) for s in stations for job in s.jobs if job.judge]
    assert judges and len(judges) == len(set(judges))


# ---- for real, at smoke, stopped in the middle


def processes_in(course: Path) -> list[psutil.Process]:
    """Return the processes that run with this course's library."""
    found = []
    for p in psutil.process_iter(["environ"]):
        if (p.info["environ"] or {}).get("PYTHONPATH") == str(course / "lib") and p.status() != psutil.STATUS_ZOMBIE:
            found.append(p)
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_a_run_that_is_stopped_goes_on_where_it_was_and_a_third_has_nothing_to_do(tmp_path):
    sys.path.insert(0, str(REPOSITORY / "tests" / "notebooks"))
    from redraw import environment, scratch_course

    course = scratch_course(tmp_path)
    command = [sys.executable, "-m", "falsework", "run", "--preset", "smoke", "--only", "04,10", "--seeds", "0"]
    options = {"env": environment(course) | {"OMP_NUM_THREADS": "1"}, "cwd": course, "text": True}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    nets = course / "artefacts"
    # whoever starts the tests in the background hands an ignored SIGINT on
    first = subprocess.Popen(
        command,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
        **pipes,
    )
    end = time.monotonic() + 240
    while not list(nets.glob("*/*/manifest.json")):
        assert time.monotonic() < end and first.poll() is None, first.stdout.read()
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 130 and "What was trained is kept" in said, said
    end = time.monotonic() + 20
    while left := processes_in(course):
        assert time.monotonic() < end, [p.cmdline() for p in left]
        time.sleep(0.2)
    kept = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in nets.glob("*/*/weights.safetensors")}
    assert kept

    def again() -> str:
        done = subprocess.run(command, **options, **pipes, timeout=600)
        assert done.returncode == 0, done.stdout
        return done.stdout

    said = again()
    assert "2 of 2 notebooks executed" in said and "trained and measured" in said
    assert all((p.stat().st_ino, p.stat().st_mtime_ns) == was for p, was in kept.items())
    out = course / "runs" / "smoke"
    assert (out / "verdicts.html").is_file() and (out / "verdicts.csv").is_file()
    book = nbformat.read(out / "04_captioners.ipynb", 4)
    assert all(c.execution_count for c in book.cells if c.cell_type == "code")
    assert "2 of 2 notebooks executed, 2 of them before," in again()
