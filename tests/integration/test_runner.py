"""The runner: trains what is missing and nothing else, in parallel, and may be stopped at any moment."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from falsework import cli
from falsework.core import versions
from falsework.core.artefacts import Store, key_of
from falsework.core.errors import Refused
from falsework.core.evidence import Result, load_evidence, save_result
from falsework.experiments import experiment_of, packing, runner
from falsework.experiments.jobs import Job, arms_of, collect, result_key, run_job
from falsework.experiments.publishing import publish_notebook
from falsework.experiments.runner import measure
from falsework.recipes import description_of

torch.set_num_threads(1)
NOTEBOOK = "01_igpt"
ARMS = ("drawings", "small", "medium", "large")  # each of another width, so no two are one model
PAIRS = [("drawings", 0), *((arm, seed) for arm in ARMS[1:] for seed in (0, 1))]  # drawings are shown from one seed


def of_every_arm(**fields: object) -> dict[str, object]:
    """Return overrides of the same fields in every arm; `train_steps` is the field "train.steps"."""
    return {f"{arm}.{field.replace('_', '.')}": value for arm in ARMS for field, value in fields.items()}


TINY = of_every_arm(colours=4, depth=1, heads=2, train_batch=4)
FEW = {**TINY, **of_every_arm(train_steps=8)}
WHAT = ("samples", "likelihood", "endings")
ONE = ("likelihood",)  # a measure of every arm, where one is enough

# Loaded by every process below, workers too: only loopback may be reached, training checkpoints often, and each
# training notes at which step it starts, and in which folder.
WATCHED = """
import importlib.abc, importlib.util, os, socket, sys

TALLY = os.environ["TEST_TALLY"]


def note(text):
    with open(TALLY, "a") as f:
        f.write(text + "\\n")


def guarded(name):
    real = getattr(socket.socket, name)

    def connect(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            note(f"connect {address}")
            raise OSError("there is no network")
        return real(self, address)

    return connect


for name in ("connect", "connect_ex"):
    setattr(socket.socket, name, guarded(name))


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "falsework.training":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            module.fit.__kwdefaults__["checkpoint_seconds"] = 0.2
            restore = module._restore

            def noted(*args):
                found = restore(*args)
                note(f"start {found[0]} {args[0].name}")
                return found

            module._restore = noted

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def watched(tmp_path: Path) -> dict[str, str]:
    """The environment of a watched process."""
    return _watched(tmp_path)


def _watched(folder: Path) -> dict[str, str]:
    (folder / "watch").mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(WATCHED)
    paths = {"PYTHONPATH": str(folder / "watch"), "TEST_TALLY": str(folder / "tally")}
    return {**os.environ, "OMP_NUM_THREADS": "1", **paths}


def tally(folder: Path) -> list[str]:
    return (folder / "tally").read_text().splitlines() if (folder / "tally").exists() else []


def starts(folder: Path) -> list[tuple[str, int]]:
    """Return (folder of the model, first step) of every training that began, in order."""
    lines = [line.split() for line in tally(folder) if line.startswith("start")]
    return [(name, int(step)) for _, step, name in lines]


def files_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            about = path.stat()
            found[str(path.relative_to(folder))] = (about.st_ino, about.st_mtime_ns, path.read_bytes())
    return found


def weights_of(root: Path) -> dict[str, bytes]:
    return {p.parent.name: p.read_bytes() for p in (root / "artefacts").glob("*/*/weights.safetensors")}


def stop(process: subprocess.Popen) -> None:
    for child in [*psutil.Process(process.pid).children(recursive=True), process]:
        child.kill()


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Iterator[tuple[Path, dict[str, list[Result]]]]:
    """A root where every arm was trained and measured with two seeds by two workers with one thread each."""
    root = tmp_path_factory.mktemp("course")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner.joblib, "cpu_count", lambda *_, **__: 2)
        yield root, measure(NOTEBOOK, WHAT, "smoke", (0, 1), FEW, root, say=lambda text: None)


