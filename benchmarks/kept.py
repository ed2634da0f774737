"""What a benchmark found, published: evidence/benchmarks/<name>.csv, a sealed <name>.json beside it, a table in README.md.

The manifest says when, on which machine and with which versions. No number of a table is typed: `keep` writes it between
two marks of the README, and a test compares it with the rows.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from falsework.core.artefacts import file_digest, machine, seal, write_atomic
from falsework.core.paths import root

README = Path(__file__).with_name("README.md")


def span(values: Sequence[float], digits: int) -> str:
    """Return "median (least to most)"."""
    mid, low, high = (f"{f(values):,.{digits}f}" for f in (statistics.median, min, max))
    return f"{mid} ({low} to {high})"


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return a table, its first line the head, with columns of equal width so that it also reads as text."""
    wide = [max(map(len, column)) for column in zip(*lines)]
    head, *rest = ("| " + " | ".join(cell.ljust(w) for cell, w in zip(line, wide)) + " |" for line in lines)
    return "\n".join([head, "|" + "|".join("-" * (w + 2) for w in wide) + "|", *rest])


def shown(facts: Mapping[str, Any]) -> str:
    """Return what the README shows of kept facts: when and where, then the table."""
    here = facts["machine"]
    versions = ", ".join(f"{p} {v}" for p, v in sorted(here.items()) if p not in ("cpu", "system", "falsework"))
    return f"{facts['measured']}, {here['cpu']}, {here['system']}, {versions}.\n\n{markdown(facts['table'])}"


def block(name: str, text: str) -> str:
    """Return a text between the README's marks of this name."""
    return f"<!-- {name} -->\n{text}\n<!-- end of {name} -->"


def keep(
    name: str,
    rows: Sequence[Mapping[str, object]],
    table: Sequence[Sequence[str]],
    packages: Sequence[str] = (),
    **facts: Any,
) -> None:
    """Publish rows (floats to six figures) and put the table of them between the README's marks of this name."""
    path = root() / "evidence" / "benchmarks" / f"{name}.csv"
    write_atomic(path, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())
    facts |= {"measured": datetime.now(UTC).date().isoformat(), "table": table}
    facts |= {"machine": machine() | {p: version(p) for p in packages}, "digests": {path.name: file_digest(path)}}
    write_atomic(path.with_suffix(".json"), seal(facts))
    before, begin, rest = README.read_text("utf-8").partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    if not (begin and end):
        raise SystemExit(f"README.md of benchmarks has no marks for {name}; its rows are kept in {path.name}.")
    write_atomic(README, f"{before}{block(name, shown(facts))}{after}".encode())
    print(f"kept in {path.relative_to(root())}, and in benchmarks/README.md")
