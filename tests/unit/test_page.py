"""The verdict page: planted evidence and results stand where they belong, and the page needs nothing but itself."""

from __future__ import annotations

import csv
import errno
import math
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from falsework import page
from falsework.claims.ledger import COLUMNS, PUBLISHED, YOURS, Entry, Source, cost, ledger, overview, read, side_by_side
from falsework.claims.predicates import RatioAtLeast
from falsework.claims.registry import CLAIMS
from falsework.core import versions
from falsework.core.artefacts import seal, unseal
from falsework.core.errors import Refused
from falsework.core.evidence import Result, as_published, load_evidence, publish, result_path, save_result
from falsework.experiments import experiment_of
from falsework.experiments.here import measured_here
from falsework.experiments.jobs import arms_of, result_key

CLAIM, NOTEBOOK, MEASURE, ARM = "C09a", "01_igpt", "likelihood", "large"
COST = {"core_seconds": 100.0, "flops": 2e12, "measure_seconds": 5.0, "recipe": "igpt"}


def rows_of(share: float, seeds: tuple[int, ...]) -> list[dict]:
    """Return what C09a reads when the longest caption could carry this share of the bits, a little more or less."""
    out = []
    for seed in seeds:
        at = {"arm": ARM, "seed": seed}
        out += [
            {**at, "metric": "caption_bits", "level": "near-exact", "value": 13.0, "censored": 0},
            {**at, "metric": "bits_per_image", "value": 13.0 / share + seed / 7},
        ]
    return out


def published(root: Path, share: float, preset: str = "laptop", **facts: object) -> Path:
    result = Result(MEASURE, ARM, 0, "k", rows_of(share, (0, 1, 2)), facts=COST)
    return publish(root / "evidence", NOTEBOOK, preset, [result], facts, {})


def measured(
    root: Path, share: float, seeds: tuple[int, ...], preset: str = "laptop", **overrides: object
) -> list[Path]:
    """Leave results where a run leaves them and return their files."""
    experiment, paths = experiment_of(NOTEBOOK), []
    recipe = arms_of(experiment, preset, overrides)[ARM]
    for seed in seeds:
        key = result_key(experiment, MEASURE, preset, ARM, seed, recipe)
        result = Result(MEASURE, ARM, seed, key, rows_of(share, (seed,)), facts=COST)
        save_result(root / "runs", preset, NOTEBOOK, result)
        paths.append(result_path(root / "runs", preset, NOTEBOOK, result))
    return paths


def entry(root: Path, source: str, preset: str = "laptop") -> Entry:
    return next(line.entries[source] for line in page.gather(preset, root).lines if line.claim.id == CLAIM)


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text that a person sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text, self.hidden, self.style = "", "", ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        self.hidden = tag if tag in ("style", "script", "title") else self.hidden

    def handle_endtag(self, tag: str) -> None:
        self.hidden = "" if tag == self.hidden else self.hidden

    def handle_data(self, data: str) -> None:
        if self.hidden:
            self.style += data
        else:
            self.text += data


def written(root: Path, preset: str = "laptop", failed: tuple[str, ...] = ()) -> Reader:
    return Reader(page.write_page(page.gather(preset, root), root, failed)[0].read_text("utf-8"))


# ---- what stands in the cells


def test_three_seeds_of_yours_are_judged_as_published_ones_are(tmp_path):
    published(tmp_path, 0.03)
    measured(tmp_path, 0.03, (0, 1, 2))
    mine, theirs = entry(tmp_path, YOURS), entry(tmp_path, "laptop")
    assert mine.state == theirs.state == "supported" and mine.verdict == theirs.verdict
    assert mine.interval == theirs.interval and mine.effect == "0.03"
    assert entry(tmp_path, "overnight").state == entry(tmp_path, "gpu").state == "-"
    text = written(tmp_path).text
    assert "1 supported" in text and "1 of your 1 verdicts are the published ones." in text


