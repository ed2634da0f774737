"""Ways on the sphere, latents that give the picture back, and what a painter refuses to mix up."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.data.emoji import STYLE_WORDS, STYLES, load_emoji
from falsework.nets import dit
from falsework.noise import levels, sigma_of
from falsework.probes import restyling
from falsework.probes.denoised import HELPS
from falsework.probes.restyling import LAST, STEPS, Embedding, Painter, in_style, noise_like, slerp
from falsework.recipes import unclip as recipes
from falsework.recipes.pairs import Pairs
from falsework.recipes.unclip import PRESETS, SCENES

torch.set_num_threads(1)
DRAWINGS, OF_SCENES = PRESETS["smoke"], SCENES["smoke"]
EMOJI = load_emoji()
OTHER = "1234567890ab"  # the key of another CLIP


def shaken(net: Any, scale: float = 0.2) -> Any:
    """Every weight that learns drawn at random: a net that hears what it is told."""
    gen = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            if p.requires_grad:
                p.copy_(torch.randn(p.shape, generator=gen) * scale)
    return net.eval()


@pytest.fixture(scope="module", autouse=True)
def few_pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "LOOKED_AT", 400)  # to compute the skips from
        patch.setattr(dit, "KNOWN", 24)
        yield


@pytest.fixture(scope="module")
def silent() -> Painter:
    """A painter of drawings whose decoder hears no words."""
    return Painter(shaken(DRAWINGS.build(0)), DRAWINGS)


@pytest.fixture(scope="module")
def painter() -> Painter:
    """A painter of scenes whose decoder hears words too."""
    return Painter(shaken(OF_SCENES.build(0)), OF_SCENES)


def scenes(n: int, *keys: object) -> tuple[np.ndarray, list[str]]:
    _, pictures, captions = OF_SCENES.pairs.draw(n, "restyling", *keys)
    return pictures, captions


def points(n: int, seed: int = 0, size: int = 7) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, size))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def foreign(embedding: Embedding) -> Embedding:
    return Embedding(embedding.points, OTHER)


def angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles of each two rows, exact for small ones too."""
    a, b = (x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True) for x in (a, b))
    return 2 * np.arctan2(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))


# ---- ways on the sphere


@pytest.mark.parametrize("size", [1.0, 3.5])
def test_a_way_on_the_sphere_stays_on_it_and_ends_where_it_should(size):
    a, b = size * points(50), size * points(50, 1)
    for weight in (0.0, 0.1, 0.5, 0.83, 1.0):
        assert np.allclose(np.linalg.norm(slerp(a, b, weight), axis=1), size, atol=1e-5)
    assert np.allclose(slerp(a, b, 0.0), a, atol=1e-6) and np.allclose(slerp(a, b, 1.0), b, atol=1e-6)
    assert slerp(a, b, 0.5).dtype == np.float32


def test_equal_weights_are_equal_angles_in_the_plane_of_the_two():
    a, b = points(50), points(50, 1)
    for weight in (0.1, 0.25, 0.5, 0.9):
        z = slerp(a, b, weight)
        assert np.allclose(angle(a, z), weight * angle(a, b), atol=1e-5)
        assert np.allclose(angle(z, b), (1 - weight) * angle(a, b), atol=1e-5)


def test_the_way_back_is_the_same_way():
    a, b = points(50), points(50, 1)
    for weight in (0.0, 0.2, 0.5, 0.7, 1.0):
        assert np.allclose(slerp(a, b, weight), slerp(b, a, 1 - weight), atol=1e-6)


def test_each_pair_has_its_own_weight_and_half_way_is_the_middle():
    a, b, weights = points(5), points(5, 1), np.linspace(0, 1, 5)
    every = slerp(a, b, weights)
    for k, weight in enumerate(weights):
        assert np.allclose(every[k], slerp(a[k : k + 1], b[k : k + 1], float(weight))[0], atol=1e-6)
    middle = (a + b) / np.linalg.norm(a + b, axis=1, keepdims=True)
    assert np.allclose(slerp(a, b, 0.5), middle, atol=1e-6)


@pytest.mark.parametrize("off", [1e-4, 0.01, 0.08])
def test_a_short_way_is_no_less_on_the_sphere_than_a_long_one(off):
    a = points(20).astype(np.float64)
    across = points(20, 1) - (points(20, 1) * a).sum(1, keepdims=True) * a
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    for weight in (0.25, 0.5):
        z = slerp(1000 * a, 1000 * (math.cos(off) * a + math.sin(off) * across), weight)
        turn = weight * off
        assert np.allclose(z, 1000 * (math.cos(turn) * a + math.sin(turn) * across), atol=2e-4)


