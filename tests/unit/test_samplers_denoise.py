"""Samplers against clouds that are known on paper: what comes out of the noise is what the denoiser was made for."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from exact_net import ExactNet, small_world
from torch import Tensor

from falsework.core.errors import Refused
from falsework.noise import levels, log_snr_of, sigma_of
from falsework.probes.denoised import HELPS, film
from falsework.probes.fidelity import off_render
from falsework.samplers import Denoise, guide_denoise, heun_step, invert_denoise, sample_denoise
from falsework.training import generator_of

torch.set_num_threads(1)
MEAN, VARIANCE = 0.7, 0.25


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(mean: float = MEAN, variance: float = VARIANCE) -> Denoise:
    """The exact denoiser of N(mean, variance)."""

    def denoise(x: Tensor, log_snr_B: Tensor) -> Tensor:
        gain = variance / (variance + sigma_of(log_snr_B)[:, None] ** 2)
        return mean + gain * (x - mean)

    return denoise


def two_modes(share: float = 0.3, spread: float = 0.1) -> Denoise:
    """The exact denoiser of a cloud at -1 with probability `share`, else at 1, each of this deviation."""

    def denoise(x: Tensor, log_snr_B: Tensor) -> Tensor:
        s2 = sigma_of(log_snr_B)[:, None] ** 2
        at, prior = torch.tensor([-1.0, 1.0]).double(), torch.tensor([share, 1 - share]).double().log()
        p = (prior - (x[..., None] - at) ** 2 / (2 * (spread**2 + s2[..., None]))).softmax(-1)
        return (s2 * (p @ at) + spread**2 * x) / (spread**2 + s2)

    return denoise


def noisy(n: int, high: float, mean: float = MEAN, variance: float = VARIANCE, seed: int = 0) -> Tensor:
    """Draw (n, 1) pictures of N(mean, variance) under noise of `high`, float64."""
    return mean + math.sqrt(variance + high**2) * torch.randn(n, 1, generator=generator(seed), dtype=torch.float64)


# ---- one cloud


@pytest.mark.parametrize("ancestral", [False, True])
def test_what_is_drawn_has_mean_and_variance_of_the_cloud(ancestral):
    n, x = 20_000, noisy(20_000, 30.0)
    steps, dice = (512, generator(1)) if ancestral else (96, None)
    made = sample_denoise(gaussian(), x, levels(steps, 0.01, 30.0), dice)
    assert made.mean().item() == pytest.approx(MEAN, abs=4 * math.sqrt(VARIANCE / n))
    wanted = VARIANCE if ancestral else VARIANCE * x.var().item() / (VARIANCE + 900)  # the flow keeps what x has
    assert made.var().item() == pytest.approx(wanted, rel=0.06 if ancestral else 0.02)


def test_ancestral_steps_lack_the_variance_that_their_recursion_says_half_of_it_with_twice_the_steps():
    """Var x_t = (g + k (1 - g))^2 Var x_s + t^2 (1 - k) with k = t^2 / s^2 and the gain g = v / (v + s^2)."""
    left = {}
    for steps in (8, 64, 128, 256):
        sigmas, variance = levels(steps, 0.01, 30.0), VARIANCE + 900
        for s, t in zip(sigmas[:-1].tolist(), sigmas[1:].tolist()):
            gain, kept = VARIANCE / (VARIANCE + s**2), (t / s) ** 2
            variance = (gain + kept * (1 - gain)) ** 2 * variance + t**2 * (1 - kept)
        made = sample_denoise(gaussian(), noisy(20_000, 30.0), sigmas, generator(2))
        assert made.var().item() == pytest.approx(variance, rel=4 * math.sqrt(2 / 20_000))
        left[steps] = VARIANCE - variance
    assert left[8] > 0.6 * VARIANCE  # eight steps lose most of it
    assert all(1.85 < left[k] / left[2 * k] < 2 for k in (64, 128))  # of the first order, where Heun is of the second


def flow(x: Tensor, s: float, t: float) -> Tensor:
    """Where the probability flow of N(MEAN, VARIANCE) takes x from noise s to noise t."""
    return MEAN + math.sqrt((VARIANCE + t**2) / (VARIANCE + s**2)) * (x - MEAN)


def test_heun_follows_the_flow_and_errs_a_quarter_when_the_steps_are_twice_as_many():
    x, errors = noisy(50, 20.0), []
    for steps in (16, 32, 64, 128):
        sigmas = levels(steps, 0.05, 20.0)[:-1]  # stops at .05, so that the last step is one like the others
        made = sample_denoise(gaussian(), x, sigmas)
        errors.append((made - flow(x, 20.0, 0.05)).abs().max().item())
    falls = [a / b for a, b in pairwise(errors)]
    assert all(3.4 < fall < 4.8 for fall in falls) and 3.8 < falls[-1] < 4.2 and errors[-1] < 2e-3


def test_heun_on_steps_that_end_at_nought_ends_where_the_flow_does():
    x = noisy(50, 20.0)
    assert (sample_denoise(gaussian(), x, levels(128, 0.002, 20.0)) - flow(x, 20.0, 0.0)).abs().max() < 0.01


def test_heun_draws_the_same_picture_twice_and_ancestral_steps_are_a_function_of_their_generator():
    x, sigmas = noisy(20, 20.0), levels(16, 0.01, 20.0)
    torch.manual_seed(0)
    first = sample_denoise(gaussian(), x, sigmas)
    torch.manual_seed(1)
    assert torch.equal(first, sample_denoise(gaussian(), x, sigmas))
    one, same, other = (sample_denoise(gaussian(), x, sigmas, generator(k)) for k in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(x, noisy(20, 20.0))  # what it was given stays as it was


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_step_costs_two_looks_with_heun_one_with_ancestral_and_one_when_it_is_the_last(kind):
    asked: list[float] = []

    def counted(x: Tensor, log_snr_B: Tensor) -> Tensor:
        assert log_snr_B.shape == (7,) and (log_snr_B == log_snr_B[0]).all() and x.dtype == log_snr_B.dtype == kind
        asked.append(sigma_of(log_snr_B)[0].item())
        return gaussian()(x, log_snr_B)

    sigmas, x = levels(10, 0.01, 20.0), noisy(7, 20.0).to(kind)
    assert sample_denoise(counted, x, sigmas).dtype == kind and len(asked) == 19 and min(asked) > 0.009
    asked.clear()
    sample_denoise(counted, x, sigmas, generator(0))
    assert asked == pytest.approx(sigmas[:-1].tolist(), rel=1e-5)


def test_a_denoiser_that_knows_the_picture_draws_it_in_any_number_of_steps():
    truth, x = torch.randn(4, 3, 2, 2, generator=generator(0)), 20 * torch.randn(4, 3, 2, 2, generator=generator(1))
    for dice in (None, generator(2)):
        for steps in (2, 5):
            made = sample_denoise(lambda x, log_snr: truth, x, levels(steps, 0.01, 20.0), dice)
            assert torch.allclose(made, truth, atol=1e-5)


def test_steps_that_stop_above_nought_leave_a_picture_in_the_noise_of_the_last():
    x, sigmas = noisy(20_000, 30.0), levels(200, 0.5, 30.0)[:-1]
    for dice in (None, generator(1)):
        made = sample_denoise(gaussian(), x, sigmas, dice)
        assert made.var().item() == pytest.approx(VARIANCE + 0.25, rel=0.06)


# ---- up the flow again


def rising(steps: int, low: float = 0.05, high: float = 20.0) -> Tensor:
    return levels(steps, low, high)[:-1].flip(0)


def test_up_the_flow_and_down_again_is_where_it_began_the_nearer_the_more_steps():
    x, errors = noisy(50, 0.05), []
    for steps in (16, 32, 64, 128):
        up = rising(steps)
        back = sample_denoise(gaussian(), invert_denoise(gaussian(), x, up), up.flip(0))
        errors.append((back - x).abs().max().item())
    assert errors[-1] < 5e-5 and all(a / b > 3.5 for a, b in pairwise(errors))
    x, errors = 0.3 * noisy(50, 20.0), []
    for steps in (16, 64):  # and the other way: what comes down comes up
        down = rising(steps).flip(0)
        back = invert_denoise(gaussian(), sample_denoise(gaussian(), x, down), down.flip(0))
        errors.append((back - x).abs().max().item())
    assert errors[1] < min(0.01, errors[0] / 10)


def test_the_latent_of_a_picture_is_where_the_flow_leads_and_errs_a_quarter_with_twice_the_steps():
    x = noisy(50, 0.05)
    errors = [
        (invert_denoise(gaussian(), x, rising(n)) - flow(x, 0.05, 20.0)).abs().max().item() for n in (32, 64, 128)
    ]
    assert all(3.4 < a / b < 4.6 for a, b in pairwise(errors)) and errors[-1] < 0.02


def test_the_latents_of_a_cloud_are_spread_as_the_cloud_under_all_that_noise():
    """N(mean, variance + low^2) goes up to N(mean, variance + high^2)."""
    n, low, high = 20_000, 0.05, 20.0
    latent = invert_denoise(gaussian(), noisy(n, low), rising(96))
    assert latent.mean().item() == pytest.approx(MEAN, abs=4 * high / math.sqrt(n))
    assert latent.var().item() == pytest.approx(VARIANCE + high**2, rel=4 * math.sqrt(2 / n))
    x = noisy(n, low)
    assert np.corrcoef(x[:, 0], latent[:, 0])[0, 1] > 0.999  # no dice: the order of the pictures stays


def test_two_modes_stay_apart_on_the_way_up_and_come_back():
    x = torch.cat([torch.linspace(-1.1, -0.9, 9), torch.linspace(0.9, 1.1, 9)]).double()[:, None]
    up = rising(64)
    latent = invert_denoise(two_modes(), x, up)
    assert (latent.diff(dim=0) > 0).all()  # a flow on a line never crosses itself
    assert (sample_denoise(two_modes(), latent, up.flip(0)) - x).abs().max() < 0.02


def test_a_step_down_and_the_same_step_up_is_no_step_to_the_second_order():
    x = noisy(20, 2.0)
    for width in (0.2, 0.1):
        there = heun_step(gaussian(), x, 2.0, 2.0 - width)
        off = (heun_step(gaussian(), there, 2.0 - width, 2.0) - x).abs().max().item()
        assert off < 0.3 * width**3
        assert (there - flow(x, 2.0, 2.0 - width)).abs().max() < 0.3 * width**3
    last = heun_step(gaussian(), x, 2.0, 0.0)
    assert torch.allclose(last, gaussian()(x, log_snr_of(torch.full((20,), 2.0, dtype=torch.float64))))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_inversion_looks_twice_a_step_and_never_without_noise(kind):
    asked: list[float] = []

    def counted(x: Tensor, log_snr_B: Tensor) -> Tensor:
        assert log_snr_B.shape == (7,) and x.dtype == log_snr_B.dtype == kind
        asked.append(sigma_of(log_snr_B)[0].item())
        return gaussian()(x, log_snr_B)

    x = noisy(7, 0.05).to(kind)
    before = x.clone()
    assert invert_denoise(counted, x, rising(10)).dtype == kind and torch.equal(x, before)
    assert len(asked) == 18 and min(asked) == pytest.approx(0.05) and max(asked) == pytest.approx(20)


# ---- two clouds


@pytest.mark.parametrize("ancestral", [False, True])
def test_two_modes_get_their_weights_and_keep_their_spread(ancestral):
    n, share, spread = 6000, 0.3, 0.1
    x = 40 * torch.randn(n, 1, generator=generator(0), dtype=torch.float64) + 1 - 2 * share
    steps = 200 if ancestral else 40
    made = sample_denoise(two_modes(share, spread), x, levels(steps, 0.005, 40.0), generator(1) if ancestral else None)
    left = made[made < 0]
    assert abs(len(left) / n - share) < 4 * math.sqrt(share * (1 - share) / n)
    for mode, at in ((left, -1.0), (made[made >= 0], 1.0)):
        assert mode.mean().item() == pytest.approx(at, abs=0.02) and mode.std().item() == pytest.approx(spread, rel=0.1)


# ---- guidance


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_guidance_draws_from_the_cloud_that_far_along_the_line_from_the_blank(weight):
    """Two Gaussians of one variance: blank + w (told - blank) is the denoiser of a mean that far from the blank's."""
    guided = guide_denoise(gaussian(0.9), gaussian(0.1), weight)
    x = noisy(50, 20.0)
    for sigma in (0.05, 1.0, 20.0):
        log_snr = log_snr_of(torch.full((50,), sigma, dtype=torch.float64))
        assert torch.allclose(guided(x, log_snr), gaussian(0.1 + weight * 0.8)(x, log_snr), atol=1e-12)
    n = 4000
    x = noisy(n, 30.0, 0.1 + weight * 0.8)
    made = sample_denoise(guided, x, levels(24, 0.01, 30.0))
    assert made.mean().item() == pytest.approx(0.1 + weight * 0.8, abs=4 * math.sqrt(VARIANCE / n))


