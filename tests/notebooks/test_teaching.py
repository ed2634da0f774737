"""The teacher's page keeps to the course: its minutes, its seconds, its intervals, the headings that it sends people to."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import nbformat
import pytest
from scipy.stats import t

from falsework.claims.published import judge_published
from redraw import NOTEBOOKS, ROOT

PAGE = (ROOT / "docs" / "TEACHING.md").read_text(encoding="utf-8")
NAMES = {name[:2]: name for name in NOTEBOOKS}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def missing(text: str, headings: dict[str, set[str]]) -> list[str]:
    """Return the "NN, *Heading*" of a text whose heading does not stand in that notebook."""
    return [f"{n}, {h}" for n, h in re.findall(r"\b(\d\d), \*([^*]+)\*", text) if h not in headings.get(n, set())]


def headings_of(name: str) -> set[str]:
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return set(re.findall(r"^#+ (.+?)$", text, re.M))


def test_every_heading_that_the_page_sends_people_to_is_there() -> None:
    headings = {number: headings_of(name) for number, name in NAMES.items()}
    assert len(re.findall(r"\b\d\d, \*", PAGE)) >= 15
    assert missing(PAGE, headings) == []
    assert missing("00, *The riddle*, and 01, *The moon*", headings) == ["01, The moon"]


def test_minutes_are_those_of_the_readme_and_the_day_adds_up() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| \[(\d\d) [^|]+\|[^|]+\|[^|]+\| (\d+) \|$", readme, re.M))
    ours = dict(re.findall(r"^\| (\d\d) [^|]+\| (\d+) \|", section("What they can do afterwards"), re.M))
    assert ours and ours == {number: minutes for number, minutes in told.items() if number in ours}
    day = section("Timetables").split("**One day.**")[1].split("**Six weeks**")[0]
    stops = sorted((60 * int(h) + int(m), what) for h, m, what in re.findall(r"(\d+):(\d\d) \| (\w+)", day))
    assert [what for _, what in stops if what.isdecimal()] == sorted(ours)
    for (start, what), (end, _) in pairwise(stops):
        assert not what.isdecimal() or end - start == int(ours[what]), what


def test_what_a_seed_costs_stands_in_the_published_manifests() -> None:
    lines = section("A class pools its seeds").split("What a seed costs")[1].splitlines()
    head, _, cost = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    for number, seconds in zip(head, cost, strict=True):
        manifest = json.loads((ROOT / "evidence" / NAMES[number] / "laptop" / "manifest.json").read_text("utf-8"))
        assert float(seconds) == pytest.approx(manifest["core_seconds_by_seed"]["2"], abs=1), number


def test_the_shrinking_interval_is_student_s_t_and_starts_at_ours() -> None:
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", section("A class pools its seeds"), re.M)
    judged = judge_published(ROOT / "evidence")
    ours = [judged[name].verdict.parts[0] for name in ("C30", "C10")]
    assert [int(row[0]) for row in rows] == [3, 5, 10, 30]
    for seeds, factor, *widths in rows:
        wide = t.ppf(0.975, int(seeds) - 1) / int(seeds) ** 0.5
        assert float(factor) == pytest.approx(wide, abs=0.006)
        for width, part in zip(widths, ours):
            spread = (part.high - part.low) / 2 / (t.ppf(0.975, 2) / 3**0.5)
            assert float(width) == pytest.approx(spread * wide, rel=0.05)
