"""Codes without words: as many bits as a caption, one that describes pictures and one that calls nothing alike alike."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from falsework.core.errors import Refused
from falsework.core.rng import rng
from falsework.world import codes
from falsework.world.captions import load_scenes
from falsework.world.codes import count_of, entropy_of, residual_means, say_code, small_world, symbols_of

WORLD = load_scenes("energy")
N = len(WORLD)
K = 7  # symbols of the longest caption
PIXELS = rng("pixels").permutation(768)[:64]  # numbers of a picture that are looked at: all of them take long
CODES = {(language, small): symbols_of(language, small) for language in codes.LANGUAGES for small in (False, True)}


def rows_of(small: bool) -> np.ndarray:
    return small_world() if small else np.arange(N)


def cells(symbols_NK: np.ndarray) -> np.ndarray:
    """Return int64 (N,): which rows have the same symbols."""
    if not symbols_NK.shape[1]:
        return np.zeros(len(symbols_NK), np.int64)
    return np.unique(symbols_NK, axis=0, return_inverse=True)[1].ravel()


def left(pictures_ND: np.ndarray, cell_N: np.ndarray) -> float:
    """Return what is left of the variance of pictures within cells, half the mean squared distance of two in a cell."""
    counts = np.bincount(cell_N)
    order = np.argsort(cell_N, kind="stable")
    starts = np.concatenate([[0], counts.cumsum()[:-1]])
    sums = np.add.reduceat(pictures_ND[order].astype(np.float64), starts)
    squares = np.einsum("nd,nd->", pictures_ND, pictures_ND, dtype=np.float64)
    return float(squares - (np.square(sums).sum(1) / counts).sum()) / len(pictures_ND)


def lefts(language: str, small: bool) -> np.ndarray:
    """Return the variance that the first k symbols leave, (K + 1,), as a share of all of it."""
    rows = rows_of(small)
    seen, table = WORLD.unit[np.ix_(rows, PIXELS)], CODES[language, small][rows]
    found = [left(seen - seen.mean(0), cells(table[:, :k])) for k in range(K + 1)]
    return np.array(found) / found[0]


# ---- how much is said


def test_the_symbols_of_words_are_the_factors_in_the_order_of_the_ladder():
    table = CODES["words", False]
    assert np.array_equal(table, CODES["words", True])
    for level in ("thing", "short", "descriptive", "ultra"):
        named = WORLD.named[level]
        assert count_of(level) == len(named)
        for k, factor in enumerate(named):
            assert np.array_equal(table[:, k], WORLD.labels(np.arange(N), factor))
        index = rng("words", level).integers(N, size=300)  # equal symbols, equal captions, and the other way round
        same = cells(table[index, : count_of(level)])
        said = np.unique(WORLD.captions(index, level), return_inverse=True)[1]
        assert np.array_equal(same[:, None] == same, said[:, None] == said)
    assert count_of("none") == 0 and count_of("ultra") == K


def test_entropy_counts_rows_alike():
    assert entropy_of(np.array([[0, 1], [0, 1], [1, 0], [1, 1]])) == pytest.approx(1.5)
    assert entropy_of(np.zeros((8, 3), int)) == 0 and entropy_of(np.arange(32)[:, None]) == 5


def test_words_say_thirteen_bits_and_ten_in_the_small_world():
    assert entropy_of(CODES["words", False]) == 13
    assert entropy_of(CODES["words", True][small_world()]) == 10
    first = [entropy_of(CODES["words", False][:, :k]) for k in range(1, K + 1)]
    assert first == [2, 4, 7, 8, 10, 12, 13]  # every factor is a whole number of bits, independent of the others


@pytest.mark.parametrize(("small", "bits"), [(False, 13), (True, 10)])
def test_a_random_code_says_exactly_as_much_as_words_at_every_length(small, bits):
    rows = rows_of(small)
    random, words = (CODES[language, small][rows] for language in ("random", "words"))
    assert entropy_of(random) == bits
    for k in range(1, K + 1):
        assert entropy_of(random[:, :k]) == entropy_of(words[:, :k])


@pytest.mark.parametrize("small", [False, True])
def test_a_random_code_is_the_words_of_another_scene_and_each_scenes_words_are_used_once(small):
    rows = rows_of(small)
    random, words = (CODES[language, small][rows] for language in ("random", "words"))
    assert np.array_equal(random[np.lexsort(random.T)], words[np.lexsort(words.T)])
    alike = (random == words).mean(0)  # as often right as chance has it
    for k in range(K):
        chance = 1 / len(np.unique(words[:, k]))
        assert abs(alike[k] - chance) <= 4 * math.sqrt(chance * (1 - chance) / len(rows))
    # four scenes have the same words in the big world, one in the small
    assert (random == words).all(1).sum() <= 20


@pytest.mark.parametrize(("small", "bits", "off"), [(False, 13, 0.1), (True, 10, 0.2)])
def test_a_machine_code_says_nearly_as_much_as_words(small, bits, off):
    table = CODES["machine", small][rows_of(small)]
    assert table.shape[1] == K and (table >= 0).all() and (table.max(0) < codes.CENTRES).all()
    assert entropy_of(table) == pytest.approx(bits, abs=off)
    assert entropy_of(table) <= math.log2(len(table))


# ---- what is called alike


@pytest.mark.parametrize("small", [False, True])
def test_renders_that_a_random_code_calls_alike_are_no_more_alike_than_any_others(small):
    """A partition of N drawn blindly into G cells leaves (N - G) / (N - 1) of the variance, at every length."""
    rows = rows_of(small)
    table, found = CODES["random", small][rows], lefts("random", small)
    for k in range(K + 1):
        groups = len(np.unique(cells(table[:, :k])))
        assert found[k] == pytest.approx((len(rows) - groups) / (len(rows) - 1), abs=0.012)


def test_pairs_that_share_their_first_symbol_are_as_far_apart_as_any_in_a_random_code_and_nearer_in_the_others():
    """Counted on pairs, which is what is meant by it."""
    one, other = rng("pairs").integers(N, size=(2, 40_000))
    apart = np.square(WORLD.unit[one] - WORLD.unit[other]).sum(1)
    share = {}
    for language in codes.LANGUAGES:
        same = CODES[language, False][one, 0] == CODES[language, False][other, 0]
        share[language] = apart[same & (one != other)].mean() / apart.mean()
    assert share["random"] == pytest.approx(1, abs=0.03)
    assert share["words"] < 0.8 and share["machine"] < 0.5


@pytest.mark.parametrize("small", [False, True])
def test_words_and_machine_codes_describe_pictures_and_each_symbol_says_more_of_them(small):
    rows, random = rows_of(small), lefts("random", small)
    said = (random[1:] < 1 - 1e-9) & (random[1:] > 1e-9)  # neither nothing nor all, as in the small world
    for language in ("words", "machine"):
        found = lefts(language, small)
        assert (found[1:][said] < 0.75 * random[1:][said] + 1e-9).all()
        assert found[-1] < 0.02 and (np.diff(found) <= 1e-9).all()
    machine, table = lefts("machine", small), CODES["machine", small][rows]
    groups = [len(np.unique(cells(table[:, :k]))) for k in range(K + 1)]
    for k in range(K):  # every symbol leaves less than if it split the cells before it blindly
        blind = machine[k] * (len(rows) - groups[k + 1]) / (len(rows) - groups[k])
        assert machine[k + 1] < 0.92 * blind and groups[k + 1] > groups[k]


def test_every_scene_of_the_small_world_is_named_by_its_row_in_the_big_list():
    inside = np.isin(np.arange(N), small_world())
    for language in ("machine", "random"):
        assert not CODES[language, True][~inside].any()  # only those rows mean anything
        assert CODES[language, True][inside].any(1).mean() > 0.98


# ---- how a machine code is made


@pytest.mark.parametrize("small", [False, True])
def test_codes_made_twice_are_the_same(small):
    symbols_of.cache_clear()
    small_world.cache_clear()
    for language in codes.LANGUAGES:
        again = symbols_of(language, small)
        assert again is not CODES[language, small] and np.array_equal(again, CODES[language, small])


def test_each_symbol_is_that_of_the_nearest_centre_of_what_is_left(monkeypatch):
    """What is taken from a picture is the centre of its cell, no other centre is nearer, and the rest is handed on."""
    steps: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    step = codes._step

    def watched(rest_ND, some, centres, seed):
        nearest, after = step(rest_ND, some, centres, seed)
        steps.append((rest_ND, nearest, after))
        return nearest, after

    monkeypatch.setattr(codes, "_step", watched)
    code = residual_means(WORLD.unit[small_world()], (6, 5, 8), 6.5)
    for (rest, nearest, after), column in zip(steps[:2], code.T):
        assert np.array_equal(nearest, column)
        centres = np.stack([(rest - after)[nearest == c].mean(0) for c in range(nearest.max() + 1)])
        assert np.allclose(rest - after, centres[nearest], atol=1e-4)
        assert (np.square(rest[:, None] - centres).sum(2).argmin(1) == nearest).mean() > 0.995
        means = np.stack([rest[nearest == c].mean(0) for c in range(nearest.max() + 1)])
        least = np.square(rest - means[nearest]).sum()  # of these cells; 15 rounds, and nearly done
        assert least <= np.square(after).sum() < 1.02 * least < 1.02 * np.square(rest).sum()
    assert steps[1][0] is steps[0][2] and all(s[0] is steps[1][2] for s in steps[2:])


def planted(sizes: tuple[int, ...], scales: tuple[float, ...], grain: float, *keys: object) -> tuple:
    """Return pictures (n, 96) that are sums of a centre of each book, and which, (n, K): all sums, three times each."""
    draw = rng("planted", sizes, *keys)
    books = [scale * draw.standard_normal((size, 96)) for size, scale in zip(sizes, scales)]
    which = np.stack([w.ravel() for w in np.meshgrid(*map(np.arange, sizes), indexing="ij")], 1).repeat(3, 0)
    which = which[draw.permutation(len(which))]
    exact = sum(book[symbol] for book, symbol in zip(books, which.T))
    return (exact + grain * draw.standard_normal(exact.shape)).astype(np.float32), which


def goes_with(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two columns of symbols name the same things by other names."""
    pairs = np.unique(np.stack([one, other], 1), axis=0)
    return len(pairs) == len(np.unique(one)) == len(np.unique(other))