def test_a_weight_of_one_is_the_denoiser_itself_to_the_bit_and_nought_is_the_blank():
    told, blank = gaussian(0.9, 0.3), gaussian(0.1, 0.5)
    x, log_snr = noisy(50, 3.0).float(), log_snr_of(torch.full((50,), 3.0))
    assert torch.equal(guide_denoise(told, blank, 1.0)(x, log_snr), told(x, log_snr))
    assert torch.equal(guide_denoise(told, blank, 0.0)(x, log_snr), blank(x, log_snr))


def test_outside_its_range_guidance_is_off_and_the_words_are_still_heard():
    told, blank = gaussian(0.9), gaussian(0.1)
    guided, x = guide_denoise(told, blank, 3.0, 0.3, 8.0), noisy(5, 3.0)
    for sigma, on in ((0.1, False), (0.29, False), (0.31, True), (7.9, True), (8.1, False), (50.0, False)):
        log_snr = log_snr_of(torch.full((5,), sigma, dtype=torch.float64))
        alone = told(x, log_snr)
        assert torch.equal(guided(x, log_snr), alone) != on
        if on:
            assert torch.allclose(guided(x, log_snr), gaussian(0.1 + 3 * 0.8)(x, log_snr))


def test_each_picture_of_a_batch_is_guided_by_its_own_noise():
    guided = guide_denoise(gaussian(0.9), gaussian(0.1), 3.0, 0.3, 8.0)
    x, sigma = noisy(2, 3.0), torch.tensor([1.0, 50.0], dtype=torch.float64)
    each = [guided(x[k : k + 1], log_snr_of(sigma[k : k + 1])) for k in range(2)]
    assert torch.allclose(guided(x, log_snr_of(sigma)), torch.cat(each))