@pytest.mark.parametrize("off", [0.0, 1e-8, 1e-5, 1e-3])
def test_between_points_that_are_the_same_or_nearly_so_there_is_no_jump(off):
    a = points(20).astype(np.float64)
    b = a + off * points(20, 1)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    for weight in (0.0, 0.3, 1.0):
        z = slerp(a, b, weight)
        assert np.isfinite(z).all() and np.allclose(z, a + weight * (b - a), atol=2e-6)


@pytest.mark.parametrize("weight", [-0.01, 1.01, math.nan, 7, [0.5, 1.5], [math.nan, 0.5]])
def test_weights_outside_nought_to_one_are_refused(weight):
    given = np.array(weight) if isinstance(weight, list) else weight
    said = re.escape(f"The weight is {np.round(given, 3)}, but must lie between 0 and 1.")
    with pytest.raises(Refused, match=f"^{said}$"):
        slerp(points(2), points(2, 1), given)


def test_between_opposite_points_there_is_no_one_way():
    a, b = points(3), points(3, 1)
    b[1] = -2 * a[1]
    for weight in (0.0, 0.5):
        with pytest.raises(Refused, match=r"^The two points lie opposite each other on the sphere, but a way between"):
            slerp(a, b, weight)
    b[1] = -a[1] + 0.02 * a[1, ::-1]  # nearly: then there is one side
    b[1] /= np.linalg.norm(b[1])
    assert np.allclose(angle(a, slerp(a, b, 0.5)), angle(a, b) / 2, atol=1e-4)


# ---- embeddings


def test_embeddings_have_length_one_and_the_key_of_their_clip(painter):
    pictures, captions = scenes(3)
    for made in (
        painter.see(pictures),
        painter.hear(captions),
        painter.difference(captions, ["a thing"] * 3),
        painter.dream(captions, 0, tries=1),
        painter.toward(painter.see(pictures), painter.hear(captions), 0.3),
        painter.walk(painter.see(pictures[:1]), painter.hear(captions[:1]), 3),
    ):
        assert made.points.shape == (3, OF_SCENES.clip.shared) and made.points.dtype == np.float32
        assert np.allclose(np.linalg.norm(made.points, axis=1), 1, atol=1e-5) and made.key == painter.key


def test_a_key_is_of_the_clip_its_seed_and_its_training_and_of_nothing_else(painter):
    def key(recipe: Any, seed: int = 0) -> str:
        return Painter(None, recipe, seed).key

    assert key(OF_SCENES) == painter.key == key(replace(OF_SCENES, width=32, blind=0.5))  # another decoder
    clip = OF_SCENES.clip
    longer = replace(clip, train=replace(clip.train, steps=11))
    others = [replace(OF_SCENES, clip=longer), replace(OF_SCENES, clip=replace(clip, shared=8)), DRAWINGS]
    assert len({key(OF_SCENES), key(OF_SCENES, 1), *map(key, others)}) == 5


def test_some_of_many_embeddings_are_still_a_list_of_them():
    many = Embedding(points(5), OTHER)
    assert len(many) == 5 and many[2].points.shape == (1, 7) and many[2].key == OTHER
    assert np.array_equal(many[[3, 1]].points, many.points[[3, 1]])
    assert np.array_equal(many[1:3].points, many.points[1:3])


def test_what_is_seen_is_the_clips_and_bytes_are_seen_as_the_floats_that_they_are(silent, painter):
    images = EMOJI.images(np.arange(4))
    floats = images.astype(np.float32) / 127.5 - 1
    assert np.allclose(silent.see(images).points, silent.see(floats).points, atol=1e-5)
    pictures, captions = scenes(4)
    with torch.no_grad():
        seen = painter.model.clip.embed_images(torch.from_numpy(pictures).permute(0, 3, 1, 2))
        ids = torch.from_numpy(OF_SCENES.pairs.vocabulary.padded(captions))
        heard = painter.model.clip.embed_texts(ids)
    assert np.allclose(painter.see(pictures).points, seen, atol=1e-5)
    assert np.allclose(painter.hear(captions).points, heard, atol=1e-5)


