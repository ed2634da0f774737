"""What was measured: tidy rows in runs/ (here, git-ignored) and, once published, in evidence/ (committed).

A row is a dict with arm, seed, metric, value and any context (sigma, level, layer, region ...). A Result is what one
experiment found for one (arm, seed): rows, a training curve, a few small arrays for pictures, and what it cost.
Published: evidence/<notebook>/<preset>/{<experiment>.csv, curves.csv, exhibits.npz, manifest.json}.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from falsework.core import versions
from falsework.core.artefacts import file_digest, seal, unseal, write_atomic
from falsework.core.errors import Refused

Row = dict[str, Any]
REQUIRED = ("arm", "seed", "metric", "value")
EXHIBIT_BYTES = 300_000
NUMBER = re.compile(r"-?(\d+(\.\d+)?(e[+-]\d+)?|inf)")


@dataclass(frozen=True)
class Result:
    """One experiment's finding for one (arm, seed). `facts` holds keys, seconds, FLOPs and versions."""

    experiment: str
    arm: str
    seed: int
    key: str
    rows: list[Row]
    curve: list[Row] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def check_rows(rows: Iterable[Mapping[str, Any]], where: str) -> None:
    """Refuse rows without arm, seed, metric and a finite or infinite number as value."""
    for i, row in enumerate(rows):
        missing = [c for c in REQUIRED if c not in row]
        if missing:
            raise Refused(f"Row {i} of {where} has no {missing[0]!r}, but every row needs {', '.join(REQUIRED)}.")
        value = row["value"]
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise Refused(f"Row {i} of {where} has the value {value!r}, but a value must be a number.")


def result_path(runs: Path, preset: str, notebook: str, r: Result | tuple[str, str, int, str]) -> Path:
    """Return where a result is kept in runs/."""
    experiment, arm, seed, key = r if isinstance(r, tuple) else (r.experiment, r.arm, r.seed, r.key)
    return runs / preset / notebook / "measured" / experiment / f"{arm}-{seed}-{key}.json"


def save_result(runs: Path, preset: str, notebook: str, result: Result) -> None:
    """Keep a result and the date (UTC), atomically: the arrays first, then the sealed rows that name their digest."""
    check_rows(result.rows, f"{result.experiment} of {notebook}")
    path = result_path(runs, preset, notebook, result)
    facts = {"measured": datetime.now(UTC).date().isoformat(), **result.facts}
    if result.arrays:
        write_atomic(path.with_suffix(".npz"), _npz(result.arrays))
        facts["arrays"] = file_digest(path.with_suffix(".npz"))
    write_atomic(path, seal({"rows": result.rows, "curve": result.curve, "facts": facts}))


def load_result(
    runs: Path, preset: str, notebook: str, which: tuple[str, str, int, str], say: Callable[[str], object] = print
) -> Result | None:
    """Return a kept result (experiment, arm, seed, key), or None when it is missing or damaged (then said)."""
    path = result_path(runs, preset, notebook, which)
    if not path.exists():
        return None
    try:
        kept = unseal(path)
        digest = kept["facts"].pop("arrays", None)
        arrays = {}
        if digest:
            if file_digest(path.with_suffix(".npz")) != digest:
                raise ValueError(f"{path.stem}.npz does not match its digest")
            arrays = dict(np.load(path.with_suffix(".npz"), allow_pickle=False))
    except (ValueError, OSError, KeyError) as fault:
        say(f"The measured result {path.name} is damaged ({fault}); it is measured again.")
        return None
    return Result(*which, kept["rows"], kept["curve"], arrays, kept["facts"])


@dataclass(frozen=True)
class Evidence:
    """Published evidence of one notebook at one preset, verified against its digests when read."""

    folder: Path
    manifest: dict[str, Any]

    def rows(self, experiment: str) -> list[Row]:
        """Return an experiment's tidy rows; [] when it was not published."""
        name = f"{experiment}.csv"
        return _read_csv(self.folder / name) if name in self.manifest["digests"] else []

    def all_rows(self) -> list[Row]:
        """Return the rows of every experiment, each with its "experiment"."""
        names = [n[:-4] for n in self.manifest["digests"] if n.endswith(".csv") and n != "curves.csv"]
        return [{"experiment": n, **row} for n in names for row in self.rows(n)]

    def curves(self) -> list[Row]:
        """Return training curves: arm, seed, step, loss ..."""
        return self.rows("curves")

    @cached_property
    def exhibits(self) -> dict[str, np.ndarray]:
        """Return the published arrays by name."""
        name = "exhibits.npz"  # not one that an earlier publication left behind
        return dict(np.load(self.folder / name, allow_pickle=False)) if name in self.manifest["digests"] else {}

    @property
    def stale(self) -> list[str]:
        """Return what has changed in behaviour since this was measured; [] when it still stands."""
        old = self.manifest["versions"]
        now = {**versions.RECIPES, **versions.MEASURES}
        return sorted(n for n, v in old.items() if now.get(n) != v)