# ---- refusals


@pytest.mark.parametrize("weight", [-0.5, -3.0, float("nan")])
def test_a_negative_guidance_is_refused(weight):
    with pytest.raises(Refused, match=rf"^The guidance is {weight}, but must be 0 or more; 1 is none\.$"):
        guide_denoise(gaussian(), gaussian(), weight)


@pytest.mark.parametrize(
    "sigmas", [[1.0], [], [1.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 1.0], [1.0, 0.5, -0.1], [2.0, float("nan"), 0.0]]
)
def test_noise_levels_that_do_not_fall_to_nought_or_above_are_refused(sigmas):
    with pytest.raises(Refused, match=r"^The noise levels must be two or more and fall to 0 or above, each below"):
        sample_denoise(gaussian(), noisy(2, 1.0), torch.tensor(sigmas, dtype=torch.float64))


@pytest.mark.parametrize(
    "sigmas", [[1.0], [], [1.0, 1.0], [2.0, 1.0], [0.0, 1.0], [-0.5, 1.0], [0.1, 2.0, 1.0], [0.1, float("nan"), 2.0]]
)
def test_noise_levels_that_do_not_rise_from_above_nought_are_refused(sigmas):
    with pytest.raises(
        Refused, match=r"^The noise levels must be two or more and rise from above 0, each above the one"
    ):
        invert_denoise(gaussian(), noisy(2, 1.0), torch.tensor(sigmas, dtype=torch.float64))


