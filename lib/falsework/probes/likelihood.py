"""What a model pays for each token of a picture, where in the picture the payment falls, and what a caption saves.

Dimension key: N pictures, T tokens (pixels in raster order), S side (T = S * S), J Haar bands (S = 2^J).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.core.vocabulary import Vocabulary
from falsework.probes.candidates import Candidates, Scorer, rows_of
from falsework.recipes.dalle import codes_of, said
from falsework.recipes.pairs import shown


@torch.inference_mode()
def bits_per_token(model: nn.Module, ids_NT: np.ndarray, batch: int = 64) -> np.ndarray:
    """Return float32 (N, T): -log2 p(token_t | tokens before t), the code length in bits (Shannon 1948)."""
    device = next(model.parameters()).device
    out = []
    for i in range(0, len(ids_NT), batch):
        ids_BT = torch.from_numpy(ids_NT[i : i + batch].astype(np.int64)).to(device)
        nats = F.cross_entropy(model(ids_BT).flatten(0, 1), ids_BT.flatten(), reduction="none")
        out.append(nats.view(ids_BT.shape).float().cpu().numpy() / math.log(2))
    return np.concatenate(out)


def neighbour_bits(train_NT: np.ndarray, test_NT: np.ndarray, side: int, colours: int) -> dict[str, float]:
    """Return bits per pixel of three models that need no training, on `test_NT`: floors for any learned one.

    "uniform": log2 K. "frequency": each colour by its share. "copy": the left pixel's colour with one learned
    probability, else by frequency. Shares come from `train_NT`, one pseudo-count a colour.
    """
    counts = np.bincount(train_NT.reshape(-1), minlength=colours) + 1.0
    share = counts / counts.sum()

    def left(ids_NT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = ids_NT.reshape(len(ids_NT), side, side)
        return rows[:, :, :-1].reshape(-1), rows[:, :, 1:].reshape(-1)

    before, after = left(train_NT)
    p_same = (before == after).mean()
    # p(same) = stay + (1 - stay) * p(colour): solve for the one probability on the average pixel
    stay = np.clip((p_same - (share**2).sum()) / (1 - (share**2).sum()), 0.0, 1 - 1e-6)
    before, after = left(test_NT)
    p_copy = (1 - stay) * share[after] + stay * (before == after)
    first = -np.log2(share[test_NT.reshape(len(test_NT), side, side)[:, :, 0]]).sum()
    return {
        "uniform": math.log2(colours),
        "frequency": float(-np.log2(share[test_NT]).mean()),
        "copy": float((first - np.log2(p_copy).sum()) / test_NT.size),
    }


LETTER_BITS = math.log2(27)  # a letter or the end of the word, all alike


def caption_code_bits(train: list[str], val: list[str], test: list[str]) -> np.ndarray:
    """Return float64 (len(test),): the code length in bits of unseen captions under a small open-vocabulary model.

    Each word is guessed from the last one, mixed with its overall share (a bigram with Dirichlet smoothing, MacKay and
    Peto 1995), and a word never seen is spelled letter by letter. The weight of the mix is chosen on `val`. A code length is
    never below the entropy on average, so this bounds from above what captions can tell.
    """
    words, pairs, heads = Counter[str](), Counter[tuple[str, str]](), Counter[str]()
    for text in train:
        told = [".", *text.split(), "."]
        words.update(told[1:])
        pairs.update(pairwise(told))
        heads.update(told[:-1])
    total, kinds = words.total(), len(words) + 1

    def length(text: str, weight: float) -> float:
        told, bits = [".", *text.split(), "."], 0.0
        for before, word in pairwise(told):
            share = (words[word] + 0.5) / (total + 0.5 * kinds)
            bits -= math.log2((pairs[before, word] + weight * share) / (heads[before] + weight))
            bits += 0 if words[word] else LETTER_BITS * (len(word) + 1)
        return bits

    best = min((1.0, 3.0, 10.0, 30.0, 100.0), key=lambda w: sum(length(t, w) for t in val))
    return np.array([length(t, best) for t in test])


# ---- where the payment falls


class Part(NamedTuple):
    """Bits per picture that fall on a part, their share of all bits (0 to 1), and the pixels per picture it holds."""

    bits: float
    share: float
    pixels: float


def _parts(bits_NT: np.ndarray, weights: Mapping[str, np.ndarray]) -> dict[str, Part]:
    """Split bits by weights (N, T) that sum to one at every pixel."""
    total, N = bits_NT.sum(dtype=np.float64), len(bits_NT)
    sums = {name: (float((bits_NT * w).sum(dtype=np.float64)), float(w.sum())) for name, w in weights.items()}
    return {name: Part(bits / N, bits / total, pixels / N) for name, (bits, pixels) in sums.items()}


def bits_by_region(bits_NT: np.ndarray, masks: Mapping[str, np.ndarray]) -> dict[str, Part]:
    """Return what each region costs; `masks` are bool (N, T), and every pixel lies in exactly one.

    A region's share of the pixels, `pixels` / T, is the floor beside its share of the bits. Raises Refused when a mask
    has another shape than the bits or the masks do not partition the picture.
    """
    for name, mask in masks.items():
        if mask.shape != bits_NT.shape or mask.dtype != bool:
            given = f"{mask.dtype} of shape {mask.shape}"
            raise Refused(f"The mask {name!r} is {given}, but must be bool of shape {bits_NT.shape}, as the bits.")
    count = sum(masks.values(), np.zeros(bits_NT.shape, int))
    if (count != 1).any():
        wrong = count[count != 1][0]
        raise Refused(f"A pixel lies in {wrong} of the regions {', '.join(masks)}, but must lie in exactly one.")
    return _parts(bits_NT, masks)


def haar_bands(pictures_NSSC: np.ndarray) -> np.ndarray:
    """Return float64 (J + 1, N, S, S, C): details at 2, 4 .. S pixels, then the mean; they sum to the picture.

    Detail j is the picture averaged over blocks of 2^(j-1) pixels less that over blocks of 2^j: the three
    orthonormal Haar sub-bands of the scale (Mallat 1989), added up in pixel space. Bands are orthogonal, so their
    energies (sums of squares) add up to the picture's. Raises Refused unless S is a power of two.
    """
    S, width = pictures_NSSC.shape[1:3]
    if width != S or S < 2 or S & (S - 1):
        raise Refused(f"The pictures are {S} by {width} pixels, but must be square, the side a power of two.")
    blurred, small = [pictures_NSSC.astype(np.float64)], pictures_NSSC.astype(np.float64)
    for j in range(1, S.bit_length()):
        # in pairs, so that the average of equal numbers is that number to the last bit and a flat block has no detail
        small = (small[:, ::2] + small[:, 1::2]) / 2
        small = (small[:, :, ::2] + small[:, :, 1::2]) / 2
        blurred.append(small.repeat(2**j, 1).repeat(2**j, 2))
    return np.stack([*(fine - coarse for fine, coarse in pairwise(blurred)), blurred[-1]])


def bits_by_band(bits_NT: np.ndarray, pictures_NSSC: np.ndarray) -> dict[str, Part]:
    """Return the bits that fall where a picture changes at a scale: "2 px" (finest), "4 px" .. "S px", "flat".

    Each pixel's bits are shared among the scales in proportion to the energy of their Haar details at that pixel,
    colours added; a pixel without any detail is "flat" (the mean is no detail). This is an ATTRIBUTION, not a code: a
    model in raster order codes no bands, and the same bits would buy other structure in another order. What it says
    is where the payment falls, as `bits_by_region` does with soft regions. `pictures` are (N, S, S, C) floats, the ones
    whose pixels the bits pay for; an offset or a factor changes nothing. Raises Refused as `haar_bands` does, and
    when bits and pictures do not fit.
    """
    energy_JNT = (haar_bands(pictures_NSSC)[:-1] ** 2).sum(-1)
    energy_JNT = energy_JNT.reshape(len(energy_JNT), len(pictures_NSSC), -1)
    if energy_JNT.shape[1:] != bits_NT.shape:
        raise Refused(f"The bits have shape {bits_NT.shape}, but the pictures have pixels {energy_JNT.shape[1:]}.")
    total_NT = energy_JNT.sum(0)
    share_JNT = energy_JNT / np.where(total_NT > 0, total_NT, 1)
    bands = {f"{2 ** (j + 1)} px": share for j, share in enumerate(share_JNT)}
    return _parts(bits_NT, {**bands, "flat": total_NT == 0})


# ---- what a caption saves


class Saving(NamedTuple):
    """Mean saving in bits per picture, its standard error, and whether it is beyond the caption's entropy."""

    mean: float
    se: float
    over_bound: bool | None


