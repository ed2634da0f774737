"""Say the code of a picture that is not shown: nats per code.

Dimension key: B batch, K symbols.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def symbol_loss(
    model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return -log p of "symbols" int64 (B, K) by the model's `prior`; and no further metrics."""
    return -model.prior(batch["symbols"]).mean(), {}  # type: ignore[operator]