def test_a_difference_points_from_one_caption_to_the_other(painter):
    add, subtract = ["a red thing", "a cross", "a thing"], ["a blue thing", "a circle", "a red thing"]
    found = painter.difference(add, subtract).points
    off = painter.hear(add).points - painter.hear(subtract).points
    assert np.allclose(found, off / np.linalg.norm(off, axis=1, keepdims=True), atol=1e-4)
    assert np.allclose(found, -painter.difference(subtract, add).points, atol=1e-5)
    alone = painter.difference("a red thing", "a blue thing").points
    assert alone.shape == (1, OF_SCENES.clip.shared) and np.allclose(alone, found[:1], atol=1e-4)


def test_moving_toward_a_direction_is_the_way_on_the_sphere(painter):
    start, there = painter.see(scenes(3)[0]), painter.hear(["a red thing", "a cross", "a thing"])
    for weight in (0.0, 0.3, 1.0):
        moved = painter.toward(start, there, weight).points
        assert np.allclose(moved, slerp(start.points, there.points, weight), atol=1e-6)
        one = painter.toward(start, there[0], weight).points  # one direction for all
        assert np.allclose(one, slerp(start.points, there.points[[0, 0, 0]], weight), atol=1e-6)
    nearer = (painter.toward(start, there, 0.6).points * there.points).sum(1)
    assert (nearer > (start.points * there.points).sum(1)).all()


def test_a_walk_has_its_ends_and_even_steps(painter):
    pictures, _ = scenes(2)
    a, b = painter.see(pictures[:1]), painter.see(pictures[1:])
    steps = painter.walk(a, b, 6).points
    assert np.allclose(steps[0], a.points[0], atol=1e-6) and np.allclose(steps[-1], b.points[0], atol=1e-6)
    turns = angle(steps[:-1], steps[1:])
    assert np.allclose(turns, angle(a.points, b.points) / 5, atol=1e-5)


# ---- what the prior draws


class Stub(nn.Module):
    """A prior that believes something, and notes what it is told."""

    range = (0.05, 40.0)

    def __init__(self, belief: Any) -> None:
        super().__init__()
        self.nothing, self.belief = nn.Parameter(torch.zeros(1)), belief
        self.told, self.seen = list[tuple[Tensor, Tensor]](), list[tuple[float, Tensor]]()

    def forward(self, x_BE: Tensor, log_snr_B: Tensor, ids_BM: Tensor, text_BE: Tensor) -> Tensor:
        self.told.append((ids_BM, text_BE))
        self.seen.append((float(sigma_of(log_snr_B)[0]), x_BE))
        return self.belief(x_BE, text_BE)


def with_prior(painter: Painter, belief: Any) -> tuple[Painter, Stub]:
    stub = Stub(belief)
    return replace(painter, model=SimpleNamespace(clip=painter.model.clip, prior=stub)), stub


def test_a_prior_is_told_captions_and_their_loud_embeddings_and_its_belief_is_dreamt(painter):
    captions = ["a red thing", "a cross"]
    dreamer, stub = with_prior(painter, lambda x, text: text)
    dreamt, heard = dreamer.dream(captions, 0), painter.hear(captions)
    assert np.allclose(dreamt.points, heard.points, atol=1e-3)
    ids, text = stub.told[0]
    assert np.array_equal(ids, OF_SCENES.pairs.vocabulary.padded(captions))
    assert np.allclose(text, heard.points * math.sqrt(OF_SCENES.clip.shared), atol=1e-4)
    assert len(stub.told) == restyling.TRIES * STEPS  # a look a step, and none at the blank


def test_a_dream_begins_in_the_most_noise_that_the_prior_learnt_and_ends_at_the_least(painter):
    dreamer, stub = with_prior(painter, lambda x, text: text)
    dreamer.dream(["a red thing"] * 200, 0, tries=1)
    at = [sigma for sigma, _ in stub.seen]
    assert at[0] == pytest.approx(40, rel=1e-4) and at[-1] == pytest.approx(0.05, rel=1e-3)
    assert at == sorted(at, reverse=True)
    assert stub.seen[0][1].std().item() == pytest.approx(40, rel=0.06)


def test_a_dream_is_a_function_of_its_keys_and_two_tries_are_two_dreams(painter):
    captions = ["a red thing"] * 3
    one, same, other = (painter.dream(captions, "dream", k, tries=1).points for k in (0, 0, 1))
    assert np.array_equal(one, same) and not np.allclose(one, other, atol=1e-3)
    assert angle(one[[0]], one[[1]]).item() > 1e-3  # each row from noise of its own


