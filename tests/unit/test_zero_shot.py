"""Scorers, classifiers out of words and retrieval: sums by hand, ties that count as wrong, inputs that are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.core.vocabulary import END, Vocabulary
from falsework.nets.captioner import Captioner
from falsework.nets.clip import CLIP
from falsework.nets.heads import Heads
from falsework.nets.towers import BagTower, PatchTower, TextTower
from falsework.probes import candidates as scorers
from falsework.probes.candidates import by_captioner, by_clip, by_words, embed_captions, embed_pictures, rows_of, tell
from falsework.probes.zero_shot import average, candidates_of, class_weights, retrieval, right_among

torch.set_num_threads(1)
SIDE = 16
WORDS = Vocabulary(("big", "cat", "dog", "house", "little", "red", "tree"), 6)
NAMES = ["cat", "red dog", "big red house", "tree", "little little cat"]


def pictures(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(n, SIDE, SIDE, 3), dtype=np.uint8)


def shaken(net: nn.Module, seed: int = 0) -> nn.Module:
    """Every weight drawn at random, so that no zero makes things equal."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=gen) * 0.4)
    return net.eval()


def eye() -> PatchTower:
    return PatchTower(SIDE, 4, 8, 1, 2)


def a_clip(bag: bool = False) -> nn.Module:
    text = BagTower(len(WORDS), 8) if bag else TextTower(len(WORDS), WORDS.length, 8, 1, 2)
    return shaken(CLIP(eye(), text, 6))


def a_captioner() -> nn.Module:
    return shaken(Captioner(eye(), len(WORDS), WORDS.length, 8, 1, 2))


def a_bag() -> nn.Module:
    return shaken(Heads(eye(), {"words": len(WORDS)}))


SCORERS = {
    "captioner": lambda: by_captioner(a_captioner(), WORDS, SIDE),
    "all at once": lambda: by_captioner(a_captioner(), WORDS, SIDE, parallel=True),
    "blind": lambda: by_captioner(a_captioner(), WORDS, SIDE, blind=True),
    "clip": lambda: by_clip(a_clip(), WORDS, SIDE),
    "bag": lambda: by_words(a_bag(), WORDS, SIDE),
}


# ---- scorers


@pytest.mark.parametrize("who", SCORERS)
def test_a_score_is_of_its_picture_and_caption_alone(who, monkeypatch):
    score, shown = SCORERS[who](), pictures(7)
    every = score(shown, NAMES)
    assert every.shape == (7, 5) and every.dtype == np.float64
    assert np.ptp(every, axis=1).min() > 1e-3  # there is something to tell apart
    np.testing.assert_allclose(score(shown, [NAMES] * 7), every, atol=1e-5)
    turned = [[NAMES[(k + n) % 5] for k in range(3)] for n in range(7)]
    wanted = [[every[n, (k + n) % 5] for k in range(3)] for n in range(7)]
    np.testing.assert_allclose(score(shown, turned), wanted, atol=1e-5)
    monkeypatch.setattr(scorers, "BLOCK", 3)
    np.testing.assert_allclose(score(shown, NAMES), every, atol=1e-5)
    alone = [[score(shown[n : n + 1], [name, "dog"])[0, 0] for name in NAMES] for n in range(7)]
    np.testing.assert_allclose(alone, every, atol=1e-5)


@pytest.mark.parametrize("who", SCORERS)
def test_all_but_the_blind_look_at_the_picture(who):
    moved = np.ptp(SCORERS[who]()(pictures(7), NAMES), axis=0)
    assert (moved.max() < 1e-6) == (who == "blind") and (moved.max() > 1e-2) == (who != "blind")


class Parrot(nn.Module):
    """A captioner that says every word with a chance of its own, whatever the picture and the words before."""

    def __init__(self, shares: dict[str, float]) -> None:
        super().__init__()
        left = (1 - sum(shares.values())) / (len(WORDS) - len(shares))
        share_V = torch.full((len(WORDS),), left)
        for word, share in shares.items():
            share_V[END if word == "." else WORDS.ids[word]] = share
        self.logits_V = nn.Parameter(share_V.log() + 3)  # logits have no zero point

    def look(self, shown: Tensor) -> Tensor:
        return torch.zeros(len(shown), 1, 1)

    def say(self, context_BMC: Tensor, ids_BT: Tensor, parallel: bool = False) -> Tensor:
        return self.logits_V.expand(*ids_BT.shape, -1)