def test_yours_may_differ_from_the_published_verdict_and_the_page_says_so(tmp_path):
    published(tmp_path, 0.03)
    measured(tmp_path, 0.6, (4, 5, 6))  # the reader's own seeds
    assert entry(tmp_path, YOURS).state == "refuted" and entry(tmp_path, "laptop").state == "supported"
    assert "0 of your 1 verdicts are the published ones; other: C09a." in written(tmp_path).text


@pytest.mark.parametrize(("seeds", "words"), [((3,), "1 seed where 3"), ((3, 9), "2 seeds where 3")])
def test_fewer_than_three_seeds_show_their_number_and_are_not_judged(tmp_path, seeds, words):
    measured(tmp_path, 0.03, seeds)
    mine = entry(tmp_path, YOURS)
    assert mine.state == "not judged" and mine.effect == "0.03" and mine.verdict.seeds == len(seeds)
    assert f"{words} are needed" in written(tmp_path).text


def test_smoke_is_a_rehearsal_however_many_seeds(tmp_path):
    published(tmp_path, 0.03)
    measured(tmp_path, 0.03, (0, 1, 2), "smoke")
    mine = entry(tmp_path, YOURS, "smoke")
    assert mine.state == "rehearsal" and mine.verdict.state == "not judged"
    assert entry(tmp_path, "laptop", "smoke").state == "supported"  # the published one stands beside it
    reader = written(tmp_path, "smoke")
    assert page.REHEARSAL in reader.text and "Rehearsal, not judged: " in reader.text
    assert "verdicts are the published ones" not in reader.text


def test_laptop_overnight_and_gpu_are_judged_each_by_itself(tmp_path):
    for preset, share in (("laptop", 0.03), ("overnight", 0.6), ("gpu", 0.03)):
        published(tmp_path, share, preset)
    lines = ledger(read(tmp_path / "evidence"))
    (line,) = (li for li in lines if li.claim.id == CLAIM)
    assert [line.entries[p].state for p in PUBLISHED] == ["supported", "refuted", "supported"]
    assert line.verdict.state == "supported" and line.counted.preset == "laptop"
    (row,) = side_by_side(lines)
    assert row["claim"] == CLAIM and row["overnight"].startswith("refuted, 0.60 (")


def test_what_was_made_with_overrides_or_by_an_older_version_is_left_out_and_counted(tmp_path, monkeypatch):
    measured(tmp_path, 0.03, (0, 1, 2), **{"large.train.steps": 7})
    assert not entry(tmp_path, YOURS).found and measured_here(tmp_path, "laptop")[NOTEBOOK].other == 3
    name = f"{NOTEBOOK}/{MEASURE}"
    measured(tmp_path, 0.03, (0, 1, 2))
    assert entry(tmp_path, YOURS).state == "supported"
    monkeypatch.setitem(versions.MEASURES, name, versions.MEASURES[name] + 1)
    assert not entry(tmp_path, YOURS).found
    assert "6 results here were made with overrides, by an older version or of other data" in written(tmp_path).text


def test_stale_evidence_is_called_stale_and_keeps_its_verdict(tmp_path, monkeypatch):
    published(tmp_path, 0.03)
    name = f"{NOTEBOOK}/{MEASURE}"
    assert entry(tmp_path, "laptop").age == f"v{versions.MEASURES[name]}, current"
    monkeypatch.setitem(versions.MEASURES, name, versions.MEASURES[name] + 1)
    old = entry(tmp_path, "laptop")
    assert old.state == "supported" and old.age == f"stale: {name} changed since"
    assert f"stale: {name} changed since" in written(tmp_path).text


def test_the_age_names_the_date_where_somebody_wrote_it_down(tmp_path):
    published(tmp_path, 0.03, measured="2031-05-06")
    assert entry(tmp_path, "laptop").age.startswith("measured 2031-05-06, v")
    measured(tmp_path, 0.03, (0,))
    assert re.fullmatch(r"measured \d{4}-\d\d-\d\d, v\d+, current", entry(tmp_path, YOURS).age)


