"""A reader of factors: what judges generated pictures, trained on everything that a world can show.

It sees every combination, those held out from other nets too (a reader that never saw them misreads them, and its
verdict on a net that draws them would be about the reader), but no picture of the sides "val" and "test". Rare kinds
of scene come about as often as common ones, so that they are read as well.

What changes between things is not seen but counted: the net reads the look of each thing, and "change", "across" and
"down" follow from those looks by arithmetic (a net that had to learn it read "across" at .30, chance .20).

Dimension key: N pictures, S side in pixels, F factors, B batch, K values of an attribute.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from falsework.core.config import check_preset
from falsework.core.dataset import Index
from falsework.core.errors import Refused, one_of
from falsework.core.rng import rng, seed_of
from falsework.data.emoji import STYLES as EMOJI_STYLES
from falsework.data.emoji import load_emoji
from falsework.nets.convs import FactorReader
from falsework.objectives.factors import UNSAID, factor_loss
from falsework.training import Batches, Fit, Train, fit
from falsework.world.captions import EnumeratedScenes, load_scenes
from falsework.world.kinds import ATTRIBUTES, CHANGES, SETS, SPRITES, STEPS, said_at
from falsework.world.ladder import TEXTURE
from falsework.world.scenes import SceneWorld

World = SceneWorld | EnumeratedScenes
WORLDS = ("plain-32", "plain-16", "cluttered-16", "exact")
NEVER_SAID = 6  # the level of `kinds.said_at` that no sentence reaches
PAGE = 64  # steps whose pictures are drawn at once: small draws would cost as much as the training
ASK = 1 << 17  # numbers looked at together in search of the scenes wanted
SHARE = {"sticker": 3.0, "pair": 3.0, "group 4": 1.5, "matrix": 0.75, "collage": 0.5}  # of a batch, beside 1 each
SHARE |= {f"sign {count}": 0.75 for count in (1, 2, 3)}
COUNTED = ("change", "across", "down")
SHOWN = ("sprite", "set")
DRAWING = "drawing"  # both at once: nothing is common to all drawings of a set
SLIP = 1e-3  # a look may be misread: no comparison is surer than that
NEVER = -1e4  # a log-probability of nothing, finite for the sake of gradients
LOOKS = tuple(f"{f}{end}" for end in ("", "_2", "_3", "_4") for f in ATTRIBUTES)
# the things of the kinds in which something changes, in the order they are put, by their place in reading order
CELLS = {"matrix": ("", "_2", "_3", "_4"), "collage": ("", "_2"), "episode": ("", "_2", "_3", "_4")}
ACROSS, DOWN = (("", "_2"), ("_3", "_4")), (("", "_3"), ("_2", "_4"))  # pairs of cells


@cache
def sprites(size: int) -> np.ndarray:
    """Return uint8 (32, 6, P, P, 4), premultiplied: the drawings on stickers, SPRITES by SETS; P is 8, 16 or 32."""
    emoji = load_emoji()
    index = np.array([emoji.find(name, style) for name in SPRITES for style in EMOJI_STYLES])
    return emoji.rgba(index, size).reshape(len(SPRITES), len(EMOJI_STYLES), size, size, 4)


@cache
def world_of(name: str) -> World:
    """Return a world that a reader can be trained on, made once per process; raises Refused for an unknown name."""
    if one_of("The reader's world", name, WORLDS) == "exact":
        return load_scenes("energy")
    layout, side = name.split("-")
    return SceneWorld(layout, int(side), sprites=sprites(int(side) // 2) if layout == "plain" else None)


def factors_of(world: World) -> dict[str, int]:
    """Return factor -> number of its values, of those that some sentence names."""
    return {f: len(v) for f, v in world.factors.items() if f == "kind" or said_at(f) < NEVER_SAID}


def side_of(world: World) -> int:
    """Return S."""
    return world.side if isinstance(world, SceneWorld) else world.grammar.side


def kinds_in(world: World) -> tuple[str, ...]:
    """Return the kinds of scene of a world; the exact world has one."""
    return tuple(world.kinds) if isinstance(world, SceneWorld) else ("one",)


def fresh(world: World, kind: str, n: int, split: str, *keys: object) -> tuple[Index, np.ndarray]:
    """Return (numbers int64 (n,), pictures uint8 (n, S, S, 3)) of one kind and part, a function of the keys alone.

    The exact world has no parts: there any of "train", "test" and "train_all" is the whole list. Raises Refused for an
    unknown kind or part, and for a part that the kind never shows.
    """
    one_of("The kind of scene", kind, kinds_in(world))
    draw = rng(*keys, kind, split)
    if isinstance(world, EnumeratedScenes):
        world.split(split.removesuffix("_all"))
        index = draw.integers(len(world), size=n)
        return index, world.images(index)
    numbers, found, have = _numbers(world, kind, split, draw), [], 0
    while have < n:
        want = (n - have) * 16 // (1 if split.startswith(("test", "val")) else 14)  # 1 of 16, or 14 of 16, are kept
        index = next(numbers)[: want + want // 8 + 8]
        pictures = world.images(index)
        mine = world.on_side(split, pictures)
        found.append((index[mine], pictures[mine]))
        have += int(mine.sum())
    index, pictures = (np.concatenate(parts)[:n] for parts in zip(*found))
    return index, pictures


def _numbers(world: SceneWorld, kind: str, split: str, draw: np.random.Generator) -> Iterator[Index]:
    """Yield numbers of one kind that may be of a part, as far as one can tell without drawing them."""
    while True:
        index = draw.integers(1 << 62, size=ASK)
        index = index[world.kind_of(index) == tuple(world.kinds).index(kind)]
        index = index[world.shows(split, index)]
        if not len(index):
            raise Refused(f"The world {world.name!r} shows no {split!r} in scenes of the kind {kind!r}.")
        yield index


def labels_of(world: World, index: Index) -> np.ndarray:
    """Return int64 (N, F): the values of `factors_of`, in their order, -1 where a picture's kind has no such factor."""
    return np.stack([world.labels(index, f) for f in factors_of(world)], axis=1)