def of(found: list[Result], arm: str, seed: int) -> Result:
    (one,) = [r for r in found if (r.arm, r.seed) == (arm, seed)]
    return one


# ---- what is there is not made again


def test_a_measure_gives_one_result_for_each_arm_and_seed_with_costs_and_curve(done):
    root, found = done
    assert [(r.arm, r.seed) for r in found["samples"]] == PAIRS
    assert [(r.arm, r.seed) for r in found["likelihood"]] == PAIRS
    for r in [*found["samples"], *found["likelihood"]]:
        assert all((row["arm"], row["seed"]) == (r.arm, r.seed) for row in [*r.rows, *r.curve])
        assert [row["step"] for row in r.curve] == list(range(8))
        assert r.facts["threads"] == 1 and r.facts["flops"] > 0 and r.facts["recipe"] == "igpt"
    for r in found["samples"]:
        if r.arm == "drawings":
            assert [row["metric"] for row in r.rows] == ["nearest_training_distance"] * 2
            assert all(0 < row["value"] < 255 for row in r.rows)
    for r in found[
        "likelihood"
    ]:  # a picture is paid for in full, and in 4 colours at 2 bits a pixel by who knows nothing
        (total,) = [row["value"] for row in r.rows if row["metric"] == "bits_per_image"]
        (worst,) = [row["value"] for row in r.rows if row.get("model") == "uniform"]
        assert total > 0 and worst == 2
        regions = [row["value"] for row in r.rows if row["metric"] == "bits_in_region"]
        assert sum(regions) == pytest.approx(total, rel=1e-4)
    assert of(found["samples"], "drawings", 0).arrays["samples"].shape == (8, 8, 8, 3)
    assert of(found["samples"], "large", 0).arrays["scene_samples"].shape == (8, 16, 16, 3)
    assert not (root / "runs" / "smoke" / NOTEBOOK / "progress.json").exists()


def test_no_two_results_of_a_measure_hold_a_picture_of_the_same_name(done):
    names = [name for found in done[1].values() for r in found for name in r.arrays]  # they are published in one file
    assert names and len(set(names)) == len(names)


def test_a_second_call_trains_nothing_and_writes_nothing(done, monkeypatch):
    root, found = done
    before = files_of(root)
    monkeypatch.setattr(runner, "_run_all", lambda *_: pytest.fail("a job was started"))
    again = measure(NOTEBOOK, WHAT, "smoke", (0, 1), FEW, root)
    assert files_of(root) == before
    for name in WHAT:
        assert [r.rows for r in again[name]] == [r.rows for r in found[name]]


def test_a_lost_result_is_measured_again_from_the_same_weights(done):
    root, found = done
    before = weights_of(root)
    stamps = {n: f[:2] for n, f in files_of(root / "artefacts").items() if n.endswith("safetensors")}
    (lost,) = (root / "runs" / "smoke" / NOTEBOOK / "measured" / "likelihood").glob("small-1-*.json")
    lost.unlink()
    again = measure(NOTEBOOK, WHAT, "smoke", (0, 1), FEW, root, say=lambda text: None)
    assert of(again["likelihood"], "small", 1).rows and lost.exists()
    for name in WHAT:
        assert [r.rows for r in again[name]] == [r.rows for r in found[name]]
    assert weights_of(root) == before
    assert stamps == {n: f[:2] for n, f in files_of(root / "artefacts").items() if n.endswith("safetensors")}


def test_each_model_is_trained_once_and_one_judge_serves_every_seed(done):
    trained = [p.parts[-3] for p in (done[0] / "artefacts").glob("*/*/weights.safetensors")]
    assert trained.count("igpt") == len(PAIRS) and trained.count("reader") == 1 and len(trained) == len(PAIRS) + 1
    judged = [row for r in done[1]["endings"] for row in r.rows if row["metric"] == "completion_accuracy"]
    assert {(row["arm"], row["seed"]) for row in judged} == {("large", 0), ("large", 1)}
    assert len({row["reader"] for row in judged}) == 1 and all(0 <= row["value"] <= 1 for row in judged)


