"""One stream of words and codes: who sees what, what is paid, what it trains on and stands on, and what it costs."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from falsework.core.artefacts import Store, key_of
from falsework.core.errors import Refused
from falsework.core.vocabulary import END, PAD
from falsework.data.emoji import load_emoji
from falsework.experiments import dalle as experiment
from falsework.experiments.dalle_shown import TRAINING, dose
from falsework.nets.dalle import DALLE as Net
from falsework.nets.dalle import JointTransformer
from falsework.nets.vq import VQ
from falsework.objectives.joint_stream import joint_stream
from falsework.recipes import dalle as recipes_dalle
from falsework.recipes import description_of, obtain
from falsework.recipes import tokenizer as recipes_tokenizer
from falsework.recipes.clip import CLIP
from falsework.recipes.dalle import DALLE, PRESETS, codes_of, said
from falsework.recipes.pairs import PAGE, SCENES, SHOWN_CHANGES, Eye, Pairs, as_tensor, paged, scenes_of
from falsework.recipes.tokenizer import Tokenizer
from falsework.samplers import guide, sample_tokens
from falsework.training import Train, count_flops

torch.set_num_threads(1)
V, L, K, D, GRID = 11, 5, 7, 12, 3
T = GRID * GRID
STAGES = tuple(data for data in SCENES if data.startswith("stage"))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaken(net: Any, seed: int = 0) -> Any:
    """Every weight drawn at random, so that no zero hides a leak."""
    gen = generator(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=gen) * 0.4)
    return net.eval()


def a_stream(kind: type[JointTransformer] = JointTransformer) -> JointTransformer:
    return shaken(kind(V, L, torch.randn(K, D, generator=generator(9)), GRID, 16, 2, 2))


def some(n: int = 2, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Return captions (n, L) without pads, and codes (n, T)."""
    words = torch.randint(END + 1, V, (n, L), generator=generator(seed))
    return words, torch.randint(K, (n, T), generator=generator(seed + 1))


# ---- who sees what


@torch.no_grad()
def heard(net: JointTransformer) -> tuple[list[list[bool]], ...]:
    """Return truths (row, changed token): words by words, words by codes, codes by words, codes by codes."""
    words, codes = some()
    before, out = net(words, codes), [[[], []], [[], []]]
    for of, count, shift, first in ((0, L, V - END - 1, END + 1), (1, T, K, 0)):
        for at in range(count):
            other = [words.clone(), codes.clone()]
            other[of][:, at] = (other[of][:, at] - first + 1) % shift + first
            for head, (was, now) in enumerate(zip(before, net(*other))):
                out[head][of].append((was != now).flatten(2).any(2).any(0).tolist())
    return tuple([list(row) for row in zip(*out[head][of])] for head in (0, 1) for of in (0, 1))


def past(rows: int) -> list[list[bool]]:
    return [[s < t for s in range(rows)] for t in range(rows)]


RIGHTLY = (past(L), [[False] * T] * L, [[True] * L] * T, past(T))


class Unshifted(JointTransformer):
    """A planted bug: each picture row is given the code it is to guess."""

    def forward(self, text_BL: Tensor, codes_BT: Tensor) -> tuple[Tensor, Tensor]:
        start = self.start.expand(len(text_BL), 1, -1)
        x = self.trunk(torch.cat([start, self.text(text_BL)[:, :-1], self.picture(codes_BT)], 1), causal=True)
        return self.say(x[:, : self.length]), self.logits(x[:, self.length :])


class PictureFirst(JointTransformer):
    """A planted bug: the codes stand before the words, which then know the picture."""

    def forward(self, text_BL: Tensor, codes_BT: Tensor) -> tuple[Tensor, Tensor]:
        start = self.start.expand(len(text_BL), 1, -1)
        x = self.trunk(torch.cat([start, self.picture(codes_BT), self.text(text_BL)[:, :-1]], 1), causal=True)
        return self.say(x[:, self.cells :]), self.logits(x[:, : self.cells])


