"""course.py, the door: what it decides, tried without installing anything."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("course", ROOT / "course.py")
assert spec and spec.loader
course = importlib.util.module_from_spec(spec)
spec.loader.exec_module(course)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder that looks like a clone with a finished install, Python itself left out."""
    for name in ("course.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python = course.venv_python(tmp_path)
    python.parent.mkdir(parents=True)
    python.touch()
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("home = somewhere\nversion = 3.12.4\n")
    course.stamp_file(tmp_path).write_text(course.stamp(tmp_path, (3, 12, 4)))
    return tmp_path


def machine(**pythons: tuple[tuple[int, ...], bool]):
    """A mock of `ask`: which commands answer, with which version, and whether they are complete."""
    named = {name.replace("_", "."): answer for name, answer in pythons.items()}
    return lambda command: named.get(" ".join(command))


# ---------------------------------------------------------------- which Python


def test_the_range_is_the_one_of_pyproject() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert asked == f">={course.dotted(course.OLDEST)},<3.{course.NEWEST[1] + 1}"


@pytest.mark.parametrize(
    ("version", "good"),
    [((3, 10, 13), False), ((3, 11, 0), True), ((3, 13, 9), True), ((3, 14, 0), False), ((2, 7, 18), False)],
)
def test_versions_that_fit(version: tuple[int, ...], good: bool) -> None:
    assert course.fits(version) is good


def test_the_python_at_hand_is_taken_before_newer_ones() -> None:
    ask = machine(own=((3, 11, 2), True), python3_13=((3, 13, 0), True))
    assert course.find_python(course.candidates(False, "own"), (3, 11, 2), ask) == (["own"], (3, 11, 2))


def test_an_old_python_finds_the_newest_that_fits() -> None:
    ask = machine(own=((3, 8, 1), True), python3_12=((3, 12, 1), True), python3_11=((3, 11, 7), True))
    assert course.find_python(course.candidates(False, "own"), (3, 8, 1), ask) == (["python3.12"], (3, 12, 1))


def test_a_python_too_new_looks_for_another_too() -> None:
    ask = machine(own=((3, 15, 0), True), python3_13=((3, 13, 0), True))
    assert course.find_python(course.candidates(False, "own"), (3, 15, 0), ask)[0] == ["python3.13"]


def test_windows_asks_its_launcher_and_others_do_not() -> None:
    assert ["py", "-3.12"] in course.candidates(True, "own")
    assert not any(command[0] == "py" for command in course.candidates(False, "own"))


def test_no_python_that_fits_is_refused_with_what_is_here_and_what_is_allowed() -> None:
    with pytest.raises(course.Stop, match=r"This is Python 3\.8\.1 .* 3\.11 to 3\.13"):
        course.find_python(course.candidates(False, "own"), (3, 8, 1), machine(own=((3, 8, 1), True)))


def test_a_missing_venv_module_is_explained_with_its_cure() -> None:
    ask = machine(own=((3, 11, 2), False))
    with pytest.raises(course.Stop, match=r"lacks the module venv .*apt install python3\.11-venv"):
        course.find_python(course.candidates(False, "own"), (3, 11, 2), ask)


def test_a_complete_python_is_preferred_to_one_without_venv() -> None:
    ask = machine(own=((3, 11, 2), False), python3_12=((3, 12, 1), True))
    assert course.find_python(course.candidates(False, "own"), (3, 11, 2), ask)[0] == ["python3.12"]


def test_asking_a_real_python_and_things_that_are_none(tmp_path: Path) -> None:
    version, _ = course.ask([sys.executable])
    assert version == tuple(sys.version_info[:3])
    assert course.ask(["no-such-python"]) is None
    assert course.ask([sys.executable, "-c", "raise SystemExit(1)"]) is None  # a shim that refuses


# ---------------------------------------------------------------- what is done already


def test_a_finished_install_is_seen_in_well_under_a_second(clone: Path) -> None:
    began = time.perf_counter()
    assert course.is_ready(clone)
    assert time.perf_counter() - began < 0.2


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_a_changed_file_asks_for_a_new_install(clone: Path, name: str) -> None:
    with (clone / name).open("a") as file:
        file.write("# one more line\n")
    assert not course.is_ready(clone)


def test_another_python_and_another_place_ask_for_a_new_install(clone: Path, tmp_path: Path) -> None:
    assert course.stamp(clone, (3, 12, 4)) != course.stamp(clone, (3, 12, 5))
    moved = tmp_path / "moved"
    shutil.copytree(clone, moved, ignore=shutil.ignore_patterns("moved"))
    assert not course.is_ready(moved), "a copied .venv still points at the old clone"


def test_a_broken_off_install_is_noticed(clone: Path) -> None:
    course.marker(clone).touch()
    assert not course.is_ready(clone)
    assert course.unsound(clone, (3, 12, 4)) == "An earlier install broke off"


def test_a_venv_without_its_python_is_noticed(clone: Path) -> None:
    course.venv_python(clone).unlink()
    assert not course.is_ready(clone)
    assert "gone" in course.unsound(clone, (3, 12, 4))


def test_a_venv_of_a_wrong_python_is_named(clone: Path) -> None:
    assert "3.9.1" in course.unsound(clone, (3, 9, 1))


def test_nothing_there_is_nothing_wrong(tmp_path: Path) -> None:
    assert course.venv_version(tmp_path) is None
    assert course.unsound(tmp_path, None) is None


def test_windows_paths(tmp_path: Path) -> None:
    assert course.venv_python(tmp_path, windows=True) == tmp_path / ".venv" / "Scripts" / "python.exe"
    assert course.venv_python(tmp_path, windows=False) == tmp_path / ".venv" / "bin" / "python"
    path = course.venv_env(tmp_path, windows=True, environ={"PATH": "rest"})["PATH"]
    assert path == str(tmp_path / ".venv" / "Scripts") + os.pathsep + "rest"


def test_what_bends_python_elsewhere_is_not_handed_on() -> None:
    env = course.clean_env({"PYTHONPATH": "x", "PYTHONHOME": "y", "HOME": "", "KEPT": "1"})
    assert env == {"KEPT": "1"}


# ---------------------------------------------------------------- words for faults


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", "disk ran full"),
        ("Failed to establish a new connection: [Errno -2]", "could not be reached"),
        ("ProxyError('')\nERROR: No matching distribution found for x", "could not be reached"),
        ("ssl.SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED", "PIP_CERT"),
        ("ERROR: No matching distribution found for torch==2.15.0", r"no build of torch==2\.15\.0"),
        ("PermissionError: [Errno 13] Permission denied", "may not be written"),
        ("something never seen before", "install.log"),
    ],
)
def test_a_failed_install_ends_in_one_sentence(tmp_path: Path, log: str, says: str) -> None:
    sentence = course.reason(log, tmp_path)
    assert re.search(says, sentence) and "\n" not in sentence and sentence.endswith(".")


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("", "starting"),
        ("Collecting torch>=2.11 (from falsework==0.1.0)\n", "reading torch"),
        ("  Downloading torch-2.15.0-cp311-cp311-manylinux.whl (539.1 MB)\n", "downloading torch (539.1 MB)"),
        ("Collecting x\nInstalling collected packages: a, b, c\n", "unpacking 3 packages"),
    ],
)
def test_the_progress_line_says_what_pip_does(log: str, says: str) -> None:
    assert course.stage(log) == says