def test_of_more_tries_each_dream_is_the_one_that_fits_its_caption_best(painter):
    captions = scenes(6)[1]
    dreamer, _ = with_prior(painter, lambda x, text: x * 0.9 + 0.02 * text)  # all over the place
    heard = painter.hear(captions).points
    before, changed = None, 0
    for tries in (1, 2, 3, 4):
        made = dreamer.dream(captions, "tries", tries=tries).points
        fit = (made * heard).sum(1)
        if before is not None:
            moved = np.abs(made - before[0]).max(1) > 1e-6
            assert (fit[moved] > before[1][moved]).all() and np.allclose(fit[~moved], before[1][~moved])
            changed += moved.sum()
        before = made, fit
    assert 3 < changed < 18  # some of 18 tries were better, not all


def test_a_dream_that_is_guided_goes_away_from_the_blank_which_hears_nothing(painter):
    captions = ["a red thing", "a cross"]
    dreamer, stub = with_prior(painter, lambda x, text: 0.5 * text + 1.0)
    found = {w: dreamer.dream(captions, 0, tries=1, guidance=w).points for w in (0.0, 1.0, 3.0)}
    blank = [(ids, text) for ids, text in stub.told if not text.any()]
    assert len(blank) == 2 * STEPS and not any(ids.any() for ids, _ in blank)
    heard = painter.hear(captions).points * math.sqrt(OF_SCENES.clip.shared)
    for weight, made in found.items():
        wanted = weight * 0.5 * heard + 1.0
        assert np.allclose(made, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-3)


# ---- pictures


def test_a_drawing_is_a_function_of_its_keys_and_its_embedding(silent):
    z = silent.see(EMOJI.images(np.array([3, 700, 4000])))
    one, same, other = (silent.draw(z, "draw", k, steps=6) for k in (0, 0, 1))
    assert one.shape == (3, 32, 32, 3) and one.dtype == np.float32
    assert np.array_equal(one, same) and np.abs(one - other).mean() > 0.01
    moved = np.abs(silent.draw(z[[0, 2, 2]], "draw", 0, steps=6) - one).mean((1, 2, 3))
    assert moved[[0, 2]].max() < 1e-5 and moved[1] > 1e-3


def test_noise_is_standard_and_a_function_of_its_keys():
    x = noise_like(20, 16, "noise", 0)
    assert x.shape == (20, 16, 16, 3) and x.dtype == np.float32
    assert abs(x.mean()) < 4 / math.sqrt(x.size) and abs(x.std() - 1) < 4 / math.sqrt(2 * x.size)
    assert np.array_equal(x, noise_like(20, 16, "noise", 0)) and not np.allclose(x, noise_like(20, 16, "noise", 1))
    assert abs(np.corrcoef(x[0].ravel(), x[1].ravel())[0, 1]) < 4 / math.sqrt(768)


def looks(painter: Painter, monkeypatch: Any) -> list[tuple[float, Tensor]]:
    """Return a list that fills with (sigma, told vector) of each look of the decoder."""
    seen: list[tuple[float, Tensor]] = []
    clean = dit.Denoiser.clean

    def watched(self: Any, x: Tensor, log_snr_B: Tensor, heard: tuple[Tensor, Tensor]) -> Tensor:
        seen.append((float(sigma_of(log_snr_B)[0]), heard[1]))
        return clean(self, x, log_snr_B, heard)

    monkeypatch.setattr(dit.Denoiser, "clean", watched)
    return seen


def test_a_drawing_goes_from_the_most_noise_to_the_last_word_and_a_latent_to_where_it_was_taken(painter, monkeypatch):
    pictures, _ = scenes(2)
    z, (low, high), seen = painter.see(pictures), painter.model.decoder.range, looks(painter, monkeypatch)
    painter.draw(z, 0, steps=8)
    at = [sigma for sigma, _ in seen]
    assert min(at) == pytest.approx(LAST, rel=1e-4) and max(at) == pytest.approx(high, rel=1e-4)
    seen.clear()
    painter.draw(z, 0, steps=8, last=0.0)  # as far down as the net learnt
    assert min(sigma for sigma, _ in seen) == pytest.approx(low, rel=1e-4)
    seen.clear()
    latent = painter.invert(pictures, z, steps=8)
    up = [sigma for sigma, _ in seen]
    seen.clear()
    painter.draw(z, latent=latent, steps=8)
    down = [sigma for sigma, _ in seen]
    assert sorted(up) == pytest.approx(sorted(down)) and up[0] == down[-1] == pytest.approx(low, rel=1e-4)
    assert up == sorted(up) and down == sorted(down, reverse=True) and len(up) == 14  # two looks a step


