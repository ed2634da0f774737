"""The exact world with captions of one's choice: how long, in which language, how many of them right, and until when.

Everything else is `Listed`: the same pictures at the same step, whatever is told about them.

Dimension key: B batch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from falsework.core.dataset import Index
from falsework.core.errors import Refused, one_of
from falsework.core.rng import rng
from falsework.core.vocabulary import Vocabulary
from falsework.recipes.listed import TOLD, Listed, caption_of
from falsework.world.captions import LEVELS, pixel_words
from falsework.world.codes import (
    CENTRES,
    FITTED,
    FIXED,
    LANGUAGES,
    LONGEST,
    count_of,
    entropy_of,
    say_code,
    small_world,
    symbols_of,
)

PIXELS = LEVELS[-1]
NONE = LEVELS[0]
OTHERS = 64  # scenes looked at for one that is called otherwise


@dataclass(frozen=True)
class Worded(Listed):
    """levels: of the captions, "none" and "pixel-words" included, one drawn for each picture.

    language: "words", or made-up words for a "machine" code, a "random" one, a "name" or the "facts" (`world.codes`).
    own: share of each batch that gets such captions; the others are told the level `plain` in words. right: share of
    each batch whose captions speak of their picture; the others get one of another scene, which says something else
    where that level can.
    until: the step from which nothing is told any more (0: never). Until then several levels are taken in turn, an
    equal part of the steps each, in the order given. small: only the 1,024 scenes of the small world.

    Shares are exact in every batch, but for a remainder that is drawn. Raises Refused for an unknown level or language,
    a share outside [0, 1], a share of `Listed` that has no meaning here, and a step below 0.
    """

    levels: tuple[str, ...] = (LONGEST,)
    loose: float = 0.0
    language: str = LANGUAGES[0]
    plain: str = "short"
    own: float = 1.0
    right: float = 1.0
    until: int = 0  # type: ignore[assignment]
    small: bool = False

    def __post_init__(self) -> None:
        coded = self.language != LANGUAGES[0]
        one_of("The language", self.language, LANGUAGES)
        one_of("The plain caption level", self.plain, (NONE, *TOLD))
        for level in self.levels:
            one_of("The caption level", level, LEVELS[: LEVELS.index(LONGEST) + 1] if coded else LEVELS)
        self._check()
        for name in ("own", "right"):
            if not 0 <= getattr(self, name) <= 1:
                raise Refused(f"The share {name} is {getattr(self, name)}, but must lie between 0 and 1.")
        if self.loose or (self.tied and self.small):
            raise Refused(
                "The share loose, or tied in the small world, is above 0, but must be 0 where words are chosen."
            )
        if not self.until >= 0:
            raise Refused(f"The captions end at step {self.until}, but must end at 0 or later; 0 is never.")

    def at(self, step: int) -> Worded:
        """Return what is taught at a step."""
        if not self.until:
            return self
        return _stage(self, min(len(self.levels), step * len(self.levels) // self.until))

    @property
    def digest(self) -> str:
        """The digest of the pictures, of what their captions say, and of how a machine code is made."""
        made = f"{self.dataset.digest} {CENTRES} {FITTED}"
        return hashlib.sha256(made.encode()).hexdigest() if self.language == "machine" else self.dataset.digest

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of sentences, and those of the code or of pixels where they are spoken; sentences' length or more."""
        base = Listed(texture=self.texture).vocabulary
        words, length = set(base.words), base.length
        if self.language != LANGUAGES[0]:
            for k, values in enumerate(self.symbols.T):
                words |= {say_code([0] * k + [int(v)]).split()[k] for v in np.unique(values)}
        if PIXELS in self.levels:
            r, g, b = (self.dataset.pictures.reshape(-1, 3) >> 4).T.astype(int)
            words |= {f"{colour:03x}" for colour in np.unique(r * 256 + g * 16 + b)}
            length = max(length, self.side**2 + 1)
        return Vocabulary(tuple(sorted(words)), length)

    @property
    def symbols(self) -> np.ndarray:
        """int64 (N, K): what the longest caption says of each scene, see `world.codes`."""
        return symbols_of(self.language, self.small)

    def numbers(self, size: int, *keys: object, tied: float | None = None) -> Index:
        """Return int64 (size,): scenes, a function of the keys."""
        index = super().numbers(size, *keys, tied=tied)
        if not self.small:
            return index
        grammar = self.dataset.grammar
        fixed = {f: np.full(size, v) for f, v in FIXED.items()}
        return grammar.index(grammar.scenes(index) | fixed)

    def caption(self, number: int, level: str) -> str:
        """Return what a level says of a scene, in this language."""
        if level == PIXELS:
            return pixel_words(self.dataset.pictures[number])
        if self.language == LANGUAGES[0]:
            return caption_of(self.dataset, number, self.dataset.named[level])
        return say_code(self.symbols[number, : count_of(level)].tolist())

    def say(self, index: Index, *keys: object) -> list[str]:
        """Return a caption for each scene: whose and which level is a function of the keys."""
        draw, size = rng(*keys, "said"), len(index)
        level = draw.integers(len(self.levels), size=size)
        own, right = exactly(size, self.own, draw), exactly(size, self.right, draw)
        others = self.numbers(OTHERS, *keys, "others")
        out = []
        for number, k, mine, true in zip(index.tolist(), level, own, right):
            which = self.levels[k] if mine else self.plain
            worded = self if mine else _plainly(self)
            caption = worded.caption(number, which)
            if not true:
                told = (worded.caption(int(other), which) for other in draw.permutation(others))
                caption = next((text for text in told if text != caption), caption)
            out.append(caption)
        return out


@cache
def _stage(pairs: Worded, number: int) -> Worded:
    """Return what is taught in one stage of a curriculum: its level, or nothing after the last."""
    levels = pairs.levels[number : number + 1]
    stage = replace(pairs, levels=levels or (NONE,), until=0, own=pairs.own if levels else 1.0)
    # one vocabulary throughout, whatever the stage says
    stage.__dict__["vocabulary"] = pairs.vocabulary
    return stage


@cache
def _plainly(pairs: Worded) -> Worded:
    return replace(pairs, language=LANGUAGES[0])


def exactly(size: int, share: float, draw: np.random.Generator) -> np.ndarray:
    """Return bool (size,): share * size of them true, a remainder by chance, in a random order."""
    count = int(share * size + draw.random() + 1e-9)
    return draw.permutation(size) < count


def entropy_told(pairs: Worded, level: str) -> float:
    """Return H(c) in bits of a level in this language; raises Refused for a level without a code."""
    rows = small_world() if pairs.small else slice(None)
    return entropy_of(pairs.symbols[rows, : count_of(level)])
