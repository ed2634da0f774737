"""Codes without words: what else could name a picture in as many bits as its caption?

    words     the values of the factors that the caption names, in the order of the ladder
    machine   residual k-means of the pixels (Juang and Gray 1982): each symbol names a patch of colour to add
    random    the words of another scene, one fixed scene for each: as many bits, but nothing alike is called alike
    name      the same in one word: a proper name for each
    facts     what words say, in made-up words

Each is a table of symbols, int64 (N, K), one row for each scene. A level of the ladder says its first few symbols.

Dimension key: N scenes, K symbols of the longest caption, D numbers of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from falsework.core.errors import Refused, one_of
from falsework.core.rng import rng
from falsework.world.captions import LEVELS, load_scenes
from falsework.world.exact import entropy_bits

LANGUAGES = ("words", "machine", "random", "name", "facts")
LONGEST = LEVELS[-3]  # the longest caption that has a code: "ultra"
# Values of a machine symbol; the last has as many as bring the entropy to that of words. Fewer, larger symbols describe
# pixels better, but nets learn them later: with 256, 256 and 10 they had not caught up after 1,500 steps.
CENTRES = (16, 16, 16, 16, 16, 16, 64)
FITTED = 4096  # scenes that the centres are found on
# Of the pictures' 768, with all but 1 % of their variance. No number of its own: nets know a code by the two above.
DIRECTIONS = FITTED // 64
FIXED = {"background": 0, "light": 0, "nudge_x": 0, "nudge_y": 0}  # what never changes in the small world


@cache
def small_world() -> np.ndarray:
    """Return int64 (1024,): the scenes on the first background, lit from the left, without nudges: ten bits."""
    scenes = load_scenes("energy").scenes
    return np.flatnonzero(np.logical_and.reduce([scenes[f] == v for f, v in FIXED.items()]))


def entropy_of(symbols_NK: np.ndarray) -> float:
    """Return the entropy in bits of the rows, all scenes being equally likely."""
    return float(entropy_bits(np.unique(symbols_NK, axis=0, return_counts=True)[1] / len(symbols_NK)))


@cache
def symbols_of(language: str, small: bool = False) -> np.ndarray:
    """Return int64 (N, K), for every scene of the enumeration; of the small world's only those rows mean anything.

    Raises Refused for an unknown language.
    """
    world = load_scenes("energy")
    words = np.stack([world.scenes[f] for f in world.named[LONGEST]], 1)
    if one_of("The language", language, LANGUAGES) in ("words", "facts"):
        return words
    rows = small_world() if small else np.arange(len(world))
    if language in ("random", "name"):
        told = words[rng("random codes", small).permutation(rows)]
        if language == "name":
            told = np.unique(told, axis=0, return_inverse=True)[1].reshape(-1, 1)
    else:
        told = residual_means(world.unit[rows], CENTRES, entropy_of(words[rows]))
    out = np.zeros((len(world), told.shape[1]), np.int64)
    out[rows] = told
    return out


def count_of(level: str) -> int:
    """Return how many symbols a level says, where a code has as many; raises Refused for a level without a code."""
    one_of("The caption level", level, LEVELS[: LEVELS.index(LONGEST) + 1])
    return len(load_scenes("energy").named[level])


def residual_means(pictures_ND: np.ndarray, centres: Sequence[int], bits: float) -> np.ndarray:
    """Return int64 (N, K): each symbol the nearest of its centres to what the symbols before it left over.

    The last gets as many centres, at most those given, as halving finds to bring the entropy near to `bits`. Raises
    Refused for more centres than pictures to find them on, for none, and for fewer than two symbols.
    """
    most = min(FITTED, len(pictures_ND))
    if len(centres) < 2 or min(centres) < 1 or max(centres) > most:
        raise Refused(f"The symbols have {tuple(centres)} centres, but need two symbols or more of 1 to {most} each.")
    some = rng("fitted").permutation(len(pictures_ND))[:FITTED]
    rest = _along(pictures_ND - pictures_ND[some].mean(0), some)
    code = np.empty((len(rest), len(centres)), np.int64)
    for k, count in enumerate(centres[:-1]):
        code[:, k], rest = _step(rest, some, count, k)
    least, most = 1, centres[-1]  # the entropy grows with the number of centres, but for a waver
    tried: dict[int, tuple[float, np.ndarray]] = {}
    while least <= most:
        middle = (least + most) // 2
        code[:, -1] = _step(rest, some, middle, len(centres))[0]
        found = entropy_of(code)
        tried[middle] = abs(found - bits), code[:, -1].copy()
        least, most = (middle + 1, most) if found < bits else (least, middle - 1)
    code[:, -1] = min(tried.values(), key=lambda one: one[0])[1]
    return code


def _along(off_ND: np.ndarray, some: np.ndarray) -> np.ndarray:
    """Return the rows (N, DIRECTIONS) along those directions in which they differ most: nearly as far apart."""
    spread = np.linalg.eigh(off_ND[some].T.astype(np.float64) @ off_ND[some])
    return off_ND @ spread.eigenvectors[:, -DIRECTIONS:].astype(np.float32)


def _step(rest_ND: np.ndarray, some: np.ndarray, centres: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest centre of each row (N,), and what is left of the rows without it."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums in one order: the same centres whatever the cores
        means = KMeans(centres, n_init=1, max_iter=15, random_state=seed).fit(rest_ND[some])
        nearest = means.predict(rest_ND)
    return nearest.astype(np.int64), rest_ND - means.cluster_centers_[nearest]


def say_code(symbols: Sequence[int]) -> str:
    """Return made-up words for the symbols of one scene: "a3 b11 c0"."""
    return " ".join(f"{chr(ord('a') + k)}{value}" for k, value in enumerate(symbols))