def test_a_word_knows_the_words_before_it_and_a_code_all_words_and_the_codes_before_it():
    assert heard(a_stream()) == RIGHTLY


@pytest.mark.parametrize("planted", [Unshifted, PictureFirst])
def test_a_planted_leak_is_found_by_the_same_look(planted):
    assert heard(a_stream(planted)) != RIGHTLY


@torch.no_grad()
def test_a_guess_knows_where_the_codes_before_it_stand_and_each_place_is_its_own():
    net, (words, codes) = a_stream(), some()
    before, places = net(words, codes)[1], net.cell.clone()
    for t in range(T):  # one code in another place is another thing
        net.cell[t, :3] += 1  # not a constant: the norms would take it away
        moved = (net(words, codes)[1] - before).abs().amax((0, 2))
        net.cell.copy_(places)
        assert moved[: t + 1].max() == 0 and (t == T - 1 or moved[t + 1 :].min() > 1e-6)
    same = torch.zeros(1, T, dtype=torch.long)
    rows = net.picture(same)[0]
    assert torch.equal(net.picture(same[:, :4], 3)[0], rows[3:7])  # counted from the place where they stand
    apart = (rows[:, None] - rows).norm(dim=2) + torch.eye(T)
    assert apart.min() > 0.1


@torch.no_grad()
def test_each_place_without_a_word_has_a_pad_of_its_own_and_no_word_is_one():
    net, (words, codes) = a_stream(), some()
    words[0, 2:] = PAD
    before = net(words, codes)

    def moved() -> list[bool]:
        return [(now != was).flatten().any().item() for now, was in zip(net(words, codes)[1], before[1])]

    pads = net.pad.clone()
    for at in range(L):  # only the first caption is short, and only its places 2 to 4 are empty
        net.pad[at, :3] += 1
        assert moved() == [at >= 2, False]
        net.pad.copy_(pads)
    net.pad[[2, 3]] = pads[[3, 2]]
    assert moved() == [True, False]  # two different pads
    net.pad.copy_(pads)
    net.word.weight[PAD] += 1
    assert moved() == [False, False]  # the pad is not a word among others


@torch.no_grad()
def test_text_places_have_scores_for_words_alone_and_picture_places_for_codes_alone():
    for words, codes in ((V, K), (5, 40)):  # more words than codes, and the reverse
        net = shaken(JointTransformer(words, L, torch.randn(codes, D, generator=generator(0)), GRID, 16, 1, 2))
        ids = torch.randint(words, (64, L), generator=generator(1))
        told, drawn = net(ids, torch.randint(codes, (64, T), generator=generator(2)))
        assert told.shape == (64, L, words) and drawn.shape == (64, T, codes)
        made = sample_tokens(net.step(ids), torch.zeros(64, 0).long(), T, generator(0), temperature=5.0)
        assert made.shape == (64, T) and made.min() == 0 and made.max() == codes - 1


@torch.no_grad()
def test_codes_that_look_alike_begin_alike_and_an_untrained_net_guesses_nearly_evenly():
    look = torch.randn(200, D, generator=generator(0))
    look[7] = look[3]
    torch.manual_seed(0)
    net = JointTransformer(60, L, look, GRID, 128, 2, 2)
    told, drawn = net(some()[0], some()[1])
    for logits, head, count in ((told, net.say, 60), (drawn, net.draw, 200)):
        assert torch.equal(logits, head.bias.expand_as(logits))
        assert abs(-logits.log_softmax(-1).mean() - math.log(count)) < 0.01
    nn.init.normal_(net.match.weight)  # what is learnt of one code's looks is learnt of all that look so
    drawn = net(some()[0], some()[1])[1] - net.draw.bias
    assert torch.equal(drawn[..., 7], drawn[..., 3]) and (drawn[..., 7] != drawn[..., 4]).all()
    assert not net.look.requires_grad and "look" not in dict(net.named_parameters())


# ---- the cache


