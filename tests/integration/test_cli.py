"""What a person types, at the command line or in a notebook: each mistake ends in one sentence and no training."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import papermill
import pytest
import torch

from falsework import cli, lesson
from falsework.core.errors import Refused
from falsework.core.paths import root as real_root
from falsework.experiments import runner
from falsework.experiments.jobs import run_job

NOTEBOOK = "01_igpt"


@pytest.fixture(autouse=True)
def own_root(tmp_path, monkeypatch) -> Path:
    """Nothing here reads or writes the clone's own runs, evidence or weights."""
    monkeypatch.setattr(cli, "root", lambda: tmp_path)
    monkeypatch.setattr(lesson, "root", lambda: tmp_path)
    return tmp_path


def refused(capsys, *arguments: str) -> str:
    """Run a command that must be refused and return its sentence."""
    assert cli.main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("falsework: ") and err.count("\n") == 1
    return err.removeprefix("falsework: ").strip()


# ---- the command line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["measure", NOTEBOOK, "--preset=labtop"], ["PRESET is 'labtop'", "did you mean 'laptop'?"]),
        (["publish", NOTEBOOK, "--preset=all"], ["PRESET is 'all'", "'smoke', 'laptop', 'overnight', 'gpu'"]),
        (["run", "--preset=fast"], ["PRESET is 'fast'"]),
        (["measure", "01_gpt"], ["The notebook is '01_gpt'", "did you mean '01_igpt'?"]),
        (["publish", "nothing"], ["The notebook is 'nothing'"]),
        (["measure", "10_verdicts"], ["The notebook '10_verdicts' measures nothing"]),
        (["publish", "10_verdicts"], ["The notebook '10_verdicts' measures nothing"]),
        (["publish", NOTEBOOK, "--preset=smoke"], ["'smoke' is a rehearsal and is never published"]),
        (["publish", NOTEBOOK, "--preset=laptop"], ["lacks drawings seed 0", "run falsework measure 01_igpt"]),
        (["measure", NOTEBOOK, "--set=smal.width=3"], ["An arm in OVERRIDES is 'smal'", "did you mean 'small'?"]),
        (["measure", NOTEBOOK, "--set=small.widht=3"], ["A field of small is 'widht'", "did you mean 'width'?"]),
        (["measure", NOTEBOOK, "--set=small.train.steps=few"], ["small.train.steps is 'few'", "of type int"]),
        (["measure", NOTEBOOK, "--set=drawings.train.steps=0"], ["train.steps is 0, but must be above 0"]),
        (["measure", NOTEBOOK, "--set=small.width"], ["--set was given 'small.width'", "ARM.FIELD=VALUE"]),
        (["measure", NOTEBOOK, "--seeds=0,x"], ["--seeds is '0,x'", "such as 0,1,2"]),
        (["measure", NOTEBOOK, "--seeds=0,0"], ["--seeds is '0,0'", "different whole numbers"]),
        (["measure", NOTEBOOK, "--seeds=-1"], ["--seeds is '-1'", "from 0 up"]),
        (["run", "--only=12"], ["--only is '12'"]),
        (["run", "--jobs=0"], ["--jobs is '0'", "a whole number from 1 up"]),
        (["run", "--jobs=many"], ["--jobs is 'many'"]),
        (
            ["measure", NOTEBOOK, "--device=cpu", "--set=small.width=8"],
            ["rehearses the preset 'gpu' alone", "'laptop'"],
        ),
        (["measure", NOTEBOOK, "--preset=gpu", "--device=cpu"], ["--device cpu needs --set ARM.FIELD=VALUE"]),
        (["store", "import", "none.zip"], ["There is no file none.zip", "`falsework store export`"]),
        (["store", "export", "x.zip"], ["Nothing is trained or measured here at laptop", "run it first"]),
        (["verdicts", "--here", "--preset=day"], ["PRESET is 'day'"]),
    ],
)
def test_a_mistake_on_the_command_line_gives_exit_code_2_and_one_sentence(capsys, own_root, arguments, words):
    text = refused(capsys, *arguments)
    for word in words:
        assert word in text
    assert text.endswith(".") and not list(own_root.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what the test wants missing")
@pytest.mark.parametrize("arguments", [["measure", NOTEBOOK], ["run"]])
def test_gpu_without_a_gpu_says_what_can_be_done(capsys, own_root, arguments):
    text = refused(capsys, *arguments, "--preset=gpu")
    assert "shows no CUDA GPU" in text and "'laptop' and 'overnight' need none" in text and "--device cpu" in text
    assert not list(own_root.iterdir())


def test_a_rehearsal_of_gpu_trains_its_small_arms_on_the_cpu_apart_from_all_else(own_root, monkeypatch, capsys):
    done = []

    def run_all(jobs, workers):
        for job in jobs:
            done.append((job.arm, job.seed, job.device))
            run_job(replace(job, measures=()))  # what is measured is of the preset's size: this is about the training

    monkeypatch.setattr(runner, "_run_all", run_all)
    sizes = {"width": 8, "depth": 1, "heads": 2, "colours": 4, "train.steps": 2, "train.batch": 2}
    sets = [f"--set=small.{field}={value}" for field, value in sizes.items()]
    assert cli.main(["measure", NOTEBOOK, "--preset=gpu", "--device=cpu", "--seeds=0", *sets]) == 0
    assert done == [("small", 0, "cpu")]  # no other arm, and no judge of the preset's full size
    (manifest,) = own_root.glob("runs/rehearsal/artefacts/igpt/gpu-*/manifest.json")
    assert json.loads(manifest.read_text())["device"] == "cpu"
    assert not (own_root / "artefacts").exists() and not (own_root / "runs" / "gpu").exists()
    capsys.readouterr()
    assert "lacks" in refused(capsys, "publish", NOTEBOOK, "--preset=gpu")


def test_an_unknown_command_gives_exit_code_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["mesure"])
    assert stopped.value.code == 2 and "invalid choice: 'mesure'" in capsys.readouterr().err


