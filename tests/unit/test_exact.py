"""The exact world against models whose answer is known on paper, and the information identities against each other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from falsework.core.errors import Refused
from falsework.world.captions import load_scenes
from falsework.world.exact import ExactWorld
from falsework.world.ladder import PIXELS, SIGMAS, TEXTURE, area_bits, ladder, least_level, measure, staircase

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(180)
WEIGHTS = WEIGHTS / WEIGHTS.sum()  # E f(z) for z ~ N(0, 1)


def value(rows, level, metric, sigma, key="value"):
    return next(r[key] for r in rows if (r["level"], r["metric"], r["sigma"]) == (level, metric, sigma))


def two_pictures():
    return ExactWorld(np.array([[-1.0], [1.0]]), {"sign": np.array([0, 1])})


def mmse_of_sign(sigma: float) -> float:
    world, x_s = two_pictures(), (1 + sigma * NODES)[:, None]
    return float(WEIGHTS @ (1 - world.denoise(x_s, sigma)[:, 0].astype(float)) ** 2)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.0])
def test_two_pictures_have_the_known_mmse(sigma):
    """mmse(g) = 1 - E tanh(g + sqrt(g) z)."""
    g = sigma**-2
    assert mmse_of_sign(sigma) == pytest.approx(1 - WEIGHTS @ np.tanh(g + np.sqrt(g) * NODES), abs=1e-5)


def test_the_area_under_the_error_difference_of_two_pictures_is_one_bit():
    sigmas = np.geomspace(0.15, 60, 61)
    gap = np.array([[mmse_of_sign(s)] * 2 for s in sigmas])  # with the caption the error is 0
    assert 0.99 <= area_bits(gap, sigmas, tail=1.0)[0][0] <= 1.0005


def test_a_fine_grid_with_gaussian_weights_is_gaussian():
    """mmse(g) = 1 / (1 + g) for x ~ N(0, 1)."""
    grid = np.linspace(-6, 6, 2001)
    world = ExactWorld(grid[:, None], {}, prior=np.exp(-(grid**2) / 2))
    m = measure(world, [0.5, 2.0], 1500, "gauss")
    assert np.allclose(m.error.mean(1), [0.2, 0.8], rtol=1e-3)
    noisy = np.array([[-1.0], [0.3]], dtype=np.float32)
    assert np.allclose(world.denoise(noisy, 1.0), noisy / 2, atol=1e-4)


def test_the_textures_part_is_the_closed_form_and_obeys_i_mmse():
    world = ExactWorld(np.zeros((1, 5)), {}, texture=0.3)
    sigmas = np.geomspace(0.05, 300, 80)
    error = measure(world, sigmas, 2, 0).error
    assert np.allclose(error[:, 0], 5 * 0.09 * sigmas**2 / (0.09 + sigmas**2))
    assert area_bits(error, sigmas, tail=5 * 0.09)[0][0] == pytest.approx(world.texture_information(0.05), rel=2e-3)
    assert world.texture_information(0.05) == pytest.approx(2.5 * np.log2(37))
    assert world.texture_information(0.0) == float("inf")
    x_s = np.ones((1, 5), dtype=np.float32)
    assert np.allclose(world.denoise(x_s, 0.3), 0.5)


@pytest.mark.parametrize("sigma", [0.005, 0.05, 1.0])
def test_float32_posteriors_agree_with_float64(sigma):
    """Also where neighbours are closer than float32 can tell apart by |x|^2 - 2 x.r + |r|^2."""
    draw = np.random.default_rng(3)
    far = draw.uniform(-1, 1, (40, 700))
    near = far[:20] + 0.4 * sigma * draw.standard_normal((20, 700)) / np.sqrt(700)
    images = np.concatenate([far, near]).astype(np.float32)
    world = ExactWorld(images, {})
    x_s = (images[:30] + sigma * draw.standard_normal((30, 700))).astype(np.float32)
    distance = np.square(x_s[:, None].astype(float) - images.astype(float)).sum(-1)
    log_p = -distance / (2 * sigma**2)
    p = np.exp(log_p - log_p.max(1, keepdims=True))
    assert np.abs(world.posterior(x_s, sigma) - p / p.sum(1, keepdims=True)).max() < 4e-3


def small_world(texture=TEXTURE, **extra) -> ExactWorld:
    """4,096 of the scenes: lit from the left and nudged left and up, 12 bits to the level "ultra"."""
    scenes = load_scenes()
    keep = (scenes.scenes["light"] == 0) & (scenes.scenes["nudge_x"] == 0) & (scenes.scenes["nudge_y"] == 0)
    codes = {k: scenes.codes[k][keep] for k in ("thing", "short", "descriptive", "ultra")} | extra
    factors = {f: scenes.scenes[f][keep] for f in ("background", "shape")}
    return ExactWorld(scenes.unit[keep], codes, texture=texture, factors=factors)


@pytest.fixture(scope="module")
def world():
    return small_world()


@pytest.fixture(scope="module")
def rows(world):
    return ladder(world, SIGMAS, 384, "test")


def test_entropies_are_those_of_counting(world):
    assert [world.entropy(k) for k in world.levels] == [2, 8, 10, 12]
    assert world.entropy() == 12 and world.entropy("shape") == 2 and world.entropy_given_render() == 0


def test_integrals_give_the_information_at_every_level_and_noise(world, rows):
    for level in world.levels:
        end = value(rows, level, "information", 0.0)
        assert end == pytest.approx(world.entropy(level), abs=1e-3)
        for metric in ("information_mmse", "information_gap"):
            total, se = (value(rows, level, metric, SIGMAS[0], key) for key in ("value", "se"))
            assert 0.95 * end - 2 * se <= total <= end + 3 * se and se < 0.06 * end, (level, metric, total, se)
        forms = [value(rows, level, m, SIGMAS[0]) for m in ("information_mmse", "information_gap")]
        assert forms[0] == pytest.approx(forms[1], rel=0.1)
        for sigma in SIGMAS[4:12:2]:  # the running integral against the posterior, band by band
            exact, form = (value(rows, level, m, sigma) for m in ("information", "information_mmse"))
            se = np.hypot(
                value(rows, level, "information", sigma, "se"), value(rows, level, "information_mmse", sigma, "se")
            )
            assert abs(exact - form) < 4 * se + 0.03 * exact, (level, sigma, exact, form)


def test_increments_sum_to_the_total(world, rows):
    for sigma in SIGMAS:
        steps = sum(value(rows, level, "increment", sigma) for level in world.levels)
        assert steps == pytest.approx(value(rows, "ultra", "information", sigma), abs=1e-9)


def test_gaps_between_levels_add_up_as_squares(world):
    """E|D_0 - D_L|^2 = sum_l E|D_l - D_(l+1)|^2: each longer caption moves the answer at a right angle."""
    drawn, sigma = world.sample(600, "squares"), 1.5
    x_s = drawn.x + np.float32(sigma) * drawn.eps
    means = [world.denoise(x_s, sigma)]
    for k in world.levels:
        g = world.group(k)
        means.append(world.denoise(x_s, sigma, k, g.values[g.code[drawn.index]]))
    steps = sum(np.square(a - b).sum(1) for a, b in pairwise(means))
    whole = np.square(means[0] - means[-1]).sum(1)
    off = steps - whole
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(600) and off.std() > 0


def test_captions_independent_of_the_picture_say_nothing(world, rows):
    control = ladder(world, SIGMAS[2:14:3], 64, "test", wrong=1.0)
    for metric in ("information", "information_mmse", "information_gap", "gap", "coverage"):
        assert max(abs(r["value"]) for r in control if r["metric"] == metric and r["level"] in world.levels) < 1e-4
    # the same truth without the formula: every render stands in the list once with every caption
    tiled = ExactWorld(np.tile(world.renders, (4, 1)), {"said": np.repeat(np.arange(4), world.N)}, texture=TEXTURE)
    m = measure(tiled, [0.5, 4.0], 48, 0)
    assert np.abs(m.information["said"]).max() < 1e-4 and m.gap["said"].max() < 1e-4


def test_permuted_codes_are_no_control_and_misplaced_captions_mislead(world):
    permuted = np.random.default_rng(0).permutation(world.group("thing").code)
    m = measure(small_world(permuted=permuted), [0.1, 0.3], 64, 0)
    assert m.information["permuted"].mean(1) == pytest.approx([2, 2], abs=0.2)
    drawn, sigma = world.sample(200, 0), 2.0
    x_s, codes = (
        drawn.x + np.float32(sigma) * drawn.eps,
        world.group("thing").values[world.group("thing").code[drawn.index]],
    )
    told = np.random.default_rng(1).permutation(codes)
    errors = [
        np.square(drawn.x - d).sum() for d in (world.denoise(x_s, sigma), world.denoise(x_s, sigma, "thing", told))
    ]
    assert errors[1] > 2 * errors[0]


def test_partly_wrong_captions_are_the_world_in_which_they_are_enumerated(world):
    """wrong=w against a list that holds every (render, caption) with its probability."""
    small = ExactWorld(world.renders[::64], {"c": world.group("background").code[::64]}, texture=TEXTURE)
    w, k = 0.4, 4
    says = (1 - w) * np.eye(k)[small.group("c").code] + w * small.group("c").prior  # (N, k)
    listed = ExactWorld(
        np.tile(small.renders, (k, 1)), {"c": np.repeat(np.arange(k), small.N)}, prior=says.T.ravel(), texture=TEXTURE
    )
    a, b = measure(small, [1.0, 6.0, 20.0], 3000, "a", wrong=w), measure(listed, [1.0, 6.0, 20.0], 3000, "b")
    for one, other in ((a.information, b.information), (a.drop, b.drop), (a.gap, b.gap)):
        se = np.hypot(one["c"].std(1), other["c"].std(1)) / np.sqrt(3000)
        assert (np.abs(one["c"].mean(1) - other["c"].mean(1)) < 4 * se).all()


def test_the_reader_is_right_as_often_as_it_expects(world):
    drawn, sigma = world.sample(1500, "calibration"), 1.5
    p = world.posterior(drawn.x + np.float32(sigma) * drawn.eps, sigma, "shape")
    hit = p.argmax(1) == world.group("shape").code[drawn.index]
    assert hit.mean() == pytest.approx(p.max(1).mean(), abs=4 * 0.5 / np.sqrt(1500))


def test_the_block_size_changes_nothing(world):
    """Up to float32 rounding of x.r, whose order of summation is the library's."""
    drawn = world.sample(50, 5)
    x_s = drawn.x + np.float32(0.7) * drawn.eps
    for name in (None, "short", "shape"):
        assert np.allclose(
            world.posterior(x_s, 0.7, name, block=50), world.posterior(x_s, 0.7, name, block=7), atol=1e-3
        )
    assert np.allclose(world.denoise(x_s, 0.7, block=50), world.denoise(x_s, 0.7, block=3), atol=1e-3)