def caption_information(
    bits_without_N: np.ndarray, bits_with_N: np.ndarray, caption_entropy: float | None = None
) -> Saving:
    """Return the mean over pictures of log2 p(x|c) - log2 p(x), from code lengths of the SAME pictures in bits.

    Under one joint model, p(x) = sum_c p(c) p(x|c), this estimates I(c; x) and cannot exceed H(c) (Cover and Thomas,
    theorem 2.6.5). With a blank model trained apart it can, for it also counts what that model failed to learn; so
    never print it as information without its bound. Given `caption_entropy` H(c) in bits, `over_bound` says whether
    the mean lies more than two standard errors above it. Raises Refused for unpaired or fewer than two pictures.
    """
    if bits_without_N.shape != bits_with_N.shape or bits_with_N.ndim != 1 or len(bits_with_N) < 2:
        given = f"{bits_without_N.shape} and {bits_with_N.shape}"
        raise Refused(f"The code lengths have shapes {given}, but must be those of the same pictures, two or more.")
    saved_N = bits_without_N.astype(np.float64) - bits_with_N
    mean, se = float(saved_N.mean()), float(saved_N.std(ddof=1) / math.sqrt(len(saved_N)))
    return Saving(mean, se, None if caption_entropy is None else mean - 2 * se > caption_entropy)


