"""Captioned pictures to train on, as recipes name them; and the towers that look at them.

    cluttered   one object among crumbs, 16 px: an endless supply (probing)
    twins       two objects of one size on a plain stage, 32 px (binding)
    stage       an object, two, or one over a sign, 32 px (drawing); and one in 25 shows an object and its change
                "alone": none of those; "taught": most are; "faint": with little colour
    drawings    real drawings, 32 px, DISTINCT concepts in a batch, each in one random style (zero-shot)
    every drawing   held-out ones too, each as often as any other, a bit shifted and speckled: for judges alone
    smudged     the same, more so, and now and then blurred: for judges of drawn pictures
    sisters     the same as drawings, but each concept of a batch comes in SISTERS styles: only its style tells
                one from the other

Dimension key: B batch, S side in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from falsework.core.dataset import Index
from falsework.core.errors import Refused, one_of
from falsework.core.rng import rng
from falsework.core.vocabulary import Vocabulary, vocabulary_of
from falsework.data.emoji import VENDORS, Emoji, load_emoji
from falsework.nets.towers import ConvTower, PatchTower
from falsework.training import Batch, Batches, Fit, Objective, Train, fit
from falsework.world.captions import LEVELS
from falsework.world.kinds import ATTRIBUTES, RELATIONS
from falsework.world.scenes import SceneWorld

ALONE = {"one": 0.5, "pair": 0.2, "sign 1": 0.08, "sign 2": 0.08}
SHOWN_CHANGES = {"collage": 0.02, "matrix": 0.01, "episode": 0.01}  # pictures that show an object and a change of it
# data -> how its scenes are made; twins and cluttered scenes have one kind
SCENES: dict[str, dict[str, Any]] = {
    "cluttered": {"layout": "cluttered", "side": 16},
    "twins": {"layout": "twins"},
    "stage": {"kinds": ALONE | SHOWN_CHANGES},
    "stage alone": {"kinds": ALONE},
    "stage taught": {"kinds": {"one": 0.1, "pair": 0.05, "collage": 0.2, "matrix": 0.3, "episode": 0.35}},
    "stage faint": {"kinds": ALONE, "chroma": 0.12},
}
DRAWN_LEVELS = ("name", "keywords", "style")  # a drawing's caption is at one of these, drawn anew each time
SET = "set"  # or at this: name and keywords, or the name alone, and always the style; no colours
EVERY = {"every drawing": 8.0, "smudged": 25.0}  # the most that specks deviate, of 255
DRAWN = ("drawings", "sisters", *EVERY)
SISTERS = 2
PAGE = 32  # batches that are drawn at once, see `paged`
DROP = 0.3  # share of keywords that a caption leaves out


@cache
def scenes_of(data: str) -> SceneWorld:
    """Return the scene world of SCENES with this name, made once per process."""
    return SceneWorld(**SCENES[one_of("The scenes", data, SCENES)])


@dataclass(frozen=True)
class Pairs:
    """data: one of SCENES or DRAWN; levels: of the captions, one drawn for each; without any, drawings mix DRAWN_LEVELS.

    without: a vendor whose drawings are never shown. turned: share of twins that are told the other way round.
    Raises Refused for an unknown name, for no levels of scenes, and for such a share of anything but twins.
    """

    data: str = "cluttered"
    levels: tuple[str, ...] = ("descriptive",)
    without: str = ""
    turned: float = 0.0

    def __post_init__(self) -> None:
        one_of("The data", self.data, (*SCENES, *DRAWN))
        one_of("The vendor to leave out", self.without, ("",) if self.data in EVERY else ("", *VENDORS))
        for level in self.levels:
            one_of("The caption level", level, (*DRAWN_LEVELS, SET) if self.drawings else LEVELS[1:-1])
        if not self.levels and not self.drawings:
            raise Refused("The scenes got no caption level, but need one or more.")
        if not 0 <= self.turned <= (self.data == "twins"):
            raise Refused(
                f"The share of turned captions is {self.turned}, but must be 0 to 1 of twins, and 0 of others."
            )

    @property
    def drawings(self) -> bool:
        """Whether these are real drawings."""
        return self.data in DRAWN

    @property
    def side(self) -> int:
        """S."""
        return 32 if self.drawings else scenes_of(self.data).side

    @property
    def digest(self) -> str:
        """The digest of the pictures and their captions."""
        return load_emoji().digest if self.drawings else scenes_of(self.data).digest

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Every word that a caption of this data may say, whatever the level or split."""
        return _vocabulary(DRAWN[0] if self.drawings else self.data)

    @cached_property
    def drawn(self) -> Index:
        """The drawings that are shown in training, int64."""
        if self.data in EVERY:
            return np.arange(len(load_emoji()))
        if not self.without:
            return load_emoji().split("train")
        return np.setdiff1d(load_emoji().split(f"train_without_vendor:{self.without}"), spared(self.without)[0])

    def draw(self, size: int, *keys: object) -> tuple[Index, np.ndarray, list[str]]:
        """Return (numbers, pictures uint8 (B, S, S, 3), captions) of training pictures, a function of the keys.

        Raises Refused when a batch asks for more concepts than there are.
        """
        if self.drawings:
            return self._draw_drawings(size, rng(*keys))
        world = scenes_of(self.data)
        index, pictures = world.draw(size, "train", *keys)
        which = rng(*keys, "level").integers(len(self.levels), size=size)
        every = [_told(world, index, level) for level in self.levels]
        told = [every[k][i] for i, k in enumerate(which)]
        if self.turned:
            flip = rng(*keys, "turned").random(size) < self.turned
            told = [turned(caption) if f else caption for caption, f in zip(told, flip)]
        return index, pictures, told

    def draw_many(self, size: int, batch: int, *keys: object) -> tuple[Index, np.ndarray, list[str]]:
        """Return `draw` of `size` pictures; drawings come batch by batch, so that no batch has a concept twice."""
        if not self.drawings:
            return self.draw(size, *keys)
        parts = [self.draw(batch, *keys, at) for at in range(-(-size // batch))]
        index, pictures, told = zip(*parts)
        return np.concatenate(index)[:size], np.concatenate(pictures)[:size], [c for part in told for c in part][:size]

    def _draw_drawings(self, size: int, draw: np.random.Generator) -> tuple[Index, np.ndarray, list[str]]:
        emoji = load_emoji()
        if self.data in EVERY:
            index = draw.choice(self.drawn, size)
            return (
                index,
                _smudged(emoji.images(index), EVERY[self.data], draw),
                _drawn_captions(index, draw, DRAWN_LEVELS),
            )
        concept = emoji.labels(self.drawn, "concept")
        order = draw.permutation(len(self.drawn))  # the first drawing of a concept in a random order: a random style
        first = _first(concept[order], 1 if self.data == "drawings" else SISTERS)
        if first.size < size:
            raise Refused(f"The batch asks for {size} distinct concepts, but {first.size} are drawn in training.")
        index = self.drawn[order[draw.permutation(first).ravel()[:size]]]
        pictures = emoji.images(index, background=_papers(len(index), draw))
        return index, pictures, _drawn_captions(index, draw, self.levels or DRAWN_LEVELS)

    @property
    def dataset(self) -> Emoji | SceneWorld:
        """The pictures, whose factors have labels."""
        return load_emoji() if self.drawings else scenes_of(self.data)

    # ---- drawings one by one, as `Listed` gives its scenes

    def numbers(self, size: int, *keys: object) -> Index:
        """Return int64 (size,): drawings that are shown in training, a function of the keys."""
        return self.drawn[rng(*keys, "numbers").integers(len(self.drawn), size=size)]

    def pictures(self, index: Index, *keys: object) -> np.ndarray:
        """Return uint8 (B, S, S, 3): drawings on white."""
        return load_emoji().images(index)

    def say(self, index: Index, *keys: object) -> list[str]:
        """Return a caption for each drawing, its words drawn by the keys."""
        return _drawn_captions(index, rng(*keys, "said"), self.levels or DRAWN_LEVELS)

    def batch(
        self, size: int, *keys: object, factors: tuple[str, ...] = (), device: torch.device | str = "cpu"
    ) -> Batch:
        """Return `draw` as tensors: "pictures" uint8 (B, 3, S, S), "ids" int64 (B, T), of factors "labels" int64 (B, F)."""
        index, pictures, captions = self.draw(size, *keys)
        out = {"pictures": as_tensor(pictures), "ids": torch.from_numpy(self.vocabulary.encode(captions))}
        if factors:
            out["labels"] = torch.stack([torch.from_numpy(self.dataset.labels(index, f)) for f in factors], 1)
        return {name: tensor.to(device) for name, tensor in out.items()}

    def fit(
        self,
        model: nn.Module,
        objective: Objective,
        train: Train,
        seed: int,
        folder: Path,
        watch: Any = None,
        factors: tuple[str, ...] = (),
    ) -> Fit:
        """Train on fresh batches, a function of the step: nets of one seed and batch see the same pictures."""
        device = next(model.parameters()).device

        def batches(step: int) -> Batch:
            return self.batch(train.batch, seed, "batch", step, factors=factors, device=device)

        return fit(
            model,
            objective,
            batches,
            train,
            seed,
            folder,
            name=f"{folder.parent.name}, seed {seed}, {folder.stem}",
            watch=watch,
        )


def _told(world: SceneWorld, index: Index, level: str) -> list[str]:
    """Return the captions of one level; pictures that show a change come without words."""
    mute = [at for at, kind in enumerate(world.kinds) if kind in SHOWN_CHANGES]
    told = world.captions(index, level)
    return ["" if silent else said for said, silent in zip(told, np.isin(world.kind_of(index), mute))]


def paged(page: Callable[[int], Batch], size: int) -> Batches:
    """Return step -> a batch of `size`, cut from pages of PAGE batches: many small draws cost as much as the training."""
    held: dict[int, Batch] = {}

    def batch(step: int) -> Batch:
        number, at = divmod(step, PAGE)
        if number not in held:
            held.clear()
            held[number] = page(number)
        return {name: tensor[at * size : (at + 1) * size] for name, tensor in held[number].items()}

    return batch


def turned(caption: str) -> str:
    """Return the caption of twins told the other way round: "a red heart right of a blue circle" for its mirror image."""
    world = scenes_of("twins")
    facts = world.facts(caption)
    other = {f: v for f, v in facts.items() if f not in ("kind", "relation") and f.removesuffix("_2") not in ATTRIBUTES}
    for f in ATTRIBUTES:
        pairs = ((f, f"{f}_2"), (f"{f}_2", f))
        other |= {there: facts[here] for here, there in pairs if here in facts}
    if "relation" in facts:
        at = RELATIONS.index(facts["relation"])
        other["relation"] = RELATIONS[at ^ 1]  # left of and right of, above and below
    return world.kinds["twins"].phrase.say(other)


@cache
def spared(without: str, share: float = 0.4) -> tuple[Index, Index]:
    """Return drawings of the same training concepts: by a vendor seen in training, and by the vendor left out; int64.

    Neither is shown in training. Of each concept drawn by `without` and two vendors more, one in `share` at random
    gives all drawings of one of those vendors, so that its others are still seen. Concepts are in the same order in
    both, and neither has one that the other lacks.
    """
    emoji, draw = load_emoji(), rng("spared", without)
    seen, left = emoji.split(f"train_without_vendor:{without}"), VENDORS.index(without)
    every = np.arange(len(emoji))
    concept, vendor = emoji.labels(every, "concept"), emoji.labels(every, "vendor")
    inside, outside = [], []
    for c in np.unique(concept[seen]):
        makers = np.unique(vendor[seen[concept[seen] == c]])
        theirs = every[(concept == c) & (vendor == left)]
        if len(makers) > 1 and len(theirs) and draw.random() < share:
            inside.append(seen[(concept[seen] == c) & (vendor[seen] == draw.choice(makers))])
            outside.append(theirs)
    return np.concatenate(inside), np.concatenate(outside)


def _papers(n: int, draw: np.random.Generator) -> np.ndarray:
    """Return uint8 (n, 3): half of them white, half a pale colour, for drawings to lie on."""
    tint = draw.integers(128, 256, size=(n, 3))
    return np.where(draw.random((n, 1)) < 0.5, 255, tint).astype(np.uint8)


def _smudged(pictures: np.ndarray, specks: float, draw: np.random.Generator) -> np.ndarray:
    """Return pictures moved by up to a pixel, with noise of up to `specks`; where that is much, some are blurred."""
    by = tuple(int(k) for k in draw.integers(-1, 2, size=2))
    frame = ((0, 0), (1, 1), (1, 1), (0, 0))
    x = np.roll(np.pad(pictures, frame, constant_values=255), by, (1, 2))[:, 1:-1, 1:-1].astype(np.float32)
    if draw.random() < 1 / 7 and specks > EVERY["every drawing"]:
        half, side = np.pad(x[: len(x) // 2], frame, mode="edge"), x.shape[1]
        x[: len(half)] = np.mean([half[:, i : i + side, j : j + side] for i in range(3) for j in range(3)], axis=0)
    x += specks * draw.random((len(x), 1, 1, 1), dtype=np.float32) * draw.standard_normal(x.shape, dtype=np.float32)
    return np.clip(x, 0, 255).round().astype(np.uint8)


def _first(concept: np.ndarray, count: int) -> np.ndarray:
    """Return int64 (K, count): where each concept comes the first `count` times; those that come less often are left out."""
    order = np.argsort(concept, kind="stable")
    _, start, often = np.unique(concept[order], return_index=True, return_counts=True)
    return order[start[often >= count][:, None] + np.arange(count)]


def _drawn_captions(index: Index, draw: np.random.Generator, levels: Sequence[str]) -> list[str]:
    emoji = load_emoji()
    names, keywords, styled = (emoji.captions(index, level) for level in DRAWN_LEVELS)
    out = []
    for k, name, said, full in zip(draw.integers(len(levels), size=len(index)), names, keywords, styled):
        level, words = levels[k], said[len(name) :].split()
        bare = level == "name" or (level == SET and draw.random() < 1 / 3)
        kept = "" if bare else " ".join(w for w in words if draw.random() >= DROP)
        look = {"style": full[len(said) :], SET: full[len(said) :].partition(" mostly ")[0]}.get(level, "")
        out.append(" ".join(f"{name} {kept}{look}".split()))
    return out


@cache
def _vocabulary(data: str) -> Vocabulary:
    if data in DRAWN:
        emoji = load_emoji()
        every = np.arange(len(emoji))
        return vocabulary_of([*emoji.captions(every, "style"), *emoji.captions(every, "group")])
    if data.startswith("stage"):
        data = "stage alone"  # what shows a change has no words, and nets of one stage share theirs with another's
    kinds = scenes_of(data).kinds.values()
    # every value of every factor, two at a time at most: far fewer sentences than scenes
    most = [max(map(len, kind.factors.values())) for kind in kinds]
    said = [
        kind.phrase.say({f: v[at % len(v)] for f, v in kind.factors.items() if f in kind.phrase.factors})
        for kind, n in zip(kinds, most)
        for at in range(n)
    ]
    # and each value alone: "an" is said where nothing stands before an orange thing
    alone = [kind.phrase.say({f: v}) for kind in kinds for f in kind.phrase.factors for v in kind.factors[f]]
    return vocabulary_of([*said, *alone, *(kind.phrase.say({}) for kind in kinds)])


def as_tensor(pictures: np.ndarray) -> torch.Tensor:
    """Return pictures (B, 3, S, S) of (B, S, S, 3), of the same type."""
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))


@dataclass(frozen=True)
class Eye:
    """An image tower: "patch" (patches of `patch` px, `depth` blocks) or "conv" (then width is that of its first stage)."""

    kind: str = "patch"
    width: int = 80
    depth: int = 4
    heads: int = 5
    patch: int = 4

    def __post_init__(self) -> None:
        one_of("The kind of tower", self.kind, ("patch", "conv"))

    def build(self, side: int) -> nn.Module:
        """Return a tower for pictures of this side."""
        if self.kind == "conv":
            return ConvTower(side, self.width)
        return PatchTower(side, self.patch, self.width, self.depth, self.heads)


def shown(pictures: Sequence[np.ndarray] | np.ndarray, side: int) -> np.ndarray:
    """Return pictures (N, S, S, 3), uint8 or float32 around [-1, 1]; raises Refused for another size, type or range."""
    given = np.asarray(pictures)
    fits = given.ndim == 4 and given.shape[1:] == (side, side, 3)
    floats = given.dtype == np.float32 and (not given.size or np.abs(given).max() < 3)
    if not fits or not (given.dtype == np.uint8 or floats):
        need = f"uint8 (N, {side}, {side}, 3)"
        raise Refused(
            f"The pictures are {given.dtype} {given.shape}, but must be {need}, values 0 to 255, or float32 around "
            "-1 to 1."
        )
    return given