def test_the_same_picture_twice_leaves_its_caption_open():
    world = ExactWorld(np.array([[0.0], [0.0], [1.0], [1.0]]), {"c": np.array([0, 1, 2, 2])})
    assert world.entropy("c") == 1.5 and world.entropy_given_render("c") == pytest.approx(0.5)
    assert value(ladder(world, [0.05, 1.0], 64, 0), "c", "information", 0.05) == pytest.approx(1.0, abs=1e-4)


@pytest.fixture(scope="module")
def full_ladders():
    def steps(order: str, texture: float) -> tuple[list[dict], list[int]]:
        scenes = load_scenes(order)
        world = ExactWorld(scenes.unit, scenes.codes, texture=texture)
        rows = ladder(world, SIGMAS[1::2], 32, "staircase")
        names = [*world.levels, PIXELS]
        return rows, [names.index(level) for level in staircase(rows).values()]

    return {(o, t): steps(o, t) for o, t in (("energy", TEXTURE), ("human", TEXTURE), ("energy", 0.0))}


def test_noisier_pictures_need_shorter_captions_in_the_aligned_world(full_ladders):
    steps = full_ladders["energy", TEXTURE][1]
    assert len(set(steps)) >= 3 and steps == sorted(steps, reverse=True)


def test_the_staircase_breaks_in_human_order_and_without_texture(full_ladders):
    human, bare = full_ladders["human", TEXTURE][1], full_ladders["energy", 0.0][1]
    assert human != sorted(human, reverse=True)
    assert len(set(bare)) < 3


