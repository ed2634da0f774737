"""The scene world: an endless supply of captioned pictures whose every factor is known, behind the `Dataset` protocol.

A picture is a whole number. Its kind and every factor are hashes of that number, evenly drawn and independent, so the
same number is the same scene for ever and nothing is stored. From that follow, exactly:

    H(scene)                   entropy of the kind, plus the mean over kinds of sum_f log2 K_f
    H(caption at a level)      the same sum over the factors that the level says: every sentence can be read back
    left undescribed           the difference

Which side a picture is on is decided by its pixels (1 of 16 is "test", 1 is "val"), so equal pictures are never on two
sides; and scenes that show something held out are in no part but their own:

    train, val, test           nothing that is held out (test is the iid one)
    test_combination ...       test pictures that show exactly this held-out kind (see `kinds.held_out`)
    train_all                  "train" and, beside it, scenes that show what is held out: for judges, who must know it

Dimension key: N pictures, S side, K_f values of factor f.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from falsework.core.dataset import Index, digest_arrays
from falsework.core.errors import Refused, one_of
from falsework.core.rng import rng, seed_of
from falsework.world.captions import LEVELS, ORDERS, pixel_words
from falsework.world.kinds import HELD_KINDS, Kind, held_out, kinds_of, said_at
from falsework.world.scene import Scenes
from falsework.world.stage import CELL, draw

SIDES_OF_SPLIT = {"test": 0, "val": 1}  # of 16; the others are "train"
FIXED = {"train": 4096, "val": 1024, "test": 2048}  # sizes of the lists that `split` gives; held-out kinds have 512
LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue in brightness (ITU-R BT.601)
_GOLD = np.uint64(0x9E3779B97F4A7C15)


def mix(x: np.ndarray) -> np.ndarray:
    """Return uint64 of the same shape: splitmix64's finaliser (Steele, Lea and Flood 2014), a hash that looks random."""
    x = x.astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hashed(index: Index, *keys: object) -> np.ndarray:
    """Return uint64 (N,): a hash of each number, another one for other keys."""
    return mix(mix(np.asarray(index).astype(np.uint64) + _GOLD) ^ np.uint64(seed_of(*keys)))


def pixel_hash(pictures: np.ndarray) -> np.ndarray:
    """Return uint64 (N,): equal for equal pictures, uint8 (N, S, S, 3), and hardly ever for different ones."""
    words = (
        np.ascontiguousarray(pictures).reshape(len(pictures), pictures[0].size if len(pictures) else 8).view(np.uint64)
    )
    return mix((words * mix(np.arange(1, words.shape[1] + 1) * int(_GOLD >> np.uint64(1)))).sum(1, dtype=np.uint64))