def test_clean_removes_what_was_measured_and_keeps_guesses_and_weights(capsys, own_root):
    for name in ("runs/guesses.json", "runs/smoke/x.json", "artefacts/igpt/smoke-0/weights.safetensors"):
        (own_root / name).parent.mkdir(parents=True, exist_ok=True)
        (own_root / name).write_text(name)
    assert cli.main(["clean"]) == 0
    assert "your guesses are kept" in capsys.readouterr().out
    assert [str(p.relative_to(own_root)) for p in sorted(own_root.rglob("*")) if p.is_file()] == [
        "artefacts/igpt/smoke-0/weights.safetensors",
        "runs/guesses.json",
    ]
    assert cli.main(["clean", "--artefacts"]) == 0
    assert (own_root / "runs" / "guesses.json").read_text() == "runs/guesses.json"
    assert not (own_root / "artefacts").exists()


def test_status_counts_what_is_here(capsys, own_root):
    (own_root / "artefacts" / "igpt" / "smoke-0").mkdir(parents=True)
    (own_root / "artefacts" / "igpt" / "smoke-1.part").mkdir()
    (own_root / "artefacts" / "igpt" / "smoke-0" / "weights.safetensors").write_bytes(b"0" * 2_000_000)
    assert cli.main(["status"]) == 0
    said = capsys.readouterr().out
    assert "01_igpt: nothing yet" in said and "1 trained models here, 2 MB; 1 unfinished" in said


def test_verdicts_are_given_without_loading_torch():
    code = """
        import sys
        from falsework import cli
        code = cli.main(["verdicts"])
        heavy = {"torch", "torchvision", "sklearn", "falsework.training"} & set(sys.modules)
        raise SystemExit(f"loaded {heavy}" if heavy else code)
    """
    command = [sys.executable, "-c", "\n".join(line.strip() for line in code.splitlines())]
    found = subprocess.run(command, capture_output=True, text=True, cwd=real_root())
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    ids = [line.split()[0] for line in lines]
    assert len(set(ids)) == len(ids) > 10 and all(re.fullmatch(r"C\d\d\w*", name) for name in ids)
    states = ("supported", "refuted", "undecided", "exact", "not judged", "interpretive")
    assert all(line[6:].startswith(states) for line in lines)


# ---- a notebook


def executed(folder: Path, parameters: dict, before: str = "") -> str:
    """Run a notebook of two cells through papermill and return what its second cell printed or raised."""
    cells = [
        nbformat.v4.new_code_cell(
            "PRESET: str = 'smoke'\nSEEDS: list = []\nOVERRIDES: dict = {}", metadata={"tags": ["parameters"]}
        ),
        nbformat.v4.new_code_cell(
            f"from falsework import lesson\n{before}\n"
            f"run = lesson.begin({NOTEBOOK!r}, PRESET, SEEDS, OVERRIDES)\nprint(run.preset, run.seeds)"
        ),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "in.ipynb")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        done = papermill.execute_notebook(
            str(folder / "in.ipynb"),
            str(folder / "out.ipynb"),
            parameters=parameters,
            cwd=str(folder),
            progress_bar=False,
            kernel_name="python3",
        )
    except papermill.PapermillExecutionError as fault:
        return f"{fault.ename}: {fault.evalue}"
    return "".join(o.get("text", "") for o in done.cells[-1].outputs)


