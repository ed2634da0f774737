"""Benchmarks begin with the library as it stands, and what they published is whole and is what their README shows."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from falsework.core.artefacts import file_digest, unseal

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
KEPT = sorted((ROOT / "evidence" / "benchmarks").glob("*.json"))
sys.path.insert(0, str(BENCHMARKS))


def test_every_benchmark_begins_without_the_peers() -> None:
    names = ", ".join(sorted(p.stem for p in BENCHMARKS.glob("*.py")))
    done = subprocess.run([sys.executable, "-c", f"import {names}"], cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("path", KEPT, ids=lambda p: p.stem)
def test_what_was_kept_is_whole_and_stands_in_the_readme(path: Path) -> None:
    import kept

    facts, rows = unseal(path), path.with_suffix(".csv")
    assert facts["digests"] == {rows.name: file_digest(rows)}
    assert kept.block(path.stem, kept.shown(facts)) in kept.README.read_text("utf-8")


def test_what_is_kept_reads_back_and_replaces_what_stood_between_its_marks(tmp_path, monkeypatch) -> None:
    import kept

    readme = tmp_path / "README.md"
    monkeypatch.setattr(kept, "root", lambda: tmp_path)
    monkeypatch.setattr(kept, "README", readme)
    readme.write_text("above\n<!-- toy -->\nolder\n<!-- end of toy -->\nbelow\n")
    rows = [{"rival": "ours", "round": 0, "seconds": 1 / 3}, {"rival": "peer", "round": 0, "seconds": 2.0}]
    lines = [["rival", "s"], ["ours", "0.33"], ["peer", "2.00"]]
    kept.keep("toy", rows, lines, ("pytest",), rounds=1)
    with (tmp_path / "evidence" / "benchmarks" / "toy.csv").open(newline="") as file:
        assert [row["seconds"] for row in csv.DictReader(file)] == ["0.333333", "2"]
    facts = unseal(tmp_path / "evidence" / "benchmarks" / "toy.json")
    assert facts["rounds"] == 1 and facts["machine"]["pytest"] == pytest.__version__
    text = readme.read_text("utf-8")
    assert text.startswith("above\n") and text.endswith("below\n") and "older" not in text
    assert "| rival | s    |\n|-------|------|\n| ours  | 0.33 |\n" in text
    assert kept.block("toy", kept.shown(facts)) in text


def test_a_table_takes_medians_and_ratios_within_rounds_and_says_what_is_reached() -> None:
    import peers

    def rival(name: str, seconds: list[float]) -> list[dict[str, object]]:
        same = {"contest": "clip", "size": "width 1", "rival": name, "parameters": 10}
        return [same | {"round": i, "seconds": s} for i, s in enumerate(seconds)]

    # a slow round is slow for all: a ratio within it stays what it is
    rows = rival("ours", [1.0, 5.0, 2.0]) + rival("peer", [0.8, 4.0, 1.6]) + rival("twice", [2.0, 10.0, 4.0])
    _, ours, peer, twice = peers.table(rows)
    assert ours[3] == "2,000 (1,000 to 5,000)" and ours[4:] == ["", ""]
    assert peer[4:] == ["1.25 (1.25 to 1.25)", "<= 1.08 **not reached**"]
    assert twice[4:] == ["0.50 (0.50 to 0.50)", "<= 1.08 reached"]