def with_texture(pictures: np.ndarray, texture: float, *keys: object) -> np.ndarray:
    """Return float32 (N, S, S, 3) around [-1, 1]: uint8 pictures with Gaussian texture of this deviation laid over."""
    unit = pictures.astype(np.float32) / np.float32(127.5) - 1
    if not texture:
        return unit
    return unit + np.float32(texture) * rng(*keys).standard_normal(unit.shape, dtype=np.float32)


def has_scenes(world: World) -> bool:
    """Return whether a world shows stickers and the CELLS kinds: what a SceneReader is for."""
    return {*CELLS, "sticker"} <= set(kinds_in(world))


def looks_of(world: World, index: Index) -> np.ndarray:
    """Return what a net is taught, int64 (N, F + 13): `labels_of`, then LOOKS in reading order, then the DRAWING.

    The looks of CELLS stand there alone. A world without such kinds has its F labels only.
    """
    labels, names = labels_of(world, index), list(factors_of(world))
    if isinstance(world, EnumeratedScenes) or not has_scenes(world):
        return labels
    which, seen = world.kind_of(index), np.full((len(index), len(LOOKS)), UNSAID)
    for at, kind in enumerate(world.kinds.values()):
        rows = np.flatnonzero(which == at)
        if kind.name not in CELLS or not len(rows):
            continue
        for end, thing in zip(CELLS[kind.name], kind.put(world.scenes(index[rows], kind))):
            for f in ATTRIBUTES:
                seen[rows, LOOKS.index(f"{f}{end}")] = getattr(thing, f)
        labels[np.ix_(rows, np.array([names.index(look) for look in LOOKS]))] = UNSAID
    sprite, made_by = (labels[:, names.index(f)] for f in SHOWN)
    drawing = np.where(sprite < 0, UNSAID, sprite * len(SETS) + made_by)
    return np.concatenate([labels, seen, drawing[:, None]], axis=1)


