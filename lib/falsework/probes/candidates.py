"""Which of these captions belongs to this picture? One interface for whoever can answer: a scorer.

    score(pictures uint8 (N, S, S, 3), candidates) -> float64 (N, K), higher for a better fit

candidates: K captions asked of every picture, or N rows of K captions. A captioner answers with log p(caption | picture),
a CLIP with scale * cosine; what draws from captions can answer with log p(picture | caption).

Dimension key: N pictures, K candidates, B batch, T caption length in tokens, E shared space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from falsework.core.errors import Refused
from falsework.core.vocabulary import PAD, Vocabulary
from falsework.recipes.pairs import as_tensor, shown

Candidates = Sequence[str] | Sequence[Sequence[str]]
Scorer = Callable[[np.ndarray, Candidates], np.ndarray]
BLOCK = 256


def rows_of(candidates: Candidates, n: int) -> tuple[list[str], np.ndarray]:
    """Return (distinct captions, int64 (N, K) positions in them); raises Refused for fewer than two candidates.

    Also for rows of different lengths, and for as many rows as there are not pictures.
    """
    if len(candidates) and isinstance(candidates[0], str):
        candidates = [list(candidates)] * n  # type: ignore[arg-type]
    widths = {len(row) for row in candidates}
    if len(candidates) != n or len(widths) > 1:
        raise Refused(
            f"There are {n} pictures and {len(candidates)} rows of candidates, but each needs one, all alike."
        )
    if not widths or widths.pop() < 2:
        raise Refused("There are fewer than two candidates, but a choice needs two or more.")
    at: dict[str, int] = {}
    index = [[at.setdefault(caption, len(at)) for caption in row] for row in candidates]
    return list(at), np.array(index, np.int64)


def by_captioner(model: Any, vocabulary: Vocabulary, side: int, blind: bool = False, parallel: bool = False) -> Scorer:
    """Return a scorer: the SUM over tokens, end included, of log p(token | picture, tokens before), in nats.

    A mean over tokens would favour long captions of easy words. blind: the decoder looks at zeros in the place of the
    picture, and knows language alone. parallel: all tokens at once, each from the picture alone.
    """

    @torch.inference_mode()
    def score(pictures: np.ndarray, candidates: Candidates) -> np.ndarray:
        said, index_NK = rows_of(candidates, len(pictures))
        ids, device = torch.from_numpy(vocabulary.encode(said)), next(model.parameters()).device
        out = np.empty(index_NK.shape)
        width = index_NK.shape[1]
        step = max(1, BLOCK // width)
        for i in range(0, len(pictures), step):
            context = model.look(as_tensor(shown(pictures[i : i + step], side)).to(device))
            context = torch.zeros_like(context) if blind else context
            asked = ids[index_NK[i : i + step].reshape(-1)].to(device)
            logits_BTV = model.say(context.repeat_interleave(width, 0), asked, parallel)
            nats = F.cross_entropy(logits_BTV.flatten(0, 1), asked.flatten(), ignore_index=PAD, reduction="none")
            out[i : i + step] = -nats.view(asked.shape).double().sum(1).view(-1, width).cpu().numpy()
        return out

    return score


def by_clip(model: Any, vocabulary: Vocabulary, side: int) -> Scorer:
    """Return a scorer: cosine of picture and caption over the temperature, the logits of CLIP's softmax."""

    def score(pictures: np.ndarray, candidates: Candidates) -> np.ndarray:
        said, index_NK = rows_of(candidates, len(pictures))
        texts, images = embed_captions(model, vocabulary, said), embed_pictures(model, pictures, side)
        return model.scale.item() * np.einsum("ne,nke->nk", images, texts[index_NK], dtype=np.float64)

    return score


def by_words(model: Any, vocabulary: Vocabulary, side: int) -> Scorer:
    """Return a scorer for a net that predicts bags of words: log p(the caption's words and no others), in nats.

    Two captions of the same words get the same score, whatever their order.
    """

    @torch.inference_mode()
    def score(pictures: np.ndarray, candidates: Candidates) -> np.ndarray:
        said, index_NK = rows_of(candidates, len(pictures))
        bag_KV = np.zeros((len(said), len(vocabulary)))
        for row, caption in zip(bag_KV, said):
            row[vocabulary.encode([caption])[0, :-1]] = 1
        device, out = next(model.parameters()).device, []
        for i in range(0, len(pictures), BLOCK):
            out.append(
                model(as_tensor(shown(pictures[i : i + BLOCK], side)).to(device))["words"].double().cpu().numpy()
            )
        logits_NV = np.concatenate(out)
        # log sigmoid(x) - log sigmoid(-x) = x; the words that are not said cost the same in every caption of a picture
        rest_N1 = -np.logaddexp(0, logits_NV).sum(1, keepdims=True)
        return np.take_along_axis(logits_NV @ bag_KV.T, index_NK, 1) + rest_N1

    return score


@torch.inference_mode()
def tell(model: Any, vocabulary: Vocabulary, pictures: np.ndarray, side: int) -> list[str]:
    """Return what a captioner says of each picture: always its likeliest next word, until it ends the sentence."""
    device, out = next(model.parameters()).device, []
    for i in range(0, len(pictures), BLOCK):
        context = model.look(as_tensor(shown(pictures[i : i + BLOCK], side)).to(device))
        ids_BT = torch.full((len(context), vocabulary.length), PAD, device=device)
        for t in range(vocabulary.length):
            ids_BT[:, t] = model.say(context, ids_BT[:, : t + 1])[:, t].argmax(1)
        out += vocabulary.decode(ids_BT.cpu().numpy())
    return out


@torch.inference_mode()
def embed_pictures(model: Any, pictures: np.ndarray, side: int) -> np.ndarray:
    """Return float32 (N, E), length one, of uint8 (N, S, S, 3); raises Refused for another size or type."""
    device, out = next(model.parameters()).device, [np.empty((0, model.project_image.out_features), np.float32)]
    for i in range(0, len(pictures), BLOCK):
        out.append(model.embed_images(as_tensor(shown(pictures[i : i + BLOCK], side)).to(device)).cpu().numpy())
    return np.concatenate(out)


@torch.inference_mode()
def embed_captions(model: Any, vocabulary: Vocabulary, captions: Sequence[str]) -> np.ndarray:
    """Return float32 (K, E), length one; raises Refused for an unknown word, and for a caption that is too long."""
    device, out = next(model.parameters()).device, [np.empty((0, model.project_text.out_features), np.float32)]
    for i in range(0, len(captions), BLOCK):
        ids = torch.from_numpy(vocabulary.encode(captions[i : i + BLOCK])).to(device)
        out.append(model.embed_texts(ids).cpu().numpy())
    return np.concatenate(out)
