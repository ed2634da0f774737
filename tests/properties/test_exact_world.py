"""Laws of the exact world that hold for any finite list of pictures."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from falsework.world.exact import ExactWorld, entropy_bits

FEW = settings(max_examples=60, deadline=None)


@st.composite
def worlds(draw):
    """Return a small random world and noisy pictures from it: (world, images, prior, x_s, sigma)."""
    seed = draw(st.integers(0, 2**32 - 1))
    n, d, k = draw(st.integers(2, 12)), draw(st.integers(1, 6)), draw(st.integers(1, 4))
    texture, sigma = draw(st.sampled_from([0.0, 0.1, 0.5])), draw(st.sampled_from([0.05, 0.3, 1.0, 10.0]))
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (n, d)).astype(np.float32)
    prior, long = rng.uniform(0.1, 1, n), rng.integers(0, k + 1, n)
    world = ExactWorld(images, {"short": long // 2, "long": long}, prior=prior, texture=texture)
    drawn = world.sample(9, seed)
    return world, images, prior / prior.sum(), drawn.x + np.float32(sigma) * drawn.eps, sigma


@FEW
@given(worlds())
def test_the_posterior_is_bayes_rule(case):
    world, images, prior, x_s, sigma = case
    distance = np.square(x_s[:, None].astype(float) - images).sum(-1)
    log_p = np.log(prior) - distance / (2 * (sigma**2 + world.texture**2))
    p = np.exp(log_p - log_p.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    assert np.allclose(world.posterior(x_s, sigma), p, atol=2e-3)
    by_code = np.stack([p[:, world.group("long").code == c].sum(1) for c in range(len(world.group("long").values))], 1)
    assert np.allclose(world.posterior(x_s, sigma, "long"), by_code, atol=2e-3)


@FEW
@given(worlds())
def test_answers_mix_over_captions_into_the_answer_without_one(case):
    """E[x | x_s] = sum_c p(c | x_s) E[x | x_s, c]."""
    world, _, _, x_s, sigma = case
    p = world.posterior(x_s, sigma, "long")
    answers = [world.denoise(x_s, sigma, "long", np.full(len(x_s), c)) for c in world.group("long").values]
    mixed = sum(p[:, [k]] * answer for k, answer in enumerate(answers))
    assert np.allclose(mixed, world.denoise(x_s, sigma), atol=1e-3)


@FEW
@given(worlds())
def test_a_longer_caption_leaves_more_open_and_never_less_than_the_short_one(case):
    world, _, _, x_s, sigma = case
    short, long, render = (entropy_bits(world.posterior(x_s, sigma, k)) for k in ("short", "long", None))
    assert (short <= long + 1e-4).all() and (long <= render + 1e-4).all()
    assert world.entropy("short") <= world.entropy("long") + 1e-9 <= world.entropy() + 2e-9
    assert world.variance_between("short") <= world.variance_between("long") + 1e-5 <= world.variance_between() + 2e-5


@FEW
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_the_list_does_not_matter(case, random):
    world, images, prior, x_s, sigma = case
    order = list(range(len(images)))
    random.shuffle(order)
    code = world.group("long").values[world.group("long").code]
    moved = ExactWorld(images[order], {"long": code[order]}, prior=prior[order], texture=world.texture)
    assert np.allclose(moved.posterior(x_s, sigma), world.posterior(x_s, sigma)[:, order], atol=2e-3)
    assert np.allclose(moved.denoise(x_s, sigma), world.denoise(x_s, sigma), atol=1e-3)