def test_one_process_gives_the_bits_that_two_workers_gave(done, tmp_path):
    root, found = done
    run_job(Job(NOTEBOOK, "smoke", "small", 1, ("likelihood",), tuple(FEW.items()), str(tmp_path), threads=1))
    ((name, weights),) = weights_of(tmp_path).items()
    assert weights_of(root)[name] == weights
    own = {"small": arms_of(experiment_of(NOTEBOOK), "smoke", FEW)["small"]}
    (mine,), missing = collect(experiment_of(NOTEBOOK), "likelihood", "smoke", own, (1,), tmp_path / "runs")
    theirs = of(found["likelihood"], "small", 1)
    assert not missing and mine.rows and (mine.rows, mine.curve) == (theirs.rows, theirs.curve)


def test_results_with_overrides_do_not_mix_with_plain_ones(done):
    root, found = done
    experiment = experiment_of(NOTEBOOK)
    for overrides in ({}, TINY, {**FEW, **of_every_arm(train_lr=0.001)}):
        arms = arms_of(experiment, "smoke", overrides)
        have, missing = collect(experiment, "samples", "smoke", arms, (0, 1), root / "runs")
        assert have == [] and missing == PAIRS
    keys = {r.key for r in found["samples"]}
    assert len(keys) == len(PAIRS)


def test_an_override_of_one_arm_leaves_the_results_of_the_others_standing(done):
    root, _ = done
    experiment = experiment_of(NOTEBOOK)
    arms = arms_of(experiment, "smoke", {**FEW, "small.train.lr": 0.001})
    have, missing = collect(experiment, "samples", "smoke", arms, (0, 1), root / "runs")
    assert missing == [("small", 0), ("small", 1)]
    assert [(r.arm, r.seed) for r in have] == [pair for pair in PAIRS if pair[0] != "small"]


def test_the_key_of_a_result_depends_on_measure_version_model_preset_arm_and_seed(monkeypatch):
    experiment = experiment_of(NOTEBOOK)
    recipe = arms_of(experiment, "smoke", FEW)["small"]
    base = (experiment, "likelihood", "smoke", "small", 0, recipe)
    key = result_key(*base)
    others = [
        result_key(experiment, "layers", *base[2:]),
        result_key(*base[:2], "laptop", *base[3:]),
        result_key(*base[:3], "medium", *base[4:]),
        result_key(*base[:4], 1, recipe),
        result_key(*base[:5], arms_of(experiment, "smoke", TINY)["small"]),
    ]
    for table, name in ((versions.MEASURES, f"{NOTEBOOK}/likelihood"), (versions.RECIPES, "igpt")):
        with monkeypatch.context() as change:
            change.setitem(table, name, 999)
            others.append(result_key(*base))
    assert len({key, *others}) == 8 and result_key(*base) == key


# ---- arms that are shown from few seeds


@pytest.mark.parametrize(
    ("preset", "seeds", "of_drawings"),
    [
        ("smoke", (0, 1), [0]),
        ("laptop", (0, 1, 2), [0]),
        ("laptop", (7,), []),  # a seed of the reader's own
        ("laptop", (7, 0), [0]),
        ("overnight", (0, 2, 3, 7), [0, 2]),
        ("gpu", (0, 1), [0, 1]),
    ],
)
def test_an_arm_with_few_seeds_is_trained_with_those_alone(tmp_path, monkeypatch, preset, seeds, of_drawings):
    jobs: list[Job] = []
    monkeypatch.setattr(runner, "_run_all", lambda asked, workers: jobs.extend(asked))
    assert measure(NOTEBOOK, ("layers",), preset, seeds, {}, tmp_path, say=lambda text: None) == {"layers": []}
    arms = arms_of(experiment_of(NOTEBOOK), preset, {})
    asked = {arm: [job.seed for job in jobs if job.arm == arm] for arm in arms}
    assert asked == {arm: of_drawings if arm == "drawings" else list(seeds) for arm in arms}


