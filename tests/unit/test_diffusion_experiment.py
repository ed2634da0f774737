"""05 and 08 compare what can be compared: equal FLOPs, exact shares of habit, fair questions."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from falsework.claims.registry import claim_of
from falsework.experiments.diffusion import ASKED, SHIFTED, TIED, alone, arms, tie
from falsework.experiments.noise_ladder import arms as ladder_arms
from falsework.objectives.caption import caption_loss
from falsework.objectives.contrast import contrast
from falsework.objectives.denoise import WEIGHTINGS, denoise_loss
from falsework.recipes.diffusion import Diffusion
from falsework.recipes.listed import NEVER_TOLD, Listed
from falsework.training import count_flops


@cache
def whole_flops(arm: str) -> float:
    """Return the FLOPs of all of an arm's training at laptop."""
    recipe = arms("laptop")[arm]
    if isinstance(recipe, Diffusion):
        middle = (recipe.inner_low, recipe.inner_high)
        objective = denoise_loss(WEIGHTINGS[recipe.weighting], recipe.low, recipe.high, middle, recipe.share)
    else:
        objective = contrast if arm == "clip" else caption_loss()
    size = recipe.train.batch
    per_step = count_flops(recipe.build(0), objective, recipe.pairs.batch(8, 0, "count")) * size / 8
    return per_step * recipe.train.steps


@pytest.mark.parametrize(
    ("arm", "judged"),
    [("captioner", "diffusion"), ("clip", "diffusion"), ("biased_captioner", "biased"), ("unconditional", "diffusion")],
)
def test_arms_that_are_compared_cost_the_same_flops(arm, judged):
    assert whole_flops(arm) == pytest.approx(whole_flops(judged), rel=0.03)


@pytest.mark.parametrize("share", [TIED, SHIFTED, 0.25, 1.0])
def test_so_many_shapes_hang_on_their_wall(share):
    world, index = Listed().dataset, Listed().numbers(4000, "tied", tied=tie(share))
    match = world.labels(index, "shape") == world.labels(index, "background")
    assert match.mean() == pytest.approx(share, abs=0.025)


def test_a_question_names_one_fact_and_each_of_its_values_once():
    world = Listed().dataset
    for factor in ASKED:
        facts = [world.facts(caption) for caption in alone(factor)]
        assert facts == [{factor: value} for value in world.factors[factor]]


def test_the_fact_that_no_caption_names_is_named_by_none_of_the_lessons():
    pairs = Listed(loose=0.5)
    said = pairs.say(np.arange(400) * 81, "never")
    assert not any(NEVER_TOLD in pairs.dataset.facts(caption) for caption in said)


def test_the_net_of_the_ladder_is_the_net_that_classifies():
    for preset in ("smoke", "laptop", "overnight", "gpu"):
        assert ladder_arms(preset)["trained"] == arms(preset)["diffusion"]
        assert ladder_arms(preset)["unconditional"] == arms(preset)["unconditional"]


def test_every_arm_that_a_claim_of_the_two_notebooks_reads_is_measured():
    told = {"bayes", "conditional", "image_given_text", "text_given_image"}  # rows that carry a name of their own
    have = {*arms("laptop"), *ladder_arms("laptop"), *told}
    for name in ("C15", "C16", "C17", "C21e", "C21t", "C22e", "C22t"):
        assert {pick.arm for pick in claim_of(name).picks} <= have, name