# ---- drawings of captions


@pytest.mark.parametrize("ancestral", [False, True])
def test_out_of_the_noise_come_pictures_of_what_was_said(ancestral):
    """Each drawing lies a texture away from a render of its caption; told nothing, every render is drawn."""
    world = small_world(texture=0.05)
    net = ExactNet(world, (0.01, 60.0))
    renders = world.renders + world.mean
    captions = [f"long{k % 8}" for k in range(48)] + [""] * 96
    steps = 256 if ancestral else 32
    last = film(net, net.words, captions, "drawn", steps=steps, ancestral=ancestral)[-1].reshape(len(captions), -1)
    square = np.square(last[:, None] - renders).mean(2)
    assert np.sqrt(square.min(1)).max() < 0.12  # 12 numbers of deviation .05
    assert np.sqrt(square.min(1).mean()) == pytest.approx(0.05, rel=0.15)
    assert (square.argmin(1)[:48] % 8 == np.arange(48) % 8).all()
    assert len(set(square.argmin(1)[48:])) > 12  # of 16, 6 times each


@pytest.mark.parametrize("low", [0.03, 0.06, 0.2])
def test_a_drawing_lacks_the_grain_that_lies_under_the_least_noise(low):
    """The last step goes from `low` to the mean picture there, so of texture t there is t^2 / sqrt(t^2 + low^2) left."""
    world = small_world(texture=0.06, numbers=48)
    net = ExactNet(world, (low, 60.0))
    captions = [f"long{k % 8}" for k in range(200)]
    drawn = film(net, net.words, captions, "grain", steps=96)[-1]
    left = 0.06**2 / math.hypot(0.06, low)
    assert off_render(drawn, world.renders + world.mean) == pytest.approx(left, rel=0.03)


