"""unCLIP: what the decoder and the prior hear, what they are taught, and on whose frozen eyes they stand."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from falsework.core.artefacts import Store
from falsework.core.errors import Refused
from falsework.core.vocabulary import END, PAD
from falsework.data.emoji import load_emoji
from falsework.nets import dit
from falsework.nets.dit import Denoiser, DiT, PaintSkip, WienerSkip, skip_of, waves
from falsework.nets.unclip import TOKENS, PictureDiT, Prior, loud, unit
from falsework.noise import SPREAD, levels, log_snr_of
from falsework.objectives.denoise import WEIGHTINGS, by_likelihood, denoise_loss
from falsework.probes.candidates import embed_captions
from falsework.recipes import obtain, ship, shipped
from falsework.recipes import unclip as module
from falsework.recipes.listed import Listed
from falsework.recipes.pairs import PAGE
from falsework.recipes.unclip import PRESETS, PRIOR_RANGE, SCENES, UnCLIP, embedded, lookup, said
from falsework.samplers import sample_denoise
from falsework.training import Train, fit

torch.set_num_threads(1)
WORDS, LENGTH, E = 20, 6, 5
DRAWINGS, OF_SCENES = PRESETS["smoke"], SCENES["smoke"]
EMOJI = load_emoji()


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaken(net: Any, seed: int = 0, scale: float = 0.3) -> Any:
    """Every weight that learns drawn at random, so that no zero hides a leak."""
    gen = generator(seed)
    with torch.no_grad():
        for p in net.parameters():
            if p.requires_grad:
                p.copy_(torch.randn(p.shape, generator=gen) * scale)
    return net.eval()


def some_ids(n: int, seed: int = 0) -> Tensor:
    return torch.randint(END + 1, WORDS, (n, LENGTH), generator=generator(seed))


def some_points(n: int, seed: int = 0, size: int = E) -> Tensor:
    return loud(unit(torch.randn(n, size, generator=generator(seed))))


@pytest.fixture(scope="module", autouse=True)
def few_pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LOOKED_AT", 400)  # to compute the skips from
        patch.setattr(dit, "KNOWN", 24)
        yield


# ---- loud and unit


def test_a_loud_embedding_has_numbers_of_about_one_and_the_same_direction():
    z = unit(torch.randn(9, 7, generator=generator(0)))
    assert torch.allclose(z.norm(dim=1), torch.ones(9))
    assert torch.allclose(loud(z).square().mean(1), torch.ones(9))
    assert torch.allclose(unit(loud(z)), z, atol=1e-6)


# ---- the decoder


def decoder(worded: bool = True, depth: int = 1) -> PictureDiT:
    return shaken(PictureDiT(8, 4, 16, depth, 2, WORDS, LENGTH, E, worded))


@torch.no_grad()
def test_a_decoder_hears_words_as_a_dit_does_and_the_embedding_as_four_words_more():
    net, ids, z = decoder(), some_ids(3), some_points(3)
    context, told = net.hear(ids, z)
    words, heard = DiT.hear(net, ids)
    assert context.shape == (3, LENGTH + TOKENS, 16) and torch.equal(context[:, :LENGTH], words)
    tokens = net.tokens(z).reshape(3, TOKENS, 16)
    assert torch.allclose(context[:, LENGTH:], net.norm_tokens(tokens), atol=1e-6)
    assert torch.allclose(told - heard, net.join(z), atol=1e-5)
    apart = (context[0, LENGTH:, None] - context[0, LENGTH:]).norm(dim=2) + 9 * torch.eye(TOKENS)
    assert apart.min() > 0.01  # four words, not one four times


@torch.no_grad()
def test_each_picture_is_answered_by_its_own_words_and_its_own_embedding():
    net = decoder()
    x, log_snr = torch.randn(3, 6, 8, 8, generator=generator(1)), torch.tensor([0.0, 2.0, -2.0])
    ids, z = some_ids(3), some_points(3)
    before = net(x, log_snr, net.hear(ids, z))
    for change in ("words", "embedding"):
        other_ids, other = ids.clone(), z.clone()
        if change == "words":
            other_ids[1] = some_ids(1, 9)
        else:
            other[1] = some_points(1, 9)
        moved = (net(x, log_snr, net.hear(other_ids, other)) - before).abs().amax((1, 2, 3))
        assert moved[[0, 2]].max() == 0 and moved[1] > 1e-3, change


@torch.no_grad()
def test_a_decoder_without_words_ignores_captions_altogether_and_looks_at_the_embedding():
    net, z = decoder(worded=False), some_points(2)
    x, log_snr = torch.randn(2, 6, 8, 8, generator=generator(1)), torch.zeros(2)
    answers = [net(x, log_snr, net.hear(ids, z)) for ids in (some_ids(2), some_ids(2, 1), some_ids(2)[:, :3])]
    assert torch.equal(answers[0], answers[1]) and torch.equal(answers[0], answers[2])
    context, told = net.hear(some_ids(2), z)
    assert context.shape == (2, TOKENS, 16) and torch.allclose(told, net.join(z))
    assert sum(table.weight.numel() for table in net.words.tables) == 0
    far = net(x, log_snr, net.hear(some_ids(2), some_points(2, 5)))
    assert (far - answers[0]).abs().amax((1, 2, 3)).min() > 1e-3
    # by both ways: as words to look at, and along with the noise
    for part in (0, 1):
        mixed = [context, told]
        mixed[part] = net.hear(some_ids(2), some_points(2, 5))[part]
        assert (net(x, log_snr, tuple(mixed)) - answers[0]).abs().amax((1, 2, 3)).min() > 1e-4


@torch.no_grad()
def test_zeros_are_no_embedding_the_same_for_every_picture_and_unlike_any_point():
    net, ids = decoder(), some_ids(3)
    context, told = net.hear(ids, torch.zeros(3, E))
    assert torch.equal(context[0, LENGTH:], context[2, LENGTH:])
    assert torch.allclose(told, DiT.hear(net, ids)[1] + net.join.bias)
    assert (net.hear(ids, some_points(3))[0] - context)[:, LENGTH:].norm(dim=2).min() > 0.01


@pytest.mark.parametrize(
    ("given", "shape"), [((2, E + 1), r"\(2, 6\)"), ((E,), r"\(5,\)"), ((2, 1, E), r"\(2, 1, 5\)")]
)
def test_embeddings_of_another_size_are_refused(given, shape):
    for worded in (True, False):
        with pytest.raises(Refused, match=rf"^The embeddings are {shape}, but must be \(B, 5\)\.$"):
            decoder(worded).hear(some_ids(2), torch.zeros(given))


def test_a_decoder_that_is_told_no_embedding_refuses():
    with pytest.raises(Refused, match=r"^The embeddings are none, but must be \(B, 5\)\.$"):
        decoder().hear(some_ids(2))


@torch.no_grad()
def test_the_denoiser_passes_on_all_that_it_is_told():
    flat = torch.randn(300, 192, generator=generator(0))
    net = Denoiser(skip_of("paint", flat), decoder(), (0.06, 40.0))
    x, log_snr, ids, z = flat[:3].view(3, 3, 8, 8), torch.zeros(3), some_ids(3), some_points(3)
    direct = net.clean(x, log_snr, net.net.hear(ids, z))
    assert torch.equal(net(x, log_snr, ids, z), direct) and torch.equal(net.told(ids, z)(x, log_snr), direct)


# ---- the prior


def a_prior(depth: int = 2, shake: bool = True) -> Prior:
    torch.manual_seed(0)
    skip = skip_of("wiener", 0.5 + torch.randn(300, E, generator=generator(1)) @ torch.diag(torch.arange(1.0, E + 1)))
    prior = Prior(skip, WORDS, LENGTH, E, 16, depth, 2, (0.05, 20.0))
    return shaken(prior) if shake else prior


def asked(n: int = 4, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return noisy embeddings, their log-SNR, captions and the captions' embeddings."""
    sigma = torch.linspace(0.1, 8, n)
    x = some_points(n, seed) + sigma[:, None] * torch.randn(n, E, generator=generator(seed + 1))
    return x, log_snr_of(sigma), some_ids(n, seed), some_points(n, seed + 2)


