"""A reader's own arms, measure and claim: judged as strictly as the course's own, refused in one sentence, 25 lines long."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
import numpy as np
import pytest

from falsework import yours
from falsework.claims.effects import LogRatio, Pick, difference, level
from falsework.claims.predicates import Above, All, Part, RatioAtLeast, Within
from falsework.claims.registry import Claim
from falsework.core.errors import Refused
from falsework.core.paths import root
from falsework.core.rng import rng
from falsework.data.emoji import load_emoji
from falsework.data.photographs import load_photographs
from falsework.experiments import Measured, experiment_of
from falsework.lesson import Run
from falsework.recipes.igpt import IGPT
from falsework.recipes.pairs import spared
from falsework.training import Train

TINY = replace(yours.arm("03_clip", "zero_shot", "smoke"), train=Train(steps=2, batch=4))
GAP = difference(Pick("named", "mine"), Pick("named", "theirs"), "more")
BAR = Above(0.1)


def run_in(folder: Path, preset: str = "laptop", seeds: tuple[int, ...] = (0, 1, 2)) -> Run:
    return Run("11_your_claim", preset, seeds, {}, folder)


def my_claim(effect=GAP, predicate=BAR, **fields) -> Claim:
    about = {"notebook": "11_your_claim", "experiment": "naming", "preset": "laptop", **fields}
    return Claim("mine", "Mine name more.", effect=effect, predicate=predicate, **about)


def planted(gap: float, seeds: int = 3, world: int = 0, items: int = 48) -> list[dict]:
    """Two arms on the same pictures; the chance that "mine" names one is `gap` higher."""
    g, out = rng("yours", world), []
    for seed in range(seeds):
        for arm, rate in (("mine", 0.4 + gap), ("theirs", 0.4)):
            hits = g.random(items) < rate
            out += [
                {"arm": arm, "seed": seed, "metric": "named", "item": i, "value": float(h)} for i, h in enumerate(hits)
            ]
    return out


def state(rows: list[dict], claim: Claim | None = None, **run) -> str:
    return yours.judge(run_in(Path(), **run), claim or my_claim(), rows).judged.verdict.state


# ---- verdicts


def test_a_planted_effect_is_found_and_its_opposite_is_refuted():
    assert [state(planted(0.5, world=w, items=400)) for w in range(20)] == ["supported"] * 20
    assert [state(planted(-0.35, world=w, items=400)) for w in range(20)] == ["refuted"] * 20


def test_a_planted_null_on_the_margin_is_hardly_ever_supported():
    states = [state(planted(0.1, world=w)) for w in range(200)]
    assert states.count("supported") <= 10 and states.count("undecided") > 150


def test_too_few_seeds_are_shown_and_not_judged():
    for seeds in (1, 2):
        verdict = yours.judge(run_in(Path()), my_claim(), planted(0.5, seeds)).judged.verdict
        assert verdict.state == "not judged" and "where 3 are needed" in verdict.sentence
        assert verdict.effect == pytest.approx(0.5, abs=0.2)
    many = my_claim(seeds=5)
    assert state(planted(0.5, 4), many) == "not judged" and state(planted(0.5, 5, items=400), many) == "supported"


def test_a_rehearsal_is_never_judged_and_nothing_measured_is_no_verdict():
    card = yours.judge(run_in(Path(), "smoke"), my_claim(), planted(0.5, 5))
    assert card.judged.verdict.state == "not judged" and "Rehearsal" in repr(card)
    card = yours.judge(run_in(Path(), seeds=()), my_claim(), [])
    assert card.judged.verdict.state == "not judged" and "not measured yet" in repr(card)
    assert state(planted(0.5, 5), my_claim(preset="overnight")) == "not judged"


def test_a_card_of_a_reader_quotes_nobody():
    page = yours.judge(run_in(Path()), my_claim(), planted(0.5, items=400))._repr_html_()
    assert "supported" in page and "Mine name more." in page and "<br>" not in page and "<i>" not in page


def test_a_claim_is_judged_on_what_is_published():
    named = Pick("accuracy", "zero_shot", (("domain", "in"),))
    for margin, found in ((0.3, "supported"), (0.8, "refuted")):
        words = my_claim(level(named, "named"), Above(margin), notebook="03_clip", experiment="transfer")
        card = yours.judge_published(run_in(root()), words)
        assert card.judged.verdict.state == found and card.judged.verdict.preset == "laptop"
        assert card.judged.verdict.seeds == 3 and not card.judged.stale


CLIP = {"notebook": "03_clip", "experiment": "transfer"}


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ("prompts help", r"^The claim is 'prompts help', but must be a Claim\.$"),
        (my_claim(notebook="03_clop"), r"The notebook of claim mine is '03_clop'.*did you mean '03_clip'"),
        (my_claim(), r"^There is no published evidence of 11_your_claim, but claim mine asks for it\.$"),
        (my_claim(**{**CLIP, "experiment": "transfre"}), r"The experiment of claim mine is 'transfre'.*'transfer'"),
        (my_claim(**CLIP), r"The metric of claim mine is 'named', but must be one of 'accuracy'"),
        (my_claim(level(Pick("accuracy", "clop")), **CLIP), r"The arm of claim mine is 'clop', but must be one of"),
    ],
)
def test_a_claim_on_what_is_not_published_is_refused(claim, said):
    with pytest.raises(Refused, match=said):
        yours.judge_published(run_in(root()), claim)


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (None, "but must be a Claim"),
        (my_claim(level(Pick("nmaed", "mine"))), r"The metric of claim mine is 'nmaed'.*did you mean 'named'"),
        (my_claim(level(Pick("named", "mien"))), r"The arm of claim mine is 'mien'.*did you mean 'mine'"),
        (my_claim(None, All((Part(GAP, Above()), Part(level(Pick("x")), Above())))), r"The metric .* is 'x'"),
    ],
)
def test_a_claim_on_what_was_not_measured_is_refused(claim, said):
    with pytest.raises(Refused, match=said):
        yours.judge(run_in(Path()), claim, planted(0.5))
    with pytest.raises(Refused, match=said):
        yours.field(claim, planted(0.5))


# ---- arms and measures


def test_an_arm_is_the_recipe_that_the_course_trains():
    assert yours.arm("03_clip", "zero_shot") == experiment_of("03_clip").arms("laptop")["zero_shot"]
    assert yours.arm("01_igpt", "small", "smoke").train.steps < yours.arm("01_igpt", "small").train.steps


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("03_clop", "zero_shot"), r"The notebook of an arm is '03_clop'.*did you mean '03_clip'"),
        (("10_verdicts", "zero_shot"), r"The notebook of an arm is '10_verdicts', but must be one of '00_the_world'"),
        (("03_clip", "zero_shoot"), r"The arm of 03_clip is 'zero_shoot'.*did you mean 'zero_shot'"),
        (("03_clip", "zero_shot", "lap"), r"The preset is 'lap'"),
    ],
)
def test_an_arm_that_is_not_there_is_refused(asked, said):
    with pytest.raises(Refused, match=said):
        yours.arm(*asked)


def test_a_network_that_ships_comes_without_training_and_another_is_refused():
    clip = yours.net("03_clip", "zero_shot")
    assert clip.recipe == yours.arm("03_clip", "zero_shot") and not clip.model.training
    with pytest.raises(Refused, match="The network to play with is 'clip_3'"):
        yours.net("03_clip", "clip_3")


@dataclass(frozen=True)
class Mine(IGPT):
    """A recipe of the reader's own class."""