def test_information_grows_without_end_as_noise_falls_and_vanishes_at_full_noise(full_ladders):
    rows = full_ladders["energy", TEXTURE][0]
    total, render = (
        np.array([r["value"] for r in rows if r["metric"] == "J" and r["level"] == k]) for k in ("total", "render")
    )
    assert (np.diff(total) < 0).all() and total[-1] < 0.1
    assert render[0] == pytest.approx(15, abs=0.01) and total[0] > 180


def test_rows_are_named_once(full_ladders):
    """A row is found by level, sigma and metric; an empty caption stands among them, with nothing to say."""
    rows = full_ladders["energy", TEXTURE][0]
    keys = [(r["level"], r["sigma"], r["metric"]) for r in rows]
    assert len(set(keys)) == len(keys)
    empty = {
        r["metric"]: abs(r["value"])
        for r in rows
        if r["level"] == "none" and r["metric"] not in ("mmse", "least_level")
    }
    assert max(empty.values()) < 1e-4


def test_the_least_level_is_the_first_that_covers_half():
    assert least_level({"a": 0.49, "b": 0.5, "c": 0.9}) == "b"
    assert least_level({"a": 0.1}) == PIXELS


@pytest.mark.parametrize(
    "call",
    [
        lambda: ExactWorld(np.zeros(3), {}),
        lambda: ExactWorld(np.zeros((2, 1)), {"c": np.array([0, 1, 2])}),
        lambda: ExactWorld(np.zeros((2, 1)), {"c": np.array([0.0, 1.0])}),
        lambda: ExactWorld(np.zeros((2, 1)), {}, prior=np.array([1.0, 0.0])),
        lambda: ExactWorld(np.zeros((2, 1)), {}, texture=-1.0),
        lambda: two_pictures().posterior(np.zeros((1, 1)), 0.0),
        lambda: two_pictures().posterior(np.zeros((1, 2)), 1.0),
        lambda: two_pictures().entropy("colour"),
        lambda: two_pictures().denoise(np.zeros((1, 1)), 1.0, "sign", np.array([7])),
        lambda: measure(two_pictures(), [1.0], 8, 0, wrong=2.0),
        lambda: measure(two_pictures(), [], 8, 0),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call):
    with pytest.raises(Refused, match=r"\.$"):
        call()
