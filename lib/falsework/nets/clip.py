"""CLIP (Radford et al. 2021): pictures and captions as points on one sphere, near when they belong together.

Dimension key: B batch, C width of a tower, E width of the shared space, T caption length in tokens.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOG_SCALE = math.log(1 / 0.07)  # the paper's first temperature
MAX_SCALE = 100.0  # and its hottest: a larger scale would make the softmax a switch


class CLIP(nn.Module):
    """An image tower and a caption tower, each projected to E and normalised; `scale` is one over the temperature."""

    def __init__(self, image: nn.Module, text: nn.Module, shared: int, log_scale: float = LOG_SCALE) -> None:
        super().__init__()
        self.image, self.text = image, text
        self.norm_image = nn.LayerNorm(image.channels)  # type: ignore[arg-type]
        self.norm_text = nn.LayerNorm(text.channels)  # type: ignore[arg-type]
        self.project_image = nn.Linear(image.channels, shared, bias=False)  # type: ignore[arg-type]
        self.project_text = nn.Linear(text.channels, shared, bias=False)  # type: ignore[arg-type]
        self.log_scale = nn.Parameter(torch.tensor(log_scale))

    @property
    def scale(self) -> Tensor:
        """One over the temperature, at most 100."""
        return self.log_scale.exp().clamp(max=MAX_SCALE)

    def embed_images(self, pictures_B3SS: Tensor) -> Tensor:
        """Return (B, E) of length one: the mean over the tower's cells, projected."""
        return F.normalize(self.project_image(self.norm_image(self.image(pictures_B3SS).mean(1))), dim=1)

    def embed_texts(self, ids_BT: Tensor) -> Tensor:
        """Return (B, E) of length one."""
        return F.normalize(self.project_text(self.norm_text(self.text(ids_BT))), dim=1)
