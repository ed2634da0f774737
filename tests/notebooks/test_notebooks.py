"""The notebooks run for real at smoke, and repeat themselves."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nbformat
import pytest

from redraw import NOTEBOOKS, nbval, papermill, scratch_course
from test_exercises import STATIONS, faults


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
                # joined: a busy kernel sends one print in two pieces
                out.append("".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs))
        return out

    again = weights(course)
    assert again and again.items() <= weights(rehearsal).items()  # the rehearsal has other notebooks' nets as well
    assert text(rehearsal / "executed" / "01_igpt.ipynb") == text(tmp_path / "01_igpt.ipynb")
