"""Read every factor of a picture at once: minus the log-likelihood of its scene, were the factors told apart one by one.

Dimension key: B batch, S side in pixels, F factors, K values of a factor.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UNSAID = -1  # the label of a factor that a picture's kind does not have


def factor_loss(
    model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return nats per picture, the cross-entropies of its factors added up; and no further metrics.

    batch: "pictures" (B, 3, S, S) as `nets.convs.Tower` takes them, "labels" int64 (B, F), a column for each factor in
    the order of the model's logits. A label of -1 costs nothing.
    """
    logits, labels_BF = model(batch["pictures"]), batch["labels"]
    costs = [
        F.cross_entropy(guess_BK, labels_BF[:, f], ignore_index=UNSAID, reduction="sum")
        for f, guess_BK in enumerate(logits.values())
    ]
    return torch.stack(costs).sum() / len(labels_BF), {}