def test_without_guidance_the_blank_is_never_asked_and_with_it_only_where_it_helps(painter, monkeypatch):
    z, seen = painter.see(scenes(2)[0]), looks(painter, monkeypatch)
    painter.draw(z, 0, guidance=1.0)
    assert len(seen) == 2 * STEPS - 1
    seen.clear()
    painter.draw(z, 0, guidance=2.0)
    own = seen[0][1]  # at the most noise: there the words stand alone
    blank = [sigma for sigma, told in seen if not torch.equal(told, own)]
    assert len(seen) == 2 * STEPS - 1 + len(blank) and 4 < len(blank) < 2 * STEPS - 4
    assert min(blank) > HELPS[0] and max(blank) < HELPS[1]


def test_guidance_is_a_line_from_the_blank_which_hears_neither_embedding_nor_words(painter, monkeypatch):
    """Of nought it draws what no embedding and no words would; of one what the embedding alone would."""
    monkeypatch.setattr(restyling, "HELPS", (0.0, math.inf))
    (_, captions), z = scenes(2), painter.see(scenes(2)[0])
    nothing = Embedding(np.zeros_like(z.points), z.key)
    drawn = painter.draw(z, 0, guidance=0.0, captions=captions, steps=6)
    assert np.allclose(drawn, painter.draw(nothing, 0, guidance=1.0, steps=6), atol=1e-4)
    assert np.abs(drawn - painter.draw(z, 0, guidance=1.0, captions=captions, steps=6)).mean() > 0.01
    told, x = painter._told(z.points, captions), torch.randn(2, 3, 16, 16, generator=torch.Generator())
    with torch.inference_mode():
        at = {w: painter._denoise(told, slice(None), w)(x, torch.zeros(2)) for w in (0.0, 1.0, 2.0, 3.0)}
    for weight in (2.0, 3.0):
        assert torch.allclose(at[weight], at[0.0] + weight * (at[1.0] - at[0.0]), atol=1e-4)


def test_words_beside_the_embedding_are_heard_and_no_words_are_pads(painter):
    pictures, captions = scenes(2)
    z = painter.see(pictures)
    plain, worded = (painter.draw(z, 0, guidance=1.0, captions=c, steps=6) for c in (None, captions))
    assert np.array_equal(plain, painter.draw(z, 0, guidance=1.0, captions=["", ""], steps=6))
    assert np.abs(plain - worded).mean((1, 2, 3)).min() > 1e-3
    decoder, points = painter.model.decoder, torch.from_numpy(z.points) * math.sqrt(OF_SCENES.clip.shared)
    ids = torch.from_numpy(OF_SCENES.pairs.vocabulary.padded(captions))
    with torch.inference_mode():
        x, log_snr = torch.randn(2, 3, 16, 16, generator=torch.Generator()), torch.zeros(2)
        direct = decoder(x, log_snr, ids, points)
        found = painter._denoise(painter._told(z.points, captions), slice(None), 1.0)(x, log_snr)
    assert torch.allclose(found, direct, atol=1e-4)  # loud, as in training


def test_a_picture_comes_back_from_its_latent_under_its_own_embedding(silent, painter):
    for one, pictures in ((silent, EMOJI.images(np.array([3, 700, 4000]))), (painter, scenes(3)[0])):
        z = one.see(pictures)
        x = pictures.astype(np.float32) / 127.5 - 1 if pictures.dtype == np.uint8 else pictures
        errors = []
        for steps in (24, 48):
            latent = one.invert(pictures, z, steps)
            assert latent.shape == x.shape and latent.dtype == np.float32
            errors.append(np.sqrt(np.square(one.draw(z, latent=latent, steps=steps) - x).mean()))
        assert errors[0] < 0.01 and errors[1] < errors[0] / 3
        other = one.draw(z[[1, 2, 0]], latent=latent, steps=48)
        assert np.sqrt(np.square(other - x).mean()) > 0.1  # under another embedding it is another picture


