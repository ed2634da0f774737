"""What notebooks call: guesses are kept and scored, cards tell the verdict, exercises judge themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from falsework import lesson
from falsework.core import versions
from falsework.core.errors import Refused
from falsework.core.evidence import Result, publish
from falsework.experiments import runner


@pytest.fixture(autouse=True)
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person sits at the notebook: Jupyter names the session."""
    monkeypatch.setenv("JPY_SESSION_NAME", "01_igpt.ipynb")


def test_nobody_guesses_when_nobody_sits_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME")
    run_in(tmp_path).guess("how many?", 30)
    assert not (tmp_path / "runs").exists()


def run_in(folder: Path, preset: str = "laptop", seeds: tuple[int, ...] = (), **overrides: object) -> lesson.Run:
    return lesson.Run("01_igpt", preset, seeds, overrides, folder)


def publish_share(folder: Path, share: float, bound: int = 0) -> None:
    """Publish what C09a reads of the large arm, and the shares of captions on drawings that a guess is scored by."""
    rows = []
    for seed in range(3):
        base = {"arm": "large", "seed": seed}
        rows += [
            {**base, "metric": "caption_bits", "level": "near-exact", "value": 13.0, "censored": bound},
            {**base, "metric": "caption_bits", "level": "thing", "value": 3.0},
            {**base, "metric": "bits_per_image", "value": 13.0 / share + seed - 1},
            {**base, "arm": "small", "metric": "bits_per_image", "value": 26.0 / share},
        ]
    rows.append({"arm": "drawings", "seed": 0, "metric": "caption_share", "level": "cells", "value": share})
    facts = {"recipe": "igpt", "measure_seconds": 1.0}
    publish(
        folder / "evidence", "01_igpt", "laptop", [Result("likelihood", "large", 0, "k", rows, facts=facts)], {}, {}
    )


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


# ---- what was trained here, beside what is published


def publish_with(folder: Path, arrays: dict[str, np.ndarray] | None = None, **facts: object) -> None:
    rows = [{"arm": "large", "seed": 0, "metric": "bits", "value": 1.0}]
    result = Result("samples", "large", 0, "k", rows, arrays=arrays or {}, facts={"recipe": "igpt"})
    publish(folder / "evidence", "01_igpt", "laptop", [result], facts, {})


def measured(monkeypatch: pytest.MonkeyPatch, *results: Result) -> None:
    """Let the runner have measured these, in this order."""
    monkeypatch.setattr(runner, "measure", lambda notebook, names, *_, **__: {name: list(results) for name in names})


def drew(arm: str, seed: int, **numbers: int) -> Result:
    """What an arm drew with a seed; each picture is one number."""
    rows = [{"arm": arm, "seed": seed, "metric": "bits", "value": float(seed)}]
    return Result("samples", arm, seed, "k", rows, arrays={name: np.array([v]) for name, v in numbers.items()})


def seen(exhibits: dict[str, np.ndarray]) -> dict[str, int]:
    return {name: int(array[0]) for name, array in exhibits.items()}


def test_pictures_of_every_arm_are_shown_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, drew("drawings", 0, samples=1), drew("small", 0), drew("large", 0, scene_samples=2))
    assert seen(run_in(tmp_path, seeds=(0,)).exhibits("samples")) == {"samples": 1, "scene_samples": 2}


def test_of_several_seeds_the_first_one_is_shown_and_an_arm_with_few_seeds_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [drew("large", 7, scene_samples=70), drew("large", 0, scene_samples=1), drew("large", 3, scene_samples=30)]
    measured(monkeypatch, drew("drawings", 0, samples=5), *large)  # seeds in the reader's order
    assert seen(run_in(tmp_path, seeds=(7, 0, 3)).exhibits("samples")) == {"samples": 5, "scene_samples": 70}


def test_published_pictures_stand_in_where_nothing_was_drawn_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_with(tmp_path, {"samples": np.array([9])})
    measured(monkeypatch, drew("large", 7))
    assert seen(run_in(tmp_path).exhibits("samples")) == {"samples": 9}  # no seeds
    assert seen(run_in(tmp_path, seeds=(7,)).exhibits("samples")) == {"samples": 9}  # a seed that draws nothing
    measured(monkeypatch, drew("drawings", 0, samples=1))
    assert seen(run_in(tmp_path, seeds=(0,)).exhibits("samples")) == {"samples": 1}
    assert seen(run_in(tmp_path, seeds=(0,)).exhibits()) == {"samples": 9}  # not asked for by a measure's name


def test_rows_of_every_arm_and_seed_trained_here_are_yours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_with(tmp_path)
    measured(monkeypatch, drew("small", 7), drew("large", 7))
    table = run_in(tmp_path, seeds=(7,)).measure("samples")
    assert list(zip(table.source, table.arm, table.seed)) == [
        ("published", "large", 0),
        ("yours", "small", 7),
        ("yours", "large", 7),
    ]


def announced(run: lesson.Run) -> float:
    """Return the seconds that the greeting announces."""
    said = run.greeting({"drawings": object(), "small": object()})
    (number,) = re.findall(r"about (\d+) s on the machine that published", said)
    return float(number)


def test_the_greeting_adds_up_what_each_seed_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson.os, "cpu_count", lambda: 2)
    publish_with(tmp_path, core_seconds_by_seed={"0": 7000.0, "1": 3000.0, "2": 3200.0})
    first, second, own = (announced(run_in(tmp_path, seeds=(seed,))) for seed in (0, 1, 7))
    assert first / second == pytest.approx(7 / 3, rel=1e-3)  # the first seed trains one arm more
    assert own == second  # nobody published the reader's own seed: it trains no more than the cheapest
    assert 3500 <= first <= 7000  # two cores: no more than twice as fast
    assert announced(run_in(tmp_path, seeds=(0, 1))) == 5000
    assert announced(run_in(tmp_path, seeds=(1, 2))) == 3100
    assert announced(run_in(tmp_path, seeds=(0, 7))) == 5000


def test_the_greeting_names_no_time_that_nobody_measured(tmp_path: Path) -> None:
    arms = {"small": object()}
    assert "Training seed 0 at laptop, minutes;" in run_in(tmp_path, seeds=(0,)).greeting(arms)
    publish_with(tmp_path)  # as published before costs were kept by seed
    assert "Training seed 0 at laptop, minutes;" in run_in(tmp_path, seeds=(0,)).greeting(arms)
    publish_with(tmp_path, core_seconds_by_seed={"0": 7000.0})
    changed = run_in(tmp_path, seeds=(0,), **{"small.width": 8})
    assert "Training seed 0 at laptop, minutes;" in changed.greeting(arms)
    assert "about" in run_in(tmp_path, seeds=(0,)).greeting(arms)


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
