"""A diffusion transformer (Peebles and Xie 2023) in pixels: a noisy picture, its noise level and a caption to the picture.

    D(x_s, s, c) = skip(x_s, s) + reach(s) F(x_s, s, c)       preconditioning as in EDM (Karras et al. 2022, eq. 7)

F is a trunk over patches. What it must make decides how fast it learns: a net as narrow as ours can paint a flat wall, but
cannot copy the noise of a patch in order to subtract it. So the skip of choice lets no more noise through than the
pictures have grain of their own, and F paints the picture (see `GrainSkip`). The noise level
steers every block (adaLN), the caption is looked at as a sequence of words (cross-attention), and the sum of its
words steers along with the noise.

Dimension key: B batch, S side in pixels, D = 3 S^2 numbers of a picture, P side of a patch, T = (S / P)^2 patches, C width,
M caption length, W words, K directions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from falsework.core.errors import Refused
from falsework.core.vocabulary import END, PAD
from falsework.nets.trunk import Trunk
from falsework.noise import like, shrunk, sigma_of

BEFORE = 4  # words that a word knows
COLOURS = 4  # of a patch
WAVES = 16  # sines and as many cosines of ln sigma


class ScalarSkip(nn.Module):
    """EDM's skip: each number of a picture by itself, as if all were Gaussian with one variance about one mean.

    Skips have a common contract, for noisy pictures (B, 3, S, S) and sigma (B,):
    forward    what stands in D without the net        reach    (B,) what the net's answer is multiplied with
    guess      an estimate that the net looks at       rest     (B,) the deviation per number that `guess` leaves
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, mean: Tensor, variance: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("variance", variance)

    def guess(self, x: Tensor, sigma_B: Tensor) -> Tensor:
        """Return the best estimate of the form a x_s + b."""
        return self.mean + like(self.variance / (self.variance + sigma_B**2), x) * (x - self.mean)

    def rest(self, sigma_B: Tensor) -> Tensor:
        """Return sqrt(v s^2 / (v + s^2))."""
        return (self.variance * sigma_B**2 / (self.variance + sigma_B**2)).sqrt()

    def forward(self, x: Tensor, sigma_B: Tensor) -> Tensor:
        """Return the guess: the net adds what it leaves."""
        return self.guess(x, sigma_B)

    def reach(self, sigma_B: Tensor) -> Tensor:
        """Return what the guess leaves."""
        return self.rest(sigma_B)


class WienerSkip(nn.Module):
    """The best linear denoiser (Wiener 1949): pictures as a Gaussian cloud, longer in some directions than in others.

    mean: (D,); directions: (D, D), orthonormal; variances: (D,) along them. Contract as `ScalarSkip`.
    """

    mean: Tensor
    directions: Tensor
    variances: Tensor

    def __init__(self, mean_D: Tensor, directions_DD: Tensor, variances_D: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean_D)
        self.register_buffer("directions", directions_DD)
        self.register_buffer("variances", variances_D)

    def guess(self, x: Tensor, sigma_B: Tensor) -> Tensor:
        """Return the best linear estimate of the picture."""
        gain_BD = self.variances / (self.variances + sigma_B[:, None] ** 2)
        along_BD = ((x.flatten(1) - self.mean) @ self.directions) * gain_BD
        return (self.mean + along_BD @ self.directions.T).view_as(x)

    def rest(self, sigma_B: Tensor) -> Tensor:
        """Return sqrt of the mean of v s^2 / (v + s^2)."""
        noise_B1 = sigma_B[:, None] ** 2
        return (self.variances * noise_B1 / (self.variances + noise_B1)).mean(1).sqrt()

    def forward(self, x: Tensor, sigma_B: Tensor) -> Tensor:
        """Return the guess: the net adds what it leaves."""
        return self.guess(x, sigma_B)

    def reach(self, sigma_B: Tensor) -> Tensor:
        """Return what the guess leaves."""
        return self.rest(sigma_B)