@torch.no_grad()
def test_before_it_has_learnt_a_prior_is_the_best_linear_estimate_to_the_bit():
    prior, (x, log_snr, ids, text) = a_prior(shake=False), asked()
    assert torch.equal(prior(x, log_snr, ids, text), prior.skip.guess(x, (-0.5 * log_snr).exp()))


@torch.no_grad()
def test_a_prior_adds_what_it_reads_at_its_last_place_as_far_as_the_guess_leaves_it():
    prior, (x, log_snr, ids, text) = a_prior(), asked()
    caught: list[Tensor] = []
    prior.trunk.register_forward_hook(lambda net, given, out: caught.append(out))
    found, sigma = prior(x, log_snr, ids, text), (-0.5 * log_snr).exp()
    added = prior.skip.rest(sigma)[:, None] * prior.read(caught[0][:, -1])
    assert caught[0].shape == (4, LENGTH + 4, 16) and added.abs().max() > 0.1
    assert torch.allclose(found, prior.skip.guess(x, sigma) + added, atol=1e-5)
    clean = prior(x, log_snr_of(torch.full((4,), 1e-4)), ids, text)
    assert torch.allclose(clean, x, atol=1e-2)  # without noise there is nothing to add


@torch.no_grad()
def test_a_prior_reads_words_then_the_captions_embedding_then_the_noise_and_the_noisy_embedding_last():
    """Causal: a change of one of them is unknown to every place before it, and known to the last."""
    prior, given = a_prior(), asked()
    caught: list[Tensor] = []
    prior.trunk.register_forward_hook(lambda net, given, out: caught.append(out))
    before, (x, log_snr, ids, text) = prior(*given), given
    other_words = {at: ids.clone() for at in (0, 3, LENGTH - 1)}
    for at, other in other_words.items():
        other[:, at] = (other[:, at] - END) % (WORDS - END - 1) + END + 1
    changes = {LENGTH: (x, log_snr, ids, -text), LENGTH + 1: (x, log_snr + 1, ids, text)}
    changes |= {LENGTH + 2: (x + 0.5, log_snr, ids, text)}
    changes |= {at: (x, log_snr, other, text) for at, other in other_words.items()}
    for first, (x, log_snr, ids, text) in changes.items():
        after = prior(x, log_snr, ids, text)
        moved = (caught[-1] - caught[0]).abs().amax((0, 2))
        assert (first == 0 or moved[:first].max() == 0) and moved[[first, -1]].min() > 1e-4, first
        assert (after - before).abs().amax(1).min() > 1e-5, first


