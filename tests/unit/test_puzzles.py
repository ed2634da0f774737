"""Puzzles, and the stages they come from: one answer is right, no neighbour gives it away, and shares are as asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from falsework.core.errors import Refused
from falsework.recipes.pairs import scenes_of
from falsework.recipes.reader import fresh
from falsework.world.puzzles import ANSWERS, COUNTS, KINDS, Puzzles, puzzles_of
from falsework.world.scenes import LUMA, SceneWorld

N = 400
WORLD = scenes_of("stage")
ALONE, FAINT = scenes_of("stage alone"), scenes_of("stage faint")


@pytest.fixture(scope="module", params=[(kind, split) for kind in KINDS for split in ("test", "test_operation")])
def asked(request) -> tuple[str, np.ndarray, np.ndarray, Puzzles]:
    """A kind of puzzle, its scenes, the world's own pictures of them, and the puzzles."""
    kind, split = request.param
    index, pictures = fresh(WORLD, kind, N, split, "puzzles")
    return kind, index, pictures, puzzles_of(WORLD, kind, index, "places")


def chosen(puzzles: Puzzles, answer: np.ndarray) -> np.ndarray:
    """Return int64 (N, F): the values of one answer of each puzzle."""
    return puzzles.answers[np.arange(len(puzzles)), answer]