# ---- a picture's bits under a model that draws from captions: the model used backwards


@torch.inference_mode()
def drawing_bits(model: nn.Module, ids_NL: Tensor, codes_NT: Tensor, batch: int = 128) -> np.ndarray:
    """Return float64 (N, T): -log2 p(code_t | caption, codes before t) of a stream (`nets.dalle`)."""
    out = []
    for i in range(0, len(codes_NT), batch):
        codes_BT = codes_NT[i : i + batch]
        logits_BTK = model(ids_NL[i : i + batch].to(codes_BT.device), codes_BT)[1]
        nats = F.cross_entropy(logits_BTK.flatten(0, 1), codes_BT.flatten(), reduction="none")
        out.append(nats.view(codes_BT.shape).double().cpu().numpy() / math.log(2))
    return np.concatenate(out)


def by_stream(model: Any, vocabulary: Vocabulary) -> Scorer:
    """Return a scorer (`probes.candidates`): log p(picture's codes | caption) in nats, the generative classifier's.

    With an even prior over the candidates the softmax of the scores is p(caption | picture), by Bayes.
    """

    def score(pictures: np.ndarray, candidates: Candidates) -> np.ndarray:
        captions, index_NK = rows_of(candidates, len(pictures))
        ids, codes = said(vocabulary, captions), codes_of(model, shown(pictures, model.tokenizer.side))
        width = index_NK.shape[1]
        bits = drawing_bits(model.stream, ids[index_NK.reshape(-1)], codes.repeat_interleave(width, 0))
        return -math.log(2) * bits.sum(1).reshape(-1, width)

    return score