def test_a_captioner_answers_with_the_sum_over_words_and_end_and_not_with_their_mean():
    score = by_captioner(Parrot({"big": 0.5, "cat": 0.1, ".": 0.3}), WORDS, SIDE)
    found = score(pictures(2), ["cat", "big big cat"])
    short = math.log(0.1) + math.log(0.3)
    long = short + 2 * math.log(0.5)
    np.testing.assert_allclose(found, [[short, long]] * 2, rtol=1e-6)
    assert (found.argmax(1) == 0).all()
    assert long / 4 > short / 2  # the mean would have had the long one win


def test_a_clip_answers_with_its_own_logits_and_a_bag_with_the_likelihood_of_exactly_these_words():
    clip, shown = a_clip(), pictures(3)
    images, texts = embed_pictures(clip, shown, SIDE), embed_captions(clip, WORDS, NAMES)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        by_clip(clip, WORDS, SIDE)(shown, NAMES), clip.scale.item() * images @ texts.T, rtol=1e-5
    )
    bag = a_bag()
    with torch.no_grad():
        yes = bag(torch.from_numpy(shown.transpose(0, 3, 1, 2).copy()))["words"].double().sigmoid().numpy()
    for k, name in enumerate(NAMES):
        said = np.zeros(len(WORDS), bool)
        said[[WORDS.ids[word] for word in name.split()]] = True
        wanted = np.log(np.where(said, yes, 1 - yes)).sum(1)
        np.testing.assert_allclose(by_words(bag, WORDS, SIDE)(shown, NAMES)[:, k], wanted, rtol=1e-5)


def test_what_knows_no_order_cannot_tell_the_same_words_apart_and_what_does_can():
    same = ["red cat big dog", "big cat red dog"]
    for who, score in SCORERS.items():
        apart = np.abs(np.diff(score()(pictures(4), same))).max()
        assert (apart < 1e-9) if who == "bag" else (apart > 1e-3), who
    assert np.abs(np.diff(by_clip(a_clip(bag=True), WORDS, SIDE)(pictures(4), same))).max() < 1e-5


class Counter(Parrot):
    """A captioner whose next word is its last one's number and 1, 2 or 3 more, by the picture, then the end."""

    def look(self, shown: Tensor) -> Tensor:
        return shown[:, :1, :1, :1].flatten(1).unsqueeze(2).float()

    def say(self, context_BMC: Tensor, ids_BT: Tensor, parallel: bool = False) -> Tensor:
        before_BT = torch.cat([torch.full_like(ids_BT[:, :1], END), ids_BT[:, :-1]], 1)
        next_BT = before_BT + context_BMC[:, 0].long()
        return nn.functional.one_hot(torch.where(next_BT < len(WORDS), next_BT, END), len(WORDS)).float()


def test_a_captioner_tells_its_likeliest_words_one_after_another_until_it_ends(monkeypatch):
    shown = np.zeros((4, SIDE, SIDE, 3), np.uint8) + np.array([1, 2, 3, 2], np.uint8)[:, None, None, None]
    told = ["big cat dog house little red", "cat house red", "dog red", "cat house red"]  # six words are all that fit
    assert tell(Counter({}), WORDS, shown, SIDE) == told
    monkeypatch.setattr(scorers, "BLOCK", 3)
    assert tell(Counter({}), WORDS, shown, SIDE) == told
    assert tell(Parrot({".": 0.5}), WORDS, shown, SIDE) == [""] * 4
    with pytest.raises(Refused, match="The pictures are uint8"):
        tell(Parrot({}), WORDS, shown[:, :4], SIDE)


# ---- a classifier out of words


@pytest.mark.parametrize("prompts", [("{}",), ("{}", "big {}", "red {} tree")])
def test_classes_at_once_are_the_classes_one_by_one(prompts, monkeypatch):
    clip, names = a_clip(), ["cat", "dog", "red tree", "house"]
    together = class_weights(clip, WORDS, names, prompts)
    one_by_one = np.concatenate([class_weights(clip, WORDS, [name], prompts) for name in names])
    np.testing.assert_allclose(together, one_by_one, atol=1e-6)
    monkeypatch.setattr(scorers, "BLOCK", 2)
    np.testing.assert_allclose(class_weights(clip, WORDS, names, prompts), together, atol=1e-6)
    for name, weight in zip(names, together):  # each class has its own prompts and no other's
        points = embed_captions(clip, WORDS, [prompt.format(name) for prompt in prompts])
        np.testing.assert_allclose(weight, points.mean(0) / np.linalg.norm(points.mean(0)), atol=1e-6)


