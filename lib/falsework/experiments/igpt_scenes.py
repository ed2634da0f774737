"""The half of 01_igpt that is judged: cluttered scenes, three sizes, whose captions' entropy is known exactly.

Every seed draws its own fresh pictures, the same for all sizes. Dimension key: N pictures, T = side * side pixels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.stats import norm

from falsework.core.rng import rng
from falsework.experiments import Measured, Subject
from falsework.probes.likelihood import bits_by_band, bits_by_region, bits_per_token, neighbour_bits
from falsework.probes.linear import LayerProbe, attention_probe, layer_features, layer_tokens, probe_layers
from falsework.probes.reader import read
from falsework.recipes import obtain
from falsework.recipes.igpt import IGPT
from falsework.recipes.reader import Reader, reader_of
from falsework.samplers import sample_tokens
from falsework.tokens import decode_pixels, encode_pixels
from falsework.training import generator_of
from falsework.world.scenes import SceneWorld
from falsework.world.stage import draw

Rows = list[dict[str, Any]]
FACTORS = ("colour", "style", "shape")
READ = ("colour", "style", "shape", "size", "background", "floor")  # what the judge is asked of a completed scene
SHOTS = 32  # labels a class that a few-shot probe learns from
GREY_LEVELS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0, 2.0, 4.0, 8.0)  # of 255: texture that is swept


def region_rows(bits_NT: np.ndarray, masks: dict[str, np.ndarray]) -> Rows:
    """Return rows of bits, share of bits and pixels by region; masks bool (N, T) that partition the picture."""
    rows = []
    for region, part in bits_by_region(bits_NT, masks).items():
        for metric, value in (("bits", part.bits), ("share", part.share), ("pixels", part.pixels)):
            rows.append({"metric": f"{metric}_in_region", "region": region, "value": value})
    return rows


def band_rows(bits_NT: np.ndarray, pictures: np.ndarray) -> Rows:
    """Return rows of bits and share of bits by the scale at which pictures, uint8 (N, S, S, 3), change."""
    rows = []
    for band, part in bits_by_band(bits_NT, pictures.astype(np.float32)).items():
        for metric, value in (("bits", part.bits), ("share", part.share)):
            rows.append({"metric": f"{metric}_in_band", "band": band, "value": value})
    return rows


def probe_rows(found: LayerProbe, at: dict[str, Any], size: int) -> Rows:
    """Return the test accuracy of every layer, and of the layer that validation chose."""
    rows = [{"metric": "probe_test", **at, "layer": layer, "value": float(v)} for layer, v in enumerate(found.test_L)]
    best = {"metric": "probe_best", **at, "layer": found.best, "size": size, "value": float(found.test_L[found.best])}
    return [*rows, best]


def fresh(subject: Subject, n: int, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (numbers, pictures) of this seed's own draw, the same for every arm; smoke draws an eighth."""
    n = n // 8 if subject.preset == "smoke" else n
    return subject.recipe.world.draw(n, part, "01_igpt", part, subject.seed)


def scene_regions(world: SceneWorld, index: np.ndarray) -> dict[str, np.ndarray]:
    """Return bool (N, T) masks: pixels of the object with its shadow and reflection, of crumbs, and of the ground."""
    kind = world.kinds["one"]
    scenes = world.scenes(index, kind)
    full = world.images(index)
    object_only = draw(replace(kind, put=lambda s: [t for t in kind.put(s) if not t.crumb]), scenes, world.side)
    bare = draw(replace(kind, put=lambda s: []), scenes, world.side)
    crumbs = (full != object_only).any(-1).reshape(len(index), -1)
    thing = (object_only != bare).any(-1).reshape(len(index), -1) & ~crumbs
    return {"object": thing, "crumbs": crumbs, "ground": ~(thing | crumbs)}


