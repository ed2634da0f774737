"""Draw the committed notebooks again from published evidence: python tests/notebooks/redraw.py [NAME ...].

Each notebook is executed with SEEDS = [] in a scratch copy of the course; its outputs are stored in the committed file,
whose parameters stay as the reader finds them. Run it after publishing evidence or editing a notebook.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(p.stem for p in (ROOT / "notebooks").glob("*.ipynb"))


def scratch_course(folder: Path) -> Path:
    """Return a copy of the course with empty stores: library and notebooks copied, data and evidence linked."""
    course = folder / "course"
    ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in ("lib", "notebooks"):
        shutil.copytree(ROOT / name, course / name, ignore=ignore)
    for name in ("data", "evidence", "exhibits"):
        (course / name).symlink_to(ROOT / name, target_is_directory=True)
    return course


def environment(course: Path) -> dict[str, str]:
    """Return the environment in which Python finds the copy's library before the installed one."""
    return {**os.environ, "PYTHONPATH": str(course / "lib"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def papermill(course: Path, source: Path, target: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run papermill in a copy of the course, from a folder that is not the course's."""
    command = [sys.executable, "-m", "papermill", str(source), str(target), "-k", "python3", "--no-progress-bar", *args]
    return subprocess.run(command, env=environment(course), cwd=target.parent, capture_output=True, text=True)


def nbval(course: Path, notebook: Path) -> subprocess.CompletedProcess[str]:
    """Re-execute a notebook and compare every text output that is not tagged as free to differ."""
    rules = str(Path(__file__).with_name("sanitize.cfg"))
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(notebook.parent)]
    command += ["--nbval", "--nbval-sanitize-with", rules, "-p", "no:cacheprovider", "-p", "no:xdist", str(notebook)]
    return subprocess.run(command, env=environment(course), cwd=notebook.parent, capture_output=True, text=True)


def redraw(name: str, folder: Path) -> None:
    """Execute one notebook with SEEDS = [] and store what it shows in the committed file."""
    course, committed = scratch_course(folder), ROOT / "notebooks" / f"{name}.ipynb"
    target = folder / f"{name}.ipynb"
    done = papermill(course, committed, target, "-y", "SEEDS: []")
    if done.returncode:
        raise SystemExit(f"{name} failed: {done.stderr[-2000:]}")
    drawn = nbformat.read(target, 4)
    cells = [c for c in drawn.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    ours = nbformat.read(committed, 4)
    count = 0
    for cell, new in zip(ours.cells, cells):
        assert cell.source == new.source
        if cell.cell_type == "code":
            count += 1
            cell.outputs, cell.execution_count = new.outputs, count
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output["execution_count"] = count
    nbformat.write(ours, committed)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or NOTEBOOKS:
        with tempfile.TemporaryDirectory() as scratch:
            redraw(chosen, Path(scratch))
        print(f"drew {chosen}")
