"""The diffusion classifier: with an exact denoiser it is Bayes, and what it costs, keeps and refuses is what it says."""

from __future__ import annotations

import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exact_net import ExactNet, Heard, pictures_of, small_world
from torch import Tensor

from falsework.core.errors import Refused
from falsework.core.vocabulary import Vocabulary
from falsework.noise import sigma_of
from falsework.probes.diffusion_classifier import (
    CHUNK,
    FULL,
    PRUNED,
    Classified,
    Stage,
    _stays,
    by_diffusion,
    classify,
    evaluations_of,
    sigmas_of,
)
from falsework.recipes.listed import Listed
from falsework.world.exact import ExactWorld

torch.set_num_threads(1)
WORLD = small_world(texture=0.3)
SHORT = [f"short{c}" for c in range(4)]
LONG = [f"long{c}" for c in range(8)]
QUICK = (Stage(2, 1),)


def exact_net(world: ExactWorld = WORLD) -> ExactNet:
    return ExactNet(world)


def scenes(n: int, *keys: object, seen: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return (numbers, pictures (n, 2, 2, 3)) of the small world, in noise if they are seen in noise."""
    drawn = WORLD.sample(n, "classified", *keys)
    return drawn.index, pictures_of(drawn.x + np.float32(seen) * drawn.eps)


def ask(net: ExactNet, pictures: np.ndarray, candidates=SHORT, *keys: object, **how) -> Classified:
    how = {"stages": QUICK, "low": 0.1, "high": 20.0} | how
    return classify(net, net.words, pictures, candidates, *(keys or (0,)), **how)


# ---- it is Bayes


@pytest.mark.parametrize(("seen", "low"), [(0.0, 0.01), (0.6, 0.02), (1.5, 0.05)])
def test_the_exact_denoiser_classifies_as_the_posterior_does(seen, low):
    """softmax of scores = p(c | picture), of pictures as they are and of pictures seen in noise."""
    _, pictures = scenes(8, seen, seen=seen)
    flat, net = pictures.reshape(8, -1), exact_net()
    for candidates, level in ((SHORT, "short"), (LONG, "long")):
        known = WORLD.posterior(flat, seen, level).astype(np.float64)
        how = {"stages": (Stage(96, 1),), "low": low, "high": 60.0, "seen": seen}
        runs = np.stack([ask(net, pictures, candidates, key, **how).scores for key in range(10)])
        apart = runs - runs[..., :1]
        mean, se = apart.mean(0), apart.std(0, ddof=1) / math.sqrt(10)
        found = np.log(known) - np.log(known[:, :1])
        sure = np.abs(found) < 25  # float32 says no more
        assert (np.abs(mean - found) < 5 * se + 0.03 + 0.01 * np.abs(found))[sure].all()
        p = np.exp(mean - mean.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        assert np.abs(p - known).max() < 0.15
        assert not seen or ((known > 0.1) & (known < 0.9)).any()  # in noise it is no matter of yes and no


def test_without_the_noise_that_was_there_the_posterior_is_another():
    """A planted mistake: pictures seen in noise, taken for clean ones; the same look finds it."""
    _, pictures = scenes(8, 1.5, seen=1.5)
    known = np.log(WORLD.posterior(pictures.reshape(8, -1), 1.5, "short").astype(np.float64))
    how = {"stages": (Stage(400, 1),), "low": 0.05, "high": 60.0}
    off = {}
    for seen in (0.0, 1.5):
        scores = ask(exact_net(), pictures, SHORT, 0, **how, seen=seen).scores
        off[seen] = np.abs((scores - scores[:, :1]) - (known - known[:, :1])).mean()
    assert off[1.5] < 0.3 and off[0.0] > 3


def test_scores_are_likelihoods_so_half_the_noise_range_is_half_the_answer():
    """The integral over [a, c] is that over [a, b] and [b, c]."""
    _, pictures = scenes(6)
    net, parts = exact_net(), {}
    for low, high in ((0.1, 1.0), (1.0, 10.0), (0.1, 10.0)):
        runs = np.stack(
            [ask(net, pictures, SHORT, k, stages=(Stage(64, 1),), low=low, high=high).scores for k in range(8)]
        )
        runs -= runs[..., :1]
        parts[low, high] = runs.mean(0), runs.var(0, ddof=1) / 8
    (a, va), (b, vb), (whole, v) = parts.values()
    assert (np.abs(a + b - whole) < 5 * np.sqrt(va + vb + v) + 1e-3).all() and np.abs(whole).max() > 10


def test_it_names_the_right_caption_as_often_as_bayes_does():
    index, pictures = scenes(150, "right", seen=0.8)
    truth, posterior = WORLD.group("long").code[index], WORLD.posterior(pictures.reshape(150, -1), 0.8, "long")
    best, sure = posterior.argmax(1), posterior.max(1) > 0.7
    found = ask(exact_net(), pictures, LONG, stages=(Stage(128, 1),), low=0.05, high=30.0, seen=0.8).scores.argmax(1)
    assert (best == truth).mean() < 0.9 and sure.mean() > 0.3  # there is something to err about, and to be sure of
    assert (found == truth).mean() > (best == truth).mean() - 0.05
    assert (found == best)[sure].mean() > 0.97


def test_the_noise_levels_are_one_in_each_part_of_the_logarithm():
    for seed in range(20):
        at = np.log(sigmas_of(12, 0.2, 8.0, np.random.default_rng(seed)) / 0.2) / math.log(40) * 12
        assert np.floor(at).tolist() == list(range(12))


def test_candidates_in_another_order_get_the_same_scores_in_that_order_and_twins_the_same():
    _, pictures = scenes(5)
    straight = ask(exact_net(), pictures, SHORT).scores
    assert np.allclose(ask(exact_net(), pictures, SHORT[::-1]).scores, straight[:, ::-1], rtol=1e-5)
    twins = ask(exact_net(), pictures, ["short2", "short0", "short2"]).scores
    assert np.allclose(twins, straight[:, [2, 0, 2]], rtol=1e-5) and np.array_equal(twins[:, 0], twins[:, 2])
    rows = [[SHORT[k % 4], SHORT[(k + 1) % 4]] for k in range(5)]  # to each picture its own
    wanted = [[straight[k, k % 4], straight[k, (k + 1) % 4]] for k in range(5)]
    assert np.allclose(ask(exact_net(), pictures, rows).scores, wanted, rtol=1e-5)


def test_scores_are_a_function_of_the_keys():
    _, pictures = scenes(5)
    one, same, other = (ask(exact_net(), pictures, SHORT, k).scores for k in (0, 0, 1))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


# ---- shared noise


class TwoClouds:
    """The exact denoiser of N(+m, v) for the word "one" and of N(-m, v) for "two", in pictures of any side."""

    words = Vocabulary(("one", "two"), 2)
    range = (0.01, 100.0)

    def __init__(self, side: int, distance: float, variance: float) -> None:
        self.net, self.variance = SimpleNamespace(side=side, hear=self.hear), variance
        self.mean = distance / 2 / math.sqrt(3 * side**2)  # in every number, so that the means are `distance` apart

    def parameters(self):
        yield torch.zeros(1)

    def hear(self, ids_BM: Tensor) -> Heard:
        return (torch.where(ids_BM[:, 0] == self.words.ids["one"], self.mean, -self.mean),)

    def clean(self, x: Tensor, log_snr_B: Tensor, heard: Heard) -> Tensor:
        mean = heard[0].view(-1, 1, 1, 1)
        gain = self.variance / (self.variance + sigma_of(log_snr_B) ** 2)
        return mean + gain.view(-1, 1, 1, 1) * (x - mean)


def variance_of(side: int, shared: bool, distance: float = 2.0, variance: float = 0.25, n: int = 1600) -> float:
    """Return the variance of the difference of two scores, one draw at sigma 1, for a picture amid the first cloud."""
    net = TwoClouds(side, distance, variance)
    pictures = np.full((n, side, side, 3), net.mean, np.float32)
    found = classify(
        net, net.words, pictures, ["one", "two"], 0, stages=(Stage(1, 1),), low=1.0, high=1.001, shared=shared
    )
    return float(np.var((found.scores[:, 0] - found.scores[:, 1]) / math.log(1.001)))


def on_paper(numbers: int, shared: bool, distance: float = 2.0, variance: float = 0.25) -> float:
    """The same variance in closed form, with the gain g = v / (v + 1) at sigma 1.

    x - D_c = (1 - g)(x - m_c) - g eps. Shared noise leaves the cross term alone, 4 (1 - g)^2 g^2 distance^2; noise of
    its own for each adds that of two sums of squares, 4 D g^4.
    """
    gain = variance / (variance + 1)
    return 4 * (1 - gain) ** 2 * gain**2 * distance**2 + (0 if shared else 4 * numbers * gain**4)


@pytest.mark.parametrize("side", [2, 16])
def test_shared_noise_leaves_the_variance_of_the_difference_alone_and_own_noise_adds_that_of_every_number(side):
    for shared in (True, False):
        assert variance_of(side, shared) == pytest.approx(on_paper(3 * side**2, shared), rel=0.15), shared


def test_in_many_dimensions_shared_noise_is_worth_ten_times_the_draws_and_in_one_nothing():
    """In one dimension by the same formulae, drawn by hand: there the noise that is shared is no larger than the rest."""
    assert variance_of(16, False) > 10 * variance_of(16, True)
    gain, draw = 0.25 / 1.25, np.random.default_rng(0)
    first, second = draw.standard_normal((2, 200_000))
    difference = {}
    for shared in (True, False):
        one, two = (gain * first) ** 2, ((1 - gain) * 2.0 - gain * (first if shared else second)) ** 2
        difference[shared] = float(np.var(one - two))
        assert difference[shared] == pytest.approx(on_paper(1, shared), rel=0.02)
    assert 0.95 < difference[False] / difference[True] < 1.1


def test_own_noise_is_each_candidates_own_and_right_in_the_mean_all_the_same():
    _, pictures = scenes(4)
    net = exact_net()
    twins = ask(net, pictures, ["short1", "short1", "short2"], shared=False).scores
    assert (np.abs(twins[:, 0] - twins[:, 1]) > 1e-3).all()  # the same caption under two noises
    scores = {
        shared: np.stack(
            [ask(net, pictures, SHORT, k, stages=(Stage(32, 1),), shared=shared).scores for k in range(16)]
        )
        for shared in (True, False)
    }
    mean, var = ({s: f(x - x[..., :1]) for s, x in scores.items()} for f in (lambda d: d.mean(0), lambda d: d.var(0)))
    assert (np.abs(mean[True] - mean[False]) < 5 * np.sqrt((var[True] + var[False]) / 16) + 1e-3).all()
    assert var[True][:, 1:].mean() < var[False][:, 1:].mean()


# ---- schedules


def test_what_a_schedule_costs_is_counted():
    assert evaluations_of(FULL, 8) == FULL[0].draws * 8
    assert evaluations_of((Stage(3, 3), Stage(5, 2), Stage(16, 1)), 8) == 3 * 8 + 5 * 3 + 16 * 2
    assert evaluations_of((Stage(3, 9), Stage(5, 9)), 4) == 8 * 4  # more than there are cannot be kept
    assert evaluations_of((Stage(2, 1), Stage(50, 1)), 8) == 2 * 8  # who is alone is asked no more
    assert evaluations_of(PRUNED, 8) == evaluations_of(FULL, 8)  # the most a race can cost


@pytest.mark.parametrize("stages", [FULL, (Stage(2, 5), Stage(3, 1), Stage(4, 7)), (Stage(600, 1),)])
def test_the_net_is_asked_as_often_as_the_schedule_says(stages):
    net, (_, pictures) = exact_net(), scenes(3)
    found = ask(net, pictures, LONG, stages=stages)
    assert found.evaluations.tolist() == [evaluations_of(stages, 8)] * 3 and net.asked == found.evaluations.sum()


def test_a_race_is_counted_pass_by_pass_and_ends_when_one_is_left():
    net, (_, pictures) = exact_net(), scenes(40)
    found = ask(net, pictures, LONG, stages=PRUNED)
    assert net.asked == found.evaluations.sum() < 0.7 * 40 * evaluations_of(PRUNED, 8)
    decided = np.isfinite(found.scores).sum(1) == 1
    assert decided.any() and (found.evaluations[decided] <= evaluations_of(PRUNED, 8)).all()
    assert (found.evaluations >= 8 * PRUNED[0].draws).all()


def test_a_race_drops_who_is_surely_worse_and_nobody_else():
    """Errors of three runners by hand: the second behind by 1 each time, the third by 1 on average."""
    first = np.array([3.0, 1.0, 2.0, 4.0])
    behind = np.array([[0, 0, 0, 0], [1.0, 1.1, 0.9, 1.0], [9.0, -7.0, 8.0, -6.0]])
    nats = (first + behind)[None]
    assert _stays(nats, np.ones((1, 3), bool), Stage(4, sure=1.5)).tolist() == [[True, False, True]]
    assert _stays(nats, np.ones((1, 3), bool), Stage(4, sure=1e9)).tolist() == [[True, True, True]]
    assert _stays(nats, np.ones((1, 3), bool), Stage(4, keep=1)).tolist() == [[True, False, False]]


def test_dropping_others_changes_nothing_for_those_who_stay():
    """The same noise, stage by stage, whoever is still asked; and nobody is dropped when all are kept."""
    net, (_, pictures) = exact_net(), scenes(30)
    cut, kept = (Stage(3, 3), Stage(5, 2), Stage(8, 1)), (Stage(3, 8), Stage(5, 8), Stage(8, 8))
    pruned, full = (ask(net, pictures, LONG, stages=s).scores for s in (cut, kept))
    stayed = np.isfinite(pruned)
    assert np.isfinite(full).all() and (stayed.sum(1) == 2).all()
    assert np.allclose(pruned[stayed], full[stayed], rtol=1e-5)
    # who is kept is whoever is best so far
    first = ask(net, pictures, LONG, stages=cut[:1]).scores
    third = np.sort(first, axis=1)[:, -3]
    assert (first >= third[:, None])[stayed].all()
    assert np.array_equal(pruned.argmax(1), np.where(stayed, full, -np.inf).argmax(1))


def test_one_stage_is_the_same_whatever_it_would_keep_and_stages_add_up():
    net, (_, pictures) = exact_net(), scenes(6)
    alone, all_kept = (ask(net, pictures, SHORT, stages=(Stage(24, k),)).scores for k in (1, 4))
    assert np.array_equal(alone, all_kept)
    two = ask(net, pictures, SHORT, stages=(Stage(4, 4), Stage(12, 4))).scores
    first = ask(net, pictures, SHORT, stages=(Stage(4, 4),)).scores
    second = 16 / 12 * two - 4 / 12 * first  # by draws: what the second stage alone said
    assert np.corrcoef((two - two[:, :1]).ravel(), (second - second[:, :1]).ravel())[0, 1] > 0.9
    apart = ask(net, pictures, SHORT, stages=(Stage(4, 4), Stage(4, 4))).scores
    assert not np.allclose(apart, first, rtol=1e-3)  # each stage draws its own noise


def test_pruning_names_the_same_caption_nearly_always():
    _, pictures = scenes(60)
    full, pruned = (ask(exact_net(), pictures, LONG, stages=s).scores.argmax(1) for s in (FULL, PRUNED))
    assert (full == pruned).mean() > 0.9


# ---- chunks and files


def test_further_pictures_do_not_change_the_scores_of_the_first():
    _, pictures = scenes(CHUNK + 20)
    many = ask(exact_net(), pictures)
    for n in (1, 5, CHUNK, CHUNK + 3):
        few = ask(exact_net(), pictures[:n])
        assert np.allclose(few.scores, many.scores[:n], rtol=1e-5)
    again = np.concatenate([pictures[:CHUNK], pictures[:20]])  # each has noise of its own number
    assert not np.allclose(ask(exact_net(), again).scores[CHUNK:], many.scores[:20], rtol=1e-3)
    assert np.isfinite(many.scores).all() and (many.evaluations == 8).all()


class Killed(ExactNet):
    """Dies after so many calls."""

    def __init__(self, calls: int) -> None:
        super().__init__(WORLD)
        self.left = calls

    def clean(self, x: Tensor, log_snr_B: Tensor, heard: Heard) -> Tensor:
        """Return the mean picture, or die."""
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().clean(x, log_snr_B, heard)


N = 2 * CHUNK + 22


def test_what_was_killed_goes_on_from_the_last_whole_chunk_to_the_same_bits(tmp_path):
    kept, (_, pictures) = tmp_path / "kept.npz", scenes(N)
    whole, per_chunk = ask(exact_net(), pictures), -(-CHUNK * 4 // 256)
    with pytest.raises(KeyboardInterrupt):
        ask(Killed(2 * per_chunk), pictures, kept=kept)  # it dies in the third chunk
    net = exact_net()
    resumed = ask(net, pictures, kept=kept)
    assert np.array_equal(resumed.scores, whole.scores) and np.array_equal(resumed.evaluations, whole.evaluations)
    assert net.asked == 22 * 8  # the rest alone
    net = exact_net()
    done = ask(net, pictures, kept=kept)
    assert net.asked == 0 and np.array_equal(done.scores, whole.scores)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept.npz"]


def test_killed_before_the_first_chunk_it_leaves_no_file_and_begins_again(tmp_path):
    kept, (_, pictures) = tmp_path / "deep" / "kept.npz", scenes(5)
    with pytest.raises(KeyboardInterrupt):
        ask(Killed(0), pictures, kept=kept)
    assert not kept.exists()
    assert np.array_equal(ask(exact_net(), pictures, kept=kept).scores, ask(exact_net(), pictures).scores)
    assert kept.exists()


def left_behind(kept, pictures: np.ndarray, candidates=SHORT, net: ExactNet | None = None) -> None:
    """Leave a finished file of one question."""
    ask(net or exact_net(), pictures, candidates, kept=kept)


@pytest.mark.parametrize(
    "how",
    [
        {"stages": (Stage(3, 1),)},
        {"stages": (Stage(2, 2),)},
        {"low": 0.2},
        {"high": 10.0},
        {"shared": False},
        {"seen": 0.5},
        {"key": 1},
        {"candidates": SHORT[::-1]},
        {"candidates": LONG[:4]},
        {"candidates": SHORT[:2]},
        {"pictures": 4},
    ],
)
def test_a_file_of_another_question_is_not_an_answer_to_this_one(tmp_path, how):
    kept, (_, pictures) = tmp_path / "kept.npz", scenes(5)
    left_behind(kept, pictures)
    how = dict(how)
    args = (pictures[: how.pop("pictures", 5)], how.pop("candidates", SHORT), how.pop("key", 0))
    assert np.array_equal(ask(exact_net(), *args, **how, kept=kept).scores, ask(exact_net(), *args, **how).scores)


def test_a_file_about_other_pictures_is_not_an_answer_either(tmp_path):
    kept, others = tmp_path / "kept.npz", scenes(5, "others")[1]
    left_behind(kept, scenes(5)[1])
    assert np.array_equal(ask(exact_net(), others, kept=kept).scores, ask(exact_net(), others).scores)


def test_a_file_about_other_rows_of_the_same_captions_is_not_an_answer_either(tmp_path):
    kept, (_, pictures) = tmp_path / "kept.npz", scenes(2)
    straight, crossed = [["short0", "short1"]] * 2, [["short0", "short1"], ["short1", "short0"]]
    left_behind(kept, pictures, straight)
    found = ask(exact_net(), pictures, crossed, kept=kept).scores
    assert np.array_equal(found, ask(exact_net(), pictures, crossed).scores)


def broken(tmp_path, keep: float | bytes) -> None:
    """Break a finished file and ask again."""
    kept, (_, pictures) = tmp_path / "kept.npz", scenes(5)
    left_behind(kept, pictures)
    whole = kept.read_bytes()
    kept.write_bytes(keep if isinstance(keep, bytes) else whole[: int(keep * len(whole))])
    assert np.array_equal(ask(exact_net(), pictures, kept=kept).scores, ask(exact_net(), pictures).scores)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_file_that_was_cut_short_is_begun_again(tmp_path, share):
    broken(tmp_path, share)


def test_a_file_of_something_else_is_begun_again(tmp_path):
    broken(tmp_path, b"not even close")


# ---- refusals


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"candidates": ["short0"]}, r"^There are fewer than two candidates, but a choice needs two or more\.$"),
        ({"candidates": [SHORT, SHORT]}, r"^There are 3 pictures and 2 rows of candidates, but each needs one"),
        ({"candidates": ["short0", "brief"]}, r"^The word 'brief' of 'brief' is not among the 13 known words"),
        (
            {"pictures": np.zeros((3, 4, 4, 3), np.float32)},
            r"^The pictures are float32 \(3, 4, 4, 3\), but .* \(N, 2, 2, 3\)",
        ),
        (
            {"pictures": np.zeros((3, 2, 2, 3), np.uint8)},
            r"^The pictures are uint8 .*, but must be float32 \(N, 2, 2, 3\)",
        ),
        ({"pictures": np.zeros((3, 12), np.float32)}, r"^The pictures are float32 \(3, 12\), but must be float32"),
        ({"low": 0.0005}, r"^The noise is sigma 0\.0005, but this net was trained from 0\.001 to 200\.$"),
        ({"high": 300.0}, r"^The noise is sigma 300, but this net was trained from 0\.001 to 200\.$"),
        (
            {"high": 199.0, "seen": 50.0},
            r"^The noise is sigma 205\.\d+, but this net was trained from 0\.001 to 200\.$",
        ),
        ({"stages": ()}, r"^The schedule is empty, but needs stages that draw and keep one or more each\.$"),
        ({"stages": (Stage(0, 1),)}, r"^The schedule is 0 draws, 1 kept, but needs stages"),
        ({"stages": (Stage(2, 0), Stage(2, 1))}, r"^The schedule is 2 draws, 0 kept, .*, but needs stages"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_the_net_is(change, said):
    net = exact_net()
    how = {"pictures": scenes(3)[1], "candidates": SHORT} | change
    with pytest.raises(Refused, match=said):
        ask(net, how.pop("pictures"), how.pop("candidates"), 0, **how)
    assert net.asked == 0


@pytest.mark.parametrize(("low", "high"), [(8.0, 0.2), (1.0, 1.0)])
def test_a_noise_range_that_does_not_rise_is_refused(low, high):
    with pytest.raises(Refused, match=r"\.$"):
        ask(exact_net(), scenes(3)[1], SHORT, 0, low=low, high=high)


def test_no_added_noise_at_all_is_refused_also_when_the_picture_has_some():
    with pytest.raises(Refused, match=r"\.$"):
        ask(exact_net(), scenes(3)[1], SHORT, 0, low=0.0, seen=0.5)


# ---- as a scorer among others


class Dull(TwoClouds):
    """A net of 16 pixels that hears any caption, and answers with a grey that depends on its words."""

    def __init__(self) -> None:
        super().__init__(16, 1.0, 0.3)

    def hear(self, ids_BM: Tensor) -> Heard:
        return (torch.sin(ids_BM.float()).mean(1),)


def test_a_scorer_says_what_classify_says_in_silence_when_the_candidates_are_sentences():
    pairs, net = Listed(), Dull()
    _, pictures, _ = pairs.draw(3, "scorer")
    candidates = ["a red circle", "a thing on a wine background", ""]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = by_diffusion(net, pairs, "key", stages=QUICK, low=0.2, high=8.0)(pictures, candidates)
    wanted = classify(net, pairs.vocabulary, pictures, candidates, "key", stages=QUICK, low=0.2, high=8.0)
    assert np.array_equal(found, wanted.scores)


def test_a_candidate_that_is_no_training_sentence_is_scored_with_a_warning_that_names_the_nearest():
    pairs, net = Listed(), Dull()
    _, pictures, _ = pairs.draw(2, "warned")
    said = r"^The candidate 'red circle' is not phrased like the training captions; the nearest is 'a red circle'\.$"
    with pytest.warns(UserWarning, match=said) as caught:
        found = by_diffusion(net, pairs, 0, stages=QUICK)(pictures, ["red circle", "a blue circle"])
    assert len(caught) == 1 and found.shape == (2, 2) and np.isfinite(found).all()
    with pytest.warns(UserWarning, match=r"'a circle left' .* the nearest is 'a circle'\.$"):
        by_diffusion(net, pairs, 0, stages=QUICK)(pictures, ["a circle left", "a blue circle"])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_unknown_word_and_one_candidate_alone_are_refused_by_the_scorer_too():
    pairs, net = Listed(), Dull()
    _, pictures, _ = pairs.draw(2, "refused")
    with pytest.raises(Refused, match=r"^The word 'crimson' of 'a crimson circle' is not among the \d+ known words"):
        by_diffusion(net, pairs, 0)(pictures, ["a crimson circle", "a blue circle"])
    with pytest.raises(Refused, match=r"^There are fewer than two candidates"):
        by_diffusion(net, pairs, 0)(pictures, ["a blue circle"])