@torch.no_grad()
@pytest.mark.parametrize("prefix", [0, 1, 4])
def test_a_cached_step_equals_the_full_forward_at_every_place(prefix):
    net, (words, codes) = a_stream(), some(3)
    words[0, 3:] = PAD
    words[1] = PAD
    full, step = net(words, codes)[1], net.step(words)
    new, cache = codes[:, :prefix], None
    for t in range(prefix, T):
        logits, cache = step(new, cache)
        assert torch.allclose(logits, full[:, t], atol=1e-5), t
        new = codes[:, t : t + 1]
    step = net.step(words)
    _, cache = step(codes[:, :2], None)
    logits, cache = step(codes[:, 2:5], cache)  # several at once
    assert torch.allclose(logits, full[:, 5], atol=1e-5)


# ---- guidance and what is given


def fixed(logits: list[float]):
    """A step that always gives the same logits and counts its tokens in the cache."""
    brought: list[Tensor] = []

    def step(new_BT: Tensor, cache: Any) -> tuple[Tensor, Any]:
        assert (cache is None) == (not brought) and (cache is None or cache == (id(step), len(brought)))
        brought.append(new_BT)
        return torch.tensor(logits).expand(len(new_BT), -1), (id(step), len(brought))

    step.brought = brought
    return step


def guided(own: list[float], blank: list[float], weight: float) -> Tensor:
    return guide(fixed(own), fixed(blank), weight)(torch.zeros(1, 0).long(), None)[0][0]


def test_guidance_is_a_line_through_the_blank_at_nought_and_the_step_itself_at_one():
    own, blank = [0.5, -1.0, 2.0, 0.25], [1.5, 0.0, -3.0, 0.25]  # halves and quarters: nothing is rounded
    assert guided(own, blank, 1.0).tolist() == own and guided(own, blank, 0.0).tolist() == blank
    assert guided(own, blank, 0.5).tolist() == [1.0, -0.5, -0.5, 0.25]
    assert guided(own, blank, 3.0).tolist() == [-1.5, -3.0, 12.0, 0.25]  # away from the blank
    assert torch.allclose(guided([0.1, 0.7], [0.3, -0.9], 1.0), torch.tensor([0.1, 0.7]), atol=1e-6)


def test_both_steps_are_brought_the_same_tokens_and_each_keeps_its_own_cache():
    own, blank, empty = fixed([0.0, 1.0, 2.0]), fixed([2.0, 1.0, 0.0]), torch.zeros(4, 0).long()
    drawn = sample_tokens(guide(own, blank, 2.0), empty, 6, generator(0))
    assert len(own.brought) == len(blank.brought) == 6
    assert all(torch.equal(a, b) for a, b in zip(own.brought, blank.brought))
    assert torch.equal(torch.cat(own.brought, 1), drawn[:, :-1])
    # two steps away from the blank is a step of its own: logits -2, 1, 4
    direct = sample_tokens(fixed([-2.0, 1.0, 4.0]), empty, 6, generator(0))
    assert torch.equal(drawn, direct)


@torch.no_grad()
def test_what_is_given_stands_and_the_rest_is_drawn_after_it():
    net, (words, codes) = a_stream(), some(300)
    given = torch.where(torch.rand(300, T, generator=generator(0)) < 0.5, codes, -1)
    given[0], given[1] = -1, codes[1]
    empty = codes[:, :0]
    drawn = sample_tokens(net.step(words), empty, T, generator(3), given_BT=given)
    assert torch.equal(drawn[given >= 0], given[given >= 0]) and drawn.min() >= 0
    assert torch.equal(drawn[1], codes[1])
    assert len(drawn[given < 0].unique()) == K
    nothing = torch.full_like(given, -1)
    free = sample_tokens(net.step(words), empty, T, generator(3))
    assert torch.equal(sample_tokens(net.step(words), empty, T, generator(3), given_BT=nothing), free)
    # the model is told what stands, not what it would have drawn in its place
    step = fixed([0.0, 0.0, 0.0])
    drawn = sample_tokens(
        step, torch.zeros(50, 0).long(), 4, generator(0), given_BT=torch.tensor([[2, -1, 1, -1]] * 50)
    )
    assert torch.equal(torch.cat(step.brought, 1), drawn[:, :3]) and (drawn[:, 0] == 2).all()
    assert len(drawn[:, 1].unique()) == 3 and (drawn[:, 2] == 1).all()


