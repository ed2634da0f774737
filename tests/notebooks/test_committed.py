"""The committed notebooks: fit to be read, and their outputs are what the published evidence draws."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from redraw import NOTEBOOKS, ROOT, nbval, papermill, scratch_course

PARAMETERS = {"PRESET": '"laptop"', "SEEDS": "[0]", "OVERRIDES": "{}"}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_committed_outputs_are_what_the_published_evidence_draws(tmp_path: Path, name: str) -> None:
    course = scratch_course(tmp_path)
    prepared = tmp_path / f"{name}.ipynb"
    source = course / "notebooks" / f"{name}.ipynb"
    done = papermill(course, source, prepared, "-y", "SEEDS: []", "--prepare-only")
    assert done.returncode == 0, done.stderr[-3000:]
    again = nbval(course, prepared)
    assert again.returncode == 0, again.stdout[-3000:]


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
