"""The notebooks do what readers see: run for real at smoke, repeat themselves, and match their committed outputs."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from redraw import NOTEBOOKS, ROOT, environment, papermill, scratch_course
from test_exercises import STATIONS, faults

HERE = Path(__file__).parent
PARAMETERS = {"PRESET": '"laptop"', "SEEDS": "[0]", "OVERRIDES": "{}"}


def nbval(course: Path, notebook: Path) -> subprocess.CompletedProcess[str]:
    """Re-execute a notebook and compare every text output that is not tagged as free to differ."""
    args = ["--nbval", "--nbval-sanitize-with", str(HERE / "sanitize.cfg"), "-p", "no:cacheprovider", "-p", "no:xdist"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        "/dev/null",
        "--rootdir",
        str(notebook.parent),
        *args,
        str(notebook),
    ]
    return subprocess.run(command, env=environment(course), cwd=notebook.parent, capture_output=True, text=True)


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the course in which every notebook was executed at smoke, in order, from another directory."""
    course = scratch_course(tmp_path_factory.mktemp("rehearsal"))
    out = course / "executed"
    out.mkdir()
    for name in NOTEBOOKS:
        done = papermill(course, course / "notebooks" / f"{name}.ipynb", out / f"{name}.ipynb", "-p", "PRESET", "smoke")
        assert done.returncode == 0, f"{name}: {done.stderr[-3000:]}"
    return course


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_executed_at_smoke_it_shows_no_error_and_executes_again_to_the_same_text(rehearsal: Path, name: str) -> None:
    executed = rehearsal / "executed" / f"{name}.ipynb"
    again = nbval(rehearsal, executed)
    assert again.returncode == 0, again.stdout[-3000:]


@pytest.mark.parametrize("name", STATIONS)
def test_executed_at_smoke_every_solution_is_right(rehearsal: Path, name: str) -> None:
    assert faults(nbformat.read(rehearsal / "executed" / f"{name}.ipynb", 4), executed=True) == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_committed_outputs_are_what_the_published_evidence_draws(tmp_path: Path, name: str) -> None:
    course = scratch_course(tmp_path)
    prepared = tmp_path / f"{name}.ipynb"
    source = course / "notebooks" / f"{name}.ipynb"
    done = papermill(course, source, prepared, "-y", "SEEDS: []", "--prepare-only")
    assert done.returncode == 0, done.stderr[-3000:]
    again = nbval(course, prepared)
    assert again.returncode == 0, again.stdout[-3000:]


def test_two_empty_stores_end_with_bit_identical_weights_and_text(rehearsal: Path, tmp_path: Path) -> None:
    course = scratch_course(tmp_path)
    done = papermill(
        course, course / "notebooks" / "01_igpt.ipynb", tmp_path / "01_igpt.ipynb", "-p", "PRESET", "smoke"
    )
    assert done.returncode == 0, done.stderr[-3000:]

    def weights(store: Path) -> dict[str, str]:
        found = store.glob("artefacts/*/*/weights.safetensors")
        return {p.parent.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in found}

    def text(path: Path) -> list[str]:
        out = []
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code" and "nbval-ignore-output" not in cell.metadata.get("tags", []):
                out += [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
        return out

    again = weights(course)
    assert again and again.items() <= weights(rehearsal).items()  # the rehearsal has other notebooks' nets as well
    assert text(rehearsal / "executed" / "01_igpt.ipynb") == text(tmp_path / "01_igpt.ipynb")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_committed_notebook_is_fit_to_be_read(name: str) -> None:
    path = ROOT / "notebooks" / f"{name}.ipynb"
    book = nbformat.read(path, 4)
    nbformat.validate(book)
    code = [c for c in book.cells if c.cell_type == "code"]
    tagged = [c for c in code if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1, "one cell of parameters"
    for word, value in PARAMETERS.items():
        assert f"{word}: " in tagged[0].source and f"= {value}" in tagged[0].source
    assert any("<img" in str(c.outputs) for c in code), "a notebook without a picture"
    assert not any(o.output_type == "error" for c in code for o in c.outputs)
    assert not any(o.get("name") == "stderr" for c in code for o in c.outputs), "warnings are not for readers"
    assert max(len(c.source.splitlines()) for c in code) <= 25, "a cell longer than a reader's patience"
    assert path.stat().st_size < 2_000_000
    for cell in code:
        for output in cell.outputs:
            page = output.get("data", {}).get("text/html", "")
            assert page.count("<img") == page.count('alt="'), "a picture without words"
