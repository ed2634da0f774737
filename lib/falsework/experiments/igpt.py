"""01_igpt: compress every pixel; where do the bits go, and what do the layers know?

Drawings (arm "drawings", one seed, three overnight: a first look) are measured here, scenes (several sizes: judged) in
`igpt_scenes`, and each measure below hands over by the recipe's data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from falsework.core.rng import rng
from falsework.data.emoji import load_emoji
from falsework.experiments import Experiment, Measured, Subject, igpt_scenes
from falsework.experiments.igpt_scenes import band_rows, probe_rows, region_rows
from falsework.probes.likelihood import bits_per_token, caption_code_bits, neighbour_bits
from falsework.probes.linear import layer_features, probe_layers
from falsework.recipes.igpt import PRESETS, SIZES, cluttered
from falsework.samplers import sample_tokens
from falsework.tokens import decode_pixels
from falsework.training import generator_of

EXHIBITS = (
    ("strawberry", "noto"),
    ("pig", "twemoji"),
    ("christmas tree", "fluent3d"),
    ("smiling face with heart eyes", "fluentflat"),
    ("teddy bear", "noto"),
    ("yellow heart", "twemoji"),
    ("whale", "twemoji"),
    ("crab", "fluentflat"),
    ("birthday cake", "noto"),
    ("castle", "noto"),
    ("tropical fish", "fluent3d"),
    ("person running", "twemoji"),
)


def test_index(subject: Subject, most: int) -> np.ndarray:
    """Return up to `most` drawings of the test split; smoke looks at fewer."""
    index = load_emoji().split("test")
    most = min(most, 64) if subject.preset == "smoke" else most
    return np.sort(rng("01_igpt", "test").permutation(index)[:most])


def likelihood(subject: Subject) -> Measured:
    """Bits per unseen picture: in all, by region and band, beside models without training and what captions could tell."""
    if subject.recipe.data == "scenes":
        return igpt_scenes.likelihood(subject)
    emoji, recipe, model = load_emoji(), subject.recipe, subject.model
    test = test_index(subject, 1000)
    ids = recipe.ids(model, test)
    bits = bits_per_token(model, ids)
    side = recipe.side
    alpha = emoji.rgba(test, size=side)[..., 3].reshape(len(test), -1)
    regions = {"paper": alpha == 0, "edge": (alpha > 0) & (alpha < 255), "inside": alpha == 255}
    total = float(bits.sum(1).mean())
    rows = [{"metric": "bits_per_image", "value": total}, {"metric": "bits_per_pixel", "value": total / ids.shape[1]}]
    rows += region_rows(bits, regions) + band_rows(bits, recipe.images(test))
    train = recipe.ids(model, emoji.split("train"))
    for name, value in neighbour_bits(train, ids, side, len(model.palette)).items():
        rows.append({"metric": "floor_bits_per_pixel", "model": name, "value": value})
    some = train[:: max(1, len(train) // 500)]
    rows.append({"metric": "train_bits_per_image", "value": float(bits_per_token(model, some).sum(1).mean())})
    for level in emoji.levels:
        h = emoji.caption_entropy(level)
        rows.append({"metric": "caption_bits", "level": level, "value": h})
        rows.append({"metric": "caption_share", "level": level, "value": h / total})
        # in an open world an unseen caption must be spelled: an upper bound on what it can tell (censored = -1)
        texts = [emoji.captions(i, level) for i in (emoji.split("train"), emoji.split("val"), test)]
        code = float(caption_code_bits(*texts).mean())
        rows.append({"metric": "caption_code_bits", "level": level, "value": code, "censored": -1})
        rows.append({"metric": "caption_code_share", "level": level, "value": code / total, "censored": -1})
    rows += [{"metric": "item_bits", "item": int(i), "value": float(b)} for i, b in zip(test, bits.sum(1))]
    arrays = {}
    if subject.seed == 0:
        shown = exhibits_index()
        shown_ids = recipe.ids(model, shown)
        arrays = {
            "heat_bits": bits_per_token(model, shown_ids).reshape(-1, side, side).astype(np.float16),
            "heat_seen": decode_pixels(shown_ids, model.palette.numpy(), side),
            "mean_heat": bits.mean(0).reshape(side, side).astype(np.float16),
            **game(recipe, model, shown[3:4]),
        }
    return Measured([{**row, "data": "drawings"} for row in rows], arrays)


def game(recipe: Any, model: Any, index: np.ndarray, hidden: int = 10) -> dict[str, np.ndarray]:
    """Return "be the model": a drawing, ten hidden pixels, four candidate colours each, the truth, the model's beliefs.

    The false candidates are colours of the same drawing, far apart; the model's belief in a candidate is that of all
    palette colours nearest to it, so that nobody loses by a shade.
    """
    side, palette = recipe.side, model.palette.cpu().numpy().astype(int)
    ids = recipe.ids(model, index).astype(np.int64)
    with torch.inference_mode():
        belief = model(torch.from_numpy(ids).to(model.head.weight.device))[0].softmax(-1).cpu().numpy()
    present, counts = np.unique(ids[0], return_counts=True)
    present = present[np.argsort(-counts, kind="stable")]
    draw = rng("01_igpt", "game")
    drawn = np.flatnonzero(load_emoji().rgba(index, size=side)[0, ..., 3].reshape(-1) >= 128)  # whatever they cost
    places = np.sort(draw.choice(drawn, hidden, replace=False))
    colours, truth, model_belief = [], [], []
    for place in places:
        four = [ids[0, place]]
        for gap in (60, 25, 0):  # colours far from each other first
            for c in [*present, *np.argsort(-belief[place])]:
                if len(four) < 4 and all(np.abs(palette[c] - palette[f]).sum() > gap for f in four):
                    four.append(c)
        order = draw.permutation(4)
        shown = palette[np.array(four)[order]]
        nearest = ((palette[:, None] - shown) ** 2).sum(-1).argmin(1)
        colours.append(shown)
        truth.append(int(np.flatnonzero(order == 0)[0]))
        model_belief.append(np.bincount(nearest, belief[place], minlength=4))
    return {
        "game_picture": decode_pixels(ids, model.palette.cpu().numpy(), side)[0],
        "game_at": np.stack(np.divmod(places, side), 1),
        "game_colours": np.array(colours, np.uint8),
        "game_truth": np.array(truth),
        "game_model": np.array(model_belief, np.float32),
    }


def exhibits_index() -> np.ndarray:
    """Return the picture numbers of EXHIBITS: no training drawing shows these concepts."""
    return np.array([load_emoji().find(name, style) for name, style in EXHIBITS])


def layers(subject: Subject) -> Measured:
    """Linear probes of every layer, beside raw pixels and the same network before training.

    On drawings two things no pixel says by itself: the group and the style. Trained on the training drawings' features,
    ridge and layer chosen on validation, balanced accuracy on unseen families.
    """
    if subject.recipe.data == "scenes":
        return igpt_scenes.layers(subject)
    emoji, recipe, model = load_emoji(), subject.recipe, subject.model
    few = subject.preset == "smoke"
    most = {"train": 300, "val": 100} if few else {"train": 2400, "val": 800}
    parts = {s: rng("01_igpt", s, subject.seed).permutation(emoji.split(s))[:n] for s, n in most.items()}
    parts["test"] = test_index(subject, 1000)
    ids = {s: recipe.ids(model, i) for s, i in parts.items()}
    fresh = recipe.build(subject.seed).to(next(model.parameters()).device).eval()
    pixels = {s: recipe.images(i).reshape(len(i), -1) / 255.0 for s, i in parts.items()}
    feats: dict[str, dict[str, Any]] = {"pixels": {s: p[None].astype(np.float32) for s, p in pixels.items()}}
    feats["random"] = {s: layer_features(fresh, i) for s, i in ids.items()}
    feats["trained"] = {s: layer_features(model, i) for s, i in ids.items()}
    rows: list[dict[str, Any]] = []
    size = sum(p.numel() for p in model.parameters())
    for factor in ("group", "style"):
        y = {s: emoji.labels(i, factor) for s, i in parts.items()}
        rows.append({"metric": "chance", "factor": factor, "value": 1 / len(np.unique(y["test"]))})
        for weights, f in feats.items():
            found = probe_layers(f, y, len(emoji.factors[factor]))
            rows += probe_rows(found, {"factor": factor, "weights": weights, "labels": "all", "pool": "mean"}, size)
    return Measured([{**row, "data": "drawings"} for row in rows])


def samples(subject: Subject) -> Measured:
    """Drawings the model makes alone, and lower halves it gives to upper halves it has never seen."""
    if subject.recipe.data == "scenes":
        return igpt_scenes.samples(subject)
    recipe, model = subject.recipe, subject.model
    side, device = recipe.side, next(model.parameters()).device
    gen = generator_of(subject.seed, "samples", device=device.type)
    n = 8 if subject.preset == "smoke" else 40
    empty = torch.zeros(n, 0, dtype=torch.long, device=device)
    drawn = sample_tokens(model.step, empty, side * side, gen, temperature=0.95).cpu().numpy()
    shown = exhibits_index()
    half = recipe.ids(model, shown)[:, : side * side // 2].astype(np.int64)
    prefix = torch.from_numpy(half).to(device).repeat_interleave(2, 0)
    ended = sample_tokens(model.step, prefix, side * side, gen, temperature=0.9).cpu().numpy()
    train = recipe.ids(model, load_emoji().split("train"))
    palette = model.palette.cpu().numpy()
    rows = [
        {"metric": "nearest_training_distance", "data": "drawings", "of": of, "value": _nearest(x, train, palette)}
        for of, x in (("samples", drawn), ("unseen drawings", recipe.ids(model, shown)))
    ]
    if subject.seed:
        return Measured(rows)
    pictures = {
        "samples": decode_pixels(drawn, palette, side),
        "completions": decode_pixels(ended, palette, side),
        "completed_from": decode_pixels(recipe.ids(model, shown), palette, side),
    }
    return Measured(rows, pictures)


def endings(subject: Subject) -> Measured:
    """Upper halves of unseen scenes, ended by the model and read by a judge; drawings have none."""
    return igpt_scenes.endings(subject) if subject.recipe.data == "scenes" else Measured([])


def watch(recipe: Any, model: Any) -> np.ndarray:
    """Return four unseen pictures, each beside the lower half that the model gives it at this moment of its training."""
    index = exhibits_index()[:4] if recipe.data == "drawings" else igpt_scenes.shown(recipe)[:4]
    ids = recipe.ids(model, index).astype(np.int64)
    T = ids.shape[1]
    given = torch.from_numpy(ids[:, : T // 2]).to(model.head.weight.device)
    ended = sample_tokens(model.step, given, T, generator_of("watch", device=given.device.type), temperature=0.9)
    pairs = np.stack([ids, ended.cpu().numpy()], 1).reshape(-1, T)
    return decode_pixels(pairs, model.palette.cpu().numpy(), recipe.side)


def _nearest(ids: np.ndarray, train: np.ndarray, palette: np.ndarray) -> float:
    """Return the mean over pictures of the root-mean-square pixel distance (0 to 255) to the nearest training drawing."""
    x, t = (palette[i].reshape(len(i), -1).astype(np.float32) for i in (ids, train))
    d2 = (x**2).sum(1)[:, None] + (t**2).sum(1) - 2 * x @ t.T
    return float(np.sqrt(np.maximum(d2.min(1), 0) / x.shape[1]).mean())


def arms(preset: str) -> Mapping[str, Any]:
    """Return iGPT on drawings, and on scenes in the sizes of the preset's ladder."""
    return {"drawings": PRESETS[preset], **SIZES[preset]}


EXPERIMENT = Experiment(
    notebook="01_igpt",
    arms=arms,
    seeds={"smoke": (0, 1), "laptop": (0, 1, 2), "overnight": (0, 1, 2, 3, 4), "gpu": (0, 1, 2)},
    few={"smoke": {"drawings": (0,)}, "laptop": {"drawings": (0,)}, "overnight": {"drawings": (0, 1, 2)}},
    measures={"likelihood": likelihood, "layers": layers, "samples": samples, "endings": endings},
    judges={"endings": lambda preset: (igpt_scenes.judge(preset),)},
    asking={"endings": ("large",)},
    published_only=("endings",),
    data=lambda: {"emoji": load_emoji().digest, "scenes": cluttered(16).digest},
    watch=watch,
)
