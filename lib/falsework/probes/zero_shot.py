"""A classifier out of words alone (Radford et al. 2021, section 3.1), and retrieval: CLIP used as its makers used it.

Dimension key: N pictures, K classes, P prompts a class, E shared space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from falsework.core.errors import Refused
from falsework.core.vocabulary import Vocabulary
from falsework.probes.candidates import embed_captions

PLAIN = ("{}",)


def class_weights(
    model: Any, vocabulary: Vocabulary, names: Sequence[str], prompts: Sequence[str] = PLAIN
) -> np.ndarray:
    """Return float32 (K, E), length one: each prompt's embedding NORMALISED, then their mean, then that normalised.

    Without the first step a prompt would count by its length in the shared space. prompts: with {} in the place of the
    name. Raises Refused for no names, a name that comes twice, no prompts or one without {}, an unknown word, and too
    long a prompt.
    """
    if not len(names):
        raise Refused("The list of class names is empty, but a classifier needs one or more.")
    twice = next((n for k, n in enumerate(names) if n in names[:k]), None)
    if twice is not None:
        raise Refused(f"The class name {twice!r} comes twice, but every class needs a name of its own.")
    if not len(prompts):
        raise Refused("The list of prompts is empty, but a class needs one or more; '{}' is the name alone.")
    bare = next((p for p in prompts if "{}" not in p), None)
    if bare is not None:
        raise Refused(f"The prompt {bare!r} has no place for the class name, but needs '{{}}' there.")
    said = [prompt.format(name) for name in names for prompt in prompts]
    return average(embed_captions(model, vocabulary, said).reshape(len(names), len(prompts), -1))


def average(embedded_KPE: np.ndarray) -> np.ndarray:
    """Return (K, E), length one: prompts (K, P, E) normalised, averaged, normalised."""
    unit = embedded_KPE / np.linalg.norm(embedded_KPE, axis=2, keepdims=True)
    mean = unit.mean(1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def right_among(scores_NK: np.ndarray, truth_N: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return bool (N,): is the true class the best of its row of candidates, (N, C) class numbers that contain it?

    Scores that tie count as wrong: a net that says nothing is not right. Raises Refused when a row lacks the truth.
    """
    held = candidates == truth_N[:, None]
    if not held.any(1).all():
        raise Refused("A row of candidates lacks the picture's own class, but every row must hold it.")
    asked = np.take_along_axis(scores_NK, candidates, 1)
    own = np.take_along_axis(scores_NK, truth_N[:, None], 1)
    return np.asarray((np.where(held, -np.inf, asked) < own).all(1))


def candidates_of(truth_N: np.ndarray, pool: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return int64 (N, count): each picture's class and `count - 1` others of the pool, drawn without replacement.

    Raises Refused for fewer than two candidates, and when the pool has fewer than `count` classes.
    """
    pool = np.unique(pool)
    if not 2 <= count <= len(pool):
        raise Refused(f"The candidates are {count} of {len(pool)} classes, but must be two or more and at most all.")
    out = np.empty((len(truth_N), count), np.int64)
    for row, own in zip(out, truth_N):
        row[0], row[1:] = own, rng.choice(pool[pool != own], count - 1, replace=False)
    return out


class Retrieval(NamedTuple):
    """Shares of queries whose own answer is among the first 1, 5, 10, and the median of its rank (1 is best)."""

    at_1: float
    at_5: float
    at_10: float
    median_rank: float


def retrieval(query_NE: np.ndarray, answer_NE: np.ndarray, chunk: int = 1024) -> Retrieval:
    """Return how well query k finds answer k among all N by cosine, in chunks of queries: memory N x chunk.

    Answers that tie with the right one rank before it. Raises Refused for other shapes.
    """
    if query_NE.shape != answer_NE.shape or query_NE.ndim != 2 or not len(query_NE):
        given = f"{query_NE.shape} and {answer_NE.shape}"
        raise Refused(f"The embeddings have shapes {given}, but must be two equal lists of vectors.")
    ranks = []
    for i in range(0, len(query_NE), chunk):
        scores = query_NE[i : i + chunk] @ answer_NE.T
        own = scores[np.arange(len(scores)), i + np.arange(len(scores))]
        ranks.append((~(scores < own[:, None])).sum(1))  # what is no number ranks last
    rank = np.concatenate(ranks)
    at_1, at_5, at_10 = (float((rank <= k).mean()) for k in (1, 5, 10))
    return Retrieval(at_1, at_5, at_10, float(np.median(rank)))
