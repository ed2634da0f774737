"""What a DALL-E draws: pictures from captions, several of which CLIP can choose from, or the rest of a picture begun.

Dimension key: N captions, k tries each, S side in pixels, T = G * G codes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from falsework.core.errors import Refused
from falsework.core.vocabulary import Vocabulary
from falsework.probes.candidates import embed_captions, embed_pictures
from falsework.recipes.dalle import said
from falsework.samplers import guide, sample_tokens
from falsework.training import generator_of

BLOCK = 256
GUIDANCE, TEMPERATURE = 2.0, 0.7  # how pictures are drawn unless one says otherwise


def draw_codes(
    model: Any,
    words: Vocabulary,
    captions: Sequence[str],
    *keys: object,
    guidance: float = GUIDANCE,
    temperature: float = TEMPERATURE,
    top_k: int | None = None,
    given_NT: Tensor | None = None,
) -> Tensor:
    """Return int64 (N, T): a drawing's codes for each caption, decided by the keys; "" asks for nothing.

    guidance: 1 asks the model with the caption, 0 without, more leans away from what it would draw without. given_NT: codes
    that stand already, -1 where to draw. Raises Refused for an unknown word, a caption that is too long, a
    temperature that is not above 0, a negative guidance, no captions, and given codes of another shape or book.
    """
    if not 0 <= guidance < math.inf:
        raise Refused(f"The guidance is {guidance}, but must be 0 or more.")
    if isinstance(captions, str) or not len(captions):
        raise Refused(f"The captions are {captions!r}, but must be a list of one or more.")
    stream, device = model.stream, next(model.stream.parameters()).device
    if given_NT is not None:
        need, codes = (len(captions), stream.cells), len(stream.look)
        if given_NT.shape != need or given_NT.min() < -1 or given_NT.max() >= codes:
            told = f"{tuple(given_NT.shape)}, {given_NT.min()} to {given_NT.max()}"
            raise Refused(f"The given codes are {told}, but must be {need}, 0 to {codes - 1}, or -1 where to draw.")
    ids, out = said(words, list(captions)).to(device), []
    for i in range(0, len(ids), BLOCK):
        text = ids[i : i + BLOCK]
        step = stream.step(text)
        if guidance != 1:
            step = guide(step, stream.step(torch.zeros_like(text)), guidance)  # PAD is 0: nothing is asked
        given = None if given_NT is None else given_NT[i : i + BLOCK].to(device)
        empty = torch.empty(len(text), 0, dtype=torch.long, device=device)
        dice = generator_of(*keys, i, device=device.type)
        out.append(sample_tokens(step, empty, stream.cells, dice, temperature, top_k, given))
    return torch.cat(out)


@torch.inference_mode()
def paint(model: Any, codes_NT: Tensor) -> np.ndarray:
    """Return pictures uint8 (N, S, S, 3) of codes; raises Refused for codes of another grid."""
    blocks = [model.tokenizer.decode(codes_NT[i : i + BLOCK]) for i in range(0, len(codes_NT), BLOCK)]
    pictures = torch.cat(blocks).add(1).mul(127.5).round().byte()
    return pictures.permute(0, 2, 3, 1).cpu().numpy()


def draw(model: Any, words: Vocabulary, captions: Sequence[str], *keys: object, **how: Any) -> np.ndarray:
    """Return pictures uint8 (N, S, S, 3), one for each caption; arguments and refusals as `draw_codes`."""
    return paint(model, draw_codes(model, words, captions, *keys, **how))


def tries(model: Any, words: Vocabulary, captions: Sequence[str], count: int, *keys: object, **how: Any) -> np.ndarray:
    """Return uint8 (N, count, S, S, 3): several drawings of each caption."""
    flat = draw(model, words, [caption for caption in captions for _ in range(count)], *keys, **how)
    return flat.reshape(len(captions), count, *flat.shape[1:])


def best_of(model: Any, words: Vocabulary, captions: Sequence[str], tries_NkSS3: np.ndarray, k: int) -> np.ndarray:
    """Return uint8 (N, S, S, 3): of the first k tries of each caption the one that CLIP finds nearest to it.

    The paper reranks 512. Raises Refused for k below 1 or above the number of tries, and for other captions than tries.
    """
    N, count = tries_NkSS3.shape[:2]
    if len(captions) != N:
        raise Refused(f"There are {len(captions)} captions and tries of {N}, but each caption needs its own.")
    if not 1 <= k <= count:
        raise Refused(f"The best of {k} was asked for, but there are {count} drawings of each caption.")
    some = tries_NkSS3[:, :k]
    side = some.shape[2]
    pictures = embed_pictures(model.clip, some.reshape(N * k, side, side, 3), side).reshape(N, k, -1)
    texts = embed_captions(model.clip, words, captions)
    return some[np.arange(N), np.einsum("nke,ne->nk", pictures, texts).argmax(1)]
