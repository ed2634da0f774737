"""Drawing from a stream, choosing among drawings, going on with one, and the stream used backwards: checked by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.core.vocabulary import PAD, Vocabulary
from falsework.experiments.dalle_shown import attributes_changed
from falsework.nets.dalle import DALLE, JointTransformer
from falsework.nets.vq import VQ
from falsework.probes import drawing
from falsework.probes.completion import answer_bits, finish, silent, upper, upper_cells
from falsework.probes.drawing import best_of, draw, draw_codes, paint, tries
from falsework.probes.likelihood import by_stream, caption_information, drawing_bits
from falsework.probes.reader import nearest_value
from falsework.recipes.dalle import codes_of, said
from falsework.recipes.pairs import scenes_of
from falsework.recipes.reader import fresh
from falsework.world.kinds import ATTRIBUTES

torch.set_num_threads(1)
SIDE, CELL, K = 16, 4, 9
GRID = SIDE // CELL
T = GRID**2
WORDS = Vocabulary(("blue", "circle", "green", "red", "square"), 4)
CAPTIONS = ("red circle", "green square", "blue", "red green blue", "square", "circle blue", "green")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lively(stream: JointTransformer, seed: int) -> JointTransformer:
    """Draw stems and heads at random, so that words and codes all weigh something; the blocks begin as they do."""
    gen = generator(seed)
    with torch.no_grad():
        for name, p in stream.named_parameters():
            if "blocks" not in name and p.ndim > 1:
                p.copy_(torch.randn(p.shape, generator=gen) * (2 / math.sqrt(p.shape[1]) if "see" in name else 0.5))
    return stream.eval()


class PlantedCLIP(nn.Module):
    """Sees the mean colour of a picture, and hears the last colour of a caption."""

    def __init__(self) -> None:
        super().__init__()
        self.project_image, self.project_text = nn.Linear(1, 3), nn.Linear(1, 3)
        self.heard = torch.zeros(len(WORDS), 3)
        for at, word in enumerate(("red", "green", "blue")):
            self.heard[WORDS.ids[word], at] = 1

    def embed_images(self, pictures: Tensor) -> Tensor:
        return F.normalize(pictures.float().mean((2, 3)), dim=1)

    def embed_texts(self, ids: Tensor) -> Tensor:
        return F.normalize(self.heard[ids].sum(1) + 1e-6, dim=1)


def a_model(seed: int = 0) -> DALLE:
    """A stream of random weights on an untrained tokenizer: what is painted are the codes themselves."""
    torch.manual_seed(seed)
    codes = torch.rand(K, 3 * CELL**2, generator=generator(seed)) * 2 - 1
    stream = lively(JointTransformer(len(WORDS), WORDS.length, codes, GRID, 16, 2, 2), seed)
    return DALLE(stream, VQ(SIDE, CELL, codes, 8), PlantedCLIP()).eval()


def solid(*colours: tuple[int, int, int]) -> np.ndarray:
    """Return uint8 (N, S, S, 3): pictures of one colour each."""
    return np.broadcast_to(np.array(colours, np.uint8)[:, None, None], (len(colours), SIDE, SIDE, 3)).copy()


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(n, SIDE, SIDE, 3), dtype=np.uint8)


# ---- drawing


@torch.no_grad()
@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 3.0])
def test_the_coldest_drawing_is_at_each_place_what_the_guided_scores_like_best(guidance):
    model, captions = a_model(), [*CAPTIONS, ""]
    codes = draw_codes(model, WORDS, captions, 0, guidance=guidance, top_k=1)
    ids = said(WORDS, captions)
    own, blank = (model(text, codes)[1] for text in (ids, torch.full_like(ids, PAD)))
    assert torch.equal((blank + guidance * (own - blank)).argmax(2), codes)
    unguided = (own.argmax(2) == codes).all(1)
    assert unguided[-1] and unguided.all() == (guidance == 1)  # where nothing is asked there is nothing to lean from


def test_a_drawing_is_a_function_of_its_keys_and_its_caption():
    model = a_model()
    how = {"temperature": 2.0}  # warm, so that no two drawings are the same by chance
    one, again, other = (draw_codes(model, WORDS, CAPTIONS, "keys", key, **how) for key in (0, 0, 1))
    assert torch.equal(one, again) and (one != other).any(1).all()
    assert one.shape == (len(CAPTIONS), T) and one.min() >= 0 and one.max() < K
    strange = draw_codes(model, WORDS, [*CAPTIONS[1:], CAPTIONS[0]], "keys", 0, **how)
    assert (one != strange).any(1).sum() > len(CAPTIONS) / 2
    pictures = draw(model, WORDS, CAPTIONS, "keys", 0, **how)
    assert np.array_equal(pictures, paint(model, one)) and pictures.dtype == np.uint8


def test_to_ask_for_nothing_is_to_draw_from_the_blank_whatever_the_guidance():
    model, n = a_model(), 6
    blank = draw_codes(model, WORDS, [""] * n, 5, guidance=1.0)
    for guidance in (0.0, 0.7, 2.0, 10.0):
        assert torch.equal(draw_codes(model, WORDS, [""] * n, 5, guidance=guidance), blank)
    assert torch.equal(draw_codes(model, WORDS, ["red"] * n, 5, guidance=0.0), blank)
    assert not torch.equal(draw_codes(model, WORDS, ["red"] * n, 5, guidance=1.0), blank)


def test_what_is_given_stands_in_every_block_of_captions(monkeypatch):
    monkeypatch.setattr(drawing, "BLOCK", 3)  # seven captions in three blocks
    model, n = a_model(), len(CAPTIONS)
    codes = torch.randint(K, (n, T), generator=generator(0))
    given = torch.where(torch.rand(n, T, generator=generator(1)) < 0.5, codes, -1)
    drawn = draw_codes(model, WORDS, CAPTIONS, 0, given_NT=given)
    assert torch.equal(drawn[given >= 0], codes[given >= 0]) and drawn.min() >= 0
    assert (drawn[given < 0] != codes[given < 0]).any()
    same = draw_codes(model, WORDS, ["red"] * 6, 0, temperature=2.0)
    assert (same[:3] != same[3:]).any()  # each block has dice of its own
    assert paint(model, drawn).shape == (n, SIDE, SIDE, 3)


def test_drawings_that_cannot_be_are_refused():
    model = a_model()
    with pytest.raises(Refused, match=r"^The guidance is -0\.5, but must be 0 or more\.$"):
        draw(model, WORDS, ["red"], guidance=-0.5)
    with pytest.raises(Refused, match=r"^The word 'gren' of 'red gren' is not among .*; the nearest is 'green'\.$"):
        draw(model, WORDS, ["red", "red gren"])
    with pytest.raises(Refused, match=r"^The caption has 4 words, but at most 3 fit: 'red red red circle'\.$"):
        draw(model, WORDS, ["red red red circle"])
    for shape in ((1, T), (2, T - 1), (T, 2)):
        with pytest.raises(
            Refused, match=rf"^The given codes are \({shape[0]}, {shape[1]}\), -1 to -1, but must be \(2,"
        ):
            draw_codes(model, WORDS, ["red", "blue"], given_NT=torch.full(shape, -1))
    for wrong in (-2, 9):
        with pytest.raises(
            Refused, match=r"^The given codes are .*, but must be \(1, 16\), 0 to 8, or -1 where to draw"
        ):
            draw_codes(model, WORDS, ["red"], given_NT=torch.full((1, T), wrong))
    for nothing in ([], "red"):
        with pytest.raises(Refused, match=r"^The captions are .*, but must be a list of one or more\.$"):
            draw(model, WORDS, nothing)
    for wild in (float("nan"), float("inf")):
        with pytest.raises(Refused, match=f"^The guidance is {wild}, but must be 0 or more"):
            draw(model, WORDS, ["red"], guidance=wild)
    for wrong in (0.0, -1.0):
        with pytest.raises(Refused, match=f"^The temperature is {wrong}, but must be above 0"):
            draw(model, WORDS, ["red"], temperature=wrong)
    with pytest.raises(Refused, match=r"^top_k is 0, but must be 1 or more\.$"):
        draw(model, WORDS, ["red"], top_k=0)
    with pytest.raises(Refused, match=r"^A picture has 16 codes, but 9 were given\.$"):
        paint(model, torch.zeros(2, 9, dtype=torch.long))


# ---- the best of several


def test_tries_stand_beside_their_caption_and_differ():
    model = a_model()
    several = tries(model, WORDS, CAPTIONS, 4, 0, temperature=2.0)
    assert several.shape == (len(CAPTIONS), 4, SIDE, SIDE, 3)
    flat = several.reshape(len(CAPTIONS), 4, -1)
    assert (flat[:, :, None] != flat[:, None]).any(3).sum() == len(CAPTIONS) * 4 * 3
    cold = tries(model, WORDS, CAPTIONS, 3, 0, top_k=1)
    alone = draw(model, WORDS, CAPTIONS, 0, top_k=1)
    assert all(np.array_equal(cold[:, k], alone) for k in range(3))


def test_clip_picks_the_drawing_that_is_nearest_to_the_caption_and_looks_at_the_first_k_alone():
    greyish, green, red, blue = (90, 80, 100), (20, 200, 30), (220, 10, 10), (0, 0, 99)
    several = np.stack([solid(greyish, green, red, blue)] * 3)
    captions, model = ["red circle", "green", "circle blue"], a_model()
    for k, wanted in (
        (1, (greyish, greyish, greyish)),
        (2, (greyish, green, greyish)),
        (3, (red, green, greyish)),
        (4, (red, green, blue)),
    ):
        assert np.array_equal(best_of(model, WORDS, captions, several, k), solid(*wanted)), k
    # of several that are the same to CLIP the first
    same = np.stack([solid(red, red)])
    same[0, 1, 0, 0], same[0, 1, 0, 1] = (230, 10, 10), (210, 10, 10)
    assert np.array_equal(best_of(model, WORDS, ["red"], same, 2)[0], same[0, 0])


def test_the_best_of_one_is_the_first_and_the_best_of_none_or_of_too_many_is_refused():
    model = a_model()
    several = tries(model, WORDS, CAPTIONS, 3, 0)
    assert np.array_equal(best_of(model, WORDS, CAPTIONS, several, 1), several[:, 0])
    for k in (0, -1, 4):
        with pytest.raises(Refused, match=rf"^The best of {k} was asked for, but there are 3 drawings of each capt"):
            best_of(model, WORDS, CAPTIONS, several, k)


# ---- a picture begun


@pytest.mark.parametrize("which", ["upper half", "a hole", "all", "none"])
def test_what_is_kept_keeps_its_codes_and_what_is_not_is_not_looked_at(which):
    model, n = a_model(), 5
    kept = np.ones((GRID, GRID), bool)
    if which == "upper half":
        kept = upper_cells(model)
        assert kept[:2].all() and not kept[2:].any()
    elif which == "a hole":
        kept[1:3, 1:3] = False
    elif which == "none":
        kept[:] = False
    pixels = kept.repeat(CELL, 0).repeat(CELL, 1)
    first, rest = noise(n, 0), noise(n, 1)
    second = np.where(pixels[..., None], first, rest)  # the same where it is kept, and nowhere else
    made = [finish(model, WORDS, pictures, kept, "keys") for pictures in (first, second)]
    assert np.array_equal(made[0], made[1])
    rebuilt = paint(model, codes_of(model, first))
    assert np.array_equal(made[0][:, pixels], rebuilt[:, pixels])
    assert torch.equal(codes_of(model, made[0])[:, kept.reshape(-1)], codes_of(model, first)[:, kept.reshape(-1)])
    if which != "all":
        assert (made[0][:, ~pixels] != rebuilt[:, ~pixels]).any((1, 2)).all()
        other = finish(model, WORDS, first, kept, "other keys")
        assert not np.array_equal(other, made[0])
    else:
        assert np.array_equal(made[0], rebuilt)


def test_the_rest_depends_on_what_is_kept_and_is_drawn_unasked():
    model = a_model()
    one, other = noise(5, 0), noise(5, 1)
    kept = upper_cells(model)
    rest = [finish(model, WORDS, pictures, kept, "keys", top_k=1)[:, SIDE // 2 :] for pictures in (one, other)]
    assert not np.array_equal(rest[0], rest[1])
    # by hand: each code that is drawn is the likeliest after those before it, when nothing is said
    codes = codes_of(model, finish(model, WORDS, one, kept, "keys", top_k=1))
    with torch.no_grad():
        likeliest = model(silent(model, 5), codes)[1].argmax(2)
    assert torch.equal(likeliest[:, T // 2 :], codes[:, T // 2 :])


def test_halves_are_laid_on_an_empty_ground():
    model, halves = a_model(), noise(3)[:, : SIDE // 2]
    whole = upper(model, halves)
    assert np.array_equal(whole[:, : SIDE // 2], halves) and whole.shape == (3, SIDE, SIDE, 3)
    assert whole[:, SIDE // 2 :].max() == 0 and whole.dtype == np.uint8
    full = finish(model, WORDS, noise(3), upper_cells(model), 0)
    assert np.array_equal(finish(model, WORDS, whole, upper_cells(model), 0), full)


def test_halves_of_another_size_and_another_grid_are_refused():
    model = a_model()
    for shape in ((2, SIDE, SIDE, 3), (2, SIDE // 2, SIDE // 2, 3), (SIDE // 2, SIDE, 3), (2, SIDE // 2, SIDE, 4)):
        with pytest.raises(Refused, match=r"^The upper halves have shape .*, but must have \(N, 8, 16, 3\): half of a"):
            upper(model, np.zeros(shape, np.uint8))
    for shape in ((8, 8), (GRID, GRID - 1), (T,)):
        with pytest.raises(
            Refused, match=r"^The cells to keep have shape \(.*\), but this tokenizer's grid is 4 x 4\.$"
        ):
            finish(model, WORDS, noise(2), np.ones(shape, bool))
    for wrong in (noise(2)[:, :8], noise(2).astype(float)):
        with pytest.raises(Refused, match=r"^The pictures are .*, but must be uint8 \(N, 16, 16, 3\)"):
            finish(model, WORDS, wrong, upper_cells(model))
    with pytest.raises(Refused, match=r"^The pictures are .*, but must be uint8 \(N, 16, 16, 3\)"):
        answer_bits(model, np.zeros((2, 8, 32, 32, 3), np.uint8))


# ---- the stream used backwards


def small_stream(seed: int = 0) -> JointTransformer:
    """A stream so small that all its pictures can be counted: two by two cells of three codes."""
    look = torch.randn(3, 4, generator=generator(seed))
    torch.manual_seed(seed)
    stream = lively(JointTransformer(len(WORDS), WORDS.length, look, 2, 12, 1, 2), seed)
    stream.draw.weight.data.mul_(4)  # a net that knows its mind: captions tell it something
    return stream


EVERY = torch.tensor(list(itertools.product(range(3), repeat=4)))  # 81 pictures
FOUR = ("red", "green circle", "blue square", "circle")


def log2_table(stream: JointTransformer) -> np.ndarray:
    """Return float64 (4, 81): log2 p(x|c) of every picture after each of four captions."""
    ids = said(WORDS, FOUR)
    return np.stack([-drawing_bits(stream, ids[c : c + 1].expand(81, -1), EVERY).sum(1) for c in range(4)])


def test_over_all_pictures_the_probabilities_sum_to_one_whatever_is_said():
    stream = small_stream()
    assert np.exp2(log2_table(stream)).sum(1) == pytest.approx(np.ones(4), abs=1e-5)
    ids = said(WORDS, FOUR)[torch.arange(81) % 4]  # captions and pictures stay together across blocks
    blocks = drawing_bits(stream, ids, EVERY, batch=7)
    assert blocks.shape == (81, 4) and np.allclose(blocks, drawing_bits(stream, ids, EVERY), atol=1e-5)
    assert np.allclose(-blocks.sum(1), log2_table(stream)[np.arange(81) % 4, np.arange(81)], atol=1e-4)


class OneWord:
    """A planted stream: every code of a picture is drawn from a table that the caption's last word chooses."""

    def __init__(self, table: dict[str, list[float]]) -> None:
        self.log = torch.zeros(len(WORDS), K)
        for word, shares in table.items():
            self.log[WORDS.ids[word]] = torch.tensor(shares).log()

    def __call__(self, ids: Tensor, codes: Tensor) -> tuple[None, Tensor]:
        last = ids.gather(1, (ids > 2).sum(1, keepdim=True) - 1)[:, 0]
        return None, self.log[last][:, None].expand(-1, codes.shape[1], -1)