class GrainSkip(WienerSkip):
    """Only the grain of a picture comes from the noisy one; the picture under it the net paints, looking at the guess.

        skip = (t^2 x_s + s^2 mean) / (t^2 + s^2),   reach ~ s^2 / (t^2 + s^2)

    t^2 is the variance along the middle one of all directions: in most of them pictures have grain and nothing else. For
    pictures x = r + t eta this is the exact form, E[x | x_s] = (s^2 E[r | x_s] + t^2 x_s) / (t^2 + s^2) (`world.exact`).
    """

    def forward(self, x: Tensor, sigma_B: Tensor) -> Tensor:
        """Return the skip."""
        kept = like(self.kept(sigma_B), x)
        return kept * x + (1 - kept) * self.mean.view(x.shape[1:])

    def kept(self, sigma_B: Tensor) -> Tensor:
        """Return t^2 / (t^2 + s^2)."""
        grain = self.variances.median()
        return grain / (grain + sigma_B**2)

    def reach(self, sigma_B: Tensor) -> Tensor:
        """Return s^2 / (t^2 + s^2), times the deviation of a number of a picture."""
        return (1 - self.kept(sigma_B)) * self.variances.mean().sqrt()


class PaintSkip(WienerSkip):
    """For pictures of flat colour, which have no grain: the net paints them whole, looking at the guess.

        skip = k guess + (1 - k) mean,   k = r / (r + s^2),   reach ~ 1 - k

    Only where there is little noise does the guess shine through. It knows the K longest of the D directions, (D, K), and
    takes all others for as long as each other: `variances`, (K + 1,), ends with theirs, r.
    """

    def guess(self, x: Tensor, sigma_B: Tensor) -> Tensor:
        """Return the best linear estimate, as far as K directions tell."""
        gain_BK = self.variances / (self.variances + sigma_B[:, None] ** 2)
        off_BD, rest_B1 = x.flatten(1) - self.mean, gain_BK[:, -1:]
        along_BK = (off_BD @ self.directions) * (gain_BK[:, :-1] - rest_B1)
        return (self.mean + rest_B1 * off_BD + along_BK @ self.directions.T).view_as(x)

    def rest(self, sigma_B: Tensor) -> Tensor:
        """Return sqrt of the mean of v s^2 / (v + s^2) over all D directions."""
        noise_B1 = sigma_B[:, None] ** 2
        return self.over_all(self.variances * noise_B1 / (self.variances + noise_B1)).sqrt()

    def over_all(self, values_K: Tensor) -> Tensor:
        """Return the mean over D directions of values (..., K + 1), the last of them that of all others."""
        numbers, known = self.directions.shape
        return (values_K[..., :-1].sum(-1) + (numbers - known) * values_K[..., -1]) / numbers

    def forward(self, x: Tensor, sigma_B: Tensor) -> Tensor:
        """Return the skip."""
        kept = like(self.kept(sigma_B), x)
        return kept * self.guess(x, sigma_B) + (1 - kept) * self.mean.view(x.shape[1:])

    def kept(self, sigma_B: Tensor) -> Tensor:
        """Return r / (r + s^2)."""
        return self.variances[-1] / (self.variances[-1] + sigma_B**2)

    def reach(self, sigma_B: Tensor) -> Tensor:
        """Return 1 - k, times the deviation of a number of a picture."""
        return (1 - self.kept(sigma_B)) * self.over_all(self.variances).sqrt()


SKIPS = {"grain": GrainSkip, "wiener": WienerSkip, "scalar": ScalarSkip, "paint": PaintSkip}
KNOWN = 384  # directions that a PaintSkip knows, if pictures have twice as many


def skip_of(kind: str, pictures_ND: Tensor) -> nn.Module:
    """Return the skip of this kind for pictures like these, (N, D)."""
    if kind == "scalar":
        return ScalarSkip(pictures_ND.mean(), pictures_ND.var())
    mean_D = pictures_ND.mean(0)
    if kind == "paint":
        return _paint_skip(mean_D, pictures_ND - mean_D)
    off_ND = (pictures_ND - mean_D).double()
    variances_D, directions_DD = torch.linalg.eigh(off_ND.T @ off_ND / (len(off_ND) - 1))
    return SKIPS[kind](mean_D, directions_DD.float(), variances_D.clamp_min(1e-8).float())


def _paint_skip(mean_D: Tensor, off_ND: Tensor) -> PaintSkip:
    numbers = off_ND.shape[1]
    known = _known(numbers)
    with torch.random.fork_rng(devices=[]):  # the directions are found from a random start (Halko et al. 2011)
        torch.manual_seed(0)
        _, sizes_K, directions_DK = torch.svd_lowrank(off_ND, known, niter=3)
    variances_K = sizes_K**2 / (len(off_ND) - 1)
    left = (off_ND.square().sum() / (len(off_ND) - 1) - variances_K.sum()) / (numbers - known)
    return PaintSkip(mean_D, directions_DK, torch.cat([variances_K, left[None]]).clamp_min(1e-8))


