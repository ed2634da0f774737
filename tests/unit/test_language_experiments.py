"""03_clip and 04_captioners: arms that are compared cost the same, and look at the same pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from falsework.claims.registry import claims_of
from falsework.core.errors import Refused
from falsework.experiments import Subject, captioners, clip
from falsework.objectives.bag_of_words import bag_of_words
from falsework.objectives.caption import caption_loss
from falsework.objectives.contrast import contrast
from falsework.objectives.factors import factor_loss
from falsework.objectives.next_token import next_token
from falsework.recipes import Trained, description_of, key_of, ship, shipped
from falsework.recipes.captioner import Captioner
from falsework.recipes.clip import CLIP
from falsework.recipes.igpt import IGPT
from falsework.training import count_flops


def flops(recipe) -> float:
    """Return the FLOPs of a whole training, from a batch of eight."""
    B = 8
    model = recipe.build(0)
    if isinstance(recipe, IGPT):
        objective, batch = next_token, {"ids": torch.zeros(B, recipe.side**2, dtype=torch.long)}
    else:
        batch = recipe.pairs.batch(B, "flops")
        batch["labels"] = torch.zeros(B, len(getattr(recipe, "factors", ())), dtype=torch.long)
        if isinstance(recipe, CLIP):
            objective = contrast
        elif isinstance(recipe, Captioner):
            objective = caption_loss(recipe.parallel)
        else:
            objective = factor_loss if recipe.factors else bag_of_words
    return count_flops(model, objective, batch) / B * recipe.train.batch * recipe.train.steps


@pytest.mark.parametrize("preset", ["laptop", "overnight"])
def test_every_arm_of_the_race_costs_its_share_of_one_budget(preset):
    arms = clip.race(preset)
    budget = flops(arms["igpt_1"])
    for name, recipe in arms.items():
        share = int(name.rpartition("_")[2])
        assert flops(recipe) * share / budget == pytest.approx(1, abs=0.03), name


@pytest.mark.parametrize("preset", ["laptop", "overnight"])
def test_every_arm_on_twins_costs_what_the_captioner_costs(preset):
    arms = captioners.arms(preset)
    budget = flops(arms["captioner"])
    for name, recipe in arms.items():
        assert flops(recipe) / budget == pytest.approx(1, abs=0.03), name


def test_the_two_travellers_cost_the_same_and_see_the_same_drawings():
    arms = clip.arms("laptop")
    one, other = arms["zero_shot"], arms["supervised"]
    assert flops(one) / flops(other) == pytest.approx(1, abs=0.03)
    assert one.pairs == other.pairs and one.eye == other.eye and one.train == other.train
    assert (one.pairs.draw(8, 3)[0] == other.pairs.draw(8, 3)[0]).all()


def test_shipped_weights_are_the_trained_ones_in_half_precision_and_refuse_another_recipe(tmp_path):
    recipe = clip.arms("smoke")["zero_shot"]
    model = recipe.build(0).eval()
    path = tmp_path / "deep" / "zero_shot.safetensors"
    ship(Trained(model, None, key_of(description_of(recipe, 0))), path)
    again = shipped(recipe, 0, path)
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8))
    with torch.no_grad():
        torch.testing.assert_close(again.embed_images(pictures), model.embed_images(pictures), atol=5e-3, rtol=0)
    with pytest.raises(Refused, match="of an earlier recipe"):
        shipped(replace(recipe, scale=5.0), 0, path)
    path.write_bytes(b"torn")
    with pytest.raises(Refused, match="cannot be read"):
        shipped(recipe, 0, path)


@pytest.mark.parametrize("experiment", [clip, captioners])
def test_every_measure_of_every_arm_gives_finite_rows_even_before_training(experiment):
    cost = {"flops": 1, "core_seconds": 1.0, "parameters": 1}
    seen = set()
    for name, recipe in experiment.arms("smoke").items():
        if name.endswith(("_9", "_27", "_1")):
            continue  # like those at a third of the budget
        subject = Subject("smoke", name, 0, recipe, recipe.build(0).eval(), None, cost)
        for measure in experiment.EXPERIMENT.measures.values():
            for row in measure(subject).rows:
                assert np.isfinite(row["value"]), row
                seen.add(row["metric"])
    assert {m for c in claims_of(experiment.EXPERIMENT.notebook) for m in c.metrics} <= seen


def test_the_swaps_that_are_shown_stand_in_pairs():
    recipe = captioners.arms("smoke")["captioner"]
    subject = Subject("smoke", "captioner", 0, recipe, recipe.build(0).eval(), None, {})
    arrays = captioners.swaps(subject).arrays
    captions = arrays["swap_captions"]
    assert len(captions) == len(arrays["swap_pictures"]) == len(arrays["prefers_captioner"]) == 2 * captioners.SHOWN
    for one, other in zip(captions[::2], captions[1::2]):
        assert list(one) == list(other[::-1])
        looks = [sorted(w for w in s.split() if w not in ("a", "an")) for s in one]
        assert looks[0] == looks[1] and one[0] != one[1]  # the same words in another order


def test_the_meter_counts_the_caption_tower_and_the_decoder():
    race = clip.race("laptop")
    one, saying = race["clip_3"], race["captioner_3"]
    for recipe, field in ((one, "text_depth"), (saying, "depth")):
        deeper = replace(recipe, **{field: 2 * getattr(recipe, field)})
        assert flops(deeper) > 1.02 * flops(recipe)
    assert flops(one) > flops(replace(race["labels_3"], train=one.train))  # the same eye, and ears beside it
