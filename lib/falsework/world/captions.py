"""The caption ladder: seven levels from no words to the pixels themselves, each saying all that the last one said.

    none    thing    short    descriptive    ultra    near-exact    pixel-words
    L0      L1       L2       L3             L4       L5            L6

Which factor is named at which level follows from an ORDER of the factors and the fixed counts in NAMED. Two
orders with the same counts, and in the exact world the same bits at every level, so only the order differs:

    energy   by visible energy, measured on the renders by `visible_energy`: what moves most pixels comes first
    human    by habit: first the thing, then how it looks, then where it is, then the rest

Level "pixel-words" is the render's pixels written as words, never the texture that is laid over it.

Dimension key: N scenes, S side of the picture, D = 3 S^2 numbers of a picture.
"""

from __future__ import annotations

import re
from functools import cache, cached_property

import numpy as np

from falsework.core.dataset import Index, digest_arrays
from falsework.core.errors import Refused, one_of
from falsework.world.phrase import Phrase
from falsework.world.render import render, to_unit
from falsework.world.scene import EXACT, Grammar, Scenes

LEVELS = ("none", "thing", "short", "descriptive", "ultra", "near-exact", "pixel-words")
PATTERN = (
    "a [{size} ][{colour} ][{style} ]{shape|thing}[ in the {position}][ on a {background} background]"
    "[ lit from the {light}][ a hair to the {nudge_x}][ a hair {nudge_y}]"
)
NAMED = (0, 1, 4, 5, 7, 8, 9)  # how many factors of the order each level names
HUMAN_ORDER = ("shape", "colour", "size", "style", "position", "background", "light", "nudge_x", "nudge_y")
ORDERS = ("energy", "human")


def visible_energy(images: np.ndarray, grammar: Grammar = EXACT) -> dict[str, float]:
    """Return factor -> visible energy, the most visible first.

    The energy of a factor is E|x - E[x | all other factors]|^2, summed over the picture: half the mean squared
    change of the pixels when the factor alone is drawn anew (the total-effect variance of Homma and Saltelli,
    1996). Exact: every scene is counted once.

    images: (N, D) in [-1, 1], every scene of the grammar in its own order; raises Refused otherwise.
    """
    if images.ndim != 2 or len(images) != len(grammar):
        raise Refused(f"Energy needs all {len(grammar)} pictures as (N, D), but got shape {images.shape}.")
    grid, d = images.reshape(*grammar.shape, -1), images.shape[1]
    energy = {f: d * float(grid.var(axis=a).mean(dtype=np.float64)) for a, f in enumerate(grammar.factors)}
    return dict(sorted(energy.items(), key=lambda item: -item[1]))


def energy_order(images: np.ndarray, grammar: Grammar = EXACT) -> tuple[str, ...]:
    """Return the factors by measured visible energy, the most visible first (arguments as `visible_energy`)."""
    return tuple(visible_energy(images, grammar))