def _known(numbers: int) -> int:
    return min(KNOWN, numbers // 2)


def empty_skip(kind: str, numbers: int) -> nn.Module:
    """Return a skip of the right shapes, to be filled with weights."""
    if kind == "scalar":
        return ScalarSkip(torch.zeros(()), torch.ones(()))
    if kind == "paint":
        known = _known(numbers)
        return PaintSkip(torch.zeros(numbers), torch.zeros(numbers, known), torch.ones(known + 1))
    return SKIPS[kind](torch.zeros(numbers), torch.zeros(numbers, numbers), torch.ones(numbers))


class Words(nn.Module):
    """Captions as ids (B, M), padded to a fixed length, to a context (B, M, C) in which a word knows the four before it.

    "left" alone may be a place or a light; "lit from the left" is no riddle. A table for each distance is a convolution
    over words at no cost.
    """

    def __init__(self, words: int, length: int, width: int) -> None:
        super().__init__()
        self.length = length
        self.tables = nn.ModuleList(nn.Embedding(words, width) for _ in range(BEFORE + 1))
        self.place = nn.Parameter(torch.randn(length, width))
        self.mix = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        for table in list(self.tables)[1:]:
            nn.init.normal_(table.weight, std=0.5)  # type: ignore[arg-type]

    def forward(self, ids_BM: Tensor) -> Tensor:
        """Return the context; raises Refused for captions of another length."""
        if ids_BM.shape[1] != self.length:
            raise Refused(f"The captions have {ids_BM.shape[1]} tokens, but take {self.length}, filled up with pads.")
        x_BMC = self.tables[0](ids_BM) + self.place
        before_BM = F.pad(ids_BM, (BEFORE, 0), value=PAD)
        near_BMC = x_BMC
        for back, table in enumerate(self.tables[1:], 1):
            near_BMC = near_BMC + table(before_BM[:, BEFORE - back : BEFORE - back + self.length])
        return self.norm(x_BMC + self.mix(F.silu(near_BMC)))


class Paint(nn.Module):
    """What stands in a patch, (B, T, C) -> (B, T, 3 P^2): a linear head, and a few colours, each through a stencil.

    A patch that shows an edge is two colours and the shape between them. Their product is what a linear head lacks; with
    it a net of the same cost errs a tenth less where there is little noise. Starts at nothing.
    """

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.line = nn.Linear(width, 3 * patch**2)
        self.stencils = nn.Linear(width, COLOURS * patch**2)
        self.colours = nn.Linear(width, COLOURS * 3)
        for start in (self.line, self.colours):
            nn.init.zeros_(start.weight)
            nn.init.zeros_(start.bias)

    def forward(self, x_BTC: Tensor) -> Tensor:
        stencils, colours = (head(x_BTC).unflatten(2, (COLOURS, -1)) for head in (self.stencils, self.colours))
        return self.line(x_BTC) + (stencils.mT @ colours).flatten(2)


def waves(log_snr_B: Tensor) -> Tensor:
    """Return noise levels as nets are told them, (B, 2 WAVES): sines and cosines of ln sigma."""
    turns = -0.5 * log_snr_B[:, None] * torch.arange(1, WAVES + 1, device=log_snr_B.device) * 0.35
    return torch.cat([turns.sin(), turns.cos()], 1)


class DiT(nn.Module):
    """F: patches of the noisy picture and of the skip's estimate, through a trunk, to patches of what is to be added.

    Raises Refused when S is no multiple of P.
    """

    def __init__(self, side: int, patch: int, width: int, depth: int, heads: int, words: int, length: int) -> None:
        super().__init__()
        if side % patch:
            raise Refused(f"The side is {side} with patches of {patch}, but must be a multiple of the patch.")
        self.side, self.patch, self.grid = side, patch, side // patch
        self.patches = nn.Conv2d(6, width, patch, patch)
        # As loud as the patches, which are mostly noise: a whisper (.02) is not heard for hundreds of steps.
        self.place = nn.Parameter(torch.randn(self.grid**2, width))
        self.words = Words(words, length, width)
        self.level = nn.Sequential(nn.Linear(2 * WAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.told = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.trunk = Trunk(width, depth, heads, context=True, condition=True)
        self.last = nn.Linear(width, 2 * width)
        self.paint = Paint(width, patch)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def hear(self, ids_BM: Tensor) -> tuple[Tensor, Tensor]:
        """Return the caption as a context (B, M, C) and as one vector (B, C): for any number of noise levels."""
        context_BMC = self.words(ids_BM)
        said_BM1 = (ids_BM > END).unsqueeze(2)
        return context_BMC, self.told((context_BMC * said_BM1).sum(1))

    def steer(self, log_snr_B: Tensor, told_BC: Tensor) -> Tensor:
        """Return what steers the blocks, (B, C): the noise level in waves, and the caption's sum."""
        return F.silu(self.level(waves(log_snr_B)) + told_BC)

    def stem(self, seen_B6SS: Tensor) -> Tensor:
        """Return (B, T, C)."""
        # in the order of the trunk: else every layer works on strides, and a step takes 5 % longer
        return self.patches(seen_B6SS).flatten(2).transpose(1, 2).contiguous() + self.place

    def forward(self, seen_B6SS: Tensor, log_snr_B: Tensor, heard: tuple[Tensor, Tensor]) -> Tensor:
        """Return (B, 3, S, S)."""
        steer_BC = self.steer(log_snr_B, heard[1])
        x_BTC = self.trunk(self.stem(seen_B6SS), causal=False, context=heard[0], condition=steer_BC)
        stretch, shift = self.last(steer_BC)[:, None].chunk(2, -1)
        x_BTC = self.paint(torch.addcmul(shift, x_BTC, 1 + stretch))
        G, P = self.grid, self.patch
        return x_BTC.view(-1, G, G, P, P, 3).permute(0, 5, 1, 3, 2, 4).reshape(-1, 3, self.side, self.side)

    def layers(self, seen_B6SS: Tensor, log_snr_B: Tensor, heard: tuple[Tensor, Tensor]) -> list[Tensor]:
        """Return depth + 1 residual streams (B, T, C), the patches first."""
        steer_BC = self.steer(log_snr_B, heard[1])
        return self.trunk(self.stem(seen_B6SS), causal=False, context=heard[0], condition=steer_BC, return_layers=True)


class Denoiser(nn.Module):
    """D: the mean picture behind a noisy one, as far as it has been learned. range: the least and the largest sigma.

    told: what `net.hear` takes, captions as ids (B, M) first.
    """

    def __init__(self, skip: nn.Module, net: DiT, range: tuple[float, float]) -> None:
        super().__init__()
        self.skip, self.net, self.range = skip, net, range

    def forward(self, x: Tensor, log_snr_B: Tensor, *told: Tensor) -> Tensor:
        """Return (B, 3, S, S) for noisy pictures, their log-SNR and captions."""
        return self.clean(x, log_snr_B, self.net.hear(*told))

    def clean(self, x: Tensor, log_snr_B: Tensor, heard: tuple[Tensor, Tensor]) -> Tensor:
        """Return the same for captions that were heard already; raises Refused for pictures of another size."""
        if x.shape[1:] != (3, self.net.side, self.net.side):
            need = f"(B, 3, {self.net.side}, {self.net.side})"
            raise Refused(f"The pictures have shape {tuple(x.shape)}, but this net draws {need}.")
        sigma_B = sigma_of(log_snr_B)
        with torch.no_grad():  # nothing to learn here
            seen, base, reach = self.seen(x, sigma_B), self.skip(x, sigma_B), like(self.skip.reach(sigma_B), x)  # type: ignore[operator]
        return torch.addcmul(base, reach, self.net(seen, log_snr_B, heard))

    def seen(self, x: Tensor, sigma_B: Tensor) -> Tensor:
        """Return what the net looks at, (B, 6, S, S): the noisy picture shrunk to size 1, and the skip's guess."""
        return torch.cat([shrunk(x, sigma_B), self.skip.guess(x, sigma_B)], 1)  # type: ignore[operator]

    def layers(self, x: Tensor, log_snr_B: Tensor, ids_BM: Tensor) -> list[Tensor]:
        """Return the residual streams (B, T, C) of every block, the patches first."""
        return self.net.layers(self.seen(x, sigma_of(log_snr_B)), log_snr_B, self.net.hear(ids_BM))

    def told(self, *told: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the sampler's `denoise` for these captions."""
        heard = self.net.hear(*told)
        return lambda x, log_snr_B: self.clean(x, log_snr_B, heard)
