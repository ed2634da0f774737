"""unCLIP (Ramesh et al. 2022, "Hierarchical Text-Conditional Image Generation with CLIP Latents", DALL-E 2).

    caption -> prior -> CLIP embedding of a picture -> decoder -> picture

Both are diffusion models on the one trunk. Embeddings here are LOUD: of length sqrt(E), so that a number of one is about
as large as a number of a picture.

Dimension key: B batch, S side in pixels, E CLIP's shared space, C width, M caption length, T patches.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.nets.dit import WAVES, Denoiser, DiT, waves
from falsework.nets.trunk import Trunk
from falsework.noise import like, shrunk, sigma_of

TOKENS = 4  # that an embedding becomes, beside the words (section 2.1)


def loud(unit_BE: Tensor) -> Tensor:
    """Return embeddings of length one at length sqrt(E)."""
    return unit_BE * unit_BE.shape[1] ** 0.5


def unit(loud_BE: Tensor) -> Tensor:
    """Return embeddings at length one."""
    return F.normalize(loud_BE, dim=1)


class PictureDiT(DiT):
    """A DiT that hears a CLIP embedding beside the words: added to the noise level, and as four more words to look at.

    worded: whether it hears words at all; without them it looks at the four alone.
    """

    def __init__(
        self,
        side: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        words: int,
        length: int,
        shared: int,
        worded: bool = True,
    ) -> None:
        super().__init__(side, patch, width, depth, heads, words if worded else 0, length if worded else 0)
        self.shared, self.worded = shared, worded
        self.join = nn.Linear(shared, width)
        self.tokens = nn.Linear(shared, TOKENS * width)
        self.norm_tokens = nn.LayerNorm(width)

    def hear(self, ids_BM: Tensor, loud_BE: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the context (B, M + 4, C) and the vector (B, C) of captions and embeddings; zeros are no embedding.

        Raises Refused for embeddings of another size, and for none.
        """
        if loud_BE is None or loud_BE.shape[1:] != (self.shared,):
            given = "none" if loud_BE is None else tuple(loud_BE.shape)
            raise Refused(f"The embeddings are {given}, but must be (B, {self.shared}).")
        tokens_B4C = self.norm_tokens(self.tokens(loud_BE).unflatten(1, (TOKENS, -1)))
        if not self.worded:
            return tokens_B4C, self.join(loud_BE)
        context_BMC, told_BC = super().hear(ids_BM)
        return torch.cat([context_BMC, tokens_B4C], 1), told_BC + self.join(loud_BE)


class Prior(nn.Module):
    """The diffusion prior (section 2.2): a caption to the embeddings of pictures that it may belong to.

    A causal trunk over words, the caption's own embedding, the noise level, the noisy embedding and a last place at which
    the clean embedding is read. What it reads is added to the best linear estimate, as pictures are (`nets.dit`).
    """

    def __init__(
        self,
        skip: nn.Module,
        words: int,
        length: int,
        shared: int,
        width: int,
        depth: int,
        heads: int,
        range: tuple[float, float],
    ) -> None:
        super().__init__()
        self.skip, self.range, self.shared = skip, range, shared
        self.word, self.place = nn.Embedding(words, width), nn.Parameter(torch.randn(length, width) * 0.02)
        self.text, self.noisy = nn.Linear(shared, width), nn.Linear(2 * shared, width)
        self.level = nn.Linear(2 * WAVES, width)
        self.last = nn.Parameter(torch.randn(width))
        self.trunk = Trunk(width, depth, heads)
        self.read = nn.Linear(width, shared)
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.read.bias)

    def forward(self, x_BE: Tensor, log_snr_B: Tensor, ids_BM: Tensor, text_BE: Tensor) -> Tensor:
        """Return clean embeddings (B, E), loud, of noisy ones, their log-SNR, captions and the captions' embeddings."""
        sigma_B = sigma_of(log_snr_B)
        guess_BE = self.skip.guess(x_BE, sigma_B)  # type: ignore[operator]
        seen_BC = self.noisy(torch.cat([shrunk(x_BE, sigma_B), guess_BE], 1))
        places = [self.text(text_BE), self.level(waves(log_snr_B)), seen_BC, self.last.expand_as(seen_BC)]
        words_BMC = self.word(ids_BM) + self.place
        x_BTC = self.trunk(torch.cat([words_BMC, torch.stack(places, 1)], 1), causal=True)
        return guess_BE + like(self.skip.rest(sigma_B), guess_BE) * self.read(x_BTC[:, -1])  # type: ignore[operator]


class UnCLIP(nn.Module):
    """A decoder, a prior, and the CLIP whose embeddings both speak of, frozen."""

    def __init__(self, decoder: Denoiser, prior: Prior, clip: nn.Module) -> None:
        super().__init__()
        self.decoder, self.prior = decoder, prior
        self.clip = clip.requires_grad_(False)