class SceneReader(FactorReader):
    """A FactorReader that counts what changes from the looks of the things it sees; kinds: those of its world.

    It tells a matrix from an episode by counting too: a matrix's rows differ by one change. The second thing that an
    episode's sentence names is its third in reading order.
    """

    def __init__(self, side: int, factors: dict[str, int], kinds: tuple[str, ...], *sizes: int) -> None:
        heads = {f: k for f, k in factors.items() if f not in (*COUNTED, *SHOWN)}
        super().__init__(side, heads | {DRAWING: len(SPRITES) * len(SETS)}, *sizes)
        self.factors = dict(factors)
        self.changing = [kinds.index(kind) for kind in CELLS]

    def forward(self, pictures_B3SS: Tensor) -> dict[str, Tensor]:
        """Return factor -> logits (B, K), and after them logits of LOOKS in reading order and of the DRAWING."""
        seen = super().forward(pictures_B3SS)
        logits = seen | counted(seen, self.changing)
        episode_B1 = logits["kind"].softmax(1)[:, self.changing[-1:]].detach()
        for f in ATTRIBUTES:
            second, third = (seen[f + end].softmax(1) for end in ("_2", "_3"))
            logits[f"{f}_2"] = (second + episode_B1 * (third - second)).clamp_min(1e-12).log()
        drawings = seen[DRAWING].unflatten(1, (len(SPRITES), len(SETS)))
        logits |= {f: drawings.logsumexp(2 - axis) for axis, f in enumerate(SHOWN)}
        return {f: logits[f] for f in self.factors} | {f"seen {f}": seen[f] for f in (*LOOKS, DRAWING)}


def steps_between(looks: dict[str, Tensor], pairs: Sequence[tuple[str, str]]) -> Tensor:
    """Return (B, 3, 5): log-probability that in all pairs of things one attribute moves on, by 1 to 5 values, alone."""
    same, moved = [], []
    for f in ATTRIBUTES:
        by = torch.zeros((), device=looks[f].device)
        for a, b in pairs:
            p_BK, q_BK = (looks[f + end].detach().softmax(1) for end in (a, b))  # nothing is learned from counting
            steps = [(p_BK * q_BK.roll(-step, 1)).sum(1) for step in range(len(STEPS) + 1)]
            by = by + (torch.stack(steps, 1) + SLIP).log()
        same.append(by[:, 0])
        moved.append(by[:, 1:])
    every = torch.stack(same).sum(0)
    return torch.stack([(every - s)[:, None] + m for s, m in zip(same, moved)], 1)


def counted(looks: dict[str, Tensor], changing: Sequence[int]) -> dict[str, Tensor]:
    """Return logits of COUNTED and of "kind" from those of "kind" and of the LOOKS in reading order.

    changing: where the kinds of CELLS stand among the kinds. Every scene of a kind is as likely as any other.
    """
    across, down = (steps_between(looks, pairs) for pairs in (ACROSS, DOWN))
    a, d = zip(*((x, y) for x in range(3) for y in range(3) if x != y))  # as CHANGES are listed
    matrix = across[:, a, :, None] + down[:, d, None, :]  # (B, change, across, down)
    collage, episode = (j[:, :, :, None] for j in (steps_between(looks, ACROSS[:1]), across))
    second = math.prod(looks[f].shape[1] for f in ATTRIBUTES)  # looks that the lower row of an episode may have
    chance = [math.log(matrix[0].numel()), math.log(episode[0].numel() * second)]
    evidence = torch.stack([j.logsumexp((1, 2, 3)) - c for j, c in zip((matrix, episode), chance)], 1)
    kind, rows = looks["kind"].clone(), [changing[0], changing[2]]
    kind[:, rows] = looks["kind"][:, rows].logsumexp(1, keepdim=True) + evidence.log_softmax(1)

    share = kind[:, list(changing)].log_softmax(1)[:, :, None]
    joint = [j - j.logsumexp((1, 2, 3), keepdim=True) for j in (matrix, collage, episode)]
    change = [F.pad(c, (0, len(CHANGES) - c.shape[1]), value=NEVER) for c in (j.logsumexp((2, 3)) for j in joint)]
    by = [j.logsumexp((1, 3)) for j in joint]
    mixed = ((torch.stack(parts, 1) + share).logsumexp(1) for parts in (change, by))
    return {"kind": kind, **dict(zip(COUNTED, mixed)), "down": joint[0].logsumexp((1, 2))}


