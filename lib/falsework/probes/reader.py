"""Judges of pictures: what a trained reader sees in them, how often it is right, and what Bayes would have said.

A number read by a net means little without that net's own ceiling: the share it reads rightly of real pictures that
it never saw. In the exact world the best possible reader is known too, one softmax over all renders (`world.exact`).

Dimension key: N pictures, S side in pixels, K values of a factor.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import nn

from falsework.core.dataset import Index
from falsework.core.errors import Refused, one_of
from falsework.core.evidence import Row
from falsework.recipes.reader import World, factors_of, fresh, kinds_in, labels_of, side_of, with_texture
from falsework.world.captions import load_scenes
from falsework.world.exact import ExactWorld
from falsework.world.ladder import TEXTURE
from falsework.world.scenes import SceneWorld

Reading = dict[str, tuple[np.ndarray, np.ndarray]]  # factor -> (labels int64 (N,), confidence float64 (N,))
BLOCK = 256


def _checked(pictures: np.ndarray, side: int) -> np.ndarray:
    """Return pictures, or refuse those that are not (N, S, S, 3)."""
    if pictures.ndim != 4 or pictures.shape[1:] != (side, side, 3):
        raise Refused(f"The pictures have shape {pictures.shape}, but this reader needs (N, {side}, {side}, 3).")
    return pictures


def read(model: nn.Module, pictures: np.ndarray) -> Reading:
    """Return factor -> (its likeliest value, and how likely the net thinks it), for every factor that it knows.

    pictures: (N, S, S, 3), uint8 or floats in [-1, 1]. A factor that a picture's kind does not have is read all the
    same: ask "kind" first. Raises Refused for pictures of another size.
    """
    _checked(pictures, model.tower.side)  # type: ignore[union-attr,arg-type]
    device = next(model.parameters()).device
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {f: [] for f in model.factors}  # type: ignore[union-attr]
    with torch.inference_mode():
        for start in range(0, len(pictures), BLOCK):
            block = torch.from_numpy(np.ascontiguousarray(pictures[start : start + BLOCK])).to(device)
            logits = model(block.permute(0, 3, 1, 2).contiguous())
            for f in parts:
                sure, label = logits[f].double().softmax(1).max(1)
                parts[f].append((label.cpu().numpy(), sure.cpu().numpy()))
    return {f: (np.concatenate([a for a, _ in p]), np.concatenate([b for _, b in p])) for f, p in parts.items()}


@torch.inference_mode()
def features_of(model: nn.Module, pictures: np.ndarray) -> np.ndarray:
    """Return float32 (N, H): what the heads of a reader read, of pictures (N, S, S, 3) as `read` takes them."""
    _checked(pictures, model.tower.side)  # type: ignore[union-attr,arg-type]
    device, out = next(model.parameters()).device, []
    for start in range(0, len(pictures), BLOCK):
        block = torch.from_numpy(np.ascontiguousarray(pictures[start : start + BLOCK])).to(device)
        out.append(model.features(block.permute(0, 3, 1, 2).contiguous()).cpu().numpy())  # type: ignore[operator]
    return np.concatenate(out)


def ceiling(model: nn.Module, world: World, seed: int, n: int, split: str = "test", texture: float = 0.0) -> list[Row]:
    """Return how often the reader is right on n fresh pictures of every kind, by factor and kind.

    Rows: factor, kind, split, n, value (share read rightly, 0 to 1); kind "all" is the mean over the kinds that have
    the factor, with n their pictures. Kinds that never show what the split asks for are left out. Raises Refused for
    an unknown split, and one that no kind shows.
    """
    rows: list[Row] = []
    for kind in kinds_in(world):
        try:
            index, pictures = fresh(world, kind, n, split, seed, "ceiling")
        except Refused:
            if isinstance(world, SceneWorld) and split in world.splits:
                continue
            raise
        shown = with_texture(pictures, texture, seed, "ceiling texture", kind, split)
        found = read(model, shown)
        for f, truth in zip(factors_of(world), labels_of(world, index).T):
            if truth[0] >= 0:
                right = float((found[f][0] == truth).mean())
                rows.append({"factor": f, "kind": kind, "split": split, "n": n, "value": right})
    if not rows:
        raise Refused(f"The world {world.name!r} shows no {split!r}.")
    for f in dict.fromkeys(row["factor"] for row in rows):
        values = [row["value"] for row in rows if row["factor"] == f]
        rows.append({"factor": f, "kind": "all", "split": split, "n": n * len(values), "value": float(np.mean(values))})
    return rows


@cache
def exact_judge(texture: float = TEXTURE) -> ExactWorld:
    """Return the exact world with its factors as codes: Bayes' own reader, made once per process."""
    scenes = load_scenes("energy")
    return ExactWorld(scenes.unit, {}, texture=texture, factors=scenes.scenes)


def exact_read(pictures: np.ndarray, sigma: float = 0.0, texture: float = TEXTURE) -> Reading:
    """Return factor -> (its likeliest value, and the posterior of that value) under the exact world; nothing is learned.

    pictures: (N, 16, 16, 3), uint8 or floats around [-1, 1], a render with this texture and noise of this sigma; where
    they are, no reader is right more often, and the mean of the confidence is how often this one is. Raises Refused
    for another size, and where texture and noise are both 0.
    """
    judge = exact_judge(texture)
    _checked(pictures, side_of(load_scenes("energy")))
    x = with_texture(pictures, 0.0) if pictures.dtype == np.uint8 else pictures.astype(np.float32)
    x = x.reshape(len(x), -1)
    parts: dict[str, list[np.ndarray]] = {f: [] for f in judge.factors}
    for rows in judge.blocks(len(x), BLOCK):
        p = np.exp(judge.log_posterior(x[rows], sigma))
        for f in judge.factors:
            parts[f].append(judge.sum_by_code(p, f).astype(np.float64))
    joined = {f: np.concatenate(p) for f, p in parts.items()}
    return {f: (p.argmax(1).astype(np.int64), p.max(1) / p.sum(1)) for f, p in joined.items()}


# ---- reading a drawing by the renders it could have been: nothing is learned, and real pictures are read without fault


def nearest_value(world: SceneWorld, kind: str, index: Index, factor: str, pictures: np.ndarray) -> np.ndarray:
    """Return int64 (N,): of all values of a factor the one whose render is nearest to each picture, all else as numbered.

    index: the scenes that the pictures, uint8 (N, S, S, 3), should show, all of one kind. A picture that shows something
    else is read by chance. Squared pixel distance; ties go to the first value. Raises Refused for an unknown kind or
    factor, and for pictures of another size or number.
    """
    grammar = world.kinds[one_of("The kind of scene", kind, world.kinds)]
    values = grammar.factors[one_of("The factor", factor, grammar.factors)]
    if len(_checked(pictures, world.side)) != len(index):
        raise Refused(f"There are {len(pictures)} pictures of {len(index)} scenes, but each scene needs its own.")
    scenes = world.scenes(index, grammar)
    given, near = pictures.astype(np.float32), []
    for value in range(len(values)):
        render = world.render(kind, scenes | {factor: np.full(len(index), value)})
        near.append(np.square(given - render).reshape(len(index), -1).sum(1))
    return np.argmin(near, axis=0).astype(np.int64)