def likelihood(subject: Subject) -> Measured:
    """Bits per unseen scene, where they fall, and how many of them a caption could carry: H(caption), exact."""
    recipe, model, world = subject.recipe, subject.model, subject.recipe.world
    index, pictures = fresh(subject, 800, "test")
    palette = model.palette.cpu().numpy()
    ids = encode_pixels(pictures, palette)
    bits = bits_per_token(model, ids)
    total = float(bits.sum(1).mean())
    rows: Rows = [{"metric": "bits_per_image", "value": total}]
    rows += [{"metric": "bits_per_pixel", "value": total / ids.shape[1]}]
    rows += region_rows(bits, scene_regions(world, index)) + band_rows(bits, pictures)
    train = encode_pixels(fresh(subject, 1600, "train")[1], palette)
    for name, value in neighbour_bits(train, ids, recipe.side, len(palette)).items():
        rows.append({"metric": "floor_bits_per_pixel", "model": name, "value": value})
    for level in world.levels[:-1]:
        rows.append({"metric": "caption_bits", "level": level, "value": world.entropy(level)})
        rows.append({"metric": "caption_share", "level": level, "value": world.entropy(level) / total})
    rows.append({"metric": "scene_bits", "value": world.entropy()})  # what a perfect model would pay, at most
    arrays = {}
    if subject.arm == "large" and subject.seed == 0:
        rows += perfect_rows(world)
        at = shown(recipe)
        seen = recipe.ids(model, at)
        arrays = {
            "scene_bits": bits_per_token(model, seen).reshape(-1, recipe.side, recipe.side).astype(np.float16),
            "scene_seen": decode_pixels(seen, palette, recipe.side),
            "scene_said": np.array(world.captions(at, "near-exact")),
        }
    return Measured([{**row, "data": "scenes"} for row in rows], arrays)


def perfect_rows(world: SceneWorld) -> Rows:
    """Return which share of a PERFECT model's bill a full caption carries at least, as what nobody mentions grows; no net.

    With k crumbs: H(caption) / (H(caption) + k H(crumb)). Without crumbs, with Gaussian texture of standard deviation g
    grey levels on every number, rounded: H(caption) / (H(caption) + D H(rounded texture)). Both are lower bounds, for
    the denominators are the entropy of the scene: two scenes may be one picture (crumbs that change places, a fact
    that lies hidden), and of six crumbs that is worth some six bits of 119.
    """
    said = world.entropy("near-exact")
    crumbs = {f: v for f, v in world.factors.items() if f.startswith("crumb") and f.endswith("_1")}
    crumb = float(sum(np.log2(len(v)) for v in crumbs.values()))
    rows: Rows = [{"metric": "perfect_share", "crumbs": k, "value": said / (said + k * crumb)} for k in range(13)]
    numbers = 3 * world.side**2
    for g in GREY_LEVELS:
        rows.append(
            {"metric": "perfect_share", "texture": g, "value": said / (said + numbers * rounded_gaussian_bits(g))}
        )
    return rows


def rounded_gaussian_bits(deviation: float) -> float:
    """Return the entropy in bits of N(0, deviation^2) rounded to whole numbers; 0 for no deviation."""
    if deviation <= 0:
        return 0.0
    reach = int(np.ceil(10 * deviation)) + 1
    p = np.diff(norm.cdf(np.arange(-reach, reach + 2) - 0.5, scale=deviation))
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def shown(recipe: IGPT, n: int = 6) -> np.ndarray:
    """Return the numbers of the scenes that are shown: unseen ones, the same for every model."""
    return recipe.world.draw(n, "test", "01_igpt", "shown")[0]


def layers(subject: Subject) -> Measured:
    """Few-shot probes of every layer for colour, style and shape, beside raw pixels and the untrained network.

    32 labels a class; layer and ridge are chosen on validation, the test set is fresh for each seed. For the largest size
    also with all 1,200 labels and, for seed 0, with attention in the place of mean pooling.
    """
    recipe, model, world = subject.recipe, subject.model, subject.recipe.world
    parts = {s: fresh(subject, n, s) for s, n in (("train", 1200), ("val", 500), ("test", 1500))}
    palette = model.palette.cpu().numpy()
    ids = {s: encode_pixels(p, palette) for s, (_, p) in parts.items()}
    untrained = recipe.build(subject.seed).to(next(model.parameters()).device).eval()
    nets = {"random": untrained, "trained": model}
    feats = {name: {s: layer_features(net, i) for s, i in ids.items()} for name, net in nets.items()}
    feats["pixels"] = {s: (p.reshape(1, len(p), -1) / 255.0).astype(np.float32) for s, (_, p) in parts.items()}
    size = sum(p.numel() for p in model.parameters())
    shots = 4 if subject.preset == "smoke" else SHOTS
    rows: Rows = []
    labels = {f: {s: world.labels(i, f) for s, (i, _) in parts.items()} for f in FACTORS}
    best: dict[str, dict[str, int]] = {name: {} for name in feats}
    for factor, y in labels.items():
        classes = len(world.factors[factor])
        rows.append({"metric": "chance", "factor": factor, "value": 1 / classes})
        for weights, f in feats.items():
            at = {"factor": factor, "weights": weights, "pool": "mean"}
            found = probe_layers(f, y, classes, shots, rng("01_igpt", "shots", factor, subject.seed))
            rows += probe_rows(found, {**at, "labels": "few"}, size)
            best[weights][factor] = found.best
            if subject.arm == "large":
                rows += probe_rows(probe_layers(f, y, classes), {**at, "labels": "all"}, size)
    if subject.arm == "large" and subject.seed == 0:  # the dearest look: shown from one seed, never judged
        rows += _attended(subject, ids, labels, best["trained"], size)
    return Measured([{**row, "data": "scenes"} for row in rows])