def test_a_damaged_result_is_said_at_the_top_and_the_others_are_judged(tmp_path, capsys):
    paths = measured(tmp_path, 0.03, (0, 1, 2, 3))
    paths[0].write_text(paths[0].read_text("utf-8").replace('"bits_per_image"', '"bits"'), "utf-8")
    reader = written(tmp_path)
    assert entry(tmp_path, YOURS).state == "supported" and entry(tmp_path, YOURS).verdict.seeds == 3
    said = (
        f"The measured result {paths[0].name} is damaged ({paths[0].name} does not match its own digest); the next run"
    )
    assert said in reader.text and capsys.readouterr().out == ""


def test_damaged_evidence_is_said_and_the_other_presets_are_judged(tmp_path):
    folder = published(tmp_path, 0.03, "gpu")
    published(tmp_path, 0.03)
    (folder / f"{MEASURE}.csv").write_text("arm,seed\n")
    assert entry(tmp_path, "gpu").state == "damaged" and entry(tmp_path, "laptop").state == "supported"
    assert "The published evidence of 01_igpt at gpu is damaged" in written(tmp_path).text


def test_a_course_without_any_evidence_still_has_a_page(tmp_path):
    text = written(tmp_path).text
    assert "Nothing of yours was measured at laptop yet." in text and "not measured yet" in text


def test_a_cost_counts_a_network_and_a_parent_once():
    parent = {"clip": {"core_seconds": 50.0, "flops": 1e12}}
    net = {"core_seconds": 100.0, "flops": 2e12, "model": "aa", "parents": parent}
    models = {"large/0": net, "twin/0": net, "large/1": {**net, "model": "bb"}, "bare/0": {}}
    source = Source([{"experiment": MEASURE, **r} for r in rows_of(0.03, (0, 1, 2))], models, measuring=7.0)
    found = next(li for li in ledger({(NOTEBOOK, "laptop"): source}) if li.claim.id == CLAIM).entries["laptop"]
    assert (found.core_seconds, found.flops) == (257.0, 5e12) and found.cost == "257 core-s, 5 TFLOP"


@pytest.mark.parametrize(
    ("spent", "words"),
    [
        ((math.nan, math.nan), "-"),
        ((1234.4, math.nan), "1,234 core-s"),
        ((0.0, 0.0), "0 core-s, 0 FLOP"),
        ((1.0, 999.9e9), "1 core-s, 1 TFLOP"),
        ((1.0, 31.7e15), "1 core-s, 31.7 PFLOP"),
    ],
)
def test_costs_read_as_words(spent, words):
    assert cost(*spent) == words


# ---- the file


def test_the_page_needs_nothing_but_itself(tmp_path):
    published(tmp_path, 0.03)
    measured(tmp_path, 0.03, (0, 1, 2))
    reader = written(tmp_path)
    names = [tag for tag, _ in reader.tags]
    assert not {"script", "link", "iframe", "object", "base"} & set(names)
    images = [attrs for tag, attrs in reader.tags if tag == "img"]
    assert images and all(i["alt"] and i["src"].startswith("data:image/png;base64,") for i in images)
    for tag, attrs in reader.tags:
        assert not any(name.startswith("on") for name in attrs), tag
        assert attrs.get("href", "#").startswith("#") and "srcset" not in attrs
        assert tag == "img" or "src" not in attrs
    assert "url(" not in reader.style and "@import" not in reader.style
    ids = [attrs["id"] for tag, attrs in reader.tags if tag == "article"]
    assert ids == [c.id for c in CLAIMS]  # in the order of the talk
    assert {attrs["href"][1:] for _, attrs in reader.tags if attrs.get("href")} == set(ids)
    drawn = [a for _, a in reader.tags if a.get("role") == "img"]
    assert drawn and all(a["aria-label"] for a in drawn)


