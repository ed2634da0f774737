"""What draws also recognises (Li et al. 2023; Clark and Jaini 2023): the caption under which the noise is easiest to remove.

    log p(x | c) - log p(x | c') = - int E [|eps - eps_c|^2 - |eps - eps_c'|^2] d ln sigma          (nats)

eps_c = (x_s - D(x_s, s, c)) / s, and the integral runs over all noise. Even in ln sigma is the likelihood's own
weighting. The error of one picture under one noise varies far more than captions differ; so all candidates are asked
about the SAME noise, and what they share falls out of the difference.

Dimension key: N pictures, K candidates, S side in pixels, J draws of (sigma, eps) for each picture.
"""

from __future__ import annotations

import io
import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch

from falsework.core.artefacts import key_of, write_atomic
from falsework.core.dataset import digest_arrays
from falsework.core.errors import Refused
from falsework.core.rng import rng
from falsework.core.vocabulary import Vocabulary
from falsework.noise import add_noise, check_sigma, like, log_snr_of
from falsework.probes.candidates import Candidates, Scorer, rows_of

BLOCK = 512  # evaluations at once
LOW, HIGH = 0.3, 4.0  # sigmas between which small pictures are told apart
CHUNK = 64  # pictures whose result is kept at once


class Stage(NamedTuple):
    """`draws` further noise levels for every candidate still in play; then some are dropped.

    keep: at most so many stay, the best. sure: those are dropped whose mean error lies so many standard errors above the
    best one's, by the differences under the same noise: a race (Maron and Moore 1997). Who is alone is asked no more.
    """

    draws: int
    keep: int = sys.maxsize
    sure: float = math.inf


FULL = (Stage(24, 1),)
PRUNED = (Stage(6, sure=1.5), *(Stage(2, sure=1.5),) * 9)  # of many candidates most are hopeless at first sight


class Classified(NamedTuple):
    """scores: log p(x | c) in nats up to a constant of the picture, -inf for candidates dropped before the end."""

    scores: np.ndarray  # float64 (N, K)
    evaluations: np.ndarray  # int64 (N,): forward passes spent on each picture


def evaluations_of(stages: Sequence[Stage], candidates: int) -> int:
    """Return how many forward passes a schedule costs for one picture; the most it can cost, if it drops by `sure`."""
    cost, left = 0, candidates
    for stage in stages:
        cost += stage.draws * left * (left > 1)
        left = min(left, stage.keep)
    return cost


def sigmas_of(draws: int, low: float, high: float, draw: np.random.Generator) -> np.ndarray:
    """Return float64 (draws,): one sigma in each of as many equal parts of [ln low, ln high]."""
    return low * (high / low) ** ((np.arange(draws) + draw.random(draws)) / draws)


def classify(
    model: Any,
    words: Vocabulary,
    pictures: np.ndarray,
    candidates: Candidates,
    *keys: object,
    stages: Sequence[Stage] = FULL,
    low: float = LOW,
    high: float = HIGH,
    shared: bool = True,
    seen: float = 0.0,
    kept: Path | None = None,
) -> Classified:
    """Return every candidate's score for pictures float32 (N, S, S, 3) around [-1, 1].

    Sigmas and noise are functions of the keys, the picture's number and the stage. stages: how many draws for how many
    candidates. shared: one noise for all candidates of a picture; without it each has its own, which is the mistake to
    see. seen: sigma of noise that the pictures have already; low and high are of what is added to it. kept: a file of
    this net's for what is done, so that a second call goes on from there and ends with the same result.

    Raises Refused for fewer than two candidates, pictures of another size, sigma outside the range that the net was
    trained in or that does not rise, and schedules with a stage that draws or keeps nothing.
    """
    captions, index_NK = rows_of(candidates, len(pictures))
    side = model.net.side
    if pictures.ndim != 4 or pictures.shape[1:] != (side, side, 3) or pictures.dtype != np.float32:
        need = f"float32 (N, {side}, {side}, 3)"
        raise Refused(f"The pictures are {pictures.dtype} {pictures.shape}, but must be {need} around [-1, 1].")
    if not 0 < low < high:
        raise Refused(f"The noise goes from sigma {low:g} to {high:g}, but must rise from above 0.")
    for sigma in (low, high):
        check_sigma(math.hypot(sigma, seen), *model.range)
    if not stages or any(stage.draws < 1 or stage.keep < 1 for stage in stages):
        given = ", ".join(f"{stage.draws} draws, {stage.keep} kept" for stage in stages) or "empty"
        raise Refused(f"The schedule is {given}, but needs stages that draw and keep one or more each.")
    asked = key_of(
        {
            "keys": repr(keys),
            "stages": repr(stages),
            "noise": [low, high, shared, seen],
            "captions": captions,
            "data": digest_arrays(pictures, index_NK),
        }
    )
    N, K = index_NK.shape
    scores, evaluations, done = _resumed(kept, asked, N, K)
    with torch.inference_mode():
        heard = model.net.hear(torch.from_numpy(words.padded(captions)).to(next(model.parameters()).device))
        for start in range(done, N, CHUNK):
            rows = slice(start, min(start + CHUNK, N))
            noise = _Noise(keys, start, low, high, shared, seen)
            scores[rows], evaluations[rows] = _chunk(model, heard, pictures[rows], index_NK[rows], noise, stages)
            if kept is not None:
                _keep(kept, asked, scores, evaluations, rows.stop)
    return Classified(scores, evaluations)