def _attended(
    subject: Subject,
    ids: dict[str, np.ndarray],
    labels: dict[str, dict[str, np.ndarray]],
    best: dict[str, int],
    size: int,
) -> Rows:
    """Return the accuracy of attention pooling in the layer that mean pooling chose, factor by factor."""
    rows: Rows = []
    most = {"train": 1200, "val": 300, "test": 750}
    for layer in sorted(set(best.values())):
        factors = [f for f, chosen in best.items() if chosen == layer]
        sets = []
        for s, n in most.items():
            y = np.stack([labels[f][s][:n] for f in factors], 1)
            sets.append((layer_tokens(subject.model, ids[s][:n], layer), y))
        classes = [len(subject.recipe.world.factors[f]) for f in factors]
        draw = rng("01_igpt", "attention", layer, subject.seed)
        steps = 20 if subject.preset == "smoke" else 150
        for factor, probe in zip(factors, attention_probe(sets[0], sets[1], sets[2], classes, draw, steps)):
            at = {"metric": "probe_pool", "factor": factor, "weights": "trained", "layer": layer, "size": size}
            rows += [{**at, "pool": "attention", "value": probe.test}, {**at, "pool": "mean", "value": probe.mean_test}]
    return rows


def samples(subject: Subject) -> Measured:
    """Scenes the largest model makes alone, and lower halves it gives to upper halves it has never seen; of seed 0."""
    recipe, model = subject.recipe, subject.model
    if subject.arm != "large" or subject.seed:
        return Measured([])
    side, device, palette = recipe.side, next(model.parameters()).device, model.palette.cpu().numpy()
    n = 8 if subject.preset == "smoke" else 20
    empty = torch.zeros(n, 0, dtype=torch.long, device=device)
    gen = generator_of(subject.seed, "samples", device=device.type)
    drawn = sample_tokens(model.step, empty, side * side, gen, temperature=0.95).cpu().numpy()
    seen = recipe.ids(model, shown(recipe))
    pictures = {
        "scene_samples": decode_pixels(drawn, palette, side),
        "scene_completions": decode_pixels(end(subject, seen.repeat(2, 0)), palette, side),
        "scene_completed_from": decode_pixels(seen, palette, side),
    }
    return Measured([], pictures)


def end(subject: Subject, ids_NT: np.ndarray) -> np.ndarray:
    """Return palette ids (N, T): the upper halves as they are, the lower halves drawn by the model."""
    T, device = ids_NT.shape[1], next(subject.model.parameters()).device
    given = torch.from_numpy(ids_NT[:, : T // 2].astype(np.int64)).to(device)
    gen = generator_of(subject.seed, "endings", device=device.type)
    return sample_tokens(subject.model.step, given, T, gen, temperature=0.9).cpu().numpy()


def judge(preset: str) -> Reader:
    """Return the recipe of the reader that judges completed scenes."""
    return reader_of("cluttered-16", preset)


def endings(subject: Subject) -> Measured:
    """How well a reader reads scenes whose lower half was added by the largest model, by a stranger, or by nobody.

    of = "whole": the scene as it is, the reader's ceiling. of = "model": the upper half, ended by the model. of =
    "stranger": the upper half over the lower half of another scene, the floor. All in the model's palette. A measure
    of its own, for it needs the reader, which takes longer to train than all that a notebook trains.
    """
    if subject.arm != "large":
        return Measured([])
    assert subject.store is not None
    recipe, palette = subject.recipe, subject.model.palette.cpu().numpy()
    index, pictures = fresh(subject, 256, "test")
    ids = encode_pixels(pictures, palette)
    strange = ids.copy()
    strange[:, ids.shape[1] // 2 :] = np.roll(strange[:, ids.shape[1] // 2 :], 1, axis=0)
    reader = obtain(judge(subject.preset), 0, subject.preset, subject.store)
    rows: Rows = []
    for of, version in (("whole", ids), ("model", end(subject, ids)), ("stranger", strange)):
        found = read(reader.model, decode_pixels(version, palette, recipe.side))
        for factor in READ:
            right = float((found[factor][0] == recipe.world.labels(index, factor)).mean())
            at = {"metric": "completion_accuracy", "of": of, "factor": factor, "reader": reader.key}
            rows.append({**at, "data": "scenes", "value": right})
    return Measured(rows)
