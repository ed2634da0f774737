"""Beyond one machine: the same jobs on a Dask cluster of two worker processes, one of which is killed in mid-training."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from falsework import cli
from falsework.core.errors import Refused
from falsework.experiments import experiment_of
from falsework.experiments.cluster import backend
from falsework.experiments.jobs import Job, run_job

NOTEBOOK = "01_igpt"
SETS = {f"{arm}.{field}": v for arm in ("small", "medium") for field, v in (("colours", 4), ("depth", 1), ("heads", 2))}
SETS |= {f"{arm}.train.batch": 4 for arm in ("small", "medium")}
SETS |= {f"{arm}.train.steps": 8 for arm in ("drawings", "large")}  # not what is looked at

# loaded by each worker: checkpoints often, and a note of the step at which each training starts, and in which process
NOTED = """
import os
from falsework import training

training.fit.__kwdefaults__["checkpoint_seconds"] = 0.2
training.restore = getattr(training, "restore", training._restore)  # dask loads this file twice


def noted(*args):
    found = training.restore(*args)
    with open(os.environ["TEST_TALLY"], "a") as f:
        f.write(f"{os.getpid()} {found[0]} {args[0].name}\\n")
    return found


training._restore = noted
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A scheduler and two worker processes on loopback, without nannies: a killed worker stays away."""
    (tmp_path / "noted.py").write_text(NOTED)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TEST_TALLY": str(tmp_path / "tally")}
    log = (tmp_path / "cluster.log").open("w")
    common = {"env": environment, "cwd": tmp_path, "stdout": log, "stderr": subprocess.STDOUT}
    ready, local = tmp_path / "scheduler.json", ("--host", "127.0.0.1", "--no-dashboard")
    dask = (
        sys.executable,
        "-c",
        "import sys, importlib; importlib.import_module(f'distributed.cli.{sys.argv.pop(1)}').main()",
    )
    started = [
        subprocess.Popen(
            [*dask, "dask_scheduler", *local, "--port", "0", "--scheduler-file", str(ready)],
            **common,
        )
    ]
    try:
        wait(ready.exists, 30)
        address = json.loads(ready.read_text())["address"]
        started += [
            subprocess.Popen(
                [*dask, "dask_worker", address, *local, "--nthreads", "1", "--no-nanny", "--preload", "noted.py"],
                **common,
            )
            for _ in range(2)
        ]
        yield address, tmp_path
    finally:
        for process in started:
            process.kill()
            process.wait()
        log.close()


def wait(holds, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def starts(folder: Path) -> list[tuple[int, int, str]]:
    """Return (process, first step, net) of every training that began."""
    path = folder / "tally"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(pid), int(step), name) for pid, step, name in (line.split() for line in lines)]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_a_killed_worker_loses_nothing_another_goes_on_from_its_checkpoint(cluster, tmp_path):
    address, folder = cluster
    long = {**SETS, "small.train.steps": 400, "medium.train.steps": 400}
    code = (
        "import sys; from pathlib import Path; from falsework import cli; cli.root = lambda: Path(sys.argv[1]);"
        "raise SystemExit(cli.main(sys.argv[2:]))"
    )
    root = tmp_path / "root"
    sets = [f"--set={k}={v}" for k, v in long.items()]
    asked = ["measure", NOTEBOOK, "--preset=smoke", "--seeds=1", "--cluster", address, *sets]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    run = subprocess.Popen([sys.executable, "-c", code, str(root), *asked], **pipes)
    try:
        parts = root / "artefacts" / "igpt"
        wait(lambda: any(parts.glob("*.part/checkpoint.safetensors")) or run.poll() is not None, 120)
        assert run.poll() is None, run.stdout.read()
        (part, *_) = [p.parent.name for p in parts.glob("*.part/checkpoint.safetensors")]
        victim = next(pid for pid, _, name in starts(folder) if part in name)
        os.kill(victim, signal.SIGKILL)
        said, _ = run.communicate(timeout=300)
    finally:
        if run.poll() is None:
            run.kill()
    assert run.returncode == 0, said
    resumed = [(pid, step) for pid, step, name in starts(folder) if part in name]
    assert resumed[0] == (victim, 0) and resumed[-1][0] != victim and resumed[-1][1] > 0, resumed
    trained = sorted((root / "artefacts" / "igpt").glob("*/weights.safetensors"))
    assert len(trained) == 3 and not list((root / "artefacts").rglob("*.part"))
    # and the net is, bit for bit, the one that an undisturbed process on this machine trains
    alone = tmp_path / "alone"
    wide = json.loads((parts / part.removesuffix(".part") / "recipe.json").read_text())["recipe"]["width"]
    arm = next(arm for arm in ("small", "medium") if experiment_of(NOTEBOOK).arms("smoke")[arm].width == wide)
    run_job(Job(NOTEBOOK, "smoke", arm, 1, (), tuple(long.items()), str(alone)))
    (mine,) = alone.glob("artefacts/igpt/*/weights.safetensors")
    assert mine.read_bytes() == (parts / mine.parent.name / "weights.safetensors").read_bytes()


def test_an_address_where_nobody_answers_is_named_after_a_while():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and not listening
        address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        began = time.monotonic()
        words = rf"No Dask scheduler answered at '{re.escape(address)}' within 1 s; .*\.$"
        with pytest.raises(Refused, match=words), backend(address, 1):
            pytest.fail("nobody can have answered")
        assert time.monotonic() - began < 20


def test_an_address_that_is_none_is_refused_with_an_example(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "root", lambda: tmp_path)
    assert cli.main(["measure", NOTEBOOK, "--preset=smoke", "--cluster", "nowhere at all"]) == 2
    said = capsys.readouterr().err
    assert "'nowhere at all'" in said and "tcp://host:8786" in said and said.count("\n") == 1
