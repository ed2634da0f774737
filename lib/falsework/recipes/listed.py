"""The exact world to train on: its 32,768 scenes with fresh texture each time, and captions of every length.

There are no parts: what is trained on is what is tested on, only texture and noise are fresh, and no generalisation is
claimed. The pictures are floats, for a byte would cut the texture off where a wall is nearly white.

Dimension key: B batch, S side in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from falsework.core.dataset import Index
from falsework.core.errors import Refused, one_of
from falsework.core.rng import rng
from falsework.core.vocabulary import Vocabulary, vocabulary_of
from falsework.recipes.pairs import as_tensor
from falsework.recipes.reader import with_texture
from falsework.training import Batch, Fit, Objective, Train, fit
from falsework.world.captions import LEVELS, EnumeratedScenes, load_scenes
from falsework.world.ladder import TEXTURE

TOLD = LEVELS[1:-1]  # what sentences say; "none" says nothing and "pixel-words" is no sentence
NEVER_TOLD = "nudge_x"  # the factor that no sentence of the energy order names


@dataclass(frozen=True)
class Listed:
    """levels: of the captions, one drawn for each picture. loose: share that name factors at random instead.

    Half of the loose captions name one factor, the others from one to all of those that the longest level names.
    tied: share of the pictures whose shape goes with the background, the first shape on the first wall and so on; the
    others are drawn as the world is. texture: its deviation.

    Raises Refused for an unknown level, none of them, a share outside [0, 1], and a texture below 0.
    """

    levels: tuple[str, ...] = TOLD
    loose: float = 0.5
    tied: float = 0.0
    texture: float = TEXTURE

    def __post_init__(self) -> None:
        for level in self.levels:
            one_of("The caption level", level, TOLD)
        self._check()

    def _check(self) -> None:
        """Refuse what no kind of captions allows."""
        if not self.levels:
            raise Refused("The scenes got no caption level, but need one or more.")
        for name in ("loose", "tied"):
            if not 0 <= getattr(self, name) <= 1:
                raise Refused(f"The share {name} is {getattr(self, name)}, but must lie between 0 and 1.")
        if not self.texture >= 0:
            raise Refused(f"The texture is {self.texture}, but must be a deviation of 0 or more.")

    @property
    def until(self) -> int:
        """The step from which nothing is told any more; 0 for never."""
        return 0

    def at(self, step: int) -> Listed:
        """Return what is taught at a step: the same at every one."""
        return self

    @property
    def dataset(self) -> EnumeratedScenes:
        """The pictures, whose factors have labels."""
        return load_scenes("energy")

    @property
    def side(self) -> int:
        """S."""
        return self.dataset.grammar.side

    @property
    def digest(self) -> str:
        """The digest of the pictures and of what their captions say."""
        return self.dataset.digest

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Every word that a caption may say, and the length of the longest caption."""
        world = self.dataset
        told = {f: world.factors[f] for f in world.named[TOLD[-1]]}
        most = max(map(len, told.values()))
        longest = [world.phrase.say({f: v[k % len(v)] for f, v in told.items()}) for k in range(most)]
        alone = [world.phrase.say({f: v}) for f, values in told.items() for v in values]
        return vocabulary_of([*longest, *alone, world.phrase.say({})])

    def nearest(self, caption: str) -> str | None:
        """Return None for a sentence of the training captions, else the sentence that states what this one names."""
        world = self.dataset
        every = world.named[TOLD[-1]]
        facts = world.phrase.parse(caption) if caption.strip() else {}
        if facts is not None and not set(facts) - set(every):
            return None
        said, found = f" {caption} ", {}
        for factor in every:
            others = {v for f, values in world.factors.items() if f != factor for v in values}
            for value in world.factors[factor]:
                alone = (
                    world.phrase.say({factor: value}).removeprefix("a thing").removeprefix(" ")
                )  # "lit from the left"
                unlike = not any(set(value.split()) <= set(v.split()) for v in others)
                if f" {alone} " in said or (unlike and f" {value} " in said):
                    found[factor] = value
        return world.phrase.say(found)

    def numbers(self, size: int, *keys: object, tied: float | None = None) -> Index:
        """Return int64 (size,): scenes, a function of the keys; tied: another share than the recipe's."""
        world, draw = self.dataset, rng(*keys, "numbers")
        index = draw.integers(len(world), size=size)
        bound = draw.random(size) < (self.tied if tied is None else tied)
        scenes = world.grammar.scenes(index)
        scenes["background"] = np.where(bound, scenes["shape"], scenes["background"])
        return world.grammar.index(scenes)

    def pictures(self, index: Index, *keys: object) -> np.ndarray:
        """Return float32 (B, S, S, 3) around [-1, 1]: scenes under fresh texture."""
        return with_texture(self.dataset.images(index), self.texture, *keys, "texture")

    def say(self, index: Index, *keys: object) -> list[str]:
        """Return a caption for each scene, its length or its factors drawn by the keys."""
        world, draw = self.dataset, rng(*keys, "said")
        every = world.named[TOLD[-1]]
        loose = draw.random(len(index)) < self.loose
        level = draw.integers(len(self.levels), size=len(index))
        count = np.where(draw.random(len(index)) < 0.5, 1, draw.integers(1, len(every) + 1, size=len(index)))
        out = []
        for number, free, k, n in zip(index, loose, level, count):
            named: Sequence[str] = world.named[self.levels[k]]
            if free:
                named = [every[i] for i in draw.permutation(len(every))[:n]]
            out.append(caption_of(world, int(number), named))
        return out

    def draw(self, size: int, *keys: object) -> tuple[Index, np.ndarray, list[str]]:
        """Return (numbers, pictures float32 (B, S, S, 3), captions), a function of the keys."""
        index = self.numbers(size, *keys)
        return index, self.pictures(index, *keys), self.say(index, *keys)

    def batch(self, size: int, *keys: object, silent: float = 0.0, device: torch.device | str = "cpu") -> Batch:
        """Return `draw` as tensors: "pictures" float32 (B, 3, S, S), "ids" int64 (B, M), as long as captions can be.

        silent: share of the captions that are left out.
        """
        _, pictures, captions = self.draw(size, *keys)
        mute = rng(*keys, "silent").random(size) < silent
        ids = torch.from_numpy(self.vocabulary.padded(["" if m else c for c, m in zip(captions, mute)]))
        return {"pictures": as_tensor(pictures).to(device), "ids": ids.to(device)}

    def fit(
        self,
        model: nn.Module,
        objective: Objective,
        train: Train,
        seed: int,
        folder: Path,
        watch: Any = None,
        silent: float = 0.0,
    ) -> Fit:
        """Train on fresh batches, a function of the step: nets of one seed and batch see the same pictures."""
        device, name = next(model.parameters()).device, f"{folder.parent.name}, seed {seed}, {folder.stem}"

        def batches(step: int) -> Batch:
            return self.at(step).batch(train.batch, seed, "batch", step, silent=silent, device=device)

        return fit(model, objective, batches, train, seed, folder, name=name, watch=watch)


def caption_of(world: EnumeratedScenes, number: int, named: Sequence[str]) -> str:
    """Return the sentence that names these factors of a scene; "" for none of them."""
    if not named:
        return ""
    return world.phrase.say({f: world.factors[f][world.scenes[f][number]] for f in named})