class SceneWorld:
    """Scenes of one layout at one size.

    layout: "plain" (silhouettes on a stage, all kinds), "cluttered" (one object anywhere before coloured marks) or "twins"
    (two objects, for binding).
    side: 16 or 32 px. kinds: names of the kinds to draw, default all that fit; or the weight of each by its name. order: of
    the captions, "energy" or "human". sprites: uint8 (32, 6, P, P, 4) drawings for stickers, which are left out without
    them. slips: signs leave the grid of 4 x 4 px by 0 to 3 px. chroma: 0 to 1, how much of their colour the pictures
    keep; their brightness stays. Raises Refused for an unknown word, a weight that is not above 0 or such a chroma.
    """

    levels = LEVELS

    def __init__(
        self,
        layout: str = "plain",
        side: int = 32,
        kinds: tuple[str, ...] | Mapping[str, float] | None = None,
        order: str = "human",
        sprites: np.ndarray | None = None,
        slips: bool = False,
        chroma: float = 1.0,
    ):
        if not 0 <= chroma <= 1:
            raise Refused(f"The chroma is {chroma}, but must lie between 0 and 1.")
        self.order = one_of("The order of the caption levels", order, ORDERS)
        known = kinds_of(layout, slips)
        fit = {n: k for n, k in known.items() if k.letters * CELL <= side and (n != "sticker" or sprites is not None)}
        if kinds is not None and not kinds:
            raise Refused("The world got no kinds of scene, but needs one or more.")
        for name in kinds or ():
            one_of("The kind of scene", name, fit)
        self.kinds: dict[str, Kind] = {n: k for n, k in fit.items() if kinds is None or n in kinds}
        self.name, self.side, self.sprites, self.chroma = f"{layout}-{side}", side, sprites, chroma
        weight = np.array([kinds[n] if isinstance(kinds, Mapping) else k.weight for n, k in self.kinds.items()])
        if not ((weight > 0) & np.isfinite(weight)).all():
            raise Refused(f"The weights of the kinds are {weight.tolist()}, but must all be above 0.")
        self.share = dict(zip(self.kinds, weight / weight.sum()))
        self.factors: dict[str, tuple[str, ...]] = {"kind": tuple(self.kinds)}
        for kind in self.kinds.values():
            self.factors |= {f: v for f, v in kind.factors.items() if f not in self.factors}

    # ---- scenes

    def kind_of(self, index: Index) -> np.ndarray:
        """Return int64 (N,): the position of each picture's kind in `factors["kind"]`."""
        u = (hashed(index, "kind") >> np.uint64(11)).astype(np.float64) / 2.0**53
        return np.searchsorted(np.cumsum(list(self.share.values()))[:-1], u, side="right").astype(np.int64)

    def scenes(self, index: Index, kind: Kind) -> Scenes:
        """Return factor -> int64 (N,): what these numbers are as scenes of one kind."""
        return {f: (hashed(index, f) % np.uint64(len(v))).astype(np.int64) for f, v in kind.factors.items()}

    def _by_kind(self, index: Index) -> list[tuple[Kind, np.ndarray]]:
        """Return the kinds that occur, each with the rows of `index` that have it."""
        which = self.kind_of(index)
        return [(k, rows) for i, k in enumerate(self.kinds.values()) if len(rows := np.flatnonzero(which == i))]

    def images(self, index: Index) -> np.ndarray:
        """Return uint8 (N, S, S, 3)."""
        index = np.asarray(index)
        out = np.empty((len(index), self.side, self.side, 3), dtype=np.uint8)
        for kind, rows in self._by_kind(index):
            out[rows] = self._draw(kind, self.scenes(index[rows], kind))
        return out

    def render(self, kind: str, scenes: Scenes) -> np.ndarray:
        """Return uint8 (N, S, S, 3) of scenes of one kind, factor -> int64 (N,); raises Refused for an unknown kind."""
        return self._draw(self.kinds[one_of("The kind of scene", kind, self.kinds)], scenes)

    def _draw(self, kind: Kind, scenes: Scenes) -> np.ndarray:
        pictures = draw(kind, scenes, self.side, self.sprites)
        if self.chroma == 1:
            return pictures
        grey = pictures @ LUMA
        return (grey[..., None] + self.chroma * (pictures - grey[..., None])).round().astype(np.uint8)

    def labels(self, index: Index, factor: str) -> np.ndarray:
        """Return int64 (N,): positions in `factors[factor]`, -1 where the picture's kind has no such factor."""
        index = np.asarray(index)
        if one_of("The factor", factor, self.factors) == "kind":
            return self.kind_of(index)
        out = np.full(len(index), -1, dtype=np.int64)
        for kind, rows in self._by_kind(index):
            if factor in kind.factors:
                out[rows] = (hashed(index[rows], factor) % np.uint64(len(kind.factors[factor]))).astype(np.int64)
        return out

    # ---- splits

    def held(self, index: Index) -> dict[str, np.ndarray]:
        """Return held-out kind -> bool (N,): which pictures show something that training never shows."""
        index = np.asarray(index)
        out = {name: np.zeros(len(index), dtype=bool) for name in HELD_KINDS}
        for kind, rows in self._by_kind(index):
            for name, found in held_out(kind, self.scenes(index[rows], kind)).items():
                out[name][rows] = found
        return out

    def shows(self, split: str, index: Index) -> np.ndarray:
        """Return bool (N,): which numbers show what a part may show; half of belonging to it (the other: `on_side`)."""
        kind = one_of("The split", split, self.splits).partition("_")[2]
        index = np.asarray(index)
        if kind == "all":
            return np.ones(len(index), dtype=bool)
        held = self.held(index)
        count = np.sum(list(held.values()), axis=0)
        return held[kind] & (count == 1) if kind else count == 0

    def on_side(self, split: str, pictures: np.ndarray) -> np.ndarray:
        """Return bool (N,): which pictures, uint8 (N, S, S, 3), lie on a part's side of the pixel hash."""
        part = one_of("The split", split, self.splits).partition("_")[0]
        side = pixel_hash(pictures) % np.uint64(16)
        return side == SIDES_OF_SPLIT[part] if part in SIDES_OF_SPLIT else side >= len(SIDES_OF_SPLIT)

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the parts."""
        return ("train", *reversed(SIDES_OF_SPLIT), *(f"test_{name}" for name in HELD_KINDS), "train_all")

    def draw(self, n: int, split: str, *keys: object) -> tuple[Index, np.ndarray]:
        """Return (numbers int64 (n,), pictures uint8 (n, S, S, 3)): a fresh draw of one part, decided by the keys.

        Raises Refused for an unknown part, and for one that this world's kinds never show.
        """
        one_of("The split", split, self.splits)
        source, found, pictures = rng(*keys), [np.empty(0, dtype=np.int64)], []
        ask, tried = n + n // 4 + 8, 0
        while (have := sum(map(len, found))) < n:
            if tried > 200_000 and not have:
                raise Refused(f"The world {self.name!r} with kinds {', '.join(self.kinds)} shows no {split!r}.")
            index = source.integers(1 << 62, size=ask)
            index = index[self.shows(split, index)]  # what is rare is not drawn in vain
            images = self.images(index)
            mine = self.on_side(split, images)
            found.append(index[mine])
            pictures.append(images[mine])
            tried += ask
            ask = int(min(65536, max(64, 1.2 * (n - have) * tried / max(1, have + mine.sum()))))
        return np.concatenate(found)[:n], np.concatenate(pictures)[:n]

    def split(self, name: str) -> Index:
        """Return a fixed list of numbers of one part, int64; `draw` gives as many as you like."""
        return self.draw(FIXED.get(name, 512), name, "split", name)[0]

    # ---- words

    @cached_property
    def said(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """kind -> level -> the factors it says, in the world's order. Both orders say equally many at each level."""
        out = {}
        for name, kind in self.kinds.items():
            order = kind.human if self.order == "human" else self._energy(kind)
            count = [sum(said_at(f) <= depth for f in kind.factors) for depth in range(len(LEVELS))]
            out[name] = {level: order[:c] for level, c in zip(LEVELS, count)}
        return out

    def _energy(self, kind: Kind) -> tuple[str, ...]:
        """Return the factors by visible energy (see `captions.visible_energy`), here a mean over 256 fixed scenes.

        What no sentence names stays last.
        """
        energy, last = self.energy(kind.name), len(LEVELS) - 1
        return tuple(sorted(kind.factors, key=lambda f: (said_at(f) == last, -energy[f])))

    def energy(self, kind: str) -> dict[str, float]:
        """Return factor -> how much a picture of this kind changes with it: mean squared grey levels of 255."""
        index, source, grammar = np.arange(256), rng("energy", kind), self.kinds[kind]
        scenes = self.scenes(index, grammar)
        first, energy = self._draw(grammar, scenes).astype(np.float64), {}
        for f, values in grammar.factors.items():
            other = scenes | {f: source.integers(len(values), size=len(index))}
            energy[f] = float(((self._draw(grammar, other) - first) ** 2).mean())
        return energy

    def captions(self, index: Index, level: str, wrong: float = 0.0) -> list[str]:
        """Return N captions of one level: lower-case words, single spaces.

        wrong: share of pictures, 0 to 1, that get the caption of another scene instead; which ones depends on the
        picture's number alone. Raises Refused for an unknown level or another share.
        """
        one_of("The caption level", level, LEVELS)
        if not 0 <= wrong <= 1:
            raise Refused(f"The share of wrong captions is {wrong!r}, but must lie between 0 and 1.")
        index = np.asarray(index)
        swap = (hashed(index, "wrong") >> np.uint64(11)).astype(np.float64) / 2.0**53 < wrong
        told = np.where(swap, (hashed(index, "another") >> np.uint64(2)).astype(np.int64), index)
        if level == "none":
            return [""] * len(index)
        if level == LEVELS[-1]:
            return [pixel_words(p) for p in self.images(told)]
        out = np.empty(len(index), dtype=object)
        for kind, rows in self._by_kind(told):
            scenes = self.scenes(told[rows], kind)
            factors = [f for f in self.said[kind.name][level]]
            for at, row in enumerate(rows):
                out[row] = kind.phrase.say({f: kind.factors[f][scenes[f][at]] for f in factors})
        return list(out)

    def facts(self, caption: str) -> dict[str, str]:
        """Return what a caption states: kind and factor -> value words, {} for no caption.

        Raises Refused for no sentence of this world.
        """
        if not caption:
            return {}
        for kind in self.kinds.values():
            found = kind.phrase.parse(caption)
            if found is not None:
                return {"kind": kind.name, **found}
        raise Refused(
            f"The caption {caption!r} is no sentence of this world; one is {self.captions(np.array([0]), 'ultra')[0]!r}."
        )

    def entropy(self, level: str = LEVELS[-1]) -> float:
        """Return H(caption) in bits at a level, exact; at "pixel-words" that of the scene, which bounds the picture's.

        Raises Refused for an unknown level.
        """
        one_of("The caption level", level, LEVELS)
        if level == "none":
            return 0.0
        bits = -sum(p * np.log2(p) for p in self.share.values())
        for name, kind in self.kinds.items():
            bits += self.share[name] * sum(np.log2(len(kind.factors[f])) for f in self.said[name][level])
        return float(bits)

    @cached_property
    def residual(self) -> Mapping[str, float]:
        """level -> bits of the scene that its captions leave undescribed."""
        return {level: self.entropy() - self.entropy(level) for level in LEVELS}

    @cached_property
    def digest(self) -> str:
        """sha256 over 256 pictures and what each level says of them: it changes when any of it does."""
        index = np.arange(256)
        said = [np.frombuffer("\n".join(self.captions(index, level)).encode(), np.uint8) for level in LEVELS[1:-1]]
        shares = np.array([*self.share.values()])
        return digest_arrays(self.images(index), *said, shares)
