"""A tower, the mean over its cells, and linear heads: the classic net for labels (and for bags of words).

Dimension key: B batch, K values of a factor.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class Heads(nn.Module):
    """Factor -> logits (B, K); heads start at zero, so the first guess is even."""

    def __init__(self, image: nn.Module, factors: Mapping[str, int]) -> None:
        super().__init__()
        self.image, self.factors = image, dict(factors)
        self.norm = nn.LayerNorm(image.channels)  # type: ignore[arg-type]
        self.heads = nn.ModuleDict({f: nn.Linear(image.channels, k) for f, k in factors.items()})  # type: ignore[arg-type]
        for p in self.heads.parameters():
            nn.init.zeros_(p)

    def forward(self, pictures_B3SS: Tensor) -> dict[str, Tensor]:
        x_BC = self.norm(self.image(pictures_B3SS).mean(1))
        return {f: head(x_BC) for f, head in self.heads.items()}
