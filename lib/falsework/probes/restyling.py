"""Pictures drawn from CLIP embeddings (Ramesh et al. 2022, section 3): variations, walks, edits by words.

A picture is two things here: an embedding, what CLIP says of it, and a noise latent, what only the noise latent knows. The
decoder's flow goes both ways, so a picture can be drawn again from its own latent under another embedding.

Dimension key: N pictures, S side in pixels, E CLIP's shared space, K steps of a walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from falsework.core.artefacts import key_of
from falsework.core.errors import Refused, one_of
from falsework.data.emoji import STYLE_WORDS, STYLES
from falsework.nets.unclip import loud, unit
from falsework.noise import levels
from falsework.probes.candidates import embed_captions, embed_pictures
from falsework.probes.denoised import BLOCK, HELPS
from falsework.recipes import description_of
from falsework.recipes.pairs import Pairs, as_tensor, shown
from falsework.recipes.unclip import UnCLIP
from falsework.samplers import guide_denoise, invert_denoise, sample_denoise
from falsework.training import generator_of

STEPS = 16
LAST = 0.25  # the noise at which the net has its last word: below it, a small net adds more specks than it removes
GUIDANCE = 2.0
TRIES = 2  # embeddings that the prior draws for a caption; CLIP takes the better one (section 2.2)


@dataclass(frozen=True)
class Embedding:
    """Points on the sphere of one CLIP: float32 (N, E), length one; key: which CLIP, a digest of all that it was made of."""

    points: np.ndarray
    key: str

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, which: Any) -> Embedding:
        return Embedding(np.atleast_2d(self.points[which]), self.key)


def slerp(a_NE: np.ndarray, b_NE: np.ndarray, weight: float | np.ndarray) -> np.ndarray:
    """Return the points at `weight` of the way from a to b along the sphere, (N, E): a at 0, b at 1, one norm all along.

    weight: one number or (N,). Raises Refused for a weight outside [0, 1], and for points of one sphere that lie opposite
    each other, between which there are many ways.
    """
    share = np.broadcast_to(np.asarray(weight, np.float64), (len(a_NE),))[:, None]
    if not ((share >= 0) & (share <= 1)).all():
        raise Refused(f"The weight is {np.round(weight, 3)}, but must lie between 0 and 1.")
    a, b = (np.asarray(x, np.float64) for x in (a_NE, b_NE))
    sizes = [np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    cosine = ((a * b).sum(1, keepdims=True) / (sizes[0] * sizes[1])).clip(-1, 1)
    angle = np.arccos(cosine)
    if (cosine < -1 + 1e-9).any():
        raise Refused("The two points lie opposite each other on the sphere, but a way between them needs a side.")
    near = angle < 1e-6  # then the straight way is the same
    sine = np.where(near, 1.0, np.sin(angle))
    here, there = (np.where(near, part, np.sin(part * angle) / sine) for part in (1 - share, share))
    return (here * a + there * b).astype(np.float32)


def noise_like(n: int, side: int, *keys: object) -> np.ndarray:
    """Return standard noise float32 (N, S, S, 3), a function of the keys."""
    x = torch.randn(n, 3, side, side, generator=generator_of(*keys))
    return x.permute(0, 2, 3, 1).numpy()


@dataclass(frozen=True)
class Painter:
    """A trained unCLIP at hand. recipe and seed say which CLIP's embeddings it understands."""

    model: Any
    recipe: UnCLIP
    seed: int = 0

    @property
    def key(self) -> str:
        """The key of its CLIP."""
        return key_of(description_of(self.recipe.clip, self.seed))

    @property
    def side(self) -> int:
        """S."""
        return self.recipe.pairs.side

    # ---- embeddings

    def see(self, pictures: np.ndarray) -> Embedding:
        """Return what CLIP says of pictures, uint8 or float32 around [-1, 1] (N, S, S, 3)."""
        return Embedding(embed_pictures(self.model.clip, pictures, self.side), self.key)

    def hear(self, captions: Sequence[str]) -> Embedding:
        """Return what CLIP says of captions; raises Refused for an unknown word and for too many."""
        return Embedding(embed_captions(self.model.clip, self.recipe.pairs.vocabulary, captions), self.key)

    def difference(self, add: str | Sequence[str], subtract: str | Sequence[str]) -> Embedding:
        """Return directions (N, E) of length one, from each caption of `subtract` to that of `add`; one caption or N.

        Raises Refused when two are the same to CLIP: there is no direction then.
        """
        more, less = ([x] if isinstance(x, str) else list(x) for x in (add, subtract))
        if len(more) != len(less):
            raise Refused(
                f"There are {len(more)} captions to add and {len(less)} to subtract, but need as many of each."
            )
        off = self.hear(more).points - self.hear(less).points
        length = np.linalg.norm(off, axis=1, keepdims=True)
        if (length < 1e-4).any():
            k = int(length.argmin())
            raise Refused(f"The captions {more[k]!r} and {less[k]!r} are the same to this CLIP: that is no direction.")
        return Embedding((off / length).astype(np.float32), self.key)

    def toward(self, start: Embedding, direction: Embedding, weight: float) -> Embedding:
        """Return points moved along the sphere by `weight` of the way to a direction (section 3.3), one for all or one each.

        Raises Refused for another number of directions, an embedding of another CLIP, and a weight outside [0, 1].
        """
        if len(direction) not in (1, len(start)):
            raise Refused(
                f"There are {len(direction)} directions for {len(start)} points, but need one, or one for each."
            )
        there = np.broadcast_to(self._own(direction), self._own(start).shape)
        return Embedding(slerp(start.points, there, weight), self.key)

    @torch.inference_mode()
    def dream(self, captions: Sequence[str], *keys: object, tries: int = TRIES, guidance: float = 1.0) -> Embedding:
        """Return embeddings that the prior draws for captions; of `tries` the one that CLIP thinks fits best.

        Raises Refused for fewer than one try, an unknown word, and a negative guidance.
        """
        if tries < 1:
            raise Refused(f"The tries are {tries}, but must be one or more.")
        prior, words = self.model.prior, self.recipe.pairs.vocabulary
        device = next(prior.parameters()).device
        ids = torch.from_numpy(words.padded(captions)).to(device)
        heard = loud(torch.from_numpy(self.hear(captions).points)).to(device)
        sigmas, found = levels(STEPS, *prior.range), []
        denoise = guide_denoise(
            lambda x, level: prior(x, level, ids, heard),
            lambda x, level: prior(x, level, torch.zeros_like(ids), torch.zeros_like(heard)),
            guidance,
        )
        for k in range(tries):
            dice = generator_of(*keys, "prior", k, device=device.type)
            x = float(sigmas[0]) * torch.randn(heard.shape, generator=dice, device=device)
            found.append(unit(sample_denoise(denoise, x, sigmas, dice)).cpu().numpy())
        fits = np.stack([(z * unit(heard).cpu().numpy()).sum(1) for z in found])
        return Embedding(np.stack(found)[fits.argmax(0), np.arange(len(captions))], self.key)

    # ---- pictures

    def draw(
        self,
        embedding: Embedding,
        *keys: object,
        latent: np.ndarray | None = None,
        guidance: float = GUIDANCE,
        captions: Sequence[str] | None = None,
        last: float = LAST,
        steps: int = STEPS,
    ) -> np.ndarray:
        """Return pictures float32 (N, S, S, 3) of embeddings, deterministic: from fresh noise of these keys, or a latent.

        latent: as `invert` gives it; then the way ends where that one began, and no guidance turns it aside. captions: told
        to the decoder beside the embedding. Raises Refused for embeddings of another CLIP, latents of another shape, a
        negative guidance, and words told to a decoder that learned without.
        """
        told = self._own(embedding)
        heard = self._told(told, captions)
        low, high = self.model.decoder.range
        if latent is None:
            start = high * noise_like(len(told), self.side, *keys)
            sigmas = levels(steps, max(last, low), high)
        else:
            start, guidance = shown_latent(latent, len(told), self.side), 1.0
            sigmas = levels(steps, low, high)[:-1]
        out = []
        for i in range(0, len(told), BLOCK):
            denoise, x = self._denoise(heard, slice(i, i + BLOCK), guidance), as_tensor(start[i : i + BLOCK])
            out.append(sample_denoise(denoise, x.to(self._device), sigmas).permute(0, 2, 3, 1).cpu().numpy())
        return np.concatenate(out)

    def invert(self, pictures: np.ndarray, embedding: Embedding, steps: int = STEPS) -> np.ndarray:
        """Return the noise latent of pictures under their embeddings, float32 (N, S, S, 3): quieter than noise if flat.

        `draw` with this latent and the same embeddings gives the pictures back. Raises Refused for embeddings of another
        CLIP, and for pictures of another size or number.
        """
        told = self._own(embedding)
        given = shown(pictures, self.side)
        if len(given) != len(told):
            raise Refused(f"There are {len(given)} pictures and {len(told)} embeddings, but each needs its own.")
        x = given.astype(np.float32) / 127.5 - 1 if given.dtype == np.uint8 else given
        heard, sigmas, out = self._told(told, None), levels(steps, *self.model.decoder.range)[:-1].flip(0), []
        for i in range(0, len(x), BLOCK):
            denoise = self._denoise(heard, slice(i, i + BLOCK), 1.0)
            block = invert_denoise(denoise, as_tensor(x[i : i + BLOCK]).to(self._device), sigmas)
            out.append(block.permute(0, 2, 3, 1).cpu().numpy())
        return np.concatenate(out)

    def walk(self, a: Embedding, b: Embedding, count: int) -> Embedding:
        """Return K points on the way from one point to another, both ends included; raises Refused for fewer than two."""
        if count < 2 or len(a) != 1 or len(b) != 1:
            given = f"{count} steps from {len(a)} points to {len(b)}"
            raise Refused(f"The walk has {given}, but needs two or more, from one point to one.")
        first, last = (np.repeat(self._own(x), count, 0) for x in (a, b))
        return Embedding(slerp(first, last, np.linspace(0, 1, count)), self.key)

    # ---- what words can ask for

    def restyle(
        self, start: Embedding, style: str | Sequence[str], weight: float, names: Sequence[str], now: Sequence[str]
    ) -> Embedding:
        """Return the points of drawings moved towards a set: by the difference of "<name> in <style> style" and what is.

        style: one for all, or one each; names, now: each drawing's name and set, (N,). Raises Refused for a set that was
        left out of training, and for drawings that are in it already.
        """
        styles = [style] * len(start) if isinstance(style, str) else list(style)
        for asked in dict.fromkeys(styles):
            self.known_style(asked)
        if not len(start) == len(styles) == len(names) == len(now):
            raise Refused(
                f"There are {len(start)} points, {len(names)} names and {len(now)} sets, but need as many of each."
            )
        for old in now:
            one_of("The set of a drawing", old, STYLES)
        more, less = ([in_style(n, s) for n, s in zip(names, sets)] for sets in (styles, now))
        there = self.difference(more, less)
        return self.toward(start, there, weight)

    def known_style(self, style: str) -> str:
        """Return the set; raises Refused for one that no drawing in training has."""
        pairs = self.recipe.pairs
        if not (isinstance(pairs, Pairs) and pairs.drawings):
            raise Refused(f"The set is {style!r}, but this model was trained on scenes, which have no sets.")
        seen = np.unique(pairs.dataset.labels(pairs.drawn, "style"))
        return one_of("The set to draw in", style, tuple(STYLES[k] for k in seen))

    # ---- inside

    def _own(self, embedding: Embedding) -> np.ndarray:
        if embedding.key != self.key:
            raise Refused(
                f"The embedding is of the CLIP {embedding.key}, but this decoder understands {self.key} alone."
            )
        return embedding.points

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _told(self, points_NE: np.ndarray, captions: Sequence[str] | None) -> tuple[torch.Tensor, torch.Tensor]:
        words = self.recipe.pairs.vocabulary
        if captions is not None and not self.model.decoder.net.worded:
            raise Refused("The decoder was given captions, but learned without words.")
        if captions is not None and len(captions) != len(points_NE):
            raise Refused(
                f"There are {len(captions)} captions and {len(points_NE)} embeddings, but each needs its own."
            )
        ids = torch.from_numpy(words.padded([""] * len(points_NE) if captions is None else captions))
        return ids.to(self._device), loud(torch.from_numpy(np.ascontiguousarray(points_NE))).to(self._device)

    def _denoise(self, heard: tuple[torch.Tensor, torch.Tensor], rows: slice, guidance: float) -> Any:
        decoder, told = self.model.decoder, [part[rows] for part in heard]
        with torch.inference_mode():
            blank = decoder.told(*(torch.zeros_like(part) for part in told))
            return guide_denoise(decoder.told(*told), blank, guidance, *HELPS)


def in_style(name: str, style: str) -> str:
    """Return a caption of a drawing that names its set."""
    return f"{name} in {STYLE_WORDS[STYLES.index(style)]} style"


def shown_latent(latent: np.ndarray, n: int, side: int) -> np.ndarray:
    """Return a latent; raises Refused when it is not float32 (N, S, S, 3)."""
    if latent.shape != (n, side, side, 3) or latent.dtype != np.float32:
        given, need = f"{latent.dtype} {latent.shape}", f"float32 ({n}, {side}, {side}, 3)"
        raise Refused(f"The noise latent is {given}, but must be {need}, as `invert` gives it.")
    return latent