@torch.no_grad()
def test_the_places_of_a_prior_are_as_the_paper_lists_them():
    """Words, the caption's embedding, the noise level, the noisy embedding, and one to read the clean embedding at.

    Beside the noisy embedding, divided by about its size, stands the best linear estimate.
    """
    prior, (x, log_snr, ids, text) = a_prior(), asked()
    caught: list[Tensor] = []
    prior.trunk.register_forward_pre_hook(lambda net, given: caught.append(given[0]))
    prior(x, log_snr, ids, text)
    sigma = (-0.5 * log_snr).exp()
    seen = torch.cat([x / (sigma[:, None] ** 2 + SPREAD).sqrt(), prior.skip.guess(x, sigma)], 1)
    wanted = [
        *(prior.word(ids[:, t]) + prior.place[t] for t in range(LENGTH)),
        prior.text(text),
        prior.level(waves(log_snr)),
        prior.noisy(seen),
        prior.last.expand(4, -1),
    ]
    assert torch.allclose(caught[0], torch.stack(wanted, 1), atol=1e-5)


@torch.no_grad()
def test_each_embedding_is_answered_by_what_stands_in_its_own_row():
    prior, given = a_prior(), asked()
    before = prior(*given)
    for k, other in enumerate(asked(seed=7)):
        changed = [part.clone() for part in given]
        changed[k][1] = other[1] + (k == 1)
        moved = (prior(*changed) - before).abs().amax(1)
        assert moved[[0, 2, 3]].max() == 0 and moved[1] > 1e-4, k


@torch.no_grad()
def test_the_same_words_in_another_order_are_another_caption_to_the_prior():
    prior, (x, log_snr, _, text) = a_prior(depth=1), asked()  # which without places would hear a bag of words
    a, b = torch.tensor([[5, 6, 7, END, PAD, PAD]]), torch.tensor([[7, 6, 5, END, PAD, PAD]])
    apart = prior(x, log_snr, a.expand(4, -1), text) - prior(x, log_snr, b.expand(4, -1), text)
    assert apart.abs().amax(1).min() > 1e-4


# four captions: one of two words, and one of two directions that the caption's embedding may have
BY_WORD = torch.tensor([[1.2, -0.6, 0.3, 0.0], [-0.8, 0.6, 0.9, -0.5]])
BY_TEXT = torch.tensor([[0.0, 0.9, -0.7, 0.4], [0.5, -0.9, 0.2, -0.8]])
TEXTS = torch.tensor([[1.0, 1.0, -1.0, 1.0], [-1.0, 1.0, 1.0, 1.0]])
CAPTIONS = torch.tensor([[3, END, PAD], [4, END, PAD]])
MIX = torch.tensor([[0.6, 0.0, 0.0, 0.0], [0.5, 0.4, 0.0, 0.0], [-0.3, 0.2, 0.3, 0.0], [0.0, -0.2, 0.3, 0.5]])