TABLE = {
    "red": [0.5, 0.3, 0.1, 0.02, 0.02, 0.02, 0.02, 0.01, 0.01],
    "green": [0.1, 0.2, 0.3, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05],
    "blue": [1 / 9] * 9,
}


class Planted:
    """A tokenizer that is read without fault, and the planted stream."""

    def __init__(self) -> None:
        self.tokenizer, self.stream = a_model().tokenizer, OneWord(TABLE)


def few_codes(n: int) -> tuple[Tensor, np.ndarray]:
    """Return codes (n, T), few of which tell the captions apart, and the pictures that they paint."""
    source = np.random.default_rng(0)
    shares = np.array([TABLE[word] for word in ("red", "green", "blue")])[np.arange(n) % 3]
    codes = torch.from_numpy(np.stack([source.choice(K, size=T, p=p / p.sum()) for p in shares]))
    return codes, paint(a_model(), codes)


def test_the_classifier_made_of_a_stream_gives_the_posterior_of_bayes():
    codes, pictures = few_codes(30)
    model = Planted()
    assert torch.equal(codes_of(model, pictures), codes)
    score = by_stream(model, WORDS)
    scores = score(pictures, ["circle red", "circle green", "blue"])
    likelihood = np.array(
        [[np.prod([TABLE[word][code] for code in row]) for word in ("red", "green", "blue")] for row in codes.tolist()]
    )
    np.testing.assert_allclose(scores, np.log(likelihood), rtol=1e-5)
    posterior = np.exp(scores - scores.max(1, keepdims=True))
    posterior /= posterior.sum(1, keepdims=True)
    np.testing.assert_allclose(posterior, likelihood / likelihood.sum(1, keepdims=True), atol=1e-4)
    assert (scores.argmax(1) == np.arange(30) % 3).mean() > 0.7 and posterior.max(1).min() < 0.9  # some are in doubt
    # each picture with captions of its own, in an order of its own
    rows = [["blue", "red"] if k % 2 else ["green", "square blue"] for k in range(30)]
    own = score(pictures, rows)
    for k in range(30):
        assert own[k] == pytest.approx(scores[k, [2, 0] if k % 2 else [1, 2]])