def test_given_tokens_of_another_shape_and_a_temperature_of_nought_are_refused():
    step, empty = fixed([0.0, 0.0]), torch.zeros(2, 0).long()
    for shape in ((2, 3), (1, 4), (4, 2)):
        need = r"but must have \(2, 4\), -1 where to draw"
        with pytest.raises(Refused, match=rf"^The given tokens have shape \({shape[0]}, {shape[1]}\), {need}\.$"):
            sample_tokens(step, empty, 4, generator(0), given_BT=torch.full(shape, -1))
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(Refused, match=f"^The temperature is {wrong}, but must be above 0"):
            sample_tokens(step, empty, 4, generator(0), wrong, given_BT=torch.full((2, 4), -1))


# ---- the loss


class Says(nn.Module):
    """Logits that were written down."""

    def __init__(self, words_BLV: Tensor, codes_BTK: Tensor) -> None:
        super().__init__()
        self.words, self.codes = nn.Parameter(words_BLV), nn.Parameter(codes_BTK)

    def forward(self, ids: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        return self.words, self.codes


def written() -> tuple[Says, dict[str, Tensor]]:
    words, codes = torch.randn(2, L, V, generator=generator(0)), torch.randn(2, T, K, generator=generator(1))
    ids = torch.tensor([[4, 7, END, PAD, PAD], [PAD] * L])  # the second is silent
    return Says(words, codes), {"ids": ids, "codes": some()[1]}


def test_the_loss_is_an_eighth_of_the_words_and_seven_eighths_of_the_codes_by_hand():
    net, batch = written()
    loss, metrics = joint_stream(net, batch, generator(0))
    p = net.words.detach().double().softmax(2)
    words = -sum(math.log(p[0, at, word]) for at, word in ((0, 4), (1, 7), (2, END))) / 3  # three are said
    q = net.codes.detach().double().softmax(2)
    codes = -sum(math.log(q[b, t, batch["codes"][b, t]]) for b in range(2) for t in range(T)) / (2 * T)
    assert metrics["words"].item() == pytest.approx(words) and metrics["codes"].item() == pytest.approx(codes)
    assert loss.item() == pytest.approx(words / 8 + 7 * codes / 8)
    loss.backward()
    assert net.words.grad[0, :3].abs().min() > 0 and net.words.grad[0, 3:].abs().max() == 0  # pads are not learnt
    assert net.words.grad[1].abs().max() == 0 and net.codes.grad.abs().min() > 0


def test_a_silent_batch_pays_for_its_codes_alone():
    net, batch = written()
    batch["ids"] = torch.full((2, L), PAD)
    loss, metrics = joint_stream(net, batch, generator(0))
    assert metrics["words"].item() == 0 and loss.item() == pytest.approx(7 / 8 * metrics["codes"].item())
    loss.backward()
    assert net.words.grad.abs().max() == 0 and net.codes.grad.isfinite().all()


def test_knowing_nothing_costs_the_logarithms():
    _, batch = written()
    loss, _ = joint_stream(Says(torch.zeros(2, L, V), torch.zeros(2, T, K)), batch, generator(0))
    assert loss.item() == pytest.approx(math.log(V) / 8 + 7 * math.log(K) / 8)


# ---- the stages


@pytest.mark.parametrize("data", STAGES)
def test_pictures_that_show_a_change_come_without_words_and_all_others_with_their_own(data):
    world = scenes_of(data)
    index, pictures, captions = Pairs(data, ("ultra",)).draw(600, "words")
    assert np.array_equal(world.images(index), pictures)
    kinds = np.array(tuple(world.kinds))[world.kind_of(index)]
    told = np.array(world.captions(index, "ultra"))
    assert set(kinds) == set(world.kinds)
    mute = np.isin(kinds, tuple(SHOWN_CHANGES))
    assert mute.any() == (data in ("stage", "stage taught"))
    assert all(captions[k] == ("" if mute[k] else told[k]) for k in range(600))


def test_the_stages_share_one_vocabulary_and_every_caption_of_theirs_fits_it():
    words = Pairs(STAGES[0]).vocabulary
    for data in STAGES:
        pairs = Pairs(data, ("thing", "descriptive", "ultra"))
        assert pairs.vocabulary == words
        captions = pairs.draw(400, "fits")[2]
        ids = said(words, captions)
        assert ids.shape == (400, words.length) and words.decode(ids.numpy()) == captions
        silent = torch.tensor([caption == "" for caption in captions])
        assert torch.equal((ids == PAD).all(1), silent)
        assert torch.equal((ids == END).sum(1), (~silent).long())
    longest = {}
    for kind in scenes_of("stage alone").kinds.values():
        most = {f: max(kind.factors[f], key=lambda value: len(value.split())) for f in kind.phrase.factors}
        longest[kind.name] = kind.phrase.say(most)
    assert (said(words, list(longest.values())) == END).sum(1).tolist() == [1] * len(longest)


def test_what_is_said_to_the_stream_is_words_an_end_and_pads_or_pads_alone():
    words = Pairs("stage").vocabulary
    ids = said(words, ["a red heart", "", "a cross"])
    a, red, heart, cross = (words.ids[w] for w in ("a", "red", "heart", "cross"))
    rest = words.length - 3
    assert ids.tolist() == [
        [a, red, heart, END, *[PAD] * (rest - 1)],
        [PAD] * words.length,
        [a, cross, END, *[PAD] * rest],
    ]
    assert said(words, []).shape == (0, words.length)


def test_batches_are_slices_of_their_page_in_whatever_order_they_are_asked_for():
    drawn: list[int] = []

    def page(number: int) -> dict[str, Tensor]:
        drawn.append(number)
        rows = torch.arange(PAGE * 3) + 1000 * number
        return {"x": rows, "y": -rows}

    batch = paged(page, 3)
    for step in (0, 1, PAGE - 1, PAGE, 5 * PAGE + 2, 1, 0, PAGE):
        number, at = divmod(step, PAGE)
        wanted = 1000 * number + torch.arange(3 * at, 3 * at + 3)
        found = batch(step)
        assert torch.equal(found["x"], wanted) and torch.equal(found["y"], -wanted)
    assert drawn == [0, 1, 5, 0, 1]  # a page is drawn once while it is in use


def test_many_drawings_have_no_concept_twice_within_a_batch_and_many_scenes_are_one_draw():
    emoji, drawings = load_emoji(), Pairs("drawings", (), without="noto")
    index, pictures, captions = drawings.draw_many(200, 64, "many")  # 200 is no multiple of 64
    assert len(index) == len(pictures) == len(captions) == 200
    concept = emoji.labels(index, "concept")
    batches = [concept[at : at + 64] for at in range(0, 200, 64)]
    assert all(len(set(batch)) == len(batch) for batch in batches)
    assert set(batches[0]) & set(batches[1]) and not np.array_equal(batches[0], batches[1])
    for at in range(3):
        alone = drawings.draw(64, "many", at)
        assert np.array_equal(alone[0], index[64 * at : 64 * at + 64]) and alone[2] == captions[64 * at : 64 * at + 64]
    stage = Pairs("stage")
    one, many = stage.draw(40, "many"), stage.draw_many(40, 8, "many")
    assert np.array_equal(one[0], many[0]) and np.array_equal(one[1], many[1]) and one[2] == many[2]


@pytest.mark.parametrize("arm", TRAINING)
def test_the_dose_of_a_kind_is_its_share_of_the_stage(arm):
    data, n = {"alone": "stage alone", "dalle": "stage", "taught": "stage taught"}[arm], 200_000
    recipe = experiment.arms("smoke")[arm]
    assert recipe.pairs.data == data
    world = scenes_of(data)
    found = Counter(world.kind_of(np.random.default_rng(0).integers(1 << 62, size=n)).tolist())
    doses = {kind: dose(kind, arm) for kind in ("one", "collage", "matrix", "episode")}
    for kind, share in doses.items():
        count = found[tuple(world.kinds).index(kind)] if kind in world.kinds else 0
        assert abs(count / n - share) <= 4 * math.sqrt(share * (1 - share) / n), kind
    shown = sum(doses[kind] for kind in SHOWN_CHANGES)
    low, high = {"alone": (0, 0), "dalle": (0.03, 0.06), "taught": (0.8, 0.9)}[arm]
    assert low <= shown <= high


# ---- recipes: what a net stands on


def tiny(**changes: Any) -> DALLE:
    """A net of a few numbers that trains for a few steps."""
    stage, alone = Pairs("stage", ("thing",)), Pairs("stage alone", ("thing",))
    made = DALLE(
        stage,
        Tokenizer(stage, codes=16, width=8, train=Train(2, 4)),
        CLIP(alone, Eye("conv", 8), "bag", shared=8, train=Train(2, 4)),
        8,
        1,
        2,
        train=Train(3, 4),
    )
    return replace(made, **changes)


@pytest.fixture
def quick(monkeypatch):
    """Fewer pictures to begin a tokenizer with."""
    monkeypatch.setattr(recipes_tokenizer, "PATTERNS", 64)


def bits_of(net: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in net.state_dict().items()}


def test_training_the_stream_leaves_tokenizer_and_clip_as_they_were_to_the_bit(quick, tmp_path):
    recipe = tiny(train=Train(6, 4, ema=0.5))
    net = recipe.build(0)
    parents = {"tokenizer": net.tokenizer, "clip": net.clip}
    before = {name: bits_of(parent) for name, parent in parents.items()}
    stream = bits_of(net.stream)
    recipe.fit(net, 0, tmp_path)
    for name, parent in parents.items():
        assert bits_of(parent) == before[name], name
        assert all(p.grad is None and not p.requires_grad for p in parent.parameters()), name
    after = bits_of(net.stream)
    stood = {name for name, bits in stream.items() if after[name] == bits}
    assert stood == {"look"}  # a look is no weight; all else has learnt


def test_a_net_takes_no_tokenizer_of_another_grid_and_no_captions_of_another_length():
    stream, codes = a_stream(), torch.randn(K, 3 * 4**2)
    with pytest.raises(
        Refused, match=r"^The tokenizer cuts pictures into 4 x 4 cells, but the stream has places for 3 x 3\.$"
    ):
        Net(stream, VQ(16, 4, codes, 8), nn.Linear(1, 1))
    Net(stream, VQ(12, 4, codes, 8), nn.Linear(1, 1))
    for length in (L - 1, L + 1):
        with pytest.raises(Refused, match=rf"^The captions have {length} tokens, but take {L}, filled up with pads\.$"):
            stream(torch.zeros(1, length, dtype=torch.long), some(1)[1])
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(Refused, match=f"^The share of captions dropped is {wrong}, but must lie between 0 and 1"):
            tiny(silent=wrong)


def pages(recipe: DALLE, net: Any, monkeypatch, seed: int, steps: int) -> list[dict[str, Tensor]]:
    """Return the batches that a recipe would train on."""
    seen: list[Any] = []
    with monkeypatch.context() as m:
        m.setattr(recipes_dalle, "fit", lambda model, objective, batches, *rest, **more: seen.append(batches))
        recipe.fit(net, seed, recipes_dalle.Path("nowhere"))
    return [seen[0](step) for step in range(steps)]


def test_a_batch_is_codes_of_pictures_and_their_captions_but_for_a_share_that_is_dropped(quick, monkeypatch):
    recipe = tiny(pairs=Pairs("stage alone", ("descriptive",)), silent=0.25)
    net, words = recipe.build(0), recipe.pairs.vocabulary
    batches = pages(recipe, net, monkeypatch, 0, PAGE)
    ids, codes = (torch.cat([batch[name] for batch in batches]) for name in ("ids", "codes"))
    _, pictures, captions = recipe.pairs.draw_many(PAGE * 4, 4, 0, "page", 0)
    with torch.no_grad():
        assert torch.equal(codes, net.tokenizer.encode(as_tensor(pictures)))
        assert torch.equal(codes_of(net, pictures), codes)
    silent = (ids == PAD).all(1)
    assert abs(silent.float().mean().item() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / len(ids))
    assert torch.equal(ids[~silent], said(words, captions)[~silent])
    again = pages(recipe, net, monkeypatch, 0, 3)
    other = pages(recipe, net, monkeypatch, 1, 3)
    for name in ("ids", "codes"):
        assert all(torch.equal(a[name], b[name]) for a, b in zip(again, batches))
        assert not torch.equal(other[0][name], batches[0][name])
    every = pages(replace(recipe, silent=0.0), net, monkeypatch, 0, PAGE)
    assert torch.equal(torch.cat([batch["ids"] for batch in every]), said(words, captions))


def test_parents_are_trained_first_with_the_childs_seed_and_once(quick, tmp_path, monkeypatch):
    trained: list[tuple[str, int]] = []
    for kind in (Tokenizer, CLIP, DALLE):

        def noted(recipe, model, seed, folder, watch=None, fit=kind.fit):
            trained.append((recipe.name, seed))
            return fit(recipe, model, seed, folder, watch)

        monkeypatch.setattr(kind, "fit", noted)
    store, recipe, heard = Store(tmp_path), tiny(), []
    child = obtain(recipe, 3, "smoke", store, heard.append)
    assert trained == [("tokenizer", 3), ("clip", 3), ("dalle", 3)]
    parents = {name: obtain(parent, 3, "smoke", store, heard.append) for name, parent in recipe.parents().items()}
    for name, parent in parents.items():
        assert bits_of(getattr(child.model, name)) == bits_of(parent.model), name
        told = child.artefact.manifest["parents"][name]
        assert told == {k: parent.artefact.manifest[k] for k in ("flops", "core_seconds")} and told["flops"] > 0
    assert "parents" not in parents["clip"].artefact.manifest
    learnt = sum(p.numel() for p in child.model.stream.parameters())
    assert child.artefact.manifest["parameters"] == learnt  # those of the parents are theirs

    again = obtain(recipe, 3, "smoke", store, heard.append)
    assert len(trained) == 3 and bits_of(again.model) == bits_of(child.model) and again.key == child.key
    assert heard == [] and not again.model.training
    assert all(not p.requires_grad for n in parents for p in getattr(again.model, n).parameters())

    # another stream on the same parents trains alone; another parent is trained anew, and the child with it
    obtain(replace(recipe, width=16), 3, "smoke", store, heard.append)
    assert trained[3:] == [("dalle", 3)]
    other = replace(recipe, tokenizer=replace(recipe.tokenizer, train=Train(1, 4)))
    obtain(other, 3, "smoke", store, heard.append)
    assert trained[4:] == [("tokenizer", 3), ("dalle", 3)]


def test_the_key_of_a_child_depends_on_every_field_of_its_parents_and_theirs_not_on_the_child():
    recipe = tiny()

    def key(recipe: Any, seed: int = 0) -> str:
        return key_of(description_of(recipe, seed))

    others = [
        replace(recipe, tokenizer=replace(recipe.tokenizer, width=16)),
        replace(recipe, tokenizer=replace(recipe.tokenizer, train=Train(2, 4, lr=1e-3))),
        replace(recipe, clip=replace(recipe.clip, scale=5.0)),
        replace(recipe, clip=replace(recipe.clip, eye=Eye("conv", 16))),
        replace(recipe, silent=0.2),
    ]
    keys = [key(recipe), key(recipe, 1), *map(key, others)]
    assert len(set(keys)) == len(keys)
    for seed in (0, 1):
        theirs = {"tokenizer": key(recipe.tokenizer, seed), "clip": key(recipe.clip, seed)}
        assert description_of(recipe, seed)["parents"] == theirs
    assert key(others[4].tokenizer) == key(recipe.tokenizer)


# ---- what the arms cost


def stream_flops(recipe: DALLE) -> float:
    """Return the FLOPs of training a stream, as many codes as were asked for; they grow evenly with the batch."""
    words, inside = recipe.pairs.vocabulary, 3 * recipe.tokenizer.cell**2
    look, grid = torch.randn(recipe.tokenizer.codes, inside), recipe.pairs.side // recipe.tokenizer.cell
    net = JointTransformer(len(words), words.length, look, grid, recipe.width, recipe.depth, recipe.heads)

    def cost(n: int) -> int:
        batch = {"ids": torch.zeros(n, words.length).long(), "codes": torch.zeros(n, grid**2).long()}
        return count_flops(net, joint_stream, batch)

    one, two = cost(1), cost(2)
    return (one + (two - one) * (recipe.train.batch - 1)) * recipe.train.steps


@pytest.mark.parametrize("preset", ["laptop", "overnight"])
def test_a_stream_of_pixels_costs_what_the_stream_of_tokens_costs_and_shares_are_shares(preset):
    arms = experiment.arms(preset)
    budget = stream_flops(arms["dalle"])
    assert stream_flops(arms["pixels_1"]) / budget == pytest.approx(1, abs=0.06)
    for name in arms:
        if name.startswith(("tokens_", "pixels_")):
            share = {"longer": 1 / 3}.get(end := name.rpartition("_")[2]) or int(end)
            assert stream_flops(arms[name]) * share / budget == pytest.approx(1, abs=0.06), name
    assert ("pixels_longer" in arms) == (preset == "overnight"), "where C09b is judged, pixels climb a ladder, too"
    pixels = arms["pixels_1"].tokenizer
    assert pixels.cell == 1 and arms["dalle"].tokenizer.cell > 1


def test_the_arms_that_are_compared_differ_in_what_is_compared():
    for preset in PRESETS:
        arms = experiment.arms(preset)
        main = arms["dalle"]
        ladder = [main]
        for name, (width, depth, heads) in experiment.SIZES[preset].items():
            assert arms[name] == replace(main, width=width, depth=depth, heads=heads)
            ladder.append(arms[name])
        for name in ("alone", "taught"):  # another stage, but the tokenizer and the CLIP of the judged arm
            assert arms[name].pairs != main.pairs and replace(arms[name], pairs=main.pairs) in ladder
        faint = arms["faint"]  # its tokenizer has seen the faint stage alone
        assert faint.tokenizer.pairs == faint.pairs and replace(faint.tokenizer, pairs=main.pairs) == main.tokenizer
        assert replace(faint, pairs=main.pairs, tokenizer=main.tokenizer) in ladder
        assert all(arm.tokenizer.pairs.side == arm.pairs.side == arm.clip.pairs.side for arm in arms.values())
        # CLIP hears the words that the stream hears
        assert all(arm.clip.pairs.vocabulary == arm.pairs.vocabulary for arm in arms.values())


def test_each_arm_says_what_it_trains_on_and_for_how_long() -> None:
    said_of = {arm: experiment.budget(arm) for arm in experiment.arms("overnight")}
    compared = {arm: of for arm, of in said_of.items() if of[0]}
    assert compared == {
        "dalle": ("tokens", 1),
        "tokens_3": ("tokens", 3),
        "tokens_9": ("tokens", 9),
        "pixels_1": ("pixels", 1),
        "pixels_longer": ("pixels", 1 / 3),
    }