def test_hostile_words_stay_words(tmp_path):
    folder = published(tmp_path, 0.03)
    manifest = unseal(folder / "manifest.json")
    manifest["digests"]["<script>alert(2)</script>.csv"] = "0"
    (folder / "manifest.json").write_bytes(seal(manifest))
    reader = written(tmp_path, failed=('03_clip failed (<script>alert(1)</script> & "<img src=x onerror=y>"); see it',))
    assert '<script>alert(1)</script> & "<img src=x onerror=y>"' in reader.text
    assert "<script>alert(2)</script>.csv does not match its digest" in reader.text
    assert "script" not in [tag for tag, _ in reader.tags]
    assert sum(tag == "img" for tag, _ in reader.tags) == 1


def test_failures_of_the_run_stand_before_everything_else(tmp_path):
    text = written(tmp_path, failed=("03_clip failed (MemoryError); see it",)).text
    assert text.index("03_clip failed") < text.index("C01")
    assert "Something went wrong" not in written(tmp_path).text


def test_the_csv_holds_one_row_a_claim_and_source_and_comes_back(tmp_path):
    published(tmp_path, 0.03, measured="2031-05-06")
    measured(tmp_path, 0.03, (0,))
    table = page.write_page(page.gather("laptop", tmp_path), tmp_path)[1]
    with table.open(newline="", encoding="utf-8") as f:
        back = list(csv.DictReader(f))
    wanted = [e.row() for line in page.gather("laptop", tmp_path).lines for e in line.entries.values()]
    assert tuple(back[0]) == tuple(COLUMNS) and len(back) == 4 * len(CLAIMS)
    assert back == [{k: str(row[k]) for k in COLUMNS} for row in wanted]
    (theirs, mine) = (r for r in back if r["claim"] == CLAIM and r["seeds"] != "0")
    assert (theirs["source"], theirs["verdict"], theirs["measured"]) == ("laptop", "supported", "2031-05-06")
    assert (mine["source"], mine["verdict"], mine["seeds"]) == ("yours", "not judged", "1")
    assert float(theirs["low"]) < float(theirs["effect"]) < float(theirs["high"]) and mine["low"] == ""


def test_a_page_in_the_way_or_a_full_disk_gives_one_sentence(tmp_path, monkeypatch):
    page.write_page(page.gather("laptop", tmp_path), tmp_path)
    before = (tmp_path / "runs" / "laptop" / "verdicts.html").read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken, pytest.raises(Refused) as raised:
        broken.setattr(os, "fsync", full)
        page.write_page(page.gather("laptop", tmp_path), tmp_path, ("something new",))
    words = str(raised.value)
    assert (
        words.startswith("Cannot write verdicts.html in ") and "No space left on device" in words and "\n" not in words
    )
    assert (tmp_path / "runs" / "laptop" / "verdicts.html").read_bytes() == before
    assert sorted(p.name for p in (tmp_path / "runs" / "laptop").iterdir()) == ["verdicts.csv", "verdicts.html"]
    (tmp_path / "runs" / "overnight").write_text("a file where a folder should be")
    with pytest.raises(Refused, match=r"Cannot write verdicts.html in .*overnight: File exists"):
        page.write_page(page.gather("overnight", tmp_path), tmp_path)


def test_a_preset_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(Refused, match="must be one of 'smoke', 'laptop', 'overnight', 'gpu'"):
        page.write_page(page.gather("desktop", tmp_path), tmp_path)


# ---- the small drawings


@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.parts], ids=lambda c: c.id)
def test_the_green_band_is_where_the_claim_holds(claim):
    for part in claim.parts:
        low, high = page._holds(part.predicate)
        try:
            part.predicate._point(0.5)
        except NotImplementedError:
            bar = getattr(part.predicate, "tolerance", 0.0)  # a shape, judged along a curve
            assert (low, high) in ((bar, math.inf), (-math.inf, bar))
            continue
        log = isinstance(part.predicate, RatioAtLeast)
        for bar, outside in ((low, -1), (high, 1)):
            if math.isfinite(bar):
                inner, outer = (
                    math.log(bar * f) if log else bar + d
                    for f, d in ((1.001**-outside, -outside * 1e-6), (1.001**outside, outside * 1e-6))
                )
                assert part.predicate._point(inner) and not part.predicate._point(outer), part.predicate


