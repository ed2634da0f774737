"""CONTRIBUTING.md says how to add a model, an experiment and a claim: this test does what it says, in a copy of the course.

The page's code blocks are applied as a reader would apply them. Then the new arms are trained and measured at smoke by
the command line, and the new claim is judged: as a rehearsal, and as if its rows were evidence.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from falsework.core.paths import root

sys.path.insert(0, str(root() / "tests" / "notebooks"))
from redraw import environment, scratch_course

BLOCK = re.compile(r"```python\n# (?P<path>[\w/]+\.py)(?:, after: (?P<after>[^\n]+))?\n(?P<text>.*?)```", re.S)
FEW = [f"--set={arm}.train.steps=4" for arm in ("rows", "columns")]


@dataclass(frozen=True)
class Block:
    """A block of the page: a new file, or lines that go under a line of a file that is there."""

    path: str
    after: str | None
    text: str

    def apply(self, course: Path) -> None:
        """Do what the block says; raises ValueError for a file or a line that is not as the page believes."""
        path = course / self.path
        if self.after is None:
            if path.exists():
                raise ValueError(f"{self.path} is there already")
            path.write_text(self.text)
            return
        lines = path.read_text().splitlines(keepends=True)
        if lines.count(self.after + "\n") != 1:
            raise ValueError(f"{self.path} has no single line {self.after!r}")
        at = lines.index(self.after + "\n") + 1
        path.write_text("".join([*lines[:at], self.text, *lines[at:]]))


def blocks(page: str) -> list[Block]:
    return [Block(m["path"], m["after"], m["text"]) for m in BLOCK.finditer(page)]


@pytest.fixture(scope="module")
def page() -> str:
    return (root() / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def course(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the course to which everything on the page was added."""
    copy = scratch_course(tmp_path_factory.mktemp("contributing"))
    for block in blocks(page):
        block.apply(copy)
    return copy


def python(course: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {**environment(course), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *args], cwd=course, env=env, capture_output=True, text=True)


def test_the_page_adds_a_model_an_experiment_and_a_claim_in_few_lines(page: str) -> None:
    found = blocks(page)
    folders = {Path(b.path).parent.name for b in found}
    assert folders == {"recipes", "core", "experiments", "claims"}
    assert page.count("```python\n") == len(found), "a block that names no file"
    assert all(len([line for line in b.text.splitlines() if line.strip()]) <= 22 for b in found)


def test_a_page_that_has_fallen_behind_the_code_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "there.py").write_text("NAMES = {\n}\n")
    Block("there.py", "NAMES = {", "    1,\n").apply(tmp_path)
    assert (tmp_path / "there.py").read_text() == "NAMES = {\n    1,\n}\n"
    for block in (Block("there.py", "NAMED = {", "1"), Block("there.py", None, "1")):
        with pytest.raises(ValueError, match="there"):
            block.apply(tmp_path)


def test_what_was_added_keeps_the_house_rules(course: Path, page: str) -> None:
    files = [str(course / b.path) for b in blocks(page)]
    config = f"--config={root() / 'pyproject.toml'}"
    for rule in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = python(course, "-m", "ruff", *rule, config, *files)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_added_claim_is_as_whole_as_the_others(course: Path) -> None:
    (course / "tests" / "unit").mkdir(parents=True, exist_ok=True)
    shutil.copy(root() / "tests" / "unit" / "test_claims.py", course / "tests" / "unit")
    args = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(course), "-k", "C09c and not needs"]
    done = python(course, "-m", "pytest", *args, "tests/unit/test_claims.py")
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout[-2000:]


def test_the_added_model_has_five_losses_to_record(course: Path) -> None:
    unit = root() / "tests" / "unit"
    code = (
        f"import sys; sys.path.insert(0, {str(unit)!r}); from test_golden import five_steps as f; print(f('columns'))"
    )
    done = python(course, "-c", code)
    assert done.returncode == 0, done.stderr[-2000:]
    found = ast.literal_eval(done.stdout)
    assert found["version"] == 1 and len(found["losses"]) == 5


JUDGE = """
import sys
from pathlib import Path
from falsework.claims.registry import claim_of
from falsework.claims.verdicts import judge
from falsework.core.paths import root
from falsework.experiments import experiment_of
from falsework.experiments.runner import arms_of, collect

assert root() == Path.cwd().resolve(), "another copy of the library"
experiment = experiment_of("12_reading_order")
arms = arms_of(experiment, "smoke", {"rows.train.steps": 4, "columns.train.steps": 4})
found, missing = collect(experiment, "order", "smoke", arms, (0, 1, 2), root() / "runs")
assert not missing
rows = [{"experiment": "order", **row} for result in found for row in result.rows]
for preset in ("smoke", "laptop"):
    verdict = judge(claim_of("C09c"), {("12_reading_order", preset): rows}, preset)
    print(preset, "|", verdict.state, "|", verdict.seeds, "|", verdict.sentence)
"""


def test_the_added_arms_are_trained_measured_and_judged(course: Path) -> None:
    seeds = ["--preset=smoke", "--seeds=0,1,2"]
    done = python(course, "-m", "falsework", "measure", "12_reading_order", *seeds, *FEW)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "order: 1206 rows from 6 (arm, seed) pairs" in done.stdout
    nets = sorted(p.parent.parent.name for p in course.glob("artefacts/*/*/weights.safetensors"))
    assert nets == ["columns"] * 3 + ["igpt"] * 3  # the same presets, and yet no net was taken for another
    judged = python(course, "-c", JUDGE)
    assert judged.returncode == 0, judged.stderr[-2000:]
    rehearsal, verdict = (line.split(" | ") for line in judged.stdout.splitlines())
    assert rehearsal[1] == "not judged" and "Rehearsal" in rehearsal[3]
    assert verdict[1] in ("supported", "refuted", "undecided") and verdict[2] == "3"
    told = python(course, "-m", "falsework", "verdicts")
    assert told.returncode == 0 and "C09c  not judged" in told.stdout