def test_the_latent_of_a_linear_denoiser_is_the_whitened_picture():
    """On a Gaussian the flow stretches each direction by sqrt((v + high^2) / (v + low^2)) about the mean."""
    recipe = replace(OF_SCENES, skip="wiener", low=0.15)
    alone = Painter(recipe.build(0), recipe)  # untrained: it is its skip
    pictures, _ = scenes(2)
    skip, (low, high) = alone.model.decoder.skip, alone.model.decoder.range
    flat = torch.from_numpy(pictures).permute(0, 3, 1, 2).flatten(1)
    long = ((skip.variances + high**2) / (skip.variances + low**2)).sqrt()
    wanted = skip.mean + ((flat - skip.mean) @ skip.directions * long) @ skip.directions.T
    latent = alone.invert(pictures, alone.see(pictures), steps=64)
    found = torch.from_numpy(latent).permute(0, 3, 1, 2).flatten(1)
    assert (found - wanted).norm() < 0.01 * wanted.norm()


def test_bytes_are_inverted_as_the_floats_that_they_are(silent):
    images = EMOJI.images(np.array([3, 700]))
    z = silent.see(images)
    floats = images.astype(np.float32) / 127.5 - 1
    assert np.allclose(silent.invert(images, z, 6), silent.invert(floats, z, 6), atol=1e-3)


def test_no_guidance_turns_a_latent_aside_and_no_key_matters_to_it(painter):
    pictures, _ = scenes(2)
    z = painter.see(pictures)
    latent = painter.invert(pictures, z, 6)
    one = painter.draw(z, latent=latent, steps=6)
    assert np.array_equal(one, painter.draw(z, "other", latent=latent, guidance=5.0, steps=6))
    assert np.array_equal(latent, painter.invert(pictures, z, 6))


def test_many_are_drawn_and_inverted_as_each_block_alone(painter, monkeypatch):
    pictures, captions = scenes(5)
    z = painter.see(pictures)
    how = {"steps": 5, "guidance": 2.0, "captions": captions}
    drawn, latent = painter.draw(z, 0, **how), painter.invert(pictures, z, 5)
    again = painter.draw(z, latent=latent, steps=5)
    monkeypatch.setattr(restyling, "BLOCK", 2)
    assert np.allclose(drawn, painter.draw(z, 0, **how), atol=1e-3)
    assert np.allclose(latent, painter.invert(pictures, z, 5), rtol=1e-3, atol=1e-2)
    assert np.allclose(again, painter.draw(z, latent=latent, steps=5), atol=1e-3)


# ---- sets


def test_a_drawing_is_restyled_by_the_difference_of_its_two_captions(silent):
    index = np.array([EMOJI.find("horse face", "noto"), EMOJI.find("strawberry", "twemoji")])
    start, names = silent.see(EMOJI.images(index)), ["horse face", "strawberry"]
    moved = silent.restyle(start, "fluent3d", 0.3, names, ["noto", "twemoji"])
    there = silent.difference(
        ["horse face in fluent 3d style", "strawberry in fluent 3d style"],
        ["horse face in noto style", "strawberry in twemoji style"],
    )
    assert np.allclose(moved.points, silent.toward(start, there, 0.3).points, atol=1e-6)


def test_a_caption_of_a_set_says_what_captions_of_such_drawings_say():
    for style in STYLES:
        number = EMOJI.find("pig", style)
        told = in_style("pig", style)
        assert EMOJI.captions(np.array([number]), "style")[0].endswith(
            told.removeprefix("pig ") + EMOJI.captions(np.array([number]), "style")[0].split(" style")[1]
        )
    assert in_style("pig", "notoblob") == "pig in noto blob style" and len(STYLE_WORDS) == len(STYLES)


def test_every_set_that_training_shows_is_known(silent):
    assert [silent.known_style(style) for style in STYLES] == list(STYLES)


# ---- refusals


def test_an_embedding_of_another_clip_is_refused_wherever_one_is_taken(painter):
    pictures, _ = scenes(2)
    own = painter.see(pictures)
    other, one = foreign(own), own[0]
    latent = painter.invert(pictures, own, 4)
    takes = {
        "draw": lambda: painter.draw(other, 0),
        "draw with a latent": lambda: painter.draw(other, latent=latent),
        "start": lambda: painter.toward(other, own, 0.5),
        "direction": lambda: painter.toward(own, other, 0.5),
        "walk from": lambda: painter.walk(foreign(one), one, 3),
        "walk to": lambda: painter.walk(one, foreign(one), 3),
        "invert": lambda: painter.invert(pictures, other),
    }
    said = rf"^The embedding is of the CLIP {OTHER}, but this decoder understands {painter.key} alone\.$"
    for name, take in takes.items():
        with pytest.raises(Refused, match=said):
            take()
            pytest.fail(name)


