"""The judged half of 01_igpt: what texture costs, what a perfect model pays, where a scene's pixels belong, fresh draws."""

from __future__ import annotations

import numpy as np
import pytest

from falsework.experiments import Subject
from falsework.experiments.igpt import arms
from falsework.experiments.igpt_scenes import (
    GREY_LEVELS,
    fresh,
    perfect_rows,
    rounded_gaussian_bits,
    scene_regions,
    shown,
)
from falsework.recipes.igpt import SIZES, cluttered
from falsework.world.scene import Scenes
from falsework.world.scenes import SceneWorld, pixel_hash
from falsework.world.stage import HORIZON

# ---- the entropy of rounded texture


def gaussian_bits(deviation: float) -> float:
    """Return the differential entropy of a Gaussian in bits: log2(deviation * sqrt(2 pi e))."""
    return float(np.log2(deviation * np.sqrt(2 * np.pi * np.e)))


def test_no_texture_costs_nothing_and_more_texture_costs_more() -> None:
    assert rounded_gaussian_bits(0.0) == 0.0
    bits = [rounded_gaussian_bits(g) for g in np.geomspace(0.02, 60, 200)]
    assert bits[0] == pytest.approx(0, abs=1e-9) and (np.diff(bits) >= 0).all()
    felt = np.array(bits)[np.geomspace(0.02, 60, 200) > 0.1]
    assert (np.diff(felt) > 0).all()


@pytest.mark.parametrize("deviation", [1.0, 2.0, 4.0, 8.0, 50.0])
def test_coarse_texture_costs_what_a_gaussian_does_and_a_little_for_the_rounding(deviation: float) -> None:
    # rounding adds the variance of a uniform step, 1/12: with it the entropy is at most that of the wider Gaussian
    extra = rounded_gaussian_bits(deviation) - gaussian_bits(deviation)
    wider = gaussian_bits(np.sqrt(deviation**2 + 1 / 12)) - gaussian_bits(deviation)
    assert 0 < extra <= wider + 1e-9 and extra == pytest.approx(wider, rel=0.02)


@pytest.mark.parametrize("deviation", [0.2, 0.4, 1.0, 3.0])
def test_the_entropy_of_texture_is_that_of_drawn_numbers(deviation: float) -> None:
    n = 400_000
    drawn = np.rint(np.random.default_rng(0).normal(0, deviation, n)).astype(int)
    share = np.bincount(drawn - drawn.min()) / n
    share = share[share > 0]
    counted = -(share * np.log2(share)).sum() + (len(share) - 1) / (2 * n * np.log(2))  # Miller 1955: its bias
    error = np.sqrt((share * np.log2(share) ** 2).sum() - counted**2) / np.sqrt(n)
    assert rounded_gaussian_bits(deviation) == pytest.approx(counted, abs=4 * error)


# ---- a perfect model


@pytest.fixture(scope="module")
def world() -> SceneWorld:
    return cluttered(16)


def test_a_perfect_model_of_a_clean_world_pays_for_what_is_said_and_for_nothing_else(world: SceneWorld) -> None:
    rows = perfect_rows(world)
    clean = [r["value"] for r in rows if r.get("crumbs") == 0 or r.get("texture") == 0]
    assert clean == [1.0, 1.0] and {r["metric"] for r in rows} == {"perfect_share"}


@pytest.mark.parametrize("column", ["crumbs", "texture"])
def test_each_crumb_and_each_grey_level_lowers_the_share(world: SceneWorld, column: str) -> None:
    found = {r[column]: r["value"] for r in perfect_rows(world) if column in r}
    swept = [found[x] for x in sorted(found)]
    assert list(found) == sorted(found) == list(range(13) if column == "crumbs" else GREY_LEVELS)
    assert min(swept) > 0 and (np.diff(swept) <= 0).all() and swept[-1] < 0.2 < swept[1]
    assert column != "crumbs" or (np.diff(swept) < 0).all()


def test_with_as_many_crumbs_as_our_scenes_have_the_share_is_that_of_their_entropies(world: SceneWorld) -> None:
    found = {r["crumbs"]: r["value"] for r in perfect_rows(world) if "crumbs" in r}
    crumbs = sum(f.startswith("crumb_place") for f in world.factors)
    assert found[crumbs] == pytest.approx(world.entropy("near-exact") / world.entropy())
    said, crumb = world.entropy("near-exact"), np.log2(256 * 8 * 8 * 6)  # a place, a colour, a shape, a style
    assert {k: v for k, v in found.items()} == pytest.approx({k: said / (said + k * crumb) for k in range(13)})


def test_texture_is_paid_for_on_every_number_of_a_picture() -> None:
    for side in (16, 32):
        own = cluttered(side)
        found = {r["texture"]: r["value"] for r in perfect_rows(own) if "texture" in r}
        said = own.entropy("near-exact")
        assert found[8.0] == pytest.approx(said / (said + 3 * side**2 * rounded_gaussian_bits(8.0)))
        assert said / found[8.0] - said == pytest.approx(3 * side**2 * gaussian_bits(8.0), rel=1e-3)


# ---- whose a pixel is


class Moved(SceneWorld):
    """The cluttered world with one factor of every scene moved on by some values."""

    factor, by = "", 0

    def scenes(self, index: np.ndarray, kind: object) -> Scenes:
        found = super().scenes(index, kind)
        return found | {self.factor: (found[self.factor] + self.by) % len(kind.factors[self.factor])}


def moved(factor: str, by: int) -> Moved:
    other = Moved("cluttered", 16)
    other.factor, other.by = factor, by
    return other


@pytest.fixture(scope="module")
def some(world: SceneWorld) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    index, pictures = world.draw(300, "test", "regions")
    return index, pictures.reshape(len(index), -1, 3), scene_regions(world, index)


