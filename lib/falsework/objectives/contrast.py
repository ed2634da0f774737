"""Tell which caption belongs to which picture (InfoNCE: van den Oord et al. 2018; both ways: Radford et al. 2021, fig. 3).

Dimension key: B batch, E width of the shared space.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def info_nce(image_BE: Tensor, text_BE: Tensor, scale: Tensor | float) -> Tensor:
    """Return nats per pair: the mean of -log softmax over captions and over pictures, ln B when nothing is told apart.

    image_BE, text_BE: length one, row k of one belonging to row k of the other; scale: one over the temperature.
    """
    logits_BB = scale * image_BE @ text_BE.T
    own_B = torch.arange(len(logits_BB), device=logits_BB.device)
    return (F.cross_entropy(logits_BB, own_B) + F.cross_entropy(logits_BB.T, own_B)) / 2


def contrast(
    model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return `info_nce` of a CLIP on "pictures" (B, 3, S, S) and "ids" (B, T); metrics: scale."""
    images, texts = model.embed_images(batch["pictures"]), model.embed_texts(batch["ids"])  # type: ignore[operator]
    return info_nce(images, texts, model.scale), {"scale": model.scale.detach()}  # type: ignore[operator, union-attr, arg-type]
