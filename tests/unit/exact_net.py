"""The exact world in a net's clothes: what is asked of a trained denoiser can be asked of Bayes, who is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isqrt
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from falsework.core.vocabulary import END, Vocabulary
from falsework.noise import sigma_of
from falsework.world.exact import ExactWorld

Heard = tuple[Tensor, ...]


def small_world(texture: float = 0.1, numbers: int = 12, renders: int = 16) -> ExactWorld:
    """Renders of two pixels by two that are told apart by one of four words, by one of eight, or by none."""
    code = np.arange(renders)
    captions = {"none": 0 * code, "short": code % 4, "long": code % 8}
    return ExactWorld(np.random.default_rng(7).uniform(-1, 1, (renders, numbers)), captions, texture=texture)


class ExactNet:
    """E[x | x_s, c] under the contract of `nets.dit.Denoiser`. A caption is one word, a level and a code: "short2"."""

    def __init__(self, world: ExactWorld, range: tuple[float, float] = (0.001, 200.0)) -> None:
        self.world, self.range, self.asked = world, range, 0
        side = isqrt(world.D // 3)
        self.net = SimpleNamespace(side=side, hear=self.hear)
        told = {f"{k}{c}": world.group(k).code == i for k in world.levels for i, c in enumerate(world.group(k).values)}
        self.words = Vocabulary(tuple(told), 2)
        signs = np.ones((END + 1, world.N), bool)  # who says nothing leaves every render possible
        self.open_VN = torch.from_numpy(np.concatenate([signs, *(m[None] for m in told.values())]))
        self.renders_ND = torch.from_numpy(world.renders.astype(np.float64) + world.mean)

    def parameters(self) -> Iterator[Tensor]:
        """Yield something that lies on a device."""
        yield torch.zeros(1)

    def say(self, numbers: np.ndarray, level: str) -> list[str]:
        """Return the captions of these renders."""
        group = self.world.group(level)
        return ["" if level == "none" else f"{level}{group.values[group.code[i]]}" for i in numbers]

    def hear(self, ids_BM: Tensor) -> Heard:
        """Return which renders a caption leaves possible, (B, N)."""
        return (self.open_VN[ids_BM[:, 0]],)

    def clean(self, x: Tensor, log_snr_B: Tensor, heard: Heard) -> Tensor:
        """Return the mean picture behind a noisy one, (B, 3, S, S)."""
        self.asked += len(x)
        s2_B1, t2 = sigma_of(log_snr_B.double())[:, None] ** 2, self.world.texture**2
        flat_BD = x.permute(0, 2, 3, 1).flatten(1).double()
        square_BN = (flat_BD[:, None] - self.renders_ND).square().sum(2)
        log_p_BN = (-square_BN / (2 * (s2_B1 + t2))).masked_fill(~heard[0], -torch.inf)
        guess_BD = (s2_B1 * (log_p_BN.softmax(1) @ self.renders_ND) + t2 * flat_BD) / (s2_B1 + t2)
        return guess_BD.view(-1, *x.shape[2:], 3).permute(0, 3, 1, 2).to(x.dtype)

    def __call__(self, x: Tensor, log_snr_B: Tensor, ids_BM: Tensor) -> Tensor:
        return self.clean(x, log_snr_B, self.hear(ids_BM))

    def told(self, ids_BM: Tensor):
        """Return the sampler's `denoise` for these captions."""
        heard = self.hear(ids_BM)
        return lambda x, log_snr_B: self.clean(x, log_snr_B, heard)


def pictures_of(x_nD: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Return float32 (n, S, S, 3) of pictures that lie flat."""
    flat = np.asarray(x_nD, np.float32)
    side = isqrt(flat.shape[1] // 3)
    return flat.reshape(-1, side, side, 3)