def test_every_pixel_belongs_to_one_region_and_every_scene_has_an_object(some) -> None:
    _, pictures, regions = some
    assert set(regions) == {"object", "crumbs", "ground"}
    assert all(m.shape == pictures.shape[:2] and m.dtype == bool for m in regions.values())
    assert (sum(m.astype(int) for m in regions.values()) == 1).all()
    assert regions["object"].any(1).all() and regions["ground"].any(1).all() and regions["crumbs"].any(1).mean() > 0.9


def test_the_ground_is_the_bare_stage_a_wall_and_a_floor_of_one_colour_each(some) -> None:
    _, pictures, regions = some
    floor = np.repeat(np.arange(16) >= round(HORIZON * 16), 16)
    for part in (floor, ~floor):
        ground = regions["ground"] & part
        low = np.where(ground[..., None], pictures, 255).min(1)
        high = np.where(ground[..., None], pictures, 0).max(1)
        bare = ground.any(1)
        assert bare.mean() > 0.9 and np.array_equal(low[bare], high[bare])


@pytest.mark.parametrize("factor", ["crumb_place_1", "crumb_colour_3", "crumb_shape_6", "crumb_style_2"])
def test_another_crumb_changes_pixels_of_crumbs_and_leaves_the_rest_where_it_was(some, factor: str) -> None:
    index, pictures, regions = some
    other = moved(factor, 1 if factor != "crumb_place_1" else 37)
    theirs, now = scene_regions(other, index), other.images(index).reshape(pictures.shape)
    crumbs = regions["crumbs"] | theirs["crumbs"]
    changed = (now != pictures).any(-1)
    assert changed.any(1).mean() > 0.5 and not (changed & ~crumbs).any()
    for name in ("object", "ground"):
        assert np.array_equal(regions[name] & ~crumbs, theirs[name] & ~crumbs)


@pytest.mark.parametrize("factor", ["colour", "shape", "position", "floor"])
def test_another_object_changes_no_pixel_of_the_ground(some, factor: str) -> None:
    index, pictures, regions = some
    other = moved(factor, 1)
    theirs, now = scene_regions(other, index), other.images(index).reshape(pictures.shape)
    changed = (now != pictures).any(-1)
    ground = regions["ground"] & theirs["ground"]
    if factor == "floor":  # the floor's own tone is ground
        assert (changed & ground).any() and not (changed & ground)[:, : 16 * round(HORIZON * 16)].any()
    else:
        assert changed.any(1).all() and not (changed & ground).any()


def test_pixels_of_crumbs_lie_where_the_scene_puts_its_crumbs(some, world: SceneWorld) -> None:
    index, _, regions = some
    scenes = world.scenes(index, world.kinds["one"])
    row, column = np.divmod(np.arange(256), 16)
    places = [divmod(scenes[f"crumb_place_{k}"][:, None], 16) for k in range(1, 7)]
    away = np.min([np.hypot(row - r, column - c) for r, c in places], 0)
    # a crumb's radius is 1.8 px; its shadow falls within a few more, and the object hides some
    assert regions["crumbs"][away < 1].mean() > 0.9 and not regions["crumbs"][away > 8.5].any()


# ---- fresh draws


def subject(arm: str, seed: int, preset: str = "laptop") -> Subject:
    return Subject(preset, arm, seed, arms(preset)[arm], None)


def test_every_size_reads_the_same_fresh_scenes_of_a_part_and_every_seed_its_own() -> None:
    for part in ("train", "val", "test"):
        draws = {(arm, seed): fresh(subject(arm, seed), 60, part) for arm in SIZES["laptop"] for seed in (0, 1)}
        for seed in (0, 1):
            index, pictures = draws["small", seed]
            assert subject("small", seed).recipe.world.on_side(part, pictures).all()
            for arm in ("medium", "large"):
                assert np.array_equal(draws[arm, seed][0], index) and np.array_equal(draws[arm, seed][1], pictures)
        assert not set(draws["small", 0][0]) & set(draws["small", 1][0])
        hashes = [set(pixel_hash(draws["small", seed][1])) for seed in (0, 1)]
        assert not hashes[0] & hashes[1] and min(map(len, hashes)) == 60


def test_no_picture_is_in_two_parts_whatever_the_seed(world: SceneWorld) -> None:
    seen = {
        part: set(np.concatenate([pixel_hash(fresh(subject("small", s), 300, part)[1]) for s in (0, 1)]))
        for part in ("train", "val", "test")
    }
    seen["trained on"] = set(pixel_hash(world.draw(64, "train", 0, "batch", 3)[1]))  # a batch of seed 0
    for part in ("train", "trained on", "val"):
        assert seen[part] and not seen[part] & seen["test"]
    assert not seen["train"] & seen["val"] and not seen["trained on"] & (seen["train"] | seen["val"])


def test_fresh_pictures_are_those_of_their_numbers_and_a_rehearsal_draws_an_eighth(world: SceneWorld) -> None:
    index, pictures = fresh(subject("large", 3), 80, "test")
    assert len(index) == 80 and np.array_equal(world.images(index), pictures)
    few, _ = fresh(subject("large", 3, "smoke"), 80, "test")
    assert len(few) == 10 and np.array_equal(few, index[:10])


def test_the_scenes_that_are_shown_are_unseen_and_the_same_for_every_model(world: SceneWorld) -> None:
    index = shown(subject("small", 0).recipe)
    assert np.array_equal(index, shown(subject("large", 2, "smoke").recipe)) and len(set(index)) == 6
    assert world.on_side("test", world.images(index)).all() and world.shows("test", index).all()
