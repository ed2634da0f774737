"""One file to carry what was trained and measured to another machine: a zip of artefacts/ and of measured results.

Its first member, pack.json, says the format, the versions of recipes and measures, and the sha256 of every other
member. Nothing in it is run or unpickled, and a member is written only where a net or a result may lie.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from falsework.core import versions
from falsework.core.artefacts import FILES, disk_fault, key_of, write_atomic
from falsework.core.errors import Refused
from falsework.experiments import experiment_of
from falsework.experiments.jobs import arms_of, result_key

FORMAT = 1
MEMBERS = (*FILES, "manifest.json")
NET = re.compile(
    rf"artefacts/(\w+)/(?:smoke|laptop|overnight|gpu)-[0-9a-f]{{12}}/({'|'.join(map(re.escape, MEMBERS))})"
)
RESULT = re.compile(r"runs/(smoke|laptop|overnight|gpu)/\w+/measured/\w+/[\w.-]+-\d+-[0-9a-f]{12}\.(json|npz)")


@dataclass(frozen=True)
class Packed:
    """How many nets and results went in or came out, and how many were there already or are of another version."""

    nets: int
    results: int
    known: int = 0
    other: int = 0


def pack(target: Path, notebooks: Iterable[str], preset: str, root: Path, *, results_only: bool = False) -> Packed:
    """Write what is here of these notebooks at a preset to one file: results, and the nets behind them.

    Raises Refused when there is nothing to pack, and, in one sentence, when the disk does not take the file.
    """
    files: dict[str, Path] = {}
    for name in notebooks:
        experiment = experiment_of(name)
        if experiment is None:
            continue
        arms, folder = arms_of(experiment, preset, {}), root / "runs" / preset / name
        seeds = {*experiment.seeds[preset], *_seeds(folder)}
        for measure, arm, seed in product(experiment.measures, arms, sorted(seeds)):
            key = result_key(experiment, measure, preset, arm, seed, arms[arm])
            paths = [(folder / "measured" / measure / f"{arm}-{seed}-{key}").with_suffix(s) for s in (".json", ".npz")]
            files |= {_name(path, root): path for path in paths if path.is_file()}
        nets = [(recipe, seed) for recipe in arms.values() if recipe is not None for seed in sorted(seeds)]
        nets += [(judge, 0) for judges in experiment.judges.values() for judge in judges(preset)]
        for net in () if results_only else _folders(nets, root):
            files |= {_name(net / n, root): net / n for n in MEMBERS}
    if not files:
        raise Refused(f"Nothing is trained or measured here at {preset}, so there is nothing to export; run it first.")
    try:
        digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
        head = {"format": FORMAT, "recipes": versions.RECIPES, "measures": versions.MEASURES, "files": digests}
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
                out.writestr("pack.json", json.dumps(head, indent=0, sort_keys=True))
                for name, path in files.items():
                    out.write(path, name)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as fault:
        raise disk_fault(target, fault) from fault
    return _count(files)


def unpack(source: Path, root: Path) -> Packed:
    """Bring the nets and results of a file into this course; what is here already stays, and is not read.

    Nets of another version of their recipe are counted and left out: nothing here would ever ask for them. Raises
    Refused for a file that is missing, damaged, no such file, or of a newer falsework; then nothing is written.
    """
    try:
        with zipfile.ZipFile(source) as pack:
            head = _head(pack, source)
            wanted, known, other = [], 0, 0
            for name, digest in head["files"].items():
                if (root / name).exists() or (NET.fullmatch(name) and (root / name).parent.is_dir()):
                    known += name.endswith(".json") and not name.endswith("recipe.json")
                elif not _is_current(pack, name):
                    other += name.endswith("manifest.json")
                else:
                    if hashlib.sha256(pack.read(name)).hexdigest() != digest:
                        raise Refused(
                            f"{source} is damaged ({name} does not match its digest); copy or export it again."
                        )
                    wanted.append(name)
            _write(pack, wanted, root)
    except FileNotFoundError:
        raise Refused(f"There is no file {source}; give one that `falsework store export` wrote.") from None
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as fault:
        if isinstance(fault, Refused):
            raise
        raise Refused(f"{source} is not a whole file of `falsework store export` ({fault}).") from fault
    counted = _count(wanted)
    return Packed(counted.nets, counted.results, known, other)


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _seeds(folder: Path) -> set[int]:
    """Return the seeds that were measured here, the reader's own ones too."""
    names = (path.stem.rsplit("-", 2) for path in (folder / "measured").glob("*/*.json"))
    return {int(name[1]) for name in names if len(name) == 3 and name[1].isdecimal()}


def _folders(nets: list[tuple[Any, int]], root: Path) -> Iterator[Path]:
    """Yield where the nets (recipe, seed) that are trained lie, and their parents."""
    from falsework.recipes import description_of

    while nets:
        recipe, seed = nets.pop()
        nets += [(parent, seed) for parent in recipe.parents().values()]
        found = (root / "artefacts" / recipe.name).glob(f"*-{key_of(description_of(recipe, seed))}")
        yield from (folder for folder in found if (folder / "manifest.json").is_file())


def _head(pack: zipfile.ZipFile, source: Path) -> dict:
    head = json.loads(pack.read("pack.json"))
    newer = [n for n, v in head["recipes"].items() if v > versions.RECIPES.get(n, v - 1)]
    newer += [n for n, v in head["measures"].items() if v > versions.MEASURES.get(n, v - 1)]
    if head["format"] > FORMAT or newer:
        what = f"its {newer[0]} is of a later version" if newer else f"its format is {head['format']}"
        raise Refused(
            f"{source} was written by a newer falsework ({what}); bring this clone up to date with `git pull`."
        )
    names = pack.namelist()
    if set(names) != {"pack.json", *head["files"]} or len(names) != len(set(names)):
        raise ValueError("its list of members is wrong")
    for name in head["files"]:
        if not (NET.fullmatch(name) or RESULT.fullmatch(name)):
            raise ValueError(f"{name!r} is neither a net nor a result")
    return head


def _is_current(pack: zipfile.ZipFile, name: str) -> bool:
    """Return whether a member is a result, or of a net whose recipe has the version that is known here."""
    net = NET.fullmatch(name)
    if net is None:
        return True
    recipe = json.loads(pack.read(name.rpartition("/")[0] + "/recipe.json"))
    return recipe["version"] == versions.RECIPES.get(net[1])


def _write(pack: zipfile.ZipFile, names: list[str], root: Path) -> None:
    """Write members: results one by one, a net's folder whole or not at all."""
    folders = {name.rpartition("/")[0] for name in names if NET.fullmatch(name)}
    for name in names:
        if not NET.fullmatch(name):
            write_atomic(root / name, pack.read(name))
    for folder in sorted(folders):
        incoming = root / f"{folder}.{os.getpid()}.incoming"
        try:
            for name in (n for n in names if n.rpartition("/")[0] == folder):
                write_atomic(incoming / Path(name).name, pack.read(name))
            if not (root / folder).exists():
                os.replace(incoming, root / folder)
        except OSError as fault:
            raise disk_fault(root / folder, fault) from fault
        finally:
            shutil.rmtree(incoming, ignore_errors=True)


def _count(names: Iterable[str]) -> Packed:
    names = list(names)
    nets = sum(bool(NET.fullmatch(n)) and n.endswith("manifest.json") for n in names)
    return Packed(nets, sum(bool(RESULT.fullmatch(n)) and n.endswith(".json") for n in names))