def ladder_factors(order: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return level -> the factors it names, for an order of all factors; raises Refused for a wrong number of them."""
    if len(set(order)) != NAMED[-1] or len(order) != NAMED[-1]:
        raise Refused(f"An order names {NAMED[-1]} different factors, but got {order!r}.")
    return {level: tuple(order[:count]) for level, count in zip(LEVELS, NAMED)}


def level_codes(scenes: Scenes, order: str = "energy", grammar: Grammar = EXACT) -> dict[str, np.ndarray]:
    """Return level -> int64 (N,): what the captions of these scenes say, as one integer; 0 for "none".

    Equal codes, equal captions; each level determines the one before. order: "energy", measured on all renders of
    the grammar, or "human"; raises Refused for another.
    """
    human = one_of("The order of the caption levels", order, ORDERS) == "human"
    factors = HUMAN_ORDER if human else energy_order(to_unit(render(grammar.scenes(), grammar)), grammar)
    return {level: grammar.code(scenes, named) for level, named in ladder_factors(factors).items()}


def pixel_words(picture: np.ndarray) -> str:
    """Return S*S words in reading order for uint8 (S, S, 3): a hexadecimal digit each for red, green and blue."""
    r, g, b = (picture.reshape(-1, 3) >> 4).T.astype(int)
    return " ".join(f"{word:03x}" for word in r * 256 + g * 16 + b)


def picture_of(words: str) -> np.ndarray:
    """Return uint8 (S, S, 3), the inverse of `pixel_words` to sixteen steps a colour; raises Refused for other words."""
    told = words.split()
    side = round(len(told) ** 0.5)
    if side * side != len(told) or not all(re.fullmatch("[0-9a-f]{3}", word) for word in told):
        raise Refused(
            f"The pixel words begin with {words[:24]!r}, but must be a square of three hexadecimal digits each."
        )
    digits = np.array([[int(digit, 16) for digit in word] for word in told], dtype=np.uint8)
    return (digits << 4).reshape(side, side, 3)


class EnumeratedScenes:
    """Every scene of a grammar as a `Dataset`, with a caption ladder in one of two orders.

    There are no hold-outs: "train", "val" and "test" are all the whole enumeration, fresh texture and noise are
    drawn over it, and no generalisation is claimed.
    """

    levels = LEVELS

    def __init__(self, order: str = "energy", grammar: Grammar = EXACT):
        """Render all scenes and build the ladder; order: "energy" or "human" (raises Refused otherwise)."""
        one_of("The order of the caption levels", order, ORDERS)
        self.name, self.grammar, self.factors = f"{grammar.name}-{order}", grammar, dict(grammar.factors)
        self.phrase = Phrase(PATTERN, self.factors)
        self.scenes: Scenes = grammar.scenes()
        self.pictures = render(self.scenes, grammar)
        self.order = energy_order(self.unit, grammar) if order == "energy" else HUMAN_ORDER
        self.named = ladder_factors(self.order)

    def __len__(self) -> int:
        return len(self.grammar)

    @cached_property
    def unit(self) -> np.ndarray:
        """float32 (N, D) in [-1, 1]: all renders."""
        return to_unit(self.pictures)

    @cached_property
    def codes(self) -> dict[str, np.ndarray]:
        """level -> int64 (N,): what its caption says as one integer (see `level_codes`)."""
        return {level: self.grammar.code(self.scenes, named) for level, named in self.named.items()}

    @cached_property
    def digest(self) -> str:
        """sha256 of the renders and of what each level says about them."""
        return digest_arrays(self.pictures, *self.codes.values())

    def split(self, name: str) -> Index:
        """Return all scene numbers for "train", "val" or "test"; raises Refused for another name."""
        one_of("The split", name, ("train", "val", "test"))
        return np.arange(len(self))

    def images(self, index: Index) -> np.ndarray:
        """Return uint8 (N, S, S, 3), without texture."""
        return self.pictures[index]

    def labels(self, index: Index, factor: str) -> np.ndarray:
        """Return int64 (N,): positions in `factors[factor]`; raises Refused for an unknown factor."""
        return self.scenes[one_of("The factor", factor, self.factors)][index]

    def captions(self, index: Index, level: str) -> list[str]:
        """Return N captions of one level: lower-case words, single spaces. Raises Refused for an unknown level."""
        one_of("The caption level", level, LEVELS)
        if level == LEVELS[0]:
            return [""] * len(index)
        if level == LEVELS[-1]:
            return [pixel_words(p) for p in self.pictures[index]]
        values = {f: self.factors[f] for f in self.named[level]}
        return [self.phrase.say({f: v[self.scenes[f][i]] for f, v in values.items()}) for i in index]

    def facts(self, caption: str) -> dict[str, str]:
        """Return what a sentence states, factor -> value; raises Refused for no sentence of these scenes."""
        found = self.phrase.parse(caption) if caption else {}
        if found is None:
            example = self.captions(np.array([0]), "ultra")[0]
            raise Refused(f"The caption {caption!r} is no sentence of these scenes; one is {example!r}.")
        return found


@cache
def load_scenes(order: str = "energy") -> EnumeratedScenes:
    """Return the exact world's 32,768 scenes with captions in this order, made once per process."""
    return EnumeratedScenes(order)