def same_sentence(**parameters: object) -> str:
    """Return the sentence with which `begin` refuses, called as a function."""
    settings = {"preset": "smoke", "seeds": [], "overrides": {}, **parameters}
    with pytest.raises(Refused) as raised:
        lesson.begin(NOTEBOOK, **settings)
    return str(raised.value)


def test_a_notebook_run_by_papermill_begins_with_the_parameters_it_was_given(tmp_path):
    assert executed(tmp_path, {"PRESET": "laptop"}).splitlines()[-1] == "laptop ()"


def test_seeds_given_as_text_are_refused_in_a_notebook_with_the_same_sentence(tmp_path):
    said = executed(tmp_path, {"SEEDS": "[0, 1]"})
    assert said == f"Refused: {same_sentence(seeds='[0, 1]')}"
    assert "-y 'SEEDS: [0, 1]'" in said


def test_a_misspelt_parameter_of_papermill_is_refused_and_not_passed_over(tmp_path):
    said = executed(tmp_path, {"PRESETS": "laptop"})
    assert re.match(r"Refused: A parameter of this notebook is 'PRESETS'.*did you mean 'PRESET'\?", said)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"preset": "labtop"}, "PRESET is 'labtop'"),
        ({"seeds": [1, 1]}, "SEEDS is [1, 1]"),
        ({"seeds": 0}, "SEEDS is 0"),
        ({"overrides": "small.width=3"}, "OVERRIDES is 'small.width=3', but must be a dict"),
        ({"overrides": {"small.widht": 3}}, "A field of small is 'widht'"),
        ({"overrides": {"clip.width": 3}}, "An arm in OVERRIDES is 'clip'"),
        ({"overrides": {"drawings.train": 3}}, "drawings.train is a group of fields"),
        ({"overrides": {"small.data": "photographs"}}, "The data of iGPT is 'photographs'"),
    ],
)
def test_begin_refuses_what_the_command_line_refuses(parameters, words):
    assert words in same_sentence(**parameters)


def test_begin_refuses_an_unknown_notebook_naming_the_nearest():
    with pytest.raises(Refused, match=r"The notebook is '01_gpt'.*did you mean '01_igpt'\?"):
        lesson.begin("01_gpt")


def test_begin_says_one_line_and_the_run_is_frozen(capsys):
    run = lesson.begin(NOTEBOOK, "smoke", [0, 1], {"small.train.steps": 3})
    assert capsys.readouterr().out.count("\n") == 1
    assert (run.preset, run.seeds, run.overrides) == ("smoke", (0, 1), {"small.train.steps": 3})
    with pytest.raises(AttributeError):
        run.preset = "laptop"


def test_without_seeds_and_evidence_a_measure_is_refused_with_the_cure(capsys):
    run = lesson.begin(NOTEBOOK, "smoke", [])
    with pytest.raises(Refused, match=r"There is no evidence for 'likelihood' of 01_igpt.*put a seed in SEEDS"):
        run.measure("likelihood")


def test_guesses_are_kept_beside_each_other_and_a_damaged_file_is_not_fatal(own_root, capsys, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "01_igpt.ipynb")  # a person sits there
    run = lesson.begin(NOTEBOOK, "smoke", [])
    run.guess("bits", 120)
    run.guess("layer", 3)
    assert lesson.guesses(own_root) == {NOTEBOOK: {"bits": {"answer": 120}, "layer": {"answer": 3}}}
    (own_root / "runs" / "guesses.json").write_text("{")
    assert lesson.guesses(own_root) == {}


def test_run_takes_the_notebooks_that_stand_and_refuses_the_others(capsys, own_root):
    (own_root / "notebooks").mkdir()
    for name in ("00_the_world", "01_igpt", "10_verdicts", "01_igpt-Copy1"):
        (own_root / "notebooks" / f"{name}.ipynb").touch()
    assert cli.main(["run", "--only", "02"]) == 2
    sentence = capsys.readouterr().err
    assert "--only is '02'" in sentence and "one of '00_the_world', '01_igpt', '10_verdicts'." in sentence


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of another kind")
def test_a_reader_who_has_enough_gets_no_error():
    command = [sys.executable, "-m", "falsework", "verdicts"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()  # as `head` does
        assert process.stderr.read() == ""