def test_the_same_clip_of_another_seed_is_another_clip(painter):
    z = painter.see(scenes(1)[0])
    with pytest.raises(Refused, match=rf"^The embedding is of the CLIP {painter.key}, but this decoder understands "):
        replace(painter, seed=1).draw(z, 0)


def test_a_foreign_start_of_a_restyling_is_refused(silent):
    start = foreign(silent.see(EMOJI.images(np.array([EMOJI.find("pig", "noto")]))))
    with pytest.raises(Refused, match=rf"^The embedding is of the CLIP {OTHER}, "):
        silent.restyle(start, "twemoji", 0.3, ["pig"], ["noto"])


@pytest.mark.parametrize("weight", [-0.1, 1.5, math.nan])
def test_a_weight_that_leads_beyond_the_ends_is_refused(weight, painter):
    z = painter.see(scenes(2)[0])
    with pytest.raises(Refused, match=rf"^The weight is {weight}, but must lie between 0 and 1\.$"):
        painter.toward(z[0], z[1], weight)


def test_a_set_that_training_never_shows_is_refused(silent, painter):
    without = Pairs("drawings", ("set",), without="noto")
    less = replace(DRAWINGS, clip=replace(DRAWINGS.clip, pairs=without))
    spared = replace(silent, recipe=less)
    choices = "'twemoji', 'fluentflat', 'fluent3d', 'emojitwo'"
    for style in ("noto", "notoblob"):
        with pytest.raises(Refused, match=rf"^The set to draw in is '{style}', but must be one of {choices}[^,]*\.$"):
            spared.known_style(style)
    start = replace(silent.see(EMOJI.images(np.array([0]))), key=spared.key)
    with pytest.raises(Refused, match=r"^The set to draw in is 'noto', "):
        spared.restyle(start, "noto", 0.3, ["pig"], ["twemoji"])
    with pytest.raises(Refused, match=r"^The set to draw in is 'notto', .* \(did you mean 'noto'\?\)\.$"):
        silent.known_style("notto")
    said = r"^The set is 'noto', but this model was trained on scenes, which have no sets\.$"
    with pytest.raises(Refused, match=said):
        painter.restyle(painter.see(scenes(1)[0]), "noto", 0.3, ["pig"], ["twemoji"])
    scenes_alone = replace(painter, recipe=SimpleNamespace(pairs=Pairs("twins")))
    with pytest.raises(Refused, match=said):
        scenes_alone.known_style("noto")


def test_a_difference_of_two_captions_that_are_the_same_is_refused(painter, silent):
    said = r"^The captions 'a red thing' and 'a red thing' are the same to this CLIP: that is no direction\.$"
    with pytest.raises(Refused, match=said):
        painter.difference("a red thing", "a red thing")
    with pytest.raises(Refused, match=said):
        painter.difference(["a cross", "a red thing"], ["a red thing", "a red thing"])
    start = silent.see(EMOJI.images(np.array([EMOJI.find("pig", "noto")])))
    with pytest.raises(Refused, match=r"^The captions 'pig in noto style' and 'pig in noto style' are the same to "):
        silent.restyle(start, "noto", 0.3, ["pig"], ["noto"])  # it is in that set


def test_numbers_that_do_not_go_together_are_refused(painter, silent):
    three, two = ["a red thing", "a cross", "a thing"], ["a red thing", "a circle"]
    for subtract in (two, two[:1], two[0]):
        count = 1 if isinstance(subtract, str) else len(subtract)
        said = rf"^There are 3 captions to add and {count} to subtract, but need as many of each\.$"
        with pytest.raises(Refused, match=said):
            painter.difference(three, subtract)
    for start, there in ((three, two), (two, three), (two[:1], three)):
        said = rf"^There are {len(there)} directions for {len(start)} points, but need one, or one for each\.$"
        with pytest.raises(Refused, match=said):
            painter.toward(painter.hear(start), painter.hear(there), 0.5)
    pigs = silent.see(EMOJI.images(np.array([EMOJI.find("pig", "noto"), EMOJI.find("pig", "twemoji")])))
    with pytest.raises(Refused, match=r"^There are 2 points, 2 names and 1 sets, but need as many of each\.$"):
        silent.restyle(pigs, "fluent3d", 0.3, ["pig", "pig"], ["noto"])