def publish(
    evidence: Path, notebook: str, preset: str, results: list[Result], facts: Mapping[str, Any], data: Mapping[str, str]
) -> Path:
    """Write a notebook's results as committed evidence and return the folder.

    `facts`: the machine and total costs; `data`: digests of the data sets. Refuses exhibits above 300 kB.
    """
    folder = evidence / notebook / preset
    files: dict[str, bytes] = {}
    for experiment in sorted({r.experiment for r in results}):
        rows = [row for r in results if r.experiment == experiment for row in r.rows]
        files[f"{experiment}.csv"] = _csv_bytes(rows)
    curves = [row for r in results for row in r.curve]
    if curves:
        files["curves.csv"] = _csv_bytes(curves)
    arrays: dict[str, np.ndarray] = {}
    for r in results:
        if twice := sorted(arrays.keys() & r.arrays.keys()):
            raise Refused(f"Two results of {notebook} hold the exhibit {twice[0]!r}, but a name may stand only once.")
        arrays |= r.arrays
    if arrays:
        files["exhibits.npz"] = _npz(arrays)
        size = len(files["exhibits.npz"])
        if size > EXHIBIT_BYTES:
            raise Refused(
                f"The exhibits of {notebook} are {size:,} bytes, but at most {EXHIBIT_BYTES:,} are published."
            )
    for name, content in files.items():
        write_atomic(folder / name, content)
    recipes = {r.facts[who] for r in results for who in ("recipe", "judge") if r.facts.get(who)}
    used = {n: versions.RECIPES[n] for n in recipes}
    used |= {f"{notebook}/{r.experiment}": versions.MEASURES[f"{notebook}/{r.experiment}"] for r in results}
    manifest = {
        "notebook": notebook,
        "preset": preset,
        "versions": used,
        "data": dict(data),
        "keys": {f"{r.experiment}/{r.arm}/{r.seed}": r.key for r in results},
        "digests": {n: file_digest(folder / n) for n in files},
        **facts,
    }
    write_atomic(folder / "manifest.json", seal(manifest))
    return folder


def load_evidence(evidence: Path, notebook: str, preset: str) -> Evidence | None:
    """Return published evidence, or None when there is none; raises Refused for a damaged or edited file."""
    folder = evidence / notebook / preset
    if not (folder / "manifest.json").exists():
        return None
    try:
        manifest = unseal(folder / "manifest.json")
        for name, digest in manifest["digests"].items():
            if not (folder / name).is_file() or file_digest(folder / name) != digest:
                raise ValueError(f"{name} does not match its digest")
    except (ValueError, KeyError) as fault:
        raise Refused(
            f"The published evidence of {notebook} at {preset} is damaged ({fault}); restore it with git or publish again."
        ) from fault
    return Evidence(folder, manifest)


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _csv_bytes(rows: list[Row]) -> bytes:
    """Return CSV: arm, seed, metric, context, value; floats to six figures, which is all anyone reads."""
    names = list(dict.fromkeys(k for row in rows for k in row))  # of every row: arms may log different metrics
    context = sorted(set(names) - set(REQUIRED))
    columns = [*REQUIRED[:3], *context, REQUIRED[3]]
    if rows and "value" not in names:  # a training curve
        columns = ["arm", "seed", *[c for c in names if c not in ("arm", "seed")]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = (row.get(c, "") for c in columns)
        writer.writerow(f"{x:.6g}" if isinstance(x, float) else x for x in cells)
    return text.getvalue().encode()


def _read_csv(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as f:
        return _parsed(f)


def _parsed(lines: Iterable[str]) -> list[Row]:
    return [{k: _number(v) for k, v in row.items() if v != ""} for row in csv.DictReader(lines)]


def as_published(rows: list[Row]) -> list[Row]:
    """Return one experiment's rows as they would read once published: six figures, empty cells left out."""
    return _parsed(io.StringIO(_csv_bytes(rows).decode(), newline=""))


def _number(text: str) -> int | float | str:
    """Return the number that was written; words which float() would take too ("infinity", "1_000") stay words."""
    if not NUMBER.fullmatch(text):
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
