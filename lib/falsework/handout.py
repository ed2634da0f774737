"""Copies of the notebooks for a class: the exercises stay, the solutions go.

A solution is a code cell tagged "solution". In a student's copy an empty cell with one line of comment stands in its
place, and nothing has been run yet. A copy runs from start to end like the original, because no other cell leans on a
name that only a solution gives; tests/notebooks/test_handout.py holds the notebooks to that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from falsework.core.errors import Refused

TAG = "solution"
PLACE = "# This is where your solution goes."


def without_solutions(book: Any) -> Any:
    """Return a copy of a notebook whose solutions are empty cells, without outputs; nothing else is changed."""
    import nbformat

    copy = nbformat.from_dict(book)
    for cell in copy.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], None
        if TAG in cell.metadata.get("tags", []):
            cell.source = PLACE
            cell.metadata["tags"] = [tag for tag in cell.metadata["tags"] if tag != TAG]
    return copy


def write_handout(target: Path, root: Path) -> list[Path]:
    """Write a student's copy of every notebook of the course into an empty or a new folder; return the files.

    Raises Refused, in one sentence, for a target that is a file, that is not empty or that lies among the course's own
    notebooks, and for a course without notebooks.
    """
    import nbformat

    originals = root / "notebooks"
    books = sorted(originals.glob("*.ipynb"))
    if not books:
        raise Refused(f"There is no notebook in {originals}, but student copies are made from the course's notebooks.")
    where = target.resolve()
    if where.is_relative_to(originals.resolve()):
        raise Refused(f"The folder for student copies is {target}, but must lie outside the course's own notebooks.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Refused(f"The folder for student copies is {target}, but must be a new or an empty folder.")
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for path in books:
        copy = without_solutions(nbformat.read(path, as_version=4))
        nbformat.write(copy, target / path.name)
        written.append(target / path.name)
    return written