def test_more_sets_than_names_are_refused(silent):
    pigs = silent.see(EMOJI.images(np.array([EMOJI.find("pig", "noto"), EMOJI.find("pig", "twemoji")])))
    with pytest.raises(Refused):
        silent.restyle(pigs, "fluent3d", 0.3, ["pig"], ["noto", "twemoji"])


def test_the_set_that_a_drawing_is_in_must_be_one(silent):
    start = silent.see(EMOJI.images(np.array([EMOJI.find("pig", "noto")])))
    with pytest.raises(Refused, match=r"^The set of a drawing is 'notto', but must be .*\(did you mean 'noto'\?\)\.$"):
        silent.restyle(start, "twemoji", 0.3, ["pig"], ["notto"])


def test_an_unknown_word_is_refused(painter):
    for ask in (painter.hear, lambda c: painter.dream(c, 0), lambda c: painter.difference(c, ["a thing"])):
        with pytest.raises(
            Refused, match=r"^The word 'reed' of 'a reed thing' is not among the .* nearest is 'red'\.$"
        ):
            ask(["a reed thing"])


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 16, 16, 1), np.float32),
        np.zeros((1, 16, 16, 3), np.float32),
        np.zeros((2, 32, 32, 3), np.float32),
        np.zeros((16, 16, 3), np.float32),
        np.zeros((2, 16, 16, 3), np.float64),
        np.zeros((2, 16, 16, 3), np.uint8),
    ],
)
def test_latents_of_another_shape_or_kind_are_refused(wrong, painter):
    z = painter.see(scenes(2)[0])
    given = re.escape(f"The noise latent is {wrong.dtype} {wrong.shape}, but must be float32 (2, 16, 16, 3), as `inv")
    with pytest.raises(Refused, match=f"^{given}"):
        painter.draw(z, latent=wrong)


def test_pictures_and_embeddings_of_different_number_and_pictures_of_another_size_are_refused(painter):
    pictures, captions = scenes(3)
    z = painter.see(pictures)
    with pytest.raises(Refused, match=r"^There are 2 pictures and 3 embeddings, but each needs its own\.$"):
        painter.invert(pictures[:2], z)
    with pytest.raises(Refused, match=r"^The pictures are float32 \(3, 8, 16, 3\), but must be uint8 \(N, 16, 16, 3\)"):
        painter.invert(pictures[:, :8], z)
    with pytest.raises(Refused, match=r"^There are 2 captions and 3 embeddings, but each needs its own\.$"):
        painter.draw(z, 0, captions=captions[:2])


def test_words_are_not_told_to_a_decoder_that_learned_without(silent):
    z = silent.see(EMOJI.images(np.array([0])))
    with pytest.raises(Refused, match=r"^The decoder was given captions, but learned without words\.$"):
        silent.draw(z, 0, captions=["horse face"])


@pytest.mark.parametrize("tries", [0, -1])
def test_a_dream_takes_one_try_or_more(tries, painter):
    with pytest.raises(Refused, match=rf"^The tries are {tries}, but must be one or more\.$"):
        painter.dream(["a red thing"], 0, tries=tries)


def test_a_negative_guidance_is_refused_of_dreams_and_drawings(painter):
    said = r"^The guidance is -1\.0, but must be 0 or more; 1 is none\.$"
    with pytest.raises(Refused, match=said):
        painter.dream(["a red thing"], 0, guidance=-1.0)
    with pytest.raises(Refused, match=said):
        painter.draw(painter.see(scenes(1)[0]), 0, guidance=-1.0)


def test_a_walk_needs_two_steps_and_goes_from_one_point_to_one(painter):
    z = painter.see(scenes(2)[0])
    for a, b, count, given in ((0, 1, 1, "1 steps from 1 points to 1"), ([0, 1], 1, 3, "3 steps from 2 points to 1")):
        with pytest.raises(Refused, match=rf"^The walk has {given}, but needs two or more, from one point to one\.$"):
            painter.walk(z[a], z[b], count)


def test_levels_and_steps_of_a_drawing_are_those_of_the_sampler(painter):
    assert levels(STEPS, LAST, OF_SCENES.high)[0] == pytest.approx(OF_SCENES.high)
    with pytest.raises(Refused, match=r"^Got 1 steps from 40\.0 to 0\.25, but need two or more"):
        painter.draw(painter.see(scenes(1)[0]), 0, steps=1)