def planted(n: int, seed: int) -> dict[str, Tensor]:
    """Embeddings z = mean of the word + mean of the text + MIX n, beside their captions."""
    gen = generator(seed)
    word, text = torch.randint(2, (2, n), generator=gen)
    z = BY_WORD[word] + BY_TEXT[text] + torch.randn(n, 4, generator=gen) @ MIX.T
    return {"embedding": z, "asked": CAPTIONS[word], "text": TEXTS[text]}


def test_a_prior_learns_mean_and_covariance_of_what_goes_with_each_caption(tmp_path):
    ends, n = (0.05, 20.0), 500
    torch.manual_seed(0)
    prior = Prior(skip_of("wiener", planted(4000, 99)["embedding"]), 5, 3, 4, 16, 2, 2, ends)
    loss = denoise_loss(WEIGHTINGS["rest"], *ends, ends, 1.0, of="embedding", told=("asked", "text"))
    train = Train(250, 128, lr=0.01, warmup=20, ema=0.95)
    fit(prior, loss, lambda step: planted(128, 1000 + step), train, 0, tmp_path)
    word, text = (torch.tensor(row).repeat_interleave(n) for row in ([0, 0, 1, 1], [0, 1, 0, 1]))
    dice = generator(5)
    x = ends[1] * torch.randn(4 * n, 4, generator=dice)
    drawn = sample_denoise(lambda x, s: prior(x, s, CAPTIONS[word], TEXTS[text]), x, levels(40, *ends), dice)
    covariance = MIX @ MIX.T
    for k, z in enumerate(drawn.split(n)):
        mean = BY_WORD[k // 2] + BY_TEXT[k % 2]
        assert (z.mean(0) - mean).abs().max() < 0.2  # of deviations up to .7, whose mean errs by .03
        off = torch.cov(z.T) - covariance
        assert off.norm() < 0.4 * covariance.norm() and abs(off.trace()) < 0.35 * covariance.trace()


# ---- the loss, of anything


def test_the_loss_is_of_what_is_named_and_tells_what_is_named_in_order():
    batch = {"pictures": torch.full((4, 3, 2, 2), 9.0), "z": torch.ones(4, 2), "a": torch.zeros(4), "b": torch.ones(4)}
    heard: list[tuple[Tensor, ...]] = []

    class Knows(torch.nn.Module):
        skip = skip_of("scalar", torch.randn(50, 2, generator=generator(0)))

        def forward(self, x: Tensor, log_snr_B: Tensor, *told: Tensor) -> Tensor:
            heard.append(told)
            return torch.ones_like(x) + 0.5  # off by a half everywhere

    args = (0.5, 2.0, (0.5, 2.0), 1.0)
    loss, metrics = denoise_loss(lambda s, rest: torch.ones_like(s), *args, of="z", told=("b", "a"))(
        Knows(), batch, generator(0)
    )
    assert loss.item() == pytest.approx(0.125) and metrics["bare"].item() == pytest.approx(0.25)
    assert len(heard[0]) == 2 and heard[0][0] is batch["b"] and heard[0][1] is batch["a"]
    denoise_loss(by_likelihood, *args, of="z", told=())(Knows(), batch, generator(0))
    assert heard[1] == ()


# ---- the recipe: batches


SILENCED = replace(DRAWINGS, train=Train(10, 32))
WORDED = replace(OF_SCENES, train=Train(10, 64))


@pytest.fixture(scope="module")
def nets() -> dict[str, Any]:
    return {"drawings": SILENCED.build(0), "scenes": WORDED.build(0)}


def page(recipe: UnCLIP, model: Any, number: int = 0) -> dict[str, Tensor]:
    """Return the batches of a whole page as one."""
    batches = recipe.batches(model, 0)
    parts = [batches(number * PAGE + k) for k in range(PAGE)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def within(share: float, wanted: float, n: int) -> bool:
    return abs(share - wanted) <= 4 * math.sqrt(wanted * (1 - wanted) / n) + 1e-12


@pytest.mark.parametrize(("name", "recipe"), [("drawings", SILENCED), ("scenes", WORDED)])
def test_a_batch_is_a_function_of_the_step_whatever_came_before(name, recipe, nets):
    one, two = (recipe.batches(nets[name], 0) for _ in range(2))
    last = {k: one(k) for k in (0, 1, PAGE)}
    for k in (PAGE, 1, 0):  # in another order
        again = two(k)
        assert all(torch.equal(again[part], last[k][part]) for part in again)
    for part in ("pictures", "embedding"):
        assert not torch.equal(last[0][part], last[1][part]) and not torch.equal(last[0][part], last[PAGE][part])
    other = recipe.batches(nets[name], 1)(0)
    assert not torch.equal(other["pictures"], last[0]["pictures"])  # another seed


@pytest.mark.parametrize(("name", "recipe"), [("drawings", SILENCED), ("scenes", WORDED)])
def test_the_embedding_of_a_batch_is_the_frozen_clips_of_its_picture_and_is_never_dropped(name, recipe, nets):
    out, clip = page(recipe, nets[name]), nets[name].clip
    assert out["pictures"].dtype == torch.float32 and out["pictures"].abs().max() < 3
    with torch.no_grad():
        wanted = clip.embed_images(out["pictures"])
    size = recipe.clip.shared
    assert torch.allclose(out["embedding"], wanted * math.sqrt(size), atol=1e-4)
    assert torch.allclose(out["embedding"].norm(dim=1), torch.full((len(wanted),), math.sqrt(size)))
    kept = out["shown"].abs().sum(1) > 0
    assert torch.equal(out["shown"][kept], out["embedding"][kept]) and (~kept).any()
    assert not out["embedding"].requires_grad and not out["text"].requires_grad


def test_so_many_are_dropped_as_the_shares_say_each_by_its_own_dice(nets):
    recipe = replace(WORDED, silent=0.4, blind=0.2)
    out = page(recipe, nets["scenes"])
    n = len(out["ids"])
    mute, vague = ((out[name] == PAD).all(1) for name in ("ids", "asked"))
    blind, unheard = ((out[name] == 0).all(1) for name in ("shown", "text"))
    assert within(mute.float().mean().item(), 0.4, n) and within(blind.float().mean().item(), 0.2, n)
    assert within(vague.float().mean().item(), 0.2, n) and torch.equal(vague, unheard)  # both together
    for a, b, share in ((mute, blind, 0.08), (mute, vague, 0.08), (blind, vague, 0.04)):
        assert within((a & b).float().mean().item(), share, n)
    heard = ~mute & ~vague
    assert torch.equal(out["ids"][heard], out["asked"][heard])
    words = recipe.pairs.vocabulary
    told = words.decode(out["asked"][~vague].numpy())
    wanted = embed_captions(nets["scenes"].clip, words, told) * math.sqrt(recipe.clip.shared)
    assert np.allclose(out["text"][~vague], wanted, atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_with_a_share_of_nought_none_and_of_one_all_are_dropped(share, nets):
    out = page(replace(WORDED, silent=share, blind=share, train=Train(10, 8)), nets["scenes"])
    for name in ("ids", "shown", "asked", "text"):
        none = (out[name] == 0).all(1)
        assert none.all() if share else not none.any(), name
    assert (out["embedding"] != 0).any(1).all()


def test_a_scenes_caption_names_every_fact_of_the_picture_beside_it(nets):
    recipe = replace(WORDED, silent=0.0, blind=0.0)
    out, world = page(recipe, nets["scenes"]), Listed().dataset
    every = world.named["ultra"]
    told = recipe.pairs.vocabulary.decode(out["ids"][:40].numpy())
    pictures = out["pictures"][:40].permute(0, 2, 3, 1).reshape(40, -1)
    renders = torch.from_numpy(world.unit)
    nearest = (0.5 * renders.square().sum(1, keepdim=True) - renders @ pictures.T).argmin(0).tolist()
    for caption, scene in zip(told, nearest):
        assert world.phrase.parse(caption) == {f: world.factors[f][world.scenes[f][scene]] for f in every}


def by_pixels(index: np.ndarray) -> dict[bytes, set[int]]:
    """Return the bytes of a drawing on white -> the drawings that look so."""
    found: dict[bytes, set[int]] = defaultdict(set)
    for number, picture in zip(index, EMOJI.images(index)):
        found[picture.tobytes()].add(int(number))
    return found


def test_a_held_out_drawing_is_never_taught_and_a_caption_names_the_drawing_beside_it_and_its_set(nets):
    recipe = replace(SILENCED, blind=0.0)
    out = page(recipe, nets["drawings"])
    drawn = by_pixels(EMOJI.split("train"))
    told = recipe.pairs.vocabulary.decode(out["asked"].numpy())
    seen = set()
    for picture, caption in zip(out["pictures"], told):
        pixels = ((picture.permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy().tobytes()
        alike = np.array(sorted(drawn[pixels]))  # empty for a drawing that is held out
        names, looks = EMOJI.captions(alike, "name"), EMOJI.captions(alike, "style")
        sets = [look[look.rindex(" in ") :].partition(" mostly ")[0] for look in looks]
        assert any(caption.startswith(n) and caption.endswith(s) for n, s in zip(names, sets)), caption
        seen |= drawn[pixels]
    held = [set(EMOJI.split(part)) for part in ("val", "test", "style_concept")]
    assert len(seen) > 400 and not any(seen & part for part in held)
    assert (out["ids"] == PAD).all()  # told to the prior alone


def test_an_embedding_that_is_looked_up_is_that_of_the_drawing_asked_for(nets):
    clip, pairs = nets["drawings"].clip, SILENCED.pairs
    look = lookup(clip, pairs)
    index = pairs.drawn[[5, 0, 5, len(pairs.drawn) - 1, 77]]
    with torch.no_grad():
        wanted = loud(clip.embed_images(torch.from_numpy(EMOJI.images(index)).permute(0, 3, 1, 2)))
    assert torch.allclose(look(index), wanted, atol=1e-4)
    assert torch.equal(look(index)[0], look(index)[2])


def test_many_are_embedded_as_each_alone(nets):
    net, pairs = nets["scenes"], WORDED.pairs
    _, pictures, captions = pairs.draw(300, "many")  # more than a block
    x, ids = torch.from_numpy(pictures).permute(0, 3, 1, 2), torch.from_numpy(pairs.vocabulary.padded(captions))
    for make, given in ((embedded, x), (said, ids)):
        many = make(net.clip, given)
        assert len(many) == 300
        for k in (0, 255, 256, 299):
            assert torch.allclose(many[k], make(net.clip, given[k : k + 1])[0], atol=1e-4)


# ---- the recipe: what learns, and from what


def objective_of(recipe: UnCLIP, model: Any, monkeypatch: Any, tmp_path: Any) -> Any:
    """Return what a recipe trains with."""
    kept: list[Any] = []
    monkeypatch.setattr(module, "fit", lambda model, objective, *_, **__: kept.append(objective))
    recipe.fit(model, 0, tmp_path)
    return kept[0]


def gradients(net: Any) -> dict[str, Tensor]:
    out = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    net.zero_grad(set_to_none=True)
    return out


def test_decoder_and_prior_learn_as_if_alone(nets, monkeypatch, tmp_path):
    """Each one's gradient is that of its own loss, whatever the other is; and the CLIP has none."""
    model = shaken(WORDED.build(0), scale=0.1)
    objective, batch = objective_of(WORDED, model, monkeypatch, tmp_path), WORDED.batches(model, 0)(0)

    def learnt() -> dict[str, Tensor]:
        objective(model, batch, generator(3))[0].backward()
        return gradients(model)

    whole = learnt()
    assert not [name for name in whole if name.startswith("clip.")]
    dice = generator(3)
    middle = (WORDED.inner_low, WORDED.inner_high)
    told = {"told": ("ids", "shown")}
    alone = denoise_loss(WEIGHTINGS["rest"], WORDED.low, WORDED.high, middle, WORDED.share, **told)
    alone(model.decoder, batch, dice)[0].backward()
    for name, grad in gradients(model.decoder).items():
        assert torch.equal(grad, whole[f"decoder.{name}"]), name
    told = {"of": "embedding", "told": ("asked", "text")}
    alone = denoise_loss(WEIGHTINGS["rest"], *PRIOR_RANGE, PRIOR_RANGE, 1.0, **told)
    alone(model.prior, batch, dice)[0].backward()
    for name, grad in gradients(model.prior).items():
        assert torch.equal(grad, whole[f"prior.{name}"]), name
    for part, other in (("decoder", "prior"), ("prior", "decoder")):
        shaken(model.get_submodule(other), seed=9, scale=0.1)
        again = learnt()
        own = [name for name in whole if name.startswith(f"{part}.")]
        assert len(own) > 10 and all(torch.equal(again[name], whole[name]) for name in own)
        assert any(not torch.equal(again[n], whole[n]) for n in whole if n.startswith(f"{other}."))
        whole = again


def test_the_decoder_hears_what_it_is_shown_and_the_prior_what_it_is_asked(nets, monkeypatch, tmp_path):
    model = shaken(WORDED.build(0), scale=0.1)
    objective, batch = objective_of(WORDED, model, monkeypatch, tmp_path), WORDED.batches(model, 0)(0)

    def losses(batch: dict[str, Tensor]) -> tuple[float, float]:
        with torch.no_grad():
            loss, parts = objective(model, batch, generator(3))
        assert loss.item() == pytest.approx(parts["decoder"].item() + parts["prior"].item())
        return parts["decoder"].item(), parts["prior"].item()

    before = losses(batch)
    hears = {"pictures": (1, 0), "ids": (1, 0), "shown": (1, 0), "embedding": (0, 1), "asked": (0, 1), "text": (0, 1)}
    assert set(batch) == set(hears)
    for name, which in hears.items():
        after = losses({**batch, name: batch[name].roll(1, 0)})
        assert tuple(int(a != b) for a, b in zip(before, after)) == which, name


@pytest.mark.parametrize(("name", "recipe"), [("drawings", SILENCED), ("scenes", WORDED)])
def test_training_leaves_the_clip_and_the_skips_bit_for_bit_and_moves_the_rest(name, recipe, tmp_path):
    theirs = recipe.clip.build(7).state_dict()  # another seed's: not what `build` would draw itself
    model = recipe.build(0, {f"clip.{k}": v for k, v in theirs.items()})
    assert all(torch.equal(v, theirs[k]) for k, v in model.clip.state_dict().items())
    before = {k: v.clone() for k, v in model.state_dict().items()}
    replace(recipe, train=Train(4, 8)).fit(model, 0, tmp_path)
    for k, v in model.state_dict().items():
        if k.startswith("clip.") or ".skip." in k:
            assert torch.equal(v, before[k]), k
    assert not any(p.requires_grad for p in model.clip.parameters())
    for part in ("decoder.net.paint", "decoder.net.tokens", "decoder.net.join", "prior.read", "prior.word"):
        assert any(not torch.equal(v, before[k]) for k, v in model.state_dict().items() if k.startswith(part)), part


def test_it_is_taught_embeddings_of_the_clip_that_it_was_given():
    given = WORDED.clip.build(7)
    model = WORDED.build(0, {f"clip.{k}": v for k, v in given.state_dict().items()})
    batch = WORDED.batches(model, 0)(0)
    with torch.no_grad():
        assert torch.allclose(batch["embedding"], loud(given.embed_images(batch["pictures"])), atol=1e-4)
    pictures = torch.from_numpy(WORDED.pairs.draw(400, "other")[1]).permute(0, 3, 1, 2).contiguous()
    z = embedded(given, pictures)
    guess = model.prior.skip.mean.expand_as(z)
    assert (z - guess).square().mean() < 1.1 * (z - z.mean(0)).square().mean()  # its prior begins at their mean
    assert torch.allclose(model.prior.skip.mean, z.mean(0), atol=0.1)


@pytest.mark.parametrize("recipe", [SILENCED, WORDED, replace(WORDED, silent=1.0, skip="paint")])
def test_a_net_that_is_filled_with_weights_answers_as_the_one_they_came_from(recipe):
    model = shaken(recipe.build(0), scale=0.1)
    weights = model.state_dict()
    copy = recipe.build(5, weights)
    assert not any(p.requires_grad for p in copy.clip.parameters()) and not copy.clip.training
    copy.load_state_dict(weights)
    batch = recipe.batches(model, 0)(0)
    log_snr = torch.linspace(-3, 3, len(batch["ids"]))
    with torch.no_grad():
        drawn, again = (net.decoder(batch["pictures"], log_snr, batch["ids"], batch["shown"]) for net in (model, copy))
        z, z_again = (net.prior(batch["embedding"], log_snr, batch["asked"], batch["text"]) for net in (model, copy))
        assert torch.equal(copy.clip.embed_images(batch["pictures"]), model.clip.embed_images(batch["pictures"]))
    assert torch.equal(drawn, again) and torch.equal(z, z_again) and drawn.std() > 0.01
    assert copy.decoder.range == (recipe.low, recipe.high) and copy.prior.range == PRIOR_RANGE


def test_a_net_is_a_function_of_its_seed_and_leaves_the_dice_of_others_alone(nets):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    again, other = WORDED.build(0), WORDED.build(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    one = nets["scenes"].state_dict()
    assert all(torch.equal(v, one[k]) for k, v in again.state_dict().items())
    for name in ("decoder.net.tokens.weight", "prior.word.weight", "clip.project_image.weight"):
        assert not torch.equal(other.state_dict()[name], one[name])


def test_a_silent_decoder_has_no_words_and_another_has(nets):
    assert not nets["drawings"].decoder.net.worded and nets["scenes"].decoder.net.worded
    assert type(nets["drawings"].decoder.skip) is PaintSkip and type(nets["drawings"].prior.skip) is WienerSkip


def test_it_stands_on_a_clip_of_its_own_seed_and_takes_it_over_bit_for_bit(tmp_path):
    recipe = replace(WORDED, clip=replace(WORDED.clip, train=Train(3, 8)), train=Train(2, 8))
    store = Store(tmp_path)
    trained = obtain(recipe, 3, "smoke", store, say=lambda text: None)
    parent = obtain(recipe.clip, 3, "smoke", store, say=lambda text: None)
    theirs = parent.model.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in trained.model.clip.state_dict().items())
    assert not torch.equal(theirs["project_image.weight"], recipe.clip.build(3).project_image.weight)  # it was trained
    learnt = trained.artefact.manifest["parameters"]
    assert learnt == sum(p.numel() for part in ("decoder", "prior") for p in getattr(trained.model, part).parameters())
    assert recipe.data_digest() == recipe.clip.pairs.digest and recipe.parents() == {"clip": recipe.clip}


def test_shipped_weights_are_the_trained_ones_in_half_precision_and_what_is_computed_is_computed_again(tmp_path):
    recipe = replace(SILENCED, clip=replace(SILENCED.clip, train=Train(3, 8)), train=Train(2, 8))
    trained = obtain(recipe, 1, "smoke", Store(tmp_path), say=lambda text: None)
    ship(trained, tmp_path / "shipped.safetensors")
    again = shipped(recipe, 1, tmp_path / "shipped.safetensors")
    with safe_open(tmp_path / "shipped.safetensors", "pt") as f:
        assert not [name for name in f.keys() if ".skip." in name]  # noqa: SIM118
    own, theirs = trained.model.state_dict(), again.state_dict()
    assert own.keys() == theirs.keys()
    for name in ("decoder.skip.mean", "decoder.skip.variances", "decoder.skip.directions"):  # of pictures alone
        assert torch.equal(own[name], theirs[name])
    for name, value in own.items():
        assert "skip.directions" in name or torch.allclose(value, theirs[name], rtol=0.02, atol=5e-3), name
    batch = recipe.batches(trained.model, 0)(0)
    log_snr = torch.linspace(-3, 3, len(batch["ids"]))
    with torch.no_grad():
        for part, x, told in (("decoder", "pictures", ("ids", "shown")), ("prior", "embedding", ("asked", "text"))):
            a, b = (getattr(net, part)(batch[x], log_snr, *(batch[n] for n in told)) for net in (trained.model, again))
            assert (a - b).square().mean() < 1e-3 * a.var(), part


# ---- refusals


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"skip": "pain"}, r"^The skip is 'pain', but must be one of .* \(did you mean 'paint'\?\)\.$"),
        ({"blind": 1.5}, r"^The share blind is 1\.5, but must lie between 0 and 1\.$"),
        ({"silent": -0.1}, r"^The share silent is -0\.1, but must lie between 0 and 1\.$"),
        ({"share": math.nan}, r"^The share share is nan, but must lie between 0 and 1\.$"),
        ({"low": 0.0}, r"^The noise levels are 0\.0, 0\.2, 8\.0, 40\.0, but must rise from above 0\.$"),
        ({"inner_low": 8.0}, r"^The noise levels are 0\.06, 8\.0, 8\.0, 40\.0, but must rise from above 0\.$"),
        ({"inner_low": 0.01}, r"^The noise levels are 0\.06, 0\.01, 8\.0, 40\.0, but must rise from above 0\.$"),
        ({"inner_high": 41.0}, r"^The noise levels are 0\.06, 0\.2, 41\.0, 40\.0, but must rise from above 0\.$"),
    ],
)
def test_recipes_that_cannot_be_are_refused(change, text):
    with pytest.raises(Refused, match=text):
        replace(DRAWINGS, **change)


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("of", ["drawings", "scenes"])
def test_every_preset_can_be_built(of, preset):
    recipe = {"drawings": PRESETS, "scenes": SCENES}[of][preset]
    assert recipe.pairs.side % recipe.patch == 0
    for width in (recipe.width, recipe.prior_width):
        assert width % recipe.heads == 0, "a trunk refuses that"
