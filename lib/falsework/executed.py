"""Which executed notebooks still stand: nothing has changed that could move a word of them.

Beside the results of a notebook, runs/<preset>/<name>/made_of.txt keeps the digest of all that its executed copy was
made of. What it trained is no part of that: the keys of nets and results follow from the library and the data, which are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from falsework.core.artefacts import file_digest, machine, write_atomic
from falsework.experiments import MODULES

COMPUTES = ("matplotlib", "pandas", "seaborn")  # and what `machine` names


def executed_path(name: str, preset: str, root: Path) -> Path:
    """Return where `falsework run` puts the executed notebook."""
    return root / "runs" / preset / f"{name}.ipynb"


def made_of(name: str, preset: str, seeds: tuple[int, ...], root: Path) -> str:
    """Return the digest of a notebook's source and parameters and of the library, versions, data and evidence it sees.

    For one that measures nothing itself also of which results are here, and of the reader's guesses.
    """
    digest = hashlib.sha256(json.dumps([name, preset, seeds]).encode())
    digest.update(json.dumps([machine(), {p: version(p) for p in COMPUTES}], sort_keys=True).encode())
    files = [root / "notebooks" / f"{name}.ipynb", *_files(Path(__file__).parent)]
    for folder in ("data", "evidence", "exhibits"):
        files += _files(root / folder)
    if MODULES[name] is None:
        for other in (n for n, module in MODULES.items() if module):
            found = (root / "runs" / preset / other / "measured").glob("*/*.json")
            digest.update(" ".join(sorted(f"{p.parent.name}/{p.name}" for p in found)).encode())
        files += [path for path in [root / "runs" / "guesses.json"] if path.is_file()]
    for path in files:
        digest.update(f"{path.name} {file_digest(path)}".encode())
    return digest.hexdigest()


def stands(name: str, preset: str, made: str, root: Path) -> bool:
    """Return whether the executed notebook is there and was made of just this."""
    mark = _mark(name, preset, root)
    return executed_path(name, preset, root).is_file() and mark.is_file() and mark.read_text("utf-8") == made


def note(name: str, preset: str, made: str, root: Path) -> None:
    """Remember what a notebook was made of, once it is executed. Raises Refused when the disk does not take it."""
    write_atomic(_mark(name, preset, root), made.encode())


def forget(name: str, preset: str, root: Path) -> None:
    """Let the next run execute it again."""
    _mark(name, preset, root).unlink(missing_ok=True)


def _mark(name: str, preset: str, root: Path) -> Path:
    return root / "runs" / preset / name / "made_of.txt"


def _files(folder: Path) -> Iterator[Path]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    yield from sorted(found)
