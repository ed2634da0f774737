"""Say which words the caption has, whatever their order (Joulin et al. 2016; middle line of Radford et al. 2021, fig. 2).

Dimension key: B batch, T caption length in tokens, V words.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from falsework.core.vocabulary import END

HEAD = "words"  # the name of the model's head over the vocabulary


def bag_of_words(
    model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return nats per caption: V yes-or-no questions, does the caption of "pictures" say this word ("ids" (B, T))?"""
    logits_BV, ids_BT = model(batch["pictures"])[HEAD], batch["ids"]
    said_BV = torch.zeros_like(logits_BV).scatter_(1, ids_BT, 1.0)
    said_BV[:, : END + 1] = 0
    return F.binary_cross_entropy_with_logits(logits_BV, said_BV, reduction="sum") / len(ids_BT), {}