def nothing(subject):
    return []


@pytest.mark.parametrize(
    ("arms", "how", "said"),
    [
        ({}, nothing, r"^The arms are \{\}, but must be a dict"),
        (TINY, nothing, r"but must be a dict of names and recipes"),
        ({"": TINY}, nothing, r"The name of an arm is ''"),
        ({"mine, untrained": TINY}, nothing, r"does not end in ', untrained'"),
        ({"mine": 3}, nothing, r"The arm 'mine' is 3, but must be a recipe: yours\.arm gives one"),
        ({"mine": IGPT}, nothing, r"but must be a recipe"),
        ({"mine": Train()}, nothing, r"but must be a recipe"),
        ({"mine": Mine()}, nothing, r"your own class Mine, but a key cannot see its code"),
        ({"mine": TINY}, "accuracy", r"The measure is 'accuracy', but must be a function"),
        ({"mine": TINY}, lambda s: 0.5, r"The measure gave 0\.5, but must give rows"),
        ({"mine": TINY}, lambda s: [0.5], r"The measure gave \[0\.5\], but must give rows"),
        ({"mine": TINY}, lambda s: [{"value": 1.0}], r"Row 0 of your measure has no 'metric'"),
        ({"mine": TINY}, lambda s: [{"metric": "m"}], r"Row 0 of your measure has the value None"),
        ({"mine": TINY}, lambda s: [{"metric": "m", "value": np.nan}], r"has the value nan"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_trained(tmp_path, arms, how, said):
    with pytest.raises(Refused, match=said):
        yours.measure(run_in(tmp_path), arms, how)
    assert not (tmp_path / "artefacts").exists()


def test_a_fault_in_the_readers_function_surfaces_before_training_and_without_seeds(tmp_path):
    for seeds in ((0,), ()):
        with pytest.raises(ZeroDivisionError):
            yours.measure(run_in(tmp_path, seeds=seeds), {"mine": TINY}, lambda subject: [1 / 0])
    assert not (tmp_path / "artefacts").exists()


def test_without_seeds_nothing_is_trained(tmp_path, capsys):
    assert yours.measure(run_in(tmp_path, seeds=()), {"mine": TINY}, nothing) == []
    assert capsys.readouterr().out == "Nothing was trained: SEEDS is empty.\n" and not list(tmp_path.iterdir())


def test_arms_are_trained_once_measured_beside_their_floor_and_judged(tmp_path, capsys):
    lift = {
        "mine": 0.5,
        "theirs": 0.0,
    }  # planted: what the reader's function will find; workers get it with the function

    def how(subject):
        trained = not subject.arm.endswith(yours.UNTRAINED)
        moved = sum(p.detach().abs().sum() for p in subject.model.parameters())
        value = trained * lift.get(subject.arm, 0) + 0.01 * subject.seed
        wide = [{"metric": "named", "value": value}, {"metric": "weights", "value": moved, "of": np.int64(7)}]
        return Measured([*wide, {"metric": "has_cost", "value": bool(subject.cost)}])

    arms = {"mine": TINY, "theirs": replace(TINY, shared=16)}
    rows = yours.measure(run_in(tmp_path), arms, how)
    assert "6 of 6 trained and measured" in capsys.readouterr().out
    names = [(a, s) for a in arms for s in (0, 1, 2)]
    every = [(f"{a}{end}", s) for a, s in names for end in ("", yours.UNTRAINED)]
    assert [(r["arm"], r["seed"]) for r in rows if r["metric"] == "named"] == every
    assert all(type(r["value"]) is float and type(r.get("of", 7)) is int for r in rows)
    moved = {(r["arm"], r["seed"]): r["value"] for r in rows if r["metric"] == "weights"}
    assert all(moved[a, s] != moved[a + yours.UNTRAINED, s] for a, s in names)
    assert all(r["value"] == (not r["arm"].endswith(yours.UNTRAINED)) for r in rows if r["metric"] == "has_cost")
    assert yours.judge(run_in(tmp_path), my_claim(), rows).judged.verdict.state == "supported"

    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("artefacts/*/*/weights.safetensors")}
    lift["mine"] = 0.0  # the function is another one now, and the nets stay as they are
    again = yours.measure(run_in(tmp_path), arms, how)
    assert len(kept) == 6 and kept == {p: p.stat().st_mtime_ns for p in kept}
    assert yours.judge(run_in(tmp_path), my_claim(), again).judged.verdict.state == "refuted"


# ---- pictures


def test_the_example_folder_holds_drawings_of_a_hand_never_shown_and_is_left_alone(tmp_path):
    folder = yours.example_folder(run_in(tmp_path))
    photographs = load_photographs("folder", folder)
    every, emoji, theirs = np.arange(48), load_emoji(), spared("noto")[1]
    assert len(photographs) == 48 == len(photographs.factors["label"])
    drawn = {p.tobytes(): n for p, n in zip(emoji.images(theirs), emoji.captions(theirs, "name"))}
    told = photographs.captions(every, "label")
    assert [drawn[p.tobytes()] for p in photographs.images(every)] == told  # enlarged and shrunk: the same pixels
    (folder / "my cat").mkdir()
    (folder / "lion" / "noto.png").replace(folder / "my cat" / "tom.png")
    before = (folder / "fish" / "noto.png").stat().st_mtime_ns
    assert "my cat" in load_photographs("folder", yours.example_folder(run_in(tmp_path))).factors["label"]
    assert (folder / "fish" / "noto.png").stat().st_mtime_ns == before


def test_an_empty_folder_and_a_name_that_is_not_known_are_refused(tmp_path):
    from falsework.probes.zero_shot import class_weights

    with pytest.raises(Refused, match="holds no complete 'folder', but must hold pictures"):
        load_photographs("folder", tmp_path)
    clip = yours.net("03_clip", "zero_shot")
    with pytest.raises(Refused, match="unicorm"):
        class_weights(clip.model, clip.recipe.pairs.vocabulary, ["lion", "unicorm"])


def test_a_wall_tells_what_was_right(tmp_path):
    pictures = np.zeros((3, 8, 8, 3), np.uint8)
    wall = yours.wall(pictures, ["a", "b", "c"], ["a", "c", "c"])
    assert wall.alt == "3 pictures over what a net calls them; 2 right: a, c." and wall.png.startswith(b"\x89PNG")
    assert "0 right: none" in yours.wall(pictures, ["a", "b", "c"], ["b", "c", "a"]).alt
    for names, said in ((["a"], ["a"]), (["a", "b", "c"], [])):
        with pytest.raises(Refused, match="but needs as many of each"):
            yours.wall(pictures, names, said)


def test_the_ground_of_a_claim_is_drawn_before_and_after_the_seeds():
    both = All((Part(GAP, Above(0.1)), Part(level(Pick("named", "theirs"), "named"), Within(0.6))))
    ratio = LogRatio(Pick("named", "mine"), Pick("named", "theirs"), unit="times as many")
    for claim in (my_claim(), my_claim(None, both), my_claim(ratio, RatioAtLeast(30)), my_claim(predicate=Above(400))):
        assert "no seed yet" in yours.field(claim).alt
        for seeds in (1, 3):
            alt = yours.field(claim, planted(0.5, seeds)).alt
            assert "no seed yet" not in alt and f"{seeds} seed" in alt and "theirs 0." in alt


# ---- the notebook


def test_an_arm_a_folder_a_measure_and_a_claim_fit_into_25_lines():
    cells = nbformat.read(root() / "notebooks" / "11_your_claim.ipynb", 4).cells
    own = [c.source for c in cells if "yours" in c.metadata.get("tags", [])]
    lines = [
        line for source in own for line in source.splitlines() if line.strip() and not line.strip().startswith("#")
    ]
    assert len(lines) <= 25
    assert all(word in "\n".join(lines) for word in ("load_photographs(", "def ", "arms = ", "Claim("))
