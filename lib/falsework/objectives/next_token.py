"""Predict each token from those before it (Shannon 1948; the loss of every GPT)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def next_token(
    model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean cross-entropy in nats per token of `batch["ids"]` (B, T), and no further metrics.

    The model's logits (B, T, K) must at position t depend on tokens before t alone.
    """
    ids_BT = batch["ids"]
    logits_BTK = model(ids_BT)
    return F.cross_entropy(logits_BTK.flatten(0, 1), ids_BT.flatten()), {}