def test_the_answer_is_the_cheapest_picture_when_nothing_is_said():
    model = a_model()
    pictures = np.stack([noise(3, seed) for seed in range(4)])  # four puzzles of three answers
    bits = answer_bits(model, pictures)
    assert bits.shape == (4, 3)
    for n, a in itertools.product(range(4), range(3)):
        codes = codes_of(model, pictures[n, a : a + 1])
        with torch.no_grad():
            nats = F.cross_entropy(model(silent(model, 1), codes)[1][0], codes[0], reduction="sum")
        assert bits[n, a] == pytest.approx(nats.item() / math.log(2), rel=1e-5)


def test_a_caption_tells_at_most_its_own_entropy_and_as_much_as_can_be_counted():
    stream = small_stream()
    model = DALLE(stream, VQ(4, 2, torch.randn(3, 12, generator=generator(0)), 8), nn.Identity()).eval()
    table = log2_table(stream)
    mixture = np.log2(np.exp2(table).mean(0))  # p(x) = sum_c p(c) p(x|c), captions drawn evenly
    exact = float((np.exp2(table) * (table - mixture)).sum() / 4)
    assert 0.3 < exact < 1.9  # a caption tells something, and not all

    n = 1200
    which = np.random.default_rng(0).integers(4, size=n)
    codes = draw_codes(model, WORDS, [FOUR[c] for c in which], 0, guidance=1.0, temperature=1.0)
    bits = np.stack([drawing_bits(stream, said(WORDS, [caption]).expand(n, -1), codes).sum(1) for caption in FOUR])
    own, without = bits[which, np.arange(n)], -np.log2(np.exp2(-bits).mean(0))
    assert (without - own).max() <= 2 + 1e-9  # p(x) holds a quarter of every p(x|c)
    saving = caption_information(without, own, caption_entropy=2.0)
    assert saving.mean <= 2 + 3 * saving.se and saving.over_bound is False
    assert abs(saving.mean - exact) < 4 * saving.se
    strange = caption_information(without, bits[(which + 1) % 4, np.arange(n)])
    assert strange.mean < 0  # the wrong caption costs more than none