def test_results_of_an_arm_from_seeds_that_are_not_its_own_are_not_collected(tmp_path):
    plant(tmp_path, "laptop", (0, 1, 2), only_its_own=False)
    experiment = experiment_of(NOTEBOOK)
    arms = arms_of(experiment, "laptop", {})
    have, missing = collect(experiment, "layers", "laptop", arms, (0, 1, 2), tmp_path / "runs")
    assert missing == [] and [r.seed for r in have if r.arm == "drawings"] == [0]
    assert all([r.seed for r in have if r.arm == arm] == [0, 1, 2] for arm in ARMS[1:])


def test_an_unknown_measure_or_arm_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(Refused, match=r"A measure of 01_igpt is 'likelyhood'.*did you mean 'likelihood'\?"):
        measure(NOTEBOOK, ("likelyhood",), "smoke", (0,), FEW, tmp_path)
    with pytest.raises(Refused, match=r"An arm in OVERRIDES is 'drawing'.*did you mean 'drawings'\?"):
        measure(NOTEBOOK, WHAT, "smoke", (0,), {"drawing.train.steps": 1}, tmp_path)
    assert not list(tmp_path.iterdir())


# ---- jobs that fail


def test_a_job_that_fails_surfaces_one_sentence_and_a_bad_exit_code(done, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(cli, "root", lambda: tmp_path)
    fatal = {**TINY, **of_every_arm(train_steps=20, train_lr=1e30)}
    sets = [f"--set={path}={value}" for path, value in fatal.items()]
    code = cli.main(["measure", NOTEBOOK, "--preset=smoke", "--seeds=0", *sets])
    said = capfd.readouterr().err.strip().splitlines()
    assert code == 2 and len(said) == 1, said
    assert said[0].startswith("falsework: The loss became ")
    assert re.search(r" at step \d+ of igpt, seed 0, smoke-[0-9a-f]{12}; a lower rate may cure it\.$", said[0])
    # the judge is no arm: it trains beside them, and may be ready before it is stopped
    assert not list(tmp_path.glob("artefacts/igpt/*/weights.safetensors"))
    assert not list(tmp_path.glob("runs/*/*/measured/*/*"))


def test_a_disk_that_is_full_surfaces_the_same_way(done, tmp_path):
    (tmp_path / "artefacts").write_text("a file where a folder should be")
    with pytest.raises(Refused, match=r"^Cannot write .*; what was saved earlier is intact\.$"):
        measure(NOTEBOOK, ONE, "smoke", (0,), FEW, tmp_path, say=lambda text: None)


# ---- several processes, no network


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> Path:
    """A root on which two processes measured the same seed at the same time, without a network."""
    folder = tmp_path_factory.mktemp("shared")
    env = _watched(folder)
    code = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from falsework.experiments.runner import measure
        seeds = tuple(map(int, sys.argv[1].split(",")))
        found = measure({NOTEBOOK!r}, {ONE!r}, "smoke", seeds, {FEW!r}, Path(sys.argv[2]), say=lambda text: None)
        assert [(r.arm, r.seed) for r in found["likelihood"]] == [(arm, s) for arm in {ARMS!r} for s in seeds]
    """)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, seeds, str(folder / "root")], env=env, stderr=subprocess.PIPE, text=True
        )
        for seeds in ("0", "0")
    ]
    try:
        for process in processes:
            _, fault = process.communicate(timeout=300)
            assert process.returncode == 0, fault
    finally:
        for process in processes:
            if process.poll() is None:
                stop(process)
    return folder


def test_two_processes_on_one_root_train_nothing_twice_and_lose_nothing(two_processes, done):
    began = starts(two_processes)
    assert len(began) == len(dict(began)) == len(ARMS) and set(dict(began).values()) == {0}
    root = two_processes / "root"
    assert len(weights_of(root)) == len(ARMS) and not list((root / "artefacts").rglob("*.part"))
    arms = arms_of(experiment_of(NOTEBOOK), "smoke", FEW)
    have, missing = collect(experiment_of(NOTEBOOK), *ONE, "smoke", arms, (0,), root / "runs")
    assert missing == [] and [r.arm for r in have] == list(ARMS)
    assert [r.rows for r in have] == [of(done[1]["likelihood"], arm, 0).rows for arm in ARMS]
    assert not [p for p in root.rglob("*") if p.name.endswith(".part")]


def test_a_measure_connects_to_nothing_but_this_machine(two_processes):
    assert tally(two_processes) and [x for x in tally(two_processes) if x.startswith("connect")] == []


def test_the_guard_against_the_network_would_have_noticed(watched, tmp_path):
    code = "import socket; socket.socket().connect(('192.0.2.1', 80))"
    assert subprocess.run([sys.executable, "-c", code], env=watched, stderr=subprocess.DEVNULL).returncode == 1
    assert tally(tmp_path) == ["connect ('192.0.2.1', 80)"]


# ---- stopped


def measuring(root: Path, watched: dict[str, str], overrides: dict[str, object]) -> subprocess.Popen[str]:
    """Start `falsework measure` of seed 0 in a watched process of its own."""
    code = "import sys; from pathlib import Path; from falsework import cli; cli.root = lambda: Path(sys.argv[1]);"
    sets = [f"--set={path}={value}" for path, value in overrides.items()]
    command = [sys.executable, "-c", code + "raise SystemExit(cli.main(sys.argv[2:]))", str(root), "measure", NOTEBOOK]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, "--preset=smoke", "--seeds=0", *sets], env=watched, **pipes)


def until(holds, process: subprocess.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end and process.poll() is None, "waited in vain"
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_when_the_main_process_is_killed_its_workers_do_not_linger(watched, tmp_path):
    process = measuring(tmp_path, watched, {**TINY, **of_every_arm(train_steps=200_000)})
    until(lambda: list(tmp_path.glob("artefacts/igpt/*.part/checkpoint.safetensors")), process)
    workers = [
        p for p in psutil.Process(process.pid).children(recursive=True) if "LokyProcess" in " ".join(p.cmdline())
    ]
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert gone and not alive


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_a_worker_that_is_killed_is_replaced_and_its_net_goes_on_from_the_checkpoint(watched, tmp_path):
    long = {**FEW, "small.train.steps": 400}
    own = Store(tmp_path / "artefacts")
    key = key_of(description_of(arms_of(experiment_of(NOTEBOOK), "smoke", long)["small"], 0))
    part = own.folder("igpt", "smoke", f"{key}.part")
    process = measuring(tmp_path, watched, long)
    try:
        until((part / "checkpoint.safetensors").exists, process)
        for worker in psutil.Process(process.pid).children(recursive=True):
            if "LokyProcess" in " ".join(worker.cmdline()):
                worker.kill()
        assert process.wait(timeout=300) == 0, process.stderr.read()
    finally:
        if process.poll() is None:
            stop(process)
    mine = [step for name, step in starts(tmp_path) if name == part.name]
    assert mine[0] == 0 and len(mine) == 2 and mine[1] > 0
    assert len(list(part.parent.glob("*/weights.safetensors"))) == len(ARMS)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_an_interrupt_ends_every_process_within_five_seconds_and_the_next_run_goes_on(watched, tmp_path):
    code = textwrap.dedent("""
        import sys
        from pathlib import Path
        from falsework import cli
        cli.root = lambda: Path(sys.argv[1])
        raise SystemExit(cli.main(sys.argv[2:]))
    """)
    endless = {**TINY, **of_every_arm(train_steps=200_000)}
    sets = [f"--set={path}={value}" for path, value in endless.items()]
    command = [sys.executable, "-c", code, str(tmp_path / "root")]
    command += ["measure", NOTEBOOK, "--preset=smoke", "--seeds=0", *sets]
    parts = tmp_path / "root" / "artefacts" / "igpt"

    def saved() -> dict[str, int]:
        return {p.parent.name: p.stat().st_mtime_ns for p in parts.glob("*.part/checkpoint.safetensors")}

    for whole_group in (False, True):  # as a notebook interrupts its kernel; as Ctrl-C in a terminal
        kept, earlier = saved(), len(starts(tmp_path))
        process = subprocess.Popen(
            command,
            env=watched,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a shell's background job ignores interrupts, and would hand that down to the run
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            end = time.monotonic() + 90
            # until a model trains and has saved a checkpoint, in the second run one of those that the first run began
            while not any(
                saved().get(name, 0) != kept.get(name, 0) and (name in kept or not kept)
                for name, _ in starts(tmp_path)[earlier:]
            ):
                assert process.poll() is None and time.monotonic() < end, process.communicate()[1]
                time.sleep(0.05)
            everyone = psutil.Process(process.pid).children(recursive=True)
            assert len(everyone) >= 2
            began = time.monotonic()
            os.killpg(process.pid, signal.SIGINT) if whole_group else process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)
            psutil.wait_procs(everyone, timeout=max(0.1, began + 5 - time.monotonic()))
            assert time.monotonic() - began < 5
            assert [p for p in everyone if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
            assert process.returncode == 130
            assert "Stopped. What was trained is kept; the same command goes on from there." in said
        finally:
            if process.poll() is None:
                stop(process)
    first, second = starts(tmp_path)[:earlier], starts(tmp_path)[earlier:]
    assert first and {step for _, step in first} == {0}
    again = {name: step for name, step in second if name in kept}
    assert again and min(again.values()) > 0  # whatever had a checkpoint went on from there
    logs = {path.parent.name: path.read_text().splitlines() for path in parts.glob("*.part/log.jsonl")}
    assert set(again) <= set(logs)
    for lines in logs.values():
        steps = [json.loads(x)["step"] for x in lines[:-1]]
        assert steps == sorted(set(steps))


# ---- from runs/ to evidence/


COST = {"drawings": 100.0, "small": 10.0, "medium": 20.0, "large": 40.0}  # core-seconds of training


def plant(root: Path, preset: str, seeds: tuple[int, ...], only_its_own: bool = True, cpu: str = "abacus") -> None:
    """Put results where the runner would have left them; without `only_its_own`, of every arm with every seed."""
    experiment = experiment_of(NOTEBOOK)
    for name in experiment.measures:
        for arm, recipe in arms_of(experiment, preset, {}).items():
            for seed in experiment.seeds_of(preset, arm, seeds) if only_its_own else seeds:
                key = result_key(experiment, name, preset, arm, seed, recipe)
                at = {"arm": arm, "seed": seed}
                cost = {"core_seconds": COST[arm], "measure_seconds": 1.0}
                facts = {"recipe": "igpt", **cost, "machine": {"cpu": cpu}}
                curve = [{**at, "step": 0, "loss": 1.0}]
                rows = [{**at, "metric": "bits", "value": 2.5}]
                save_result(root / "runs", preset, NOTEBOOK, Result(name, arm, seed, key, rows, curve, {}, facts))


def test_a_rehearsal_is_never_published(tmp_path):
    plant(tmp_path, "smoke", (0, 1))
    with pytest.raises(Refused, match="'smoke' is a rehearsal and is never published"):
        publish_notebook(NOTEBOOK, "smoke", tmp_path)
    assert not (tmp_path / "evidence").exists()


def test_evidence_with_a_seed_missing_is_not_published_and_the_refusal_names_it(tmp_path):
    seeds = experiment_of(NOTEBOOK).seeds["laptop"]
    plant(tmp_path, "laptop", seeds[:-1])
    lacks = ", ".join(f"{arm} seed {seeds[-1]}" for arm in ("small", "medium", "large"))  # of drawings no more is asked
    wanted = f"lacks {lacks}; run falsework measure 01_igpt --preset laptop"
    with pytest.raises(Refused, match=wanted):
        publish_notebook(NOTEBOOK, "laptop", tmp_path)
    assert not (tmp_path / "evidence").exists()


def test_a_notebook_that_measures_nothing_is_not_published(tmp_path):
    with pytest.raises(Refused, match="measures nothing"):
        publish_notebook("10_verdicts", "laptop", tmp_path)


def test_all_seeds_are_published_with_one_curve_a_model_and_their_cost(tmp_path):
    experiment = experiment_of(NOTEBOOK)
    seeds = experiment.seeds["laptop"]
    plant(tmp_path, "laptop", (*seeds, 77), only_its_own=False)  # a seed that is not the arm's own is left out
    publish_notebook(NOTEBOOK, "laptop", tmp_path)
    found = load_evidence(tmp_path / "evidence", NOTEBOOK, "laptop")
    pairs = [("drawings", 0), *((arm, seed) for arm in ARMS[1:] for seed in seeds)]
    for name in experiment.measures:
        assert [(r["arm"], r["seed"]) for r in found.rows(name)] == pairs
    assert [(c["arm"], c["seed"]) for c in found.curves()] == pairs
    measures = len(experiment.measures)
    assert set(found.manifest["keys"]) == {
        f"{name}/{arm}/{seed}" for name in experiment.measures for arm, seed in pairs
    }
    assert set(found.manifest["models"]) == {f"{arm}/{seed}" for arm, seed in pairs}
    assert found.manifest["training_core_seconds"] == sum(COST[arm] for arm, _ in pairs)
    assert found.manifest["measuring_core_seconds"] == 1.0 * len(pairs) * measures
    assert found.manifest["seeds"] == list(seeds) and found.stale == []


def test_a_night_in_pieces_from_two_machines_adds_up_and_both_are_named(tmp_path):
    seeds, home = experiment_of(NOTEBOOK).seeds["laptop"], tmp_path / "home"
    for cpu, own in {"abacus": seeds[:1], "slide rule": seeds[1:]}.items():
        with pytest.raises(Refused, match="lacks"):
            publish_notebook(NOTEBOOK, "laptop", home)
        plant(tmp_path / cpu, "laptop", own, cpu=cpu)
        packing.pack(tmp_path / f"{cpu}.zip", [NOTEBOOK], "laptop", tmp_path / cpu, results_only=True)
        packing.unpack(tmp_path / f"{cpu}.zip", home)
    publish_notebook(NOTEBOOK, "laptop", home)
    found = load_evidence(home / "evidence", NOTEBOOK, "laptop")
    assert {r["seed"] for r in found.all_rows()} == set(seeds)
    assert [m["cpu"] for m in [found.manifest["machine"], *found.manifest["other_machines"]]] == [
        "abacus",
        "slide rule",
    ]


def test_the_cost_of_a_seed_is_that_of_the_arms_that_it_trains(tmp_path):
    experiment = experiment_of(NOTEBOOK)
    plant(tmp_path, "laptop", experiment.seeds["laptop"])
    publish_notebook(NOTEBOOK, "laptop", tmp_path)
    manifest = load_evidence(tmp_path / "evidence", NOTEBOOK, "laptop").manifest
    scenes = 10.0 + 20.0 + 40.0 + 3 * len(experiment.measures)
    drawings = 100.0 + len(experiment.measures)
    assert manifest["core_seconds_by_seed"] == {"0": scenes + drawings, "1": scenes, "2": scenes}
    whole = manifest["training_core_seconds"] + manifest["measuring_core_seconds"]
    assert sum(manifest["core_seconds_by_seed"].values()) == whole