@pytest.mark.parametrize(
    ("sizes", "scales"), [((5, 4), (20.0, 1.0)), ((4, 6), (30.0, 1.0)), ((4, 3, 5), (100.0, 10.0, 1.0))]
)
@pytest.mark.parametrize(("grain", "most"), [(0.0, 0), (0.01, 16)])
def test_planted_symbols_are_found_again_each_by_one_name(sizes, scales, grain, most):
    """Exact sums, and sums with a little grain, of which the last symbol might split more than was planted."""
    for key in range(3):
        pictures, which = planted(sizes, scales, grain, key)
        bits = math.log2(math.prod(sizes))
        found = residual_means(pictures, (*sizes[:-1], most or sizes[-1]), bits)
        assert found.shape == which.shape
        assert all(goes_with(a, b) for a, b in zip(found.T, which.T))
        assert entropy_of(found) == pytest.approx(bits)


@pytest.mark.parametrize("bits", [3.0, 3.5, 4.0, 4.5, 5.0])
def test_the_last_symbol_has_as_many_centres_as_bring_the_bits_nearest(bits):
    """All counts are tried here: none is nearer by more than what k-means itself wavers by."""
    pictures = rng("last").standard_normal((600, 12)).astype(np.float32)
    found = residual_means(pictures, (4, 24), bits)
    every = [entropy_of(residual_means(pictures, (4, most), 99.0)) for most in range(1, 25)]
    assert max(every) > 5 and min(every) <= 2
    assert abs(entropy_of(found) - bits) <= min(abs(h - bits) for h in every) + 0.03
    assert found[:, 1].max() < 24


