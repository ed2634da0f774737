"""07 and 09 compare what can be compared: equal FLOPs, the same pictures, bills in which everything is charged."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from falsework.claims.registry import claim_of
from falsework.core.evidence import EXHIBIT_BYTES
from falsework.experiments import Subject, dalle3, without_captions
from falsework.experiments.dalle3 import prompt_of, told
from falsework.experiments.exact_worlds import scenes_world
from falsework.experiments.without_captions import BANDS, bill, total
from falsework.objectives.denoise import WEIGHTINGS, denoise_loss
from falsework.probes.information import least_paid
from falsework.recipes.diffusion import Diffusion
from falsework.recipes.recaptioned import Recaptioned
from falsework.training import count_flops
from falsework.world.ladder import SIGMAS

ARMS = {**dalle3.arms("laptop"), **without_captions.arms("laptop")}


@cache
def step_flops(recipe: Diffusion) -> float:
    """Return the FLOPs of one picture in one step."""
    middle = (recipe.inner_low, recipe.inner_high)
    objective = denoise_loss(WEIGHTINGS[recipe.weighting], recipe.low, recipe.high, middle, recipe.share)
    return count_flops(recipe.build(0), objective, recipe.pairs.batch(4, 0, "count")) / 4


def whole_flops(recipe: Diffusion) -> float:
    return step_flops(recipe) * recipe.train.batch * recipe.train.steps


@pytest.mark.parametrize(
    ("arm", "judged"),
    [
        ("short_100_378", "ultra_100_378"),
        ("pixels_100_378", "ultra_100_378"),
        ("ultra_100_378_edm", "ultra_100_378"),
        ("s2_code", "direct"),
        ("s3", "direct"),
        ("s1", "direct"),
        ("s1_code", "direct"),
    ],
)
def test_arms_that_are_compared_cost_the_same_flops(arm, judged):
    assert whole_flops(ARMS[arm]) == pytest.approx(whole_flops(ARMS[judged]), rel=0.03)


def test_every_arm_of_a_notebook_sees_the_same_pictures():
    for arms, batch in ((dalle3.arms("laptop"), 64), (without_captions.arms("laptop"), 32)):
        big = [r for r in arms.values() if not getattr(r.pairs, "small", False)]
        first = big[0].pairs.draw(batch, 3, "batch", 7)[1]
        for recipe in big[1::5]:
            assert np.array_equal(recipe.pairs.at(7).draw(batch, 3, "batch", 7)[1], first)


def test_the_name_of_an_arm_says_what_it_is_told():
    for arm, recipe in dalle3.arms("overnight").items():
        about = told(arm)
        assert recipe.pairs.right == about.correct, arm
        if about.level in dalle3.LEVELS:
            assert recipe.pairs.levels == (about.level,) and recipe.pairs.own == 0.95
            assert prompt_of(about.level) == about.level
        assert isinstance(recipe, Recaptioned) == (about.level == "rewritten")
        if about.net == "better" and about.level != "pixels":
            assert recipe.train.steps == about.budget, arm


def test_half_of_the_batch_alone_sees_as_many_pictures_as_the_blank_branch():
    arms = without_captions.arms("laptop")
    assert arms["s2_share"].train.batch == arms["s2"].silent * arms["s2"].train.batch
    assert arms["s2_share"].silent == arms["direct"].silent == 1.0


def test_a_bill_adds_up_and_charges_the_caption():
    square = least_paid(scenes_world(), SIGMAS, 8, "bill")
    rows = bill(square, 13.0)
    in_all = next(r["value"] for r in rows if r["metric"] == "bits_per_image")
    bands = [r["value"] for r in rows if r["metric"] == "bits_in_band"]
    assert len(bands) == len(BANDS) - 1
    assert in_all == pytest.approx(total(square) + 13.0) == pytest.approx(sum(bands) + 13.0)


def test_to_the_exact_denoiser_the_bill_is_the_same_with_the_caption_first():
    world = scenes_world()
    direct, first = (total(least_paid(world, SIGMAS, 48, "twice", level=level)) for level in (None, "ultra"))
    assert first + world.entropy("ultra") == pytest.approx(direct, abs=1.5)


def test_the_caption_is_counted_on_the_pictures_that_were_trained_on_and_costs_its_entropy_or_more():
    for arm in ("small_s1", "small_s1_code", "small_s1_random"):
        recipe = ARMS[arm]
        said = without_captions.caption_bits(Subject("laptop", arm, 4, recipe, None))
        assert 0 <= said - without_captions.entropy_told(recipe.pairs, "ultra") < 0.2
        assert np.array_equal(recipe.pairs.draw(32, 4, "batch", 9)[0], recipe.pairs.numbers(32, 4, "batch", 9))


def test_captions_taken_away_at_step_0_are_told_as_0_and_not_as_never(monkeypatch):
    monkeypatch.setattr(without_captions, "spent", lambda subject: least_paid(scenes_world(), SIGMAS, 2, "frame"))
    mine = replace(ARMS["frame"], silent=1.0)
    rows = without_captions.frame(Subject("laptop", "frame", 0, mine, None)).rows
    assert mine.pairs.until > 0 and {row["until"] for row in rows} == {0}


@pytest.mark.parametrize("preset", ["laptop", "overnight", "gpu"])
def test_the_drawings_of_07_fit_into_what_may_be_published_even_if_they_do_not_compress(preset):
    pictured = [arm for arm in dalle3.arms(preset) if arm.startswith(dalle3.PICTURED) and told(arm).net == "better"]
    assert {arm.rsplit("_", 1)[0] for arm in pictured} == set(dalle3.PICTURED)
    assert len(pictured) == len(dalle3.PICTURED) * len(dalle3.BUDGETS[preset])
    assert (len(pictured) + 1) * dalle3.DRAWN * 3 * 16**2 < EXHIBIT_BYTES  # and the real scenes


def test_arms_that_a_measure_does_not_ask_about_give_no_rows():
    subject = Subject("laptop", "frame_100", 1, ARMS["frame_100"], None)
    assert not without_captions.scaffold(subject).rows and not without_captions.budgets(subject).rows
    edm = Subject("laptop", "short_50_378_edm", 1, ARMS["short_50_378_edm"], None)
    assert not dalle3.descriptiveness(edm).rows and not dalle3.recaptioning(edm).rows


def test_every_arm_that_a_claim_of_the_two_notebooks_reads_is_measured():
    have = {told(arm).level for arm in dalle3.arms("laptop")} | {*without_captions.arms("laptop"), "chance", ""}
    have |= {"captioned", "ultra_over_none"}  # rows that carry a name of their own
    for name in ("C18", "C24", "C29", "C19", "C19s2", "C19s3", "C25", "C26", "C27"):
        assert {pick.arm for pick in claim_of(name).picks} <= have, name


def test_the_reader_trains_what_is_judged_and_the_frame_and_nothing_else():
    for experiment, judged in ((dalle3.EXPERIMENT, 12), (without_captions.EXPERIMENT, 8)):
        mine = [arm for arm in experiment.arms("laptop") if experiment.seeds_of("laptop", arm, (0,))]
        assert len(mine) == judged
