"""Students' copies: no solution in them, and yet they run from start to end."""

from __future__ import annotations

import symtable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from falsework.core.errors import Refused
from falsework.handout import PLACE, TAG, without_solutions, write_handout
from redraw import NOTEBOOKS, ROOT, papermill, scratch_course


def solves(cell: Any) -> bool:
    return TAG in cell.metadata.get("tags", [])


def names(source: str) -> tuple[set[str], set[str]]:
    """Return the global names that a cell's code binds and those that it reads, functions included."""
    top = symtable.symtable(source, "cell", "exec")
    binds = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    reads, below = {s.get_name() for s in top.get_symbols() if s.is_referenced()}, list(top.get_children())
    while below:
        inner = below.pop()
        reads |= {s.get_name() for s in inner.get_symbols() if s.is_referenced() and s.is_global()}
        below += inner.get_children()
    return binds, reads


def leaning(book: Any) -> set[str]:
    """Return the names that cells of a student's copy read although only a solution gives them."""
    known, solved, missing = set[str](), set[str](), set[str]()
    for cell in (c for c in book.cells if c.cell_type == "code"):
        binds, reads = names(cell.source)
        if solves(cell):
            solved |= binds - known
        else:
            missing |= (reads & solved) - known - binds
            known |= binds
    return missing


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_cell_of_a_copy_needs_a_name_that_only_a_solution_gives(name: str) -> None:
    assert leaning(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)) == set()


def test_a_cell_that_leans_on_a_solution_is_found_inside_a_function_too() -> None:
    solution = new_code_cell("def solved(x):\n    return x\nscore = 1", metadata={"tags": [TAG]})
    first = new_code_cell("score = 0")
    assert leaning(new_notebook(cells=[first, solution, new_code_cell("def f(solved):\n    return solved")])) == set()
    assert leaning(new_notebook(cells=[first, solution, new_code_cell("print(score)")])) == set()
    assert leaning(new_notebook(cells=[first, solution, new_code_cell("solved(3)")])) == {"solved"}
    assert leaning(new_notebook(cells=[solution, new_code_cell("[solved(k) for k in (score,)]")])) == {
        "solved",
        "score",
    }
    assert leaning(new_notebook(cells=[first, solution, new_code_cell("def g():\n    return solved(1)")])) == {"solved"}


def test_copies_have_everything_but_solutions_and_outputs(tmp_path: Path) -> None:
    written = write_handout(tmp_path / "class" / "week 1", ROOT)
    assert [p.stem for p in written] == NOTEBOOKS
    gone = 0
    for path in written:
        ours, copy = nbformat.read(ROOT / "notebooks" / path.name, 4), nbformat.read(path, 4)
        nbformat.validate(copy)
        assert copy.metadata == ours.metadata and len(copy.cells) == len(ours.cells)
        for cell, given in zip(ours.cells, copy.cells):
            assert not given.get("outputs") and given.get("execution_count") is None
            if solves(cell):
                gone += 1
                assert given.source == PLACE and not solves(given)
            else:
                assert given.source == cell.source and given.metadata == cell.metadata
        assert "solved" not in "".join(c.source for c in copy.cells if c.cell_type == "code")
    assert gone >= 20


def test_the_original_is_left_as_it_was() -> None:
    cell = new_code_cell("answer = 42", metadata={"tags": [TAG]}, execution_count=3)
    book = new_notebook(cells=[cell])
    assert without_solutions(book).cells[0].source == PLACE
    assert book.cells[0].source == "answer = 42" and book.cells[0].execution_count == 3 and solves(book.cells[0])


def test_a_folder_in_use_a_file_and_the_notebooks_themselves_are_refused(tmp_path: Path) -> None:
    full, file, empty = tmp_path / "full", tmp_path / "file", tmp_path / "empty"
    full.mkdir()
    (full / "homework.ipynb").write_text("mine", encoding="utf-8")
    file.write_text("a file", encoding="utf-8")
    empty.mkdir()
    link = tmp_path / "link"
    link.symlink_to(ROOT / "notebooks", target_is_directory=True)
    for target in (full, file, ROOT / "notebooks", ROOT / "notebooks" / "class", link):
        with pytest.raises(Refused, match="but must"):
            write_handout(target, ROOT)
    assert (full / "homework.ipynb").read_text(encoding="utf-8") == "mine"
    assert not (ROOT / "notebooks" / "class").exists()
    with pytest.raises(Refused, match="no notebook"):
        write_handout(tmp_path / "new", empty)
    assert not (tmp_path / "new").exists()
    assert write_handout(empty, ROOT)


@pytest.mark.parametrize("name", ["00_the_world", "02_dalle1"])  # in 02 a cell after a solution goes on with the puzzle
def test_a_copy_runs_from_start_to_end(tmp_path: Path, name: str) -> None:
    course = scratch_course(tmp_path)
    write_handout(tmp_path / "class", course)
    given, done = tmp_path / "class" / f"{name}.ipynb", tmp_path / f"{name}.ipynb"
    run = papermill(course, given, done, "-p", "PRESET", "smoke", "-y", "SEEDS: []")
    assert run.returncode == 0, run.stderr[-3000:]
    said = [o.get("text", "") for c in nbformat.read(done, 4).cells for o in c.get("outputs", [])]
    assert any("not yet" in text for text in said), "an exercise without its solution is still to do"
