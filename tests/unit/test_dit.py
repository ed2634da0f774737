"""The denoiser: what stands in it before anything is learnt, what steers it, and what it hears of a caption."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from falsework.core.errors import Refused
from falsework.core.vocabulary import END, PAD
from falsework.nets import dit
from falsework.nets.dit import (
    SKIPS,
    WAVES,
    Denoiser,
    DiT,
    GrainSkip,
    PaintSkip,
    ScalarSkip,
    WienerSkip,
    empty_skip,
    skip_of,
    waves,
)
from falsework.nets.trunk import Trunk
from falsework.noise import add_noise, log_snr_of
from falsework.probes.denoised import imagine, layers
from falsework.recipes.diffusion import PRESETS, Diffusion
from falsework.recipes.listed import Listed
from falsework.world.exact import ExactWorld

torch.set_num_threads(1)
SIDE, NUMBERS = 4, 48
WORDS, LENGTH = 20, 6
SMOKE = PRESETS["smoke"]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cloud(n: int, seed: int = 0) -> Tensor:
    """Gaussian pictures (n, 48) about a mean, longer in some directions than in others."""
    shape = torch.randn(NUMBERS, NUMBERS, generator=generator(99)) * torch.logspace(0, -1.5, NUMBERS)
    return 0.3 * torch.randn(n, NUMBERS, generator=generator(seed)) @ shape.T / 3 + torch.linspace(-0.5, 0.5, NUMBERS)


def square(flat: Tensor) -> Tensor:
    return flat.view(-1, 3, SIDE, SIDE)


def noisy(x: Tensor, sigma: float, seed: int = 5) -> Tensor:
    return x + sigma * torch.randn(x.shape, generator=generator(seed))


def at(sigma: float, n: int) -> Tensor:
    return torch.full((n,), sigma)


def shaken(net: Any, seed: int = 0, scale: float = 0.3) -> Any:
    """Every weight drawn at random, so that no zero hides a leak."""
    gen = generator(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=gen) * scale)
    return net.eval()


def tiny(depth: int = 1, side: int = 8) -> DiT:
    return shaken(DiT(side, 4, 16, depth, 2, WORDS, LENGTH))


def some_ids(n: int, seed: int = 0) -> Tensor:
    return torch.randint(END + 1, WORDS, (n, LENGTH), generator=generator(seed))


# ---- skips


@pytest.mark.parametrize("sigma", [0.02, 0.2, 1.0, 5.0])
def test_the_wiener_skip_is_the_line_that_least_squares_finds(sigma):
    """Also beyond it: on a Gaussian cloud no other function of the noisy picture errs less."""
    x = cloud(20_000)
    x_s = noisy(x, sigma)
    design = np.concatenate([x_s.numpy(), np.ones((len(x_s), 1))], 1)
    line = np.linalg.lstsq(design, x.numpy(), rcond=None)[0]
    fresh, skip = cloud(20_000, 1), skip_of("wiener", cloud(20_000, 2))
    fresh_s = noisy(fresh, sigma, 6)
    by_line = np.concatenate([fresh_s.numpy(), np.ones((len(fresh), 1))], 1) @ line
    by_skip = skip.guess(square(fresh_s), at(sigma, len(fresh))).flatten(1).numpy()
    least, found = (np.square(fresh.numpy() - guess).mean() for guess in (by_line, by_skip))
    assert found == pytest.approx(least, rel=0.01)
    assert np.square(by_line - by_skip).mean() < 0.01 * least


def test_the_wiener_skip_is_bayes_answer_when_mean_and_covariance_are_known():
    """E[x | x_s] = m + C (C + s^2)^-1 (x_s - m), and its error tr C (C + s^2)^-1 s^2 is what it says it leaves."""
    x = cloud(3000).double()
    mean, covariance = x.mean(0), torch.cov(x.T)
    skip, some = skip_of("wiener", x.float()), cloud(7, 1)
    for sigma in (0.05, 0.5, 3.0):
        gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(NUMBERS))
        wanted = mean + (some.double() - mean) @ gain.T
        assert torch.allclose(skip.guess(square(some), at(sigma, 7)).flatten(1).double(), wanted, atol=1e-5)
        left = (torch.trace(gain) * sigma**2 / NUMBERS).sqrt()
        assert skip.rest(at(sigma, 1)).item() == pytest.approx(left.item(), rel=1e-4)


@pytest.mark.parametrize("kind", SKIPS)
@pytest.mark.parametrize("sigma", [0.05, 0.5, 4.0, 40.0])
def test_rest_is_what_the_guess_leaves(kind, sigma):
    x = cloud(8000, 3)
    skip = skip_of(kind, cloud(8000, 4))
    off = square(x) - skip.guess(square(noisy(x, sigma)), at(sigma, len(x)))
    assert off.square().mean().sqrt().item() == pytest.approx(skip.rest(at(sigma, 1)).item(), rel=0.02)


def test_the_scalar_skip_is_edms():
    """Karras et al. 2022, table 1: c_skip = d^2 / (s^2 + d^2), c_out = s d / sqrt(s^2 + d^2), about a mean of nought."""
    d, skip = 0.5, ScalarSkip(torch.tensor(0.0), torch.tensor(0.25))
    sigma, x = torch.tensor([0.01, 0.1, 0.5, 2.0, 80.0]), torch.randn(5, 3, 2, 2, generator=generator(0))
    for k, s in enumerate(sigma.tolist()):
        assert torch.allclose(skip(x, sigma)[k], d**2 / (s**2 + d**2) * x[k], rtol=1e-5)
        assert skip.reach(sigma)[k].item() == pytest.approx(s * d / (s**2 + d**2) ** 0.5, rel=1e-5)
    assert torch.allclose(skip_of("scalar", cloud(500)).variance, cloud(500).var())


@pytest.mark.parametrize("sigma", [0.01, 0.06, 0.3, 4.0])
def test_the_grain_skip_is_the_exact_form_of_one_render_under_texture(sigma):
    render = torch.rand(1, NUMBERS, generator=generator(0)) * 2 - 1
    world = ExactWorld(render.numpy(), {}, texture=0.06)
    full = GrainSkip(render[0], torch.eye(NUMBERS), torch.full((NUMBERS,), 0.06**2))
    x_s = noisy(render.expand(9, -1), (0.06**2 + sigma**2) ** 0.5)
    exact = torch.from_numpy(world.denoise(x_s.numpy(), sigma))
    assert torch.allclose(full(square(x_s), at(sigma, 9)).flatten(1), exact, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.06, 0.5, 4.0])
def test_under_the_grain_skip_a_net_that_paints_the_render_is_exact_in_a_world_of_many(sigma):
    """E[x | x_s] = skip + s^2 / (t^2 + s^2) (E[r | x_s] - mean): what is left to the net is the render and nothing else."""
    renders = 2 * np.random.default_rng(0).random((12, NUMBERS), np.float32) - 1
    world = ExactWorld(renders, {}, texture=0.06)
    drawn = world.sample(4000, 0)
    skip = skip_of("grain", torch.from_numpy(drawn.x))
    assert skip.variances.median().item() == pytest.approx(0.06**2, rel=0.05)  # 12 renders span 11 of 48 directions
    x_s = drawn.x[::50] + np.float32(sigma) * drawn.eps[::50]
    mean = world.posterior(x_s, sigma) @ renders
    paint = torch.from_numpy(mean) - skip.mean
    share = 1 - skip.kept(at(sigma, 1))
    made = skip(square(torch.from_numpy(x_s)), at(sigma, len(x_s))).flatten(1) + share * paint
    assert np.allclose(made, world.denoise(x_s, sigma), atol=0.01)


def long_and_short(n: int, seed: int = 0, rest: float = 0.04) -> Tensor:
    """Gaussian pictures (n, 48) about a mean: 24 directions of falling variance, the others all as short as `rest`."""
    turn = torch.linalg.qr(torch.randn(NUMBERS, NUMBERS, generator=generator(98)))[0]
    long = torch.cat([torch.logspace(1, -0.5, 24), torch.full((24,), rest)]).sqrt()
    return torch.linspace(-0.5, 0.5, NUMBERS) + torch.randn(n, NUMBERS, generator=generator(seed)) * long @ turn.T


def paint_and_wiener(x: Tensor) -> tuple[PaintSkip, WienerSkip]:
    """Return the skip that knows 24 directions, and the one that knows all 48, those of the rest as long as each other."""
    paint = skip_of("paint", x)
    others = torch.linalg.svd(paint.directions)[0][:, 24:]
    every = torch.cat([paint.directions, others], 1)
    variances = torch.cat([paint.variances[:-1], paint.variances[-1:].expand(24)])
    return paint, WienerSkip(paint.mean, every, variances)


@pytest.mark.parametrize("sigma", [0.02, 0.2, 1.0, 5.0, 40.0])
def test_a_skip_that_knows_some_directions_is_wieners_where_all_others_are_alike(sigma):
    paint, wiener = paint_and_wiener(long_and_short(3000))
    x = square(noisy(long_and_short(9, 1), sigma))
    assert torch.allclose(paint.guess(x, at(sigma, 9)), wiener.guess(x, at(sigma, 9)), atol=2e-4)
    assert torch.allclose(paint.rest(at(sigma, 1)), wiener.rest(at(sigma, 1)), rtol=1e-5)


def test_each_picture_has_its_own_noise_under_the_paint_skip():
    paint, x = skip_of("paint", cloud(500)), square(cloud(3, 1))
    sigma = torch.tensor([0.05, 1.0, 20.0])
    for part in (paint.guess, paint):
        each = torch.cat([part(x[k : k + 1], sigma[k : k + 1]) for k in range(3)])
        assert torch.allclose(part(x, sigma), each, atol=1e-5)
    assert paint.rest(sigma).shape == paint.reach(sigma).shape == paint.kept(sigma).shape == (3,)


def test_the_paint_skip_finds_the_variances_that_were_planted():
    x = long_and_short(20_000, rest=0.02)
    paint = skip_of("paint", x)
    wanted = torch.cat([torch.logspace(1, -0.5, 24), torch.tensor([0.02])])
    assert torch.allclose(paint.variances, wanted, rtol=0.08)
    assert torch.allclose(paint.directions.T @ paint.directions, torch.eye(24), atol=1e-4)
    # the whole variance is there: what is not known is spread over the others
    assert paint.over_all(paint.variances).item() == pytest.approx(x.var(0).mean().item(), rel=1e-4)
    exact = torch.linalg.eigvalsh(torch.cov(x.T)).flip(0)
    assert torch.allclose(paint.variances[:-1], exact[:24], rtol=1e-3)
    assert paint.variances[-1].item() == pytest.approx(exact[24:].mean().item(), rel=1e-2)
    assert torch.allclose(paint.mean, x.mean(0))


def test_the_paint_skip_lets_the_guess_through_where_there_is_little_noise_and_else_the_mean():
    """skip = k guess + (1 - k) mean and reach = (1 - k) deviation, with k = r / (r + s^2)."""
    x = long_and_short(3000)
    paint = skip_of("paint", x)
    r = paint.variances[-1].item()
    for sigma in (0.01, r**0.5, 0.5, 20.0):
        k, s = r / (r + sigma**2), at(sigma, 5)
        noised = square(noisy(long_and_short(5, 1), sigma))
        wanted = k * paint.guess(noised, s) + (1 - k) * paint.mean.view(3, SIDE, SIDE)
        assert torch.allclose(paint(noised, s), wanted, atol=1e-5)
        deviation = x.var(0).mean().sqrt().item()
        assert paint.reach(s)[0].item() == pytest.approx((1 - k) * deviation, rel=1e-3)
    assert paint.kept(at(r**0.5, 1)).item() == pytest.approx(0.5)


def test_the_paint_skip_is_the_same_twice_and_leaves_the_dice_of_others_alone():
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one = skip_of("paint", cloud(300))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(8)
    assert torch.equal(one.directions, skip_of("paint", cloud(300)).directions)


@pytest.mark.parametrize("kind", SKIPS)
def test_an_empty_skip_takes_the_numbers_of_another(kind, monkeypatch):
    for known in (384, 10):
        monkeypatch.setattr(dit, "KNOWN", known)
        skip, empty = skip_of(kind, cloud(300)), empty_skip(kind, NUMBERS)
        assert type(skip) is type(empty)
        shapes = [{name: tuple(v.shape) for name, v in s.state_dict().items()} for s in (skip, empty)]
        assert shapes[0] == shapes[1]
        empty.load_state_dict(skip.state_dict())
        x, sigma = square(cloud(4, 1)), torch.tensor([0.1, 1.0, 5.0, 40.0])
        assert torch.equal(skip(x, sigma), empty(x, sigma)) and torch.equal(skip.guess(x, sigma), empty.guess(x, sigma))
    if kind == "paint":
        assert skip.directions.shape == (NUMBERS, 10) and skip.variances.shape == (11,)


@pytest.mark.parametrize("kind", SKIPS)
def test_without_noise_a_skip_gives_the_picture_back_and_under_much_of_it_the_mean(kind):
    x, skip = cloud(2000, 2), skip_of(kind, cloud(2000))
    clean, lost = (skip.guess(square(x), at(sigma, len(x))).flatten(1) for sigma in (1e-5, 1e4))
    assert (clean - x).abs().max() < 1e-3
    mean = cloud(2000).mean(0) if kind != "scalar" else cloud(2000).mean()
    assert (lost - mean).abs().max() < 1e-3
    assert (skip(square(x), at(1e-5, len(x))).flatten(1) - x).abs().max() < 1e-3


# ---- a trunk that is steered


@pytest.mark.parametrize("context", [False, True])
def test_a_trunk_whose_steering_is_fresh_is_the_plain_trunk_whatever_the_condition(context):
    torch.manual_seed(0)
    steered, plain = Trunk(16, 3, 2, context, condition=True), Trunk(16, 3, 2, context)
    missed = plain.load_state_dict(steered.state_dict(), strict=False)
    assert not missed.missing_keys and all(".modulate." in key for key in missed.unexpected_keys)
    x, said = torch.randn(2, 7, 16, generator=generator(0)), torch.randn(2, 4, 16, generator=generator(1))
    how = {"causal": False, "context": said if context else None}
    condition = 5 * torch.randn(2, 16, generator=generator(2))
    assert torch.allclose(steered(x, condition=condition, **how), plain(x, **how), atol=1e-6)
    assert torch.allclose(steered(x, **how), plain(x, **how), atol=1e-6)  # and without one
    shaken(steered)  # steering that was learnt makes a difference, to each row by its own condition
    other = torch.cat([condition[:1], -condition[1:]])
    moved = (steered(x, condition=condition, **how) - steered(x, condition=other, **how)).abs().amax((1, 2))
    assert moved[0] == 0 and moved[1] > 0.1


def test_the_condition_stretches_and_shifts_what_is_read_and_weighs_what_is_written():
    """One block by hand: x + (1 + c) attention((1 + a) norm x + b), then x + (1 + f) mlp((1 + d) norm x + e)."""
    trunk = shaken(Trunk(8, 1, 2, condition=True))
    block, x = trunk.blocks[0], torch.randn(3, 5, 8, generator=generator(1))
    condition = torch.randn(3, 8, generator=generator(2))
    a, b, c, d, e, f = (v[:, None] for v in block.modulate(condition).chunk(6, 1))
    y = x + (1 + c) * block.attention((1 + a) * block.norm_attention(x) + b, False, None, 0)
    y = y + (1 + f) * block.mlp((1 + d) * block.norm_mlp(y) + e)
    assert torch.allclose(trunk(x, causal=False, condition=condition), trunk.norm(y), atol=1e-5)


# ---- what a net is told of the noise


def test_waves_are_sines_and_cosines_of_multiples_of_the_logarithm_of_sigma():
    sigma = torch.tensor([0.05, 1.0, 7.0])
    found = waves(log_snr_of(sigma))
    assert found.shape == (3, 2 * WAVES)
    for k in range(1, WAVES + 1):
        turn = 0.35 * k * sigma.log()
        assert torch.allclose(found[:, k - 1], turn.sin(), atol=1e-5)
        assert torch.allclose(found[:, WAVES + k - 1], turn.cos(), atol=1e-5)
    assert torch.equal(found[1], torch.cat([torch.zeros(WAVES), torch.ones(WAVES)]))


# ---- the net over patches


@torch.no_grad()
def test_without_blocks_a_patch_answers_for_itself_and_knows_where_it_stands():
    net, seen = tiny(depth=0), torch.randn(1, 6, 8, 8, generator=generator(1))
    heard, log_snr = net.hear(some_ids(1)), torch.zeros(1)
    before = net(seen, log_snr, heard)
    for row in (0, 4):
        for column in (0, 4):
            moved = seen.clone()
            moved[:, 3, row + 1, column + 2] += 1
            changed = (net(moved, log_snr, heard) - before).abs().amax((0, 1))
            inside = changed[row : row + 4, column : column + 4].clone()
            changed[row : row + 4, column : column + 4] = 0
            assert changed.max() == 0 and inside.min() > 0
    same = net(torch.zeros(1, 6, 8, 8), log_snr, heard)
    corners = torch.stack([same[0, :, r : r + 4, c : c + 4] for r in (0, 4) for c in (0, 4)])
    assert (corners[1:] - corners[0]).abs().amax((1, 2, 3)).min() > 0.01


@torch.no_grad()
def test_each_picture_is_answered_by_its_own_noise_and_its_own_caption():
    net = tiny()
    x, log_snr, ids = torch.randn(3, 6, 8, 8, generator=generator(1)), torch.tensor([0.0, 2.0, -2.0]), some_ids(3)
    before = net(x, log_snr, net.hear(ids))
    for change in ("picture", "noise", "caption"):
        a, b, c = x.clone(), log_snr.clone(), ids.clone()
        if change == "picture":
            a[1] += torch.randn(6, 8, 8, generator=generator(2))
        elif change == "noise":
            b[1] = -1
        else:
            c[1] = some_ids(1, 9)
        moved = (net(a, b, net.hear(c)) - before).abs().amax((1, 2, 3))
        assert moved[[0, 2]].max() == 0 and moved[1] > 1e-3, change


@torch.no_grad()
def test_words_in_another_order_are_heard_as_something_else():
    """Not as the same words standing elsewhere: no row of one context is found in the other."""
    net = tiny()
    ids = torch.tensor([[5, 6, 7, 8, END, PAD], [8, 7, 6, 5, END, PAD]])
    context, told = net.hear(ids)
    rows = (context[0][:, None] - context[1]).norm(dim=2)[:4, :4]  # word by word, wherever it stands
    assert rows.min() > 0.05
    assert (told[0] - told[1]).norm() > 0.01
    x, log_snr = torch.randn(1, 6, 8, 8, generator=generator(1)).expand(2, -1, -1, -1), torch.zeros(2)
    answers = net(x, log_snr, (context, told))
    assert (answers[0] - answers[1]).abs().max() > 1e-3


def test_captions_of_another_length_and_sides_that_patches_do_not_fill_are_refused():
    net = tiny()
    with pytest.raises(Refused, match=r"^The captions have 4 tokens, but take 6, filled up with pads\.$"):
        net.hear(some_ids(2)[:, :4])
    with pytest.raises(Refused, match=r"^The side is 10 with patches of 4, but must be a multiple of the patch\.$"):
        DiT(10, 4, 16, 1, 2, WORDS, LENGTH)


@pytest.mark.parametrize("kind", ["grain", "wiener"])
def test_a_denoiser_refuses_pictures_of_another_size_in_a_sentence(kind):
    denoiser = Denoiser(skip_of(kind, torch.randn(50, 192, generator=generator(0))), tiny(), (0.1, 10.0))
    with pytest.raises(
        Refused, match=r"^The pictures have shape \(2, 3, 16, 16\), but this net draws \(B, 3, 8, 8\)\.$"
    ):
        denoiser(torch.zeros(2, 3, 16, 16), torch.zeros(2), some_ids(2))


# ---- the denoiser


@torch.no_grad()
@pytest.mark.parametrize("kind", SKIPS)
def test_before_it_has_learnt_a_denoiser_is_its_skip_to_the_bit(kind):
    skip = skip_of(kind, cloud(300).repeat(1, 4))
    denoiser = Denoiser(skip, DiT(8, 4, 16, 2, 2, WORDS, LENGTH), (0.06, 64.0))
    x, sigma = torch.randn(4, 3, 8, 8, generator=generator(0)), torch.tensor([0.06, 0.5, 3.0, 64.0])
    assert torch.equal(denoiser(x, log_snr_of(sigma), some_ids(4)), skip(x, sigma_again(sigma)))


def sigma_again(sigma: Tensor) -> Tensor:
    """Return sigma as it comes back from its log-SNR, rounded."""
    return (-0.5 * log_snr_of(sigma)).exp()


@torch.no_grad()
@pytest.mark.parametrize("kind", SKIPS)
def test_what_the_net_says_is_added_to_the_skip_as_far_as_it_reaches(kind):
    skip, net = skip_of(kind, cloud(300).repeat(1, 4)), tiny()
    denoiser = Denoiser(skip, net, (0.06, 64.0))
    x, sigma, ids = torch.randn(3, 3, 8, 8, generator=generator(0)), torch.tensor([0.1, 1.0, 20.0]), some_ids(3)
    log_snr = log_snr_of(sigma)
    said = net(denoiser.seen(x, sigma), log_snr, net.hear(ids))
    wanted = skip(x, sigma) + skip.reach(sigma)[:, None, None, None] * said
    assert torch.allclose(denoiser(x, log_snr, ids), wanted, atol=1e-4)
    assert torch.equal(denoiser.told(ids)(x, log_snr), denoiser(x, log_snr, ids))
    assert torch.equal(denoiser.clean(x, log_snr, net.hear(ids)), denoiser(x, log_snr, ids))


def test_the_skip_is_no_weight_and_the_net_learns_all_the_same():
    skip = skip_of("grain", cloud(300).repeat(1, 4))
    denoiser = Denoiser(skip, tiny(), (0.06, 64.0))
    assert not list(skip.parameters())
    x = torch.randn(3, 3, 8, 8, generator=generator(0), requires_grad=True)
    denoiser(x, torch.zeros(3), some_ids(3)).square().sum().backward()
    quiet = [name for name, p in denoiser.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert quiet == []


# ---- a recipe of it, after twenty steps


@pytest.fixture(scope="module")
def fresh() -> Denoiser:
    return SMOKE.build(0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Denoiser:
    model = SMOKE.build(0)
    SMOKE.fit(model, 0, tmp_path_factory.mktemp("smoke"))
    return model


def told(model: Denoiser, captions: list[str], sigma: float = 1.0, seed: int = 0) -> np.ndarray:
    """Return what a net makes of noisy pictures, float32 (N, D)."""
    pairs = SMOKE.pairs
    x = pairs.pictures(pairs.numbers(1, "told", seed), "told", seed).reshape(1, -1).repeat(len(captions), 0)
    x_s = x + np.float32(sigma) * np.random.default_rng(0).standard_normal((1, x.shape[1]), np.float32)
    return imagine(model, pairs.vocabulary, x_s, sigma, captions)


def test_a_caption_changes_nothing_at_first_and_the_answer_after_a_few_steps(fresh, trained):
    said = ["", "a red thing", "a blue thing", "a thing on a night background"]
    before, after = told(fresh, said), told(trained, said)
    assert np.abs(before - before[0]).max() == 0
    apart = np.abs(after[:, None] - after).max(2) + np.eye(4)
    assert apart.min() > 1e-3
    assert np.abs(after - before).max() > 0.01


def test_an_answer_does_not_depend_on_the_captions_beside_it(trained):
    long = "a large blue striped triangle in the lower right on a wine background lit from the right a hair up"
    alone = told(trained, ["a red thing"])[0]
    for beside in ([""], ["a blue thing"], [long], [long, "", "a cross"]):
        assert np.allclose(told(trained, ["a red thing", *beside])[0], alone, atol=1e-5)
        assert np.allclose(told(trained, [*beside, "a red thing"])[-1], alone, atol=1e-5)


def test_training_leaves_the_skip_as_it_was_and_takes_error_away(fresh, trained):
    for name, buffer in fresh.skip.state_dict().items():
        assert torch.equal(buffer, trained.skip.state_dict()[name])
    pairs = SMOKE.pairs
    batch = pairs.batch(200, "tested")
    errors = []
    for model in (fresh, trained):
        with torch.no_grad():
            log_snr = log_snr_of(at(1.0, 200))
            x_s = add_noise(batch["pictures"], torch.randn(200, 3, 16, 16, generator=generator(0)), log_snr)
            errors.append((model(x_s, log_snr, batch["ids"]) - batch["pictures"]).square().mean().item())
    assert errors[1] < 0.9 * errors[0]


def test_what_is_imagined_of_many_pictures_is_what_the_net_makes_of_each(trained):
    pairs = SMOKE.pairs
    _, pictures, captions = pairs.draw(300, "many")  # more than a block
    x_s = pictures.reshape(300, -1) + np.random.default_rng(0).standard_normal((300, 768), np.float32)
    many = imagine(trained, pairs.vocabulary, x_s, 1.0, captions)
    for k in (0, 255, 256, 299):
        assert np.allclose(
            many[k], imagine(trained, pairs.vocabulary, x_s[k : k + 1], 1.0, [captions[k]])[0], atol=1e-4
        )
    for wrong in (1.01 * SMOKE.high, 0.9 * SMOKE.low):
        said = f"^The noise is sigma {wrong:g}, but this net was trained from {SMOKE.low:g} to {SMOKE.high:g}"
        with pytest.raises(Refused, match=said):
            imagine(trained, pairs.vocabulary, x_s, wrong, captions)
        with pytest.raises(Refused, match=said):
            layers(trained, pictures, wrong)


def test_the_streams_of_the_blocks_are_those_that_the_answer_is_made_from_told_nothing(trained):
    pictures = SMOKE.pairs.draw(5, "streams")[1]
    streams = layers(trained, pictures, 0.5)
    assert len(streams) == SMOKE.depth + 1
    caught: list[Tensor] = []
    hook = trained.net.trunk.norm.register_forward_hook(lambda module, given, out: caught.append(given[0]))
    imagine(trained, SMOKE.pairs.vocabulary, pictures.reshape(5, -1), 0.5, [""] * 5)
    hook.remove()
    assert np.allclose(streams[-1], caught[0].numpy(), atol=1e-5) and not np.allclose(streams[0], streams[-1])


def test_a_net_is_a_function_of_its_seed_and_leaves_the_dice_of_others_alone(fresh):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    again, other = SMOKE.build(0), SMOKE.build(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    one, same, another = (m.net.state_dict()["patches.weight"] for m in (fresh, again, other))
    assert torch.equal(one, same) and not torch.equal(one, another)
    assert torch.equal(fresh.skip.directions, again.skip.directions)


@pytest.mark.parametrize("kind", SKIPS)
def test_a_net_that_is_filled_with_weights_answers_as_the_one_they_came_from(kind):
    recipe = replace(SMOKE, skip=kind)
    model = shaken(recipe.build(0), scale=0.1)
    weights = model.state_dict()
    copy = recipe.build(5, weights)
    copy.load_state_dict(weights)
    x, ids = torch.randn(2, 3, 16, 16, generator=generator(0)), SMOKE.pairs.batch(2, 0)["ids"]
    with torch.no_grad():
        found, wanted = copy(x, torch.zeros(2), ids), model(x, torch.zeros(2), ids)
    assert torch.allclose(found, wanted, atol=1e-5) and wanted.std() > 0.01
    assert copy.range == (recipe.low, recipe.high)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"skip": "grian"}, r"^The skip is 'grian', but must be one of .* \(did you mean 'grain'\?\)\.$"),
        ({"weighting": "even"}, "^The weighting is 'even', but must be one of 'likelihood', 'rest'"),
        ({"silent": 1.5}, r"^The share silent is 1\.5, but must lie between 0 and 1\.$"),
        ({"share": -0.1}, r"^The share share is -0\.1, but must lie between 0 and 1\.$"),
        ({"low": 0.0}, r"^The noise levels are 0\.0, .*, but must rise from above 0\.$"),
        (
            {"inner_low": 9.0, "inner_high": 8.0},
            r"^The noise levels are .*, 9\.0, 8\.0, .*, but must rise from above 0\.$",
        ),
        ({"inner_high": 8.0, "high": 1.0}, r"^The noise levels are .*, 8\.0, 1\.0, but must rise from above 0\.$"),
    ],
)
def test_recipes_that_cannot_be_are_refused(change, said):
    with pytest.raises(Refused, match=said):
        Diffusion(Listed(), **change)


def test_the_wiener_skip_of_a_recipe_is_that_of_fresh_pictures():
    model = replace(SMOKE, skip="wiener").build(0)
    assert type(model.skip) is WienerSkip
    pairs = SMOKE.pairs
    x = torch.from_numpy(pairs.pictures(pairs.numbers(400, "other"), "other")).permute(0, 3, 1, 2).contiguous()
    for sigma in (0.1, 1.0, 10.0):
        x_s = noisy(x, sigma)
        with torch.no_grad():
            off = (model(x_s, log_snr_of(at(sigma, 400)), pairs.batch(400, 0)["ids"]) - x).square().mean().sqrt()
        assert off.item() == pytest.approx(model.skip.rest(at(sigma, 1)).item(), rel=0.06)