def holds(puzzles: Puzzles) -> None:
    """Fail unless the answers are what a puzzle needs: every look of 2 x 2 x 2 values once, the truth among them."""
    truth = puzzles.cells[:, 3]
    assert np.array_equal(chosen(puzzles, puzzles.right), truth)
    for rows in puzzles.answers:
        assert len({tuple(row) for row in rows.tolist()}) == ANSWERS
        for values, count in zip(rows.T, COUNTS):
            found, times = np.unique(values, return_counts=True)
            assert times.tolist() == [ANSWERS // 2] * 2 and found.min() >= 0 and found.max() < count


# ---- the answers


def test_the_answers_are_eight_and_every_value_stands_in_four_of_them(asked):
    holds(asked[3])


@pytest.mark.parametrize("planted", ["the right answer twice", "a third value", "the right one is another"])
def test_a_planted_fault_of_the_answers_is_found(asked, planted):
    puzzles = asked[3]
    answers, right = puzzles.answers.copy(), puzzles.right
    if planted == "the right answer twice":
        answers[7, (right[7] + 1) % ANSWERS] = answers[7, right[7]]
    elif planted == "a third value":
        answers[7, 0, 0] = (answers[7, :, 0].max() + 1) % COUNTS[0]
    else:
        right = (right + 1) % ANSWERS
    with pytest.raises(AssertionError):
        holds(replace(puzzles, answers=answers, right=right))


def test_the_right_answer_stands_anywhere_and_the_rest_in_any_order(asked):
    _, _, _, puzzles = asked
    places = np.bincount(puzzles.right, minlength=ANSWERS)
    sigma = np.sqrt(N * (ANSWERS - 1)) / ANSWERS
    assert np.abs(places - N / ANSWERS).max() < 4 * sigma
    # an answer with one fault is beside the right one no more often than elsewhere
    faults = (puzzles.answers != puzzles.cells[:, 3:]).sum(2)
    beside = faults[np.arange(N), (puzzles.right + 1) % ANSWERS]
    assert abs((beside == 1).mean() - 3 / 7) < 4 * np.sqrt(3 / 7 * 4 / 7 / N)


def test_puzzles_are_a_function_of_the_keys_and_only_wrong_values_and_order_are(asked):
    kind, index, _, puzzles = asked
    again, other = (puzzles_of(WORLD, kind, index, key) for key in ("places", "other places"))
    assert np.array_equal(again.answers, puzzles.answers) and np.array_equal(again.right, puzzles.right)
    assert not np.array_equal(other.right, puzzles.right) and np.array_equal(other.cells, puzzles.cells)
    holds(other)


# ---- who has no chance, and who has chance's share


def test_copying_the_left_neighbour_or_the_upper_one_is_never_right(asked):
    kind, _, _, puzzles = asked
    truth = puzzles.cells[:, 3]
    assert not (puzzles.cells[:, 2] == truth).all(1).any()
    # unless the example of an episode is the very thing that is asked, which is one in 384
    twice = (puzzles.cells[:, 0] == puzzles.cells[:, 2]).all(1)
    assert not (puzzles.cells[~twice, 1] == truth[~twice]).all(1).any()
    if kind == "matrix":
        assert not twice.any()


def test_whoever_looks_for_the_odd_or_the_usual_answer_is_at_chance(asked):
    puzzles = asked[3]
    shown = puzzles.pictures(32).reshape(N, ANSWERS, -1).astype(np.float32)
    far = np.square(shown - shown.mean(1, keepdims=True)).mean(2)
    # how many values an answer has in common with each of the others: the road that betrays answers made by changing one
    common = (puzzles.answers[:, :, None] == puzzles.answers[:, None]).sum((2, 3))
    assert (common == common[:, :1]).all()
    rules = {"usual": far.argmin(1), "odd": far.argmax(1), "in common": common.argmax(1)}
    rules |= {f"number {k}": np.full(N, k) for k in range(ANSWERS)}
    # changes go 1 to 5 values on: did wrong values lie behind the right one, whoever takes what is ahead would know
    low, high = puzzles.answers.min(1), puzzles.answers.max(1)
    ahead = np.where(2 * ((high - low) % COUNTS) < COUNTS, high, low)
    count = (puzzles.answers == ahead[:, None]).sum(2)
    rules |= {f"{k} ahead": (count == k).argmax(1) for k in range(4)}
    for name, pick in rules.items():
        sigma = np.sqrt(1 / ANSWERS * (1 - 1 / ANSWERS) / N)
        assert abs((pick == puzzles.right).mean() - 1 / ANSWERS) < 4 * sigma, name


def test_answers_made_by_changing_the_right_one_would_betray_it():
    # the same look at answers of the kind that is to be avoided: each differs from the right one alone in one value
    source = np.random.default_rng(0)
    truth = source.integers(6, size=(N, 1, 3))
    answers = np.repeat(truth, 7, 1)
    for k in range(6):
        answers[:, k + 1, k // 2] = (truth[:, 0, k // 2] + 1 + k % 2) % 6
    common = (answers[:, :, None] == answers[:, None]).sum((2, 3))
    assert (common.argmax(1) == 0).all()


# ---- pictures


def test_with_the_right_answer_it_is_the_worlds_own_picture_and_with_another_it_is_not(asked):
    _, _, pictures, puzzles = asked
    shown = puzzles.pictures(32)
    assert shown.dtype == np.uint8 and shown.shape == (N, ANSWERS, 32, 32, 3)
    same = (shown == pictures[:, None]).all((2, 3, 4))
    assert np.array_equal(same, np.arange(ANSWERS) == puzzles.right[:, None])
    # the answers differ in the lower right, and nowhere else but for its shadow across the seams
    moved = (shown != shown[:, :1]).any((0, 1, 4))
    assert moved[18:, 18:].any() and not moved[:12].any() and not moved[:, :12].any()


def test_after_another_example_the_question_is_the_same(asked):
    kind, index, _, puzzles = asked
    order = np.roll(np.arange(N), 1)
    others = puzzles_of(WORLD, kind, index[order], "others")
    after = puzzles.after(others)
    assert np.array_equal(after.cells[:, :2], others.cells[:, :2])
    assert np.array_equal(after.cells[:, 2:], puzzles.cells[:, 2:])
    assert np.array_equal(after.answers, puzzles.answers) and np.array_equal(after.right, puzzles.right)
    assert after.ground is puzzles.ground
    few = slice(0, 40)
    one, other = (
        Puzzles(p.cells[few], p.answers[few], p.right[few], {f: v[few] for f, v in p.ground.items()}).pictures(32)
        for p in (puzzles, after)
    )
    moved = (one != other).any((0, 1, 3, 4))
    assert moved[4:12].all() and not moved[20:].any()  # the shadows of the upper row reach a little over the seam


def test_a_matrix_has_one_answer_and_an_episode_one_change(asked):
    kind, _, _, puzzles = asked
    first, across, below, truth = puzzles.cells.transpose(1, 0, 2)
    moved = (across - first) % COUNTS
    assert ((moved != 0).sum(1) == 1).all()
    for answer in range(ANSWERS):  # of all answers the right one alone repeats the change of the upper row
        fits = (((chosen(puzzles, np.full(N, answer)) - below) % COUNTS) == moved).all(1)
        assert np.array_equal(fits, puzzles.right == answer), kind
    assert np.array_equal((truth - below) % COUNTS, moved)


def test_puzzles_that_cannot_be_are_refused(asked):
    _, index, _, puzzles = asked
    with pytest.raises(Refused, match=r"^The kind of puzzle is 'matrices', .* 'matrix', 'episode' \(did you mean 'mat"):
        puzzles_of(WORLD, "matrices", index)
    with pytest.raises(Refused, match=r"^There are 400 puzzles and 3 other examples, but each needs one\.$"):
        puzzles.after(replace(puzzles, cells=puzzles.cells[:3], right=puzzles.right[:3]))


# ---- stages: kinds by weight


def test_kinds_come_in_the_shares_of_their_weights_in_whatever_order_they_are_named():
    weights = {"episode": 3.0, "one": 1.0, "sign 2": 4.0}
    world, again = SceneWorld(kinds=weights), SceneWorld(kinds=dict(reversed(weights.items())))
    assert world.share == {"one": 1 / 8, "sign 2": 1 / 2, "episode": 3 / 8} == again.share
    index = np.random.default_rng(0).integers(1 << 62, size=40_000)
    found = np.bincount(world.kind_of(index), minlength=3) / len(index)
    for share, wanted in zip(found, world.share.values()):
        assert abs(share - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / len(index))
    assert np.array_equal(again.kind_of(index), world.kind_of(index))
    named = SceneWorld(kinds=("one", "pair"))
    assert named.share["one"] / named.share["pair"] == pytest.approx(0.4 / 0.2)  # by name alone: the kind's own weight
    assert SceneWorld(kinds={"one": 0.4, "pair": 0.2}).digest == named.digest
    assert SceneWorld(kinds={"one": 0.4, "pair": 0.3}).digest != named.digest


def test_a_scene_is_the_same_picture_on_every_stage_that_shows_its_kind():
    index = np.random.default_rng(0).integers(1 << 62, size=60)
    for name, kind in ALONE.kinds.items():
        scenes = ALONE.scenes(index, kind)
        assert np.array_equal(ALONE.render(name, scenes), WORLD.render(name, scenes))
    for at, (name, kind) in enumerate(WORLD.kinds.items()):
        mine = index[WORLD.kind_of(index) == at]
        assert np.array_equal(WORLD.render(name, WORLD.scenes(mine, kind)), WORLD.images(mine))


def test_weights_that_are_not_above_zero_and_kinds_that_are_not_there_are_refused():
    for weight in (0.0, -1.0, float("nan")):
        with pytest.raises(Refused, match=r"^The weights of the kinds are \[0\.5, .*\], but must all be above 0\.$"):
            SceneWorld(kinds={"one": 0.5, "pair": weight})
    with pytest.raises(Refused, match=r"^The kind of scene is 'pear', .*\(did you mean 'pair'\?\)"):
        SceneWorld(kinds={"one": 0.5, "pear": 1.0})
    with pytest.raises(Refused, match=r"^The kind of scene is 'matrix', but must be one of 'one', 'pair'"):
        ALONE.render("matrix", {})


# ---- stages: colour


def test_a_chroma_of_one_is_the_world_as_it_was():
    index = np.random.default_rng(0).integers(1 << 62, size=100)
    kinds = dict(ALONE.share)
    plain, one = SceneWorld(kinds=kinds), SceneWorld(kinds=kinds, chroma=1.0)
    assert np.array_equal(plain.images(index), one.images(index)) and plain.digest == one.digest
    assert SceneWorld(kinds=kinds, chroma=0.5).digest != plain.digest


@pytest.mark.parametrize("chroma", [0.0, 0.12, 0.5])
def test_brightness_stays_and_colour_fades(chroma):
    index = np.random.default_rng(0).integers(1 << 62, size=200)
    faded = SceneWorld(kinds=dict(ALONE.share), chroma=chroma)
    full, less = ALONE.images(index).astype(float), faded.images(index).astype(float)
    grey = full @ LUMA
    assert np.abs(less @ LUMA - grey).max() <= 0.5 + 1e-9  # half a grey level of rounding
    assert np.abs(less - grey[..., None] - chroma * (full - grey[..., None])).max() <= 0.5 + 1e-9
    assert (np.ptp(less, axis=3).max() == 0) == (chroma == 0)
    assert np.array_equal(faded.labels(index, "colour"), ALONE.labels(index, "colour"))  # what is shown is the same


def test_on_the_faint_stage_colour_moves_fewer_pixels_worth_than_shape():
    full, faint = ALONE.energy("one"), FAINT.energy("one")
    assert full["colour"] > full["shape"] and faint["colour"] < 0.6 * faint["shape"]
    assert abs(faint["light"] / full["light"] - 1) < 0.05  # light is brightness alone
    assert faint["shape"] > 0.6 * full["shape"]


def test_a_chroma_outside_0_to_1_is_refused():
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(Refused, match=f"^The chroma is {wrong}, but must lie between 0 and 1"):
            SceneWorld(chroma=wrong)