# ---------------------------------------------------------------- the commands


def call(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "course.py", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("word", ["teach", "Lab", "--lab"])
def test_an_unknown_command_is_refused_with_the_three_that_exist(tmp_path: Path, word: str) -> None:
    done = call(word, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    first = done.stderr.splitlines()[0]
    assert repr(word) in first and all(repr(name) in first for name in ("lab", "run", "test"))


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_names_the_three_commands_and_installs_nothing(tmp_path: Path, arguments: tuple) -> None:
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert all(f"course.py {name}" in done.stdout for name in ("lab", "run", "test"))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_whole_clone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(course.Stop, match=r"constraints\.txt|pyproject\.toml"):
        course.install(tmp_path)


def test_every_stage_runs_whatever_fails_and_one_failure_is_enough(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []

    def fake(command: list[str], **_: object) -> int:
        ran.append(command)
        return 1 if "mypy" in command else 0

    assert course.test(clone, ["-k", "worlds"], call=fake) == 1
    assert len(ran) == 4 and ran[-1][-2:] == ["-k", "worlds"], "extra arguments go to pytest, the last stage"
    assert "Not all holds: mypy failed." in capsys.readouterr().out
    assert course.test(clone, [], call=lambda *_, **__: 0) == 0
    assert "All stages hold." in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="the lock is tried with POSIX processes")
def test_two_installs_never_run_at_once(clone: Path) -> None:
    code = "import course; lock = course.alone(course.ROOT); lock.__enter__()"
    with course.alone(clone):
        waiting = subprocess.Popen([sys.executable, "-c", code], cwd=clone, stdout=subprocess.PIPE, text=True)
        assert waiting.stdout is not None and "waiting" in waiting.stdout.readline()
        assert waiting.poll() is None
    assert waiting.wait(timeout=20) == 0