def test_no_more_centres_than_were_given_are_taken_whatever_bits_are_wanted():
    pictures = rng("most").standard_normal((400, 8)).astype(np.float32)
    assert residual_means(pictures, (3, 5), 99.0).max(0).tolist() == [2, 4]
    assert residual_means(pictures, (3, 5), 0.0).max(0).tolist() == [2, 0]


def test_pictures_far_from_nought_get_the_codes_of_the_same_pictures_around_it():
    pictures, _ = planted((5, 4), (20.0, 1.0), 0.01, "moved")
    one, other = (residual_means(pictures + np.float32(shift), (5, 4), math.log2(20)) for shift in (0, 8))
    assert all(goes_with(a, b) for a, b in zip(one.T, other.T))


# ---- words for it


def test_made_up_words_name_place_and_value_and_no_two_codes_sound_alike():
    assert say_code([3, 11, 0]) == "a3 b11 c0" and say_code([]) == ""
    for key, table in CODES.items():
        index = rng("said", *key).integers(N, size=200)
        said = [say_code(row) for row in table[index].tolist()]
        back = [[int(m) for m in re.findall(r"[a-z](\d+)", text)] for text in said]
        assert np.array_equal(back, table[index])


# ---- refusals


@pytest.mark.parametrize(
    ("centres", "count"),
    [((), 9), ((4,), 9), ((4, 10), 9), ((10, 4), 9), ((2, 3), 2), ((4, 0), 9), ((0, 4), 9)],
)
def test_codes_of_one_symbol_and_more_or_fewer_centres_than_can_be_found_are_refused(centres, count):
    given = re.escape(str(centres))
    with pytest.raises(Refused, match=rf"^The symbols have {given} centres, but need .* of 1 to {count} each\.$"):
        residual_means(np.zeros((count, 5), np.float32), centres, 1.0)


def test_an_unknown_language_is_refused_with_the_nearest():
    with pytest.raises(Refused, match=r"^The language is 'machines', but must be .* \(did you mean 'machine'\?\)\.$"):
        symbols_of("machines")
    with pytest.raises(
        Refused, match=r"^The language is 'latin', but must be one of 'words', 'machine', 'random', 'name', 'facts'\.$"
    ):
        symbols_of("latin", True)


@pytest.mark.parametrize("level", ["near-exact", "pixel-words", "long"])
def test_a_level_without_a_code_is_refused(level):
    with pytest.raises(Refused, match=rf"^The caption level is '{level}', but must be one of 'none', .*'ultra'"):
        count_of(level)


def test_made_up_words_for_the_facts_say_what_words_say():
    assert np.array_equal(symbols_of("facts"), symbols_of("words"))