# ---- reading a drawing

READ = [
    (data, kind)
    for data, kinds in (("stage alone", ("one", "pair", "sign 1", "sign 2")), ("stage faint", ("one",)))
    for kind in kinds
]


@pytest.mark.parametrize(("data", "kind"), READ)
def test_every_factor_of_a_real_picture_is_read_rightly_and_of_a_blank_one_by_chance(data, kind):
    world, n = scenes_of(data), 100
    index, pictures = fresh(world, kind, n, "test", "nearest")
    for factor, values in world.kinds[kind].factors.items():
        truth, chance = world.labels(index, factor), 1 / len(values)
        read = nearest_value(world, kind, index, factor, pictures)
        # two values may give the very same render (a thing that hides another): the tie goes to the first
        assert (read == truth).mean() >= 0.99, factor
        blank = nearest_value(world, kind, index, factor, np.full_like(pictures, 128))
        sigma = math.sqrt(chance * (1 - chance) / n)
        assert abs((blank == truth).mean() - chance) < 4 * sigma, factor


def test_a_picture_that_shows_another_value_is_read_as_what_it_shows():
    world = scenes_of("stage alone")
    index, _ = fresh(world, "one", 60, "test", "other values")
    kind = world.kinds["one"]
    scenes = world.scenes(index, kind)
    for factor, values in kind.factors.items():
        other = (scenes[factor] + 1) % len(values)
        pictures = world.render("one", scenes | {factor: other})
        assert (nearest_value(world, "one", index, factor, pictures) == other).mean() >= 0.98, factor
        rough = pictures.astype(int) + np.random.default_rng(0).integers(-9, 10, size=pictures.shape)
        rough = rough.clip(0, 255).astype(np.uint8)
        assert (nearest_value(world, "one", index, factor, rough) == other).mean() >= 0.95, factor