class _Noise(NamedTuple):
    """Where the noise of a chunk's pictures comes from."""

    keys: tuple[object, ...]
    start: int
    low: float
    high: float
    shared: bool
    seen: float

    def of(self, picture: int, candidate: int, stage: int, draws: int, shape: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Return sigma float64 (draws,) and eps float32 (draws, 3, S, S) of one picture, counted from the chunk's first."""
        whose = () if self.shared else (candidate,)
        draw = rng(*self.keys, self.start + picture, stage, *whose)
        return sigmas_of(draws, self.low, self.high, draw), draw.standard_normal((draws, *shape), dtype=np.float32)


def _chunk(
    model: Any,
    heard: tuple[torch.Tensor, torch.Tensor],
    pictures: np.ndarray,
    index_NK: np.ndarray,
    noise: _Noise,
    stages: Sequence[Stage],
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (n, K) and evaluations (n,) of some pictures."""
    device = heard[0].device
    x = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).to(device)
    alive, draws = np.ones(index_NK.shape, bool), np.zeros(index_NK.shape, np.int64)
    nats_nKJ = np.full((*index_NK.shape, sum(stage.draws for stage in stages)), np.nan)
    seen_J = 0
    for number, stage in enumerate(stages):
        asked = alive & (alive.sum(1, keepdims=True) > 1)
        rows, columns = np.nonzero(asked)
        step = max(1, BLOCK // stage.draws)
        for start in range(0, len(rows), step):
            who, which = rows[start : start + step], columns[start : start + step]
            # pairs lie picture by picture, so each noise is drawn once a block
            drawn: dict[tuple[int, int], tuple[np.ndarray, ...]] = {}
            for pair in zip(who.tolist(), which.tolist()):
                at = (pair[0], 0) if noise.shared else pair
                if at not in drawn:
                    drawn[at] = noise.of(at[0], at[1], number, stage.draws, x.shape[1:])
            told = [drawn[(a, 0) if noise.shared else (a, b)] for a, b in zip(who.tolist(), which.tolist())]
            sigma = torch.from_numpy(np.concatenate([sigma for sigma, _ in told]).astype(np.float32)).to(device)
            eps = torch.from_numpy(np.concatenate([eps for _, eps in told])).to(device)
            clean = x[who].repeat_interleave(stage.draws, 0)
            words = np.repeat(index_NK[who, which], stage.draws)
            noisy = add_noise(clean, eps, log_snr_of(sigma))
            whole = torch.hypot(sigma, torch.full_like(sigma, noise.seen))  # what was there, and what was added
            guess = model.clean(noisy, log_snr_of(whole), tuple(part[words] for part in heard))
            if noise.seen:  # of a picture with noise u in it, E[y | x] = D + (u / s)^2 (x - D)
                guess = torch.lerp(guess, noisy, like((noise.seen / whole) ** 2, noisy))
            nats = ((clean - guess).square().flatten(1).sum(1) / sigma**2).double().cpu().numpy()
            nats_nKJ[who, which, seen_J : seen_J + stage.draws] = nats.reshape(-1, stage.draws)
        draws += stage.draws * asked
        seen_J += stage.draws
        if number + 1 < len(stages):
            alive &= _stays(nats_nKJ[:, :, :seen_J], alive, stage)
    span, mean = math.log(noise.high / noise.low), np.nansum(nats_nKJ, 2) / draws
    return np.where(alive, -span * mean, -np.inf), draws.sum(1)


def _stays(nats_nKj: np.ndarray, alive: np.ndarray, stage: Stage) -> np.ndarray:
    """Return bool (n, K): who is asked again, from the errors of all draws so far (NaN where none was made)."""
    sums, draws = np.nansum(nats_nKj, 2), np.isfinite(nats_nKj).sum(2)
    mean = np.where(alive, sums / draws, np.inf)
    kept = np.zeros_like(alive)
    np.put_along_axis(kept, np.argsort(mean, axis=1, kind="stable")[:, : stage.keep], True, axis=1)
    if math.isfinite(stage.sure):
        best = mean.argmin(1)
        behind = nats_nKj - np.take_along_axis(nats_nKj, best[:, None, None], 1)
        lead, count = np.nansum(behind, 2) / draws, np.maximum(draws - 1, 1)
        square = np.nansum(np.square(behind - lead[:, :, None]), 2) / count / draws
        kept &= ~(lead > stage.sure * np.sqrt(square)) | (np.arange(len(mean[0])) == best[:, None])
    return kept


def _resumed(kept: Path | None, asked: str, N: int, K: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return scores, evaluations and how many pictures are done: from the file when it is about the same question."""
    if kept is not None and kept.exists():
        try:
            with np.load(kept, allow_pickle=False) as found:
                if str(found["asked"]) == asked and found["scores"].shape == (N, K):
                    return found["scores"], found["evaluations"], int(found["done"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            pass  # a file that was cut short: begin again
    return np.full((N, K), -np.inf), np.zeros(N, np.int64), 0


def _keep(kept: Path, asked: str, scores: np.ndarray, evaluations: np.ndarray, done: int) -> None:
    out = io.BytesIO()
    np.savez(out, asked=np.array(asked), scores=scores, evaluations=evaluations, done=np.array(done))
    write_atomic(kept, out.getvalue())


def by_diffusion(model: Any, pairs: Any, *keys: object, **how: Any) -> Scorer:
    """Return a scorer (`probes.candidates`): `classify` as one question, arguments and refusals as there.

    A candidate that is no sentence of the training captions is asked all the same, with a warning that names the nearest
    one: the net has never learned what such words do.
    """

    def score(pictures: np.ndarray, candidates: Candidates) -> np.ndarray:
        for caption in rows_of(candidates, len(pictures))[0]:
            near = pairs.nearest(caption)
            if near is not None:
                text = f"The candidate {caption!r} is not phrased like the training captions; the nearest is {near!r}."
                warnings.warn(text, stacklevel=2)
        return classify(model, pairs.vocabulary, pictures, candidates, *keys, **how).scores

    return score