def test_a_film_goes_from_what_is_believed_of_pure_noise_to_the_drawing():
    net = ExactNet(small_world(), (0.01, 60.0))
    captions, steps = ["short1", "short3", ""], 12
    frames = film(net, net.words, captions, "film", steps=steps, guidance=2.0)
    assert frames.shape == (steps + 1, 3, 2, 2, 3) and frames.dtype == np.float32
    ids, sigmas = torch.from_numpy(net.words.padded(captions)), levels(steps, 0.01, 60.0)
    x = 60 * torch.randn(3, 3, 2, 2, generator=generator_of("film", 0))
    denoise = guide_denoise(net.told(ids), net.told(0 * ids), 2.0, *HELPS)
    first, last = denoise(x, log_snr_of(torch.full((3,), 60.0))), sample_denoise(denoise, x, sigmas)
    assert np.allclose(frames[0], first.permute(0, 2, 3, 1), atol=1e-4)
    assert np.allclose(frames[-1], last.permute(0, 2, 3, 1), atol=1e-4)
    means = [net.renders_ND[net.open_VN[i, :]].mean(0) for i in ids[:, 0]]
    assert np.allclose(
        frames[0].reshape(3, -1), torch.stack(means), atol=0.1
    )  # nothing seen: the mean of what was said
    moves = np.abs(np.diff(frames, axis=0)).max((1, 2, 3, 4))
    assert moves[-1] < 0.05 < moves.max()  # at the end there is nothing left to decide


def test_the_noise_of_a_film_is_the_same_whatever_is_said_and_another_for_other_keys():
    net = ExactNet(small_world(), (0.01, 60.0))
    one, same, other = (film(net, net.words, [c], k, steps=6) for c, k in (("", 0), ("short1", 0), ("", 1)))
    assert np.array_equal(one, film(net, net.words, [""], 0, steps=6)) and not np.array_equal(one, other)
    assert not np.array_equal(one, same)
    pair = [film(net, net.words, [c, ""], 0, steps=6) for c in ("short1", "short3", "long2")]
    assert all(np.array_equal(frames[:, 1], pair[0][:, 1]) for frames in pair)
    with pytest.raises(Refused, match=r"^The guidance is -1\.0, but must be 0 or more; 1 is none\.$"):
        film(net, net.words, ["short1"], 0, steps=6, guidance=-1.0)
    with pytest.raises(Refused, match=r"^Got 1 steps from 60\.0 to 0\.01, but need two or more"):
        film(net, net.words, ["short1"], 0, steps=1)