def test_ties_go_to_the_first_value():
    world = scenes_of("stage alone")
    index, pictures = fresh(world, "one", 4, "test", "ties")
    world.render, was = (lambda kind, scenes: np.zeros_like(pictures)), world.render
    try:
        assert nearest_value(world, "one", index, "shape", pictures).tolist() == [0] * 4
    finally:
        del world.render
    assert world.render == was


def test_what_cannot_be_read_is_refused():
    world = scenes_of("stage alone")
    index, pictures = fresh(world, "one", 2, "test", "refused")
    with pytest.raises(Refused, match=r"^The kind of scene is 'won', .*\(did you mean 'one'\?\)"):
        nearest_value(world, "won", index, "shape", pictures)
    with pytest.raises(Refused, match=r"^The factor is 'color', .*\(did you mean 'colour'\?\)"):
        nearest_value(world, "one", index, "color", pictures)
    with pytest.raises(Refused, match=r"^The factor is 'letter_1', but must be one of 'shape', "):
        nearest_value(world, "one", index, "letter_1", pictures)
    with pytest.raises(Refused, match=r"^The pictures have shape \(2, 16, 16, 3\), but this reader needs \(N, 32, 32"):
        nearest_value(world, "one", index, "shape", pictures[:, ::2, ::2])


def test_of_a_real_collage_one_attribute_is_changed_and_of_one_drawn_without_a_change_none():
    world, n = scenes_of("stage"), 12
    index, pictures = fresh(world, "collage", n, "test", "halves")
    assert attributes_changed(world, index, pictures).tolist() == [1] * n
    scenes = world.scenes(index, world.kinds["collage"])
    same = world.render("collage", scenes | {"across": np.full(n, -1)})  # moved on by no value
    assert attributes_changed(world, index, same).tolist() == [0] * n
    moved = {f: (scenes[f] + 1) % len(world.factors[f]) for f in ATTRIBUTES}
    other = world.render("collage", scenes | moved | {"across": np.full(n, -1)})
    assert attributes_changed(world, index, other).tolist() == [3] * n