def test_with_no_other_prompt_a_class_is_its_name():
    clip = a_clip()
    np.testing.assert_allclose(class_weights(clip, WORDS, NAMES), embed_captions(clip, WORDS, NAMES), atol=1e-6)


def mean_first(embedded_KPE: np.ndarray) -> np.ndarray:
    """A planted bug: prompts count by their length."""
    mean = embedded_KPE.mean(1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def winner(ensemble) -> int:
    """The class of a picture at (1, 0): the first has a loud prompt at it and a soft one far off, the second is near."""
    prompts = np.array([[[10.0, 0.0], [0.0, 1.0]], [[0.8, 0.6], [1.6, 1.2]]])
    return int((ensemble(prompts) @ [1.0, 0.0]).argmax())


def test_prompts_are_normalised_before_their_mean_and_a_loud_prompt_would_have_won_otherwise():
    assert winner(average) == 1
    assert winner(mean_first) == 0
    prompts = np.array([[[10.0, 0.0], [0.0, 1.0]], [[0.8, 0.6], [1.6, 1.2]]])
    np.testing.assert_allclose(average(prompts), [[0.5**0.5, 0.5**0.5], [0.8, 0.6]])


def test_right_is_the_best_of_its_row_alone_and_a_tie_is_wrong():
    scores = np.array([[3.0, 1.0, 2.0, 9.0], [3.0, 1.0, 3.0, 9.0], [3.0, 3.0, 3.0, 3.0], [0.0, 1.0, 2.0, 3.0]])
    truth = np.array([0, 2, 1, 0])
    among = np.array([[0, 1, 2], [2, 1, 0], [1, 2, 3], [3, 0, 1]])
    assert right_among(scores, truth, among).tolist() == [True, False, False, False]
    assert right_among(scores, truth, among[:, ::-1]).tolist() == [True, False, False, False]
    every = np.tile(np.arange(4), (4, 1))
    assert right_among(scores, np.full(4, 3), every).tolist() == [True, True, False, True]
    assert not right_among(np.zeros((5, 4)), np.arange(5) % 4, every[[0] * 5]).any()  # who says nothing is never right
    assert not right_among(np.full((1, 4), np.nan), np.array([2]), every[:1]).any()


def test_candidates_hold_the_truth_once_and_others_of_the_pool_evenly():
    pool, truth = np.array([3, 5, 7, 11, 13, 5]), np.repeat([5, 13], 3000)
    drawn = candidates_of(truth, pool, 3, np.random.default_rng(0))
    assert (drawn[:, 0] == truth).all() and set(drawn.ravel()) == set(pool)
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    others = [np.mean((drawn[:3000, 1:] == c).any(1)) for c in (3, 7, 11, 13)]
    np.testing.assert_allclose(others, 0.5, atol=0.05)
    assert np.array_equal(drawn, candidates_of(truth, pool, 3, np.random.default_rng(0)))
    assert set(candidates_of(truth[:1], pool, 5, np.random.default_rng(0))[0]) == set(pool)


# ---- retrieval


def unit(n: int, width: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_retrieval_in_chunks_is_retrieval_at_once():
    queries, answers = unit(57, 4, 0), unit(57, 4, 1)
    whole = retrieval(queries, answers + queries / 2)
    assert 0 < whole.at_1 < whole.at_5 < whole.at_10 < 1
    for chunk in (1, 2, 10, 56, 57, 58):
        assert retrieval(queries, answers + queries / 2, chunk) == whole


def test_a_perfect_a_reversed_and_a_hand_made_retrieval():
    axes = np.eye(20)
    assert retrieval(axes, axes) == (1.0, 1.0, 1.0, 1.0)
    assert retrieval(axes, -axes) == (0.0, 0.0, 0.0, 20.0)  # its own answer is the worst of all
    line = np.linspace(0, np.pi / 2, 12)  # answer k lies k places from query 0
    fan = np.stack([np.cos(line), np.sin(line)], 1)
    first = retrieval(np.repeat(fan[:1], 12, 0), fan)  # ranks 1 to 12
    assert first == (1 / 12, 5 / 12, 10 / 12, 6.5)


def test_what_ties_with_the_right_answer_ranks_before_it():
    same = np.repeat(unit(1, 3, 0), 30, 0)
    assert retrieval(same, same) == (0.0, 0.0, 0.0, 30.0)
    twice = np.repeat(np.eye(10), 2, 0)  # every answer has one twin
    assert retrieval(twice, twice, 7) == (0.0, 1.0, 1.0, 2.0)
    nothing = np.full((15, 3), np.nan)  # a net that broke finds nothing
    assert retrieval(nothing, nothing) == (0.0, 0.0, 0.0, 15.0)


# ---- refusals


def test_bad_class_names_and_prompts_are_refused():
    clip = a_clip()
    with pytest.raises(Refused, match=r"^The list of class names is empty, but a classifier needs one or more\.$"):
        class_weights(clip, WORDS, [])
    with pytest.raises(Refused, match=r"^The class name 'dog' comes twice, but every class needs a name of its own\.$"):
        class_weights(clip, WORDS, ["dog", "cat", "dog"])
    with pytest.raises(Refused, match=r"^The list of prompts is empty, but a class needs one or more"):
        class_weights(clip, WORDS, ["dog"], [])
    with pytest.raises(Refused, match=r"^The prompt 'red' has no place for the class name, but needs '\{\}' there\.$"):
        class_weights(clip, WORDS, ["dog", "cat"], ["{}", "red"])
    with pytest.raises(Refused, match=r"^The word 'hous' of 'hous' is not among the 7 known words; .* 'house'\.$"):
        class_weights(clip, WORDS, ["dog", "hous"], ["{}", "red {}"])
    with pytest.raises(Refused, match=r"^The caption has 6 words, but at most 5 fit: 'big big big big big dog'\.$"):
        class_weights(clip, WORDS, ["dog"], ["big big big big big {}"])


@pytest.mark.parametrize("who", SCORERS)
def test_every_scorer_refuses_the_same_in_one_sentence(who):
    score, shown = SCORERS[who](), pictures(2)
    for other in (
        np.zeros((2, 32, 32, 3), np.uint8),
        np.zeros((2, 3, SIDE, SIDE), np.uint8),
        shown.astype(np.float32),
        shown.astype(np.int64),
        shown[..., :1],
    ):
        with pytest.raises(
            Refused, match=rf"^The pictures are {other.dtype} \(.*\), but must be uint8 \(N, 16, 16, 3\)"
        ):
            score(other, NAMES)
    with pytest.raises(Refused, match=r"^The word 'tere' of 'big tere' is not among .*; the nearest is 'tree'\.$"):
        score(shown, ["cat", "big tere"])
    with pytest.raises(Refused, match="The caption has 7 words, but at most 5 fit"):
        score(shown, ["cat", "big " * 7])
    for few in (["cat"], [["cat"], ["dog"]], [[], []]):
        with pytest.raises(Refused, match=r"^There are fewer than two candidates, but a choice needs two or more\.$"):
            score(shown, few)
    for uneven in ([["cat", "dog"]] * 3, [["cat", "dog"], ["cat", "dog", "tree"]], []):
        with pytest.raises(
            Refused, match=r"There are 2 pictures and . rows of candidates, but each needs one, all alike"
        ):
            score(shown, uneven)


def test_rows_name_each_caption_once():
    said, index = rows_of([["cat", "dog"], ["dog", "cat"], ["cat", "tree"]], 3)
    assert said == ["cat", "dog", "tree"] and index.tolist() == [[0, 1], [1, 0], [0, 2]]
    assert rows_of(("cat", "dog"), 2)[1].tolist() == [[0, 1], [0, 1]]


def test_impossible_candidates_are_refused():
    for count in (0, 1, 5):
        with pytest.raises(
            Refused, match=f"^The candidates are {count} of 4 classes, but must be two or more and at most"
        ):
            candidates_of(np.zeros(3, int), np.arange(4), count, np.random.default_rng(0))
    with pytest.raises(
        Refused, match=r"^A row of candidates lacks the picture's own class, but every row must hold it\.$"
    ):
        right_among(np.zeros((2, 4)), np.array([1, 2]), np.array([[1, 2], [1, 3]]))
    shapes = [((3, 4), (4, 4)), ((3, 4), (3, 5)), ((3,), (3,)), ((0, 4), (0, 4))]
    for a, b in shapes:
        with pytest.raises(Refused, match=r"^The embeddings have shapes .*, but must be two equal lists of vectors\.$"):
            retrieval(np.zeros(a), np.zeros(b))
