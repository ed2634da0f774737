"""What notebooks call: guesses are kept and scored, cards tell the verdict, exercises judge themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from falsework import lesson
from falsework.core import versions
from falsework.core.errors import Refused
from falsework.core.evidence import Result, publish


@pytest.fixture(autouse=True)
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person sits at the notebook: Jupyter names the session."""
    monkeypatch.setenv("JPY_SESSION_NAME", "01_igpt.ipynb")


def test_nobody_guesses_when_nobody_sits_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME")
    run_in(tmp_path).guess("how many?", 30)
    assert not (tmp_path / "runs").exists()


def run_in(folder: Path, preset: str = "laptop") -> lesson.Run:
    return lesson.Run("01_igpt", preset, (), {}, folder)


def publish_share(folder: Path, share: float, bound: int = 0) -> None:
    rows = []
    for seed in range(3):
        base = {"arm": "igpt", "seed": seed}
        rows += [
            {**base, "metric": "caption_share", "level": "cells", "value": share},
            {**base, "metric": "caption_code_bits", "level": "cells", "value": 13.0, "censored": bound},
            *({**base, "metric": "item_bits", "item": i, "value": 13.0 / share + i % 7} for i in range(50)),
        ]
    facts = {"recipe": "igpt", "measure_seconds": 1.0}
    publish(folder / "evidence", "01_igpt", "laptop", [Result("likelihood", "igpt", 0, "k", rows, facts=facts)], {}, {})


def test_a_guess_is_kept_and_scored_against_published_evidence(tmp_path: Path) -> None:
    publish_share(tmp_path, 0.03)
    run_in(tmp_path).guess("how many?", 30, measure="likelihood", metric="caption_share", level="cells")
    run_in(tmp_path).guess("which word fades first?", "style")
    assert lesson.scored_guesses(tmp_path) == [("how many?", 30.0, pytest.approx(3.0))]
    kept = json.loads((tmp_path / "runs" / "guesses.json").read_text())
    assert kept["01_igpt"]["which word fades first?"]["answer"] == "style"


@pytest.mark.parametrize("answer", [True, "thirty", -1, 101, None])
def test_a_scored_guess_that_is_no_number_of_a_hundred_is_refused(tmp_path: Path, answer: object) -> None:
    with pytest.raises(Refused, match="from 0 to 100"):
        run_in(tmp_path).guess("how many?", answer, measure="likelihood", metric="caption_share")


def test_guesses_edited_into_nonsense_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for text in ("[1]", "{", '{"01_igpt": 3}', '{"nowhere": {"q": {"answer": 1, "metric": "m", "where": {}}}}'):
        (tmp_path / "runs" / "guesses.json").write_text(text)
        assert lesson.scored_guesses(tmp_path) == []


def test_a_card_tells_claim_verdict_and_number_in_text_and_on_the_page(tmp_path: Path) -> None:
    publish_share(tmp_path, 0.03)
    card = run_in(tmp_path).card("C09a")
    for text in (repr(card), card._repr_html_()):
        assert "C09a" in text and "supported" in text and "0.03" in text
    assert "来压缩世界上所有的像素" in card._repr_html_()
    assert lesson.REHEARSAL in repr(run_in(tmp_path, "smoke").card("C09a"))
    assert lesson.REHEARSAL not in repr(card)


def test_a_claim_that_fails_is_shown_refuted_not_hidden(tmp_path: Path) -> None:
    publish_share(tmp_path, 0.6)
    assert run_in(tmp_path).card("C09a").judged.verdict.state == "refuted"


def test_an_upper_bound_above_the_margin_leaves_the_claim_open(tmp_path: Path) -> None:
    publish_share(tmp_path, 0.6, bound=-1)
    assert run_in(tmp_path).card("C09a").judged.verdict.state == "undecided"
    publish_share(tmp_path, 0.03, bound=-1)
    assert run_in(tmp_path).card("C09a").judged.verdict.state == "supported"


def test_evidence_of_an_older_version_reads_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_share(tmp_path, 0.03)
    monkeypatch.setitem(versions.MEASURES, "01_igpt/likelihood", versions.MEASURES["01_igpt/likelihood"] + 1)
    card = run_in(tmp_path).card("C09a")
    assert "stale" in repr(card) and "stale" in card._repr_html_()


def test_without_evidence_and_seeds_a_measure_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="put a seed in SEEDS"):
        run_in(tmp_path).measure("likelihood")


def test_the_smoke_preset_shows_the_committed_laptop_evidence(tmp_path: Path) -> None:
    publish_share(tmp_path, 0.03)
    table = run_in(tmp_path, "smoke").measure("likelihood")
    assert set(table.source) == {"published"}


def test_check_says_right_or_gives_the_hint(capsys: pytest.CaptureFixture[str]) -> None:
    lesson.check("one", True)
    lesson.check("two", np.bool_(False), "Look again.")
    assert capsys.readouterr().out == "one: right.\ntwo: not yet. Look again.\n"


def test_a_table_is_the_same_page_twice() -> None:
    rows = [{"claim": "C01", "verdict": "not judged"}]
    assert lesson.table(rows)._repr_html_() == lesson.table(rows)._repr_html_()
    assert "C01" in repr(lesson.table(rows))


def test_show_returns_the_source_that_runs() -> None:
    assert "def sheet" in lesson.show(lesson.figures.sheet).data
