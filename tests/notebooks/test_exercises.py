"""Exercises: every station has one, each is open as published, and each has a solution that its own check calls right."""

from __future__ import annotations

import re
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from redraw import NOTEBOOKS, ROOT

STATIONS = [name for name in NOTEBOOKS if name[:2] < "10"]  # 10 asks nothing, and 11 is the reader's own
ASKED = re.compile(r'lesson\.check\(\s*"([^"]+)"')
SOLVED = re.compile(r", (?:solved|solution)$")


def checked(book: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Return what the exercises' checks said and what the solutions' checks said, by the exercise's name."""
    open_, solved = dict[str, str](), dict[str, str]()
    for cell in (c for c in book.cells if c.cell_type == "code"):
        said = "".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream")
        for name in ASKED.findall(cell.source):
            line = next((line for line in said.splitlines() if line.startswith(f"{name}: ")), f"{name}: silent")
            into = solved if "solution" in cell.metadata.get("tags", []) else open_
            into[SOLVED.sub("", name)] = line.removeprefix(f"{name}: ")
    return open_, solved


def faults(book: Any, executed: bool = False) -> list[str]:
    """Return what is wrong with a notebook's exercises; an executed one may be the reader's, so it may be solved."""
    asked, solved = checked(book)
    found = [f"{name}: no solution" for name in asked if name not in solved]
    found += [f"{name}: the solution says {line!r}" for name, line in solved.items() if line != "right."]
    if not executed:
        found += [f"{name}: solved before anybody tried" for name, line in asked.items() if line == "right."]
    return found


@pytest.mark.parametrize("name", STATIONS)
def test_every_station_has_exercises_that_are_open_and_solutions_that_are_right(name: str) -> None:
    book = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    asked, solved = checked(book)
    assert asked and solved
    assert faults(book) == []
    for cell in book.cells:
        if "solution" in cell.metadata.get("tags", []):
            assert "lesson.check(" in cell.source, "a solution that nobody checks"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_exercise_has_a_solution(name: str) -> None:
    asked, solved = checked(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4))
    assert set(asked) <= set(solved)


def test_planted_faults_are_found() -> None:
    def cell(source: str, said: str, *tags: str) -> Any:
        return new_code_cell(source, metadata={"tags": list(tags)}, outputs=[new_output("stream", text=said)])

    ask = cell('lesson.check("leak", found)', "leak: not yet. Look again.\n")
    tell = cell('lesson.check("leak, solved", found)', "a word before\nleak, solved: right.\n", "solution")
    assert faults(new_notebook(cells=[ask, tell])) == []
    assert faults(new_notebook(cells=[ask])) == ["leak: no solution"]
    wrong = cell('lesson.check("leak, solved", found)', "leak, solved: not yet. \n", "solution")
    assert faults(new_notebook(cells=[ask, wrong])) == ["leak: the solution says 'not yet. '"]
    given = cell('lesson.check("leak", True)', "leak: right.\n")
    assert faults(new_notebook(cells=[given, tell])) == ["leak: solved before anybody tried"]
    untagged = cell('lesson.check("leak, solved", found)', "leak, solved: right.\n")
    assert "leak: no solution" in faults(new_notebook(cells=[ask, untagged]))
    silent = cell('lesson.check("leak, solved", found)', "", "solution")
    assert faults(new_notebook(cells=[ask, silent])) == ["leak: the solution says 'silent'"]
