"""Predict the words, then the codes of the picture (Ramesh et al. 2021, section 2.2: weights 1/8 and 7/8).

Dimension key: B batch, L text length, T codes, V words, K codes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from falsework.core.vocabulary import PAD

WORDS = 1 / 8  # weight of the words' mean cross-entropy; the codes' is one less this


def joint_stream(
    model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted mean nats per token of "ids" (B, L), pads left out, and "codes" (B, T); metrics: codes, words."""
    words_BLV, codes_BTK = model(batch["ids"], batch["codes"])
    said = (batch["ids"] != PAD).sum().clamp(min=1)  # a batch may be silent
    words = F.cross_entropy(words_BLV.flatten(0, 1), batch["ids"].flatten(), ignore_index=PAD, reduction="sum") / said
    codes = F.cross_entropy(codes_BTK.flatten(0, 1), batch["codes"].flatten())
    return WORDS * words + (1 - WORDS) * codes, {"codes": codes.detach(), "words": words.detach()}