@dataclass(frozen=True)
class Reader:
    """A tower of convolutions with a head for each factor of a world, see WORLDS.

    texture: standard deviation of Gaussian texture laid over the pictures, in their range [-1, 1].
    """

    world: str = "plain-32"
    width: int = 32
    hidden: int = 384
    depth: int = 1
    texture: float = 0.0
    train: Train = field(default_factory=Train)
    name: ClassVar[str] = "reader"

    def __post_init__(self) -> None:
        one_of("The reader's world", self.world, WORLDS)

    def parents(self) -> dict[str, Any]:
        """Return {}: a reader stands on nothing."""
        return {}

    def data_digest(self) -> str:
        """Return the digest of the world."""
        return world_of(self.world).digest

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a FactorReader, its initial weights drawn from the seed."""
        world = world_of(self.world)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, "init"))
            sizes = self.width, self.hidden, self.depth
            if has_scenes(world):
                return SceneReader(side_of(world), factors_of(world), kinds_in(world), *sizes)
            return FactorReader(side_of(world), factors_of(world), *sizes)

    def batches(self, seed: int, device: torch.device | str = "cpu") -> Batches:
        """Return step -> "pictures" float32 (B, 3, S, S) and "labels" int64 (B, F): a function of the step."""
        world, size = world_of(self.world), self.train.batch
        kinds, held = kinds_in(world), dict[int, tuple[np.ndarray, np.ndarray]]()
        share = np.array([SHARE.get(kind, 1.0) for kind in kinds])

        def page(number: int) -> tuple[np.ndarray, np.ndarray]:
            which = rng(seed, "kinds", number).choice(len(kinds), size=PAGE * size, p=share / share.sum())
            index = np.empty(len(which), dtype=np.int64)
            pictures = np.empty((len(which), side_of(world), side_of(world), 3), dtype=np.uint8)
            for k, kind in enumerate(kinds):
                rows = np.flatnonzero(which == k)
                index[rows], pictures[rows] = fresh(world, kind, len(rows), "train_all", seed, "page", number)
            return pictures, looks_of(world, index)

        def batch(step: int) -> dict[str, torch.Tensor]:
            number, at = divmod(step, PAGE)
            if number not in held:
                held.clear()
                held[number] = page(number)
            pictures, labels = (a[at * size : (at + 1) * size] for a in held[number])
            pictures = with_texture(pictures, self.texture, seed, "texture", step)
            return {
                "pictures": torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().to(device),
                "labels": torch.from_numpy(labels).to(device),
            }

        return batch

    def fit(self, model: nn.Module, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train on fresh pictures of the training side, held-out combinations included."""
        device = next(model.parameters()).device
        name = f"{self.name} of {self.world}, seed {seed}, {folder.stem}"
        return fit(model, factor_loss, self.batches(seed, device), self.train, seed, folder, name=name, watch=watch)


# core-seconds on one thread of a 2024 server core, and the share read rightly of unseen pictures (seed 0, the mean over
# the kinds that have a factor): factors below .97
PRESETS = {
    "smoke": Reader(width=8, hidden=64, train=Train(steps=60, batch=32)),  # 4 s, nothing is read
    # plain-32 in 209 s: shape_2 .93, shape_3 .95, set .95, letter_2 .967; plain-16 in 205 s: style to style_4 .92-.96,
    # shape_2 .93, shape_3 and shape_4 .96, set .95, across .969; cluttered-16 in 200 s: shape .84, nudges .94, style .94,
    # size .95, floor .968; exact in 61 s: none, all above .99
    "laptop": Reader(train=Train(steps=3200, batch=64, lr=3e-3, ema=0.99)),  # 440 s; .99 or more for every factor
    "overnight": Reader(width=48, hidden=512, train=Train(steps=8000, batch=64, lr=3e-3, ema=0.99)),  # 2,010 s
    "gpu": Reader(width=96, hidden=1024, train=Train(steps=6000, batch=512, lr=2e-3, ema=0.99)),  # not measured
}


def reader_of(world: str, preset: str) -> Reader:
    """Return the recipe of a world's reader; raises Refused for an unknown world or preset.

    The exact world is shown with its texture; its few pictures want a third of the steps.
    """
    recipe = replace(PRESETS[check_preset(preset)], world=world)
    if world != "exact":
        return recipe
    return replace(recipe, texture=TEXTURE, train=replace(recipe.train, steps=recipe.train.steps // 3))