def test_a_supported_effect_is_drawn_inside_the_band_and_a_refuted_one_outside(tmp_path):
    for share, inside in ((0.03, True), (0.6, False)):
        published(tmp_path, share)
        html = page.write_page(page.gather("laptop", tmp_path), tmp_path)[0].read_text("utf-8")
        card = html[html.index(f'<article id="{CLAIM}"') :].split("</article>")[0]
        (dot,) = re.findall(r'<circle class="dot \w+" cx="([\d.]+)%"', card)
        (left, width), (low, high) = (
            re.findall(r'class="holds" x="([\d.]+)%" width="([\d.]+)%"', card)[0],
            re.findall(r'class="span" x1="([\d.]+)%" x2="([\d.]+)%"', card)[0],
        )
        start, end = float(left), float(left) + float(width)
        assert (start < float(dot) < end) is inside
        assert 0 <= float(low) <= float(dot) <= float(high) <= 100
        assert (float(low) >= start and float(high) <= end) is inside


def test_interpretive_claims_have_words_and_no_numbers(tmp_path):
    html = page.write_page(page.gather("laptop", tmp_path), tmp_path)[0].read_text("utf-8")
    for claim in CLAIMS:
        card = html[html.index(f'<article id="{claim.id}"') :].split("</article>")[0]
        assert ("Not a matter of measurement." in card) is (claim.role == "interpretive")
        assert ('class="box' in card) is (claim.role != "interpretive")


# ---- what it stands on


def test_rows_here_read_as_they_would_once_published(tmp_path):
    rows = [
        {"arm": ARM, "seed": 0, "metric": "bits", "value": 0.1 + 0.2, "level": None, "words": "1_000"},
        {"arm": ARM, "seed": 1, "metric": "bits", "value": math.inf, "level": 2},
    ]
    folder = publish(tmp_path, NOTEBOOK, "laptop", [Result(MEASURE, ARM, 0, "k", rows, facts=COST)], {}, {})
    assert as_published(rows) == load_evidence(tmp_path, NOTEBOOK, "laptop").rows(MEASURE)
    assert folder.name == "laptop"


def test_the_overview_names_what_the_verdict_turns_on(tmp_path):
    published(tmp_path, 0.03, measured="2031-05-06")
    rows = {row["claim"]: row for row in overview(ledger(read(tmp_path / "evidence")))}
    row = rows[CLAIM]
    assert list(rows) == [c.id for c in CLAIMS]
    assert (row["verdict"], row["seeds"], row["preset"]) == ("supported", "3", "laptop")
    assert row["effect"] == "0.03 of the bits could be carried by the longest sentence"
    assert rows["C12"]["verdict"] == "interpretive" and rows["C12"]["effect"] == "-"


def test_importing_the_page_needs_no_torch():
    code = "import sys, falsework.page, falsework.experiments.here; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here")
def test_on_a_phone_nothing_runs_over_the_edge_in_light_and_dark(tmp_path):
    api = pytest.importorskip("playwright.sync_api")
    published(tmp_path, 0.03)
    measured(tmp_path, 0.03, (0, 1, 2))
    failed = ("03_clip failed (a_very_long_word_without_any_break_" * 4 + "); see it",)
    file = page.write_page(page.gather("laptop", tmp_path), tmp_path, failed)[0]
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        papers = set()
        for scheme in ("light", "dark"):
            tab = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
            asked = []
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.goto(file.as_uri())
            tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert tab.evaluate("document.documentElement.scrollWidth") <= 390
            over = "e => e.getBoundingClientRect().right > 390.5 && !e.closest('svg')"
            wide = f"[...document.querySelectorAll('body *')].filter({over}).map(e => e.outerHTML.slice(0, 80))"
            assert tab.evaluate(wide) == []
            assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
            papers.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        browser.close()
    assert len(papers) == 2  # dark is not light
