"""03_clip: what do captions teach, at what cost, and how far does it travel?

Two experiments that share no net. On cluttered scenes (measure "efficiency") CLIP races iGPT, arms at a share of one
budget of FLOPs each annealed on its own: "clip_9" had a ninth of what "igpt_1" had. On real drawings (measure
"transfer") "zero_shot" is CLIP with one vendor never shown, "supervised" a classifier with the same tower and FLOPs.

Dimension key: N pictures, S side, L layers, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from falsework.core.rng import rng
from falsework.data.emoji import load_emoji
from falsework.experiments import Experiment, Measured, Subject
from falsework.probes.candidates import BLOCK, embed_captions, embed_pictures
from falsework.probes.linear import layer_features, probe_accuracy, probe_layers, tower_layers
from falsework.probes.zero_shot import candidates_of, class_weights, retrieval, right_among
from falsework.recipes import clip, labels
from falsework.recipes.captioner import Captioner
from falsework.recipes.clip import CLIP
from falsework.recipes.igpt import IGPT, SIZES
from falsework.recipes.labels import Labels
from falsework.recipes.pairs import Eye, Pairs, as_tensor, scenes_of, spared
from falsework.tokens import encode_pixels
from falsework.training import Train

Rows = list[dict[str, Any]]
NAMED = ("colour", "style", "size", "shape")  # what the captions of the race say, see `Pairs.levels`
UNNAMED = ("position", "light", "floor", "background")  # what they never say
RACERS = ("igpt", "clip")  # the two that C11 compares
AMONG = 32  # candidates that a drawing's name is chosen from
MATES = 7  # candidates of a drawing's own group
DRAWS = 4  # sets of candidates for each drawing


# ---- arms


def _longer(recipe: Any, steps: float) -> Any:
    return replace(recipe, train=replace(recipe.train, steps=max(1, round(steps))))


# preset -> the shares of its budget that CLIP gets, the first one also for the other learners; iGPT gets 1, 1/3 and 1/9
SHARES = {"smoke": (3, 9, 27), "laptop": (3, 9, 27), "overnight": (9, 27, 81), "gpu": (3, 9, 27)}
# preset -> iGPT, patch tower, width of the convolutions, caption tower, batch, and the steps that one budget buys each
RACE: dict[str, tuple[IGPT, Eye, int, tuple[int, int, int], int, dict[str, int]]] = {
    "smoke": (
        SIZES["smoke"]["large"],
        Eye("patch", 32, 1, 2),
        8,
        (16, 1, 2),
        16,
        {"igpt": 12, "clip": 200, "captioner": 182, "bag_of_words": 218, "labels": 218, "clip_cnn": 42},
    ),
    "laptop": (  # 5.3e12 FLOPs: iGPT 123 core-s, CLIP 170
        SIZES["laptop"]["large"],
        Eye("patch", 80, 4, 5),
        32,
        (48, 2, 3),
        128,
        {"igpt": 450, "clip": 1266, "captioner": 1204, "bag_of_words": 1352, "labels": 1353, "clip_cnn": 368},
    ),
    "overnight": (  # 1.6e13, thrice the laptop's: iGPT 370 core-s
        _longer(SIZES["laptop"]["large"], 1350),
        Eye("patch", 80, 4, 5),
        32,
        (48, 2, 3),
        128,
        {"igpt": 1350, "clip": 3798, "captioner": 3612, "bag_of_words": 4056, "labels": 4059, "clip_cnn": 1104},
    ),
    "gpu": (  # 5.8e15; not measured
        SIZES["gpu"]["medium"],
        Eye("patch", 256, 8, 8),
        128,
        (48, 2, 3),
        512,
        {"igpt": 4000, "clip": 18468, "captioner": 18394, "bag_of_words": 18530, "labels": 18532, "clip_cnn": 6408},
    ),
}


def race(preset: str) -> dict[str, Any]:
    """Return the arms on scenes: "<kind>_<n>" had 1/n of the FLOPs of "igpt_1", each annealed on its own.

    The trunks of iGPT and of the towers are alike; FLOPs agree within 3 %, roughly at smoke (a test counts them).
    """
    igpt, patch, cnn, text, batch, steps = RACE[preset]
    pairs = Pairs("cluttered", ("descriptive",))
    train = Train(batch=batch)

    tower = CLIP(pairs, patch, "words in order", *text, train=train)
    others = {
        "clip_cnn": replace(tower, eye=Eye("conv", cnn)),
        "bag_of_words": Labels(pairs, patch, (), train),
        "captioner": Captioner(pairs, patch, *text, train=train),
        "labels": Labels(pairs, patch, NAMED, train),
    }
    arms: dict[str, Any] = {f"igpt_{n}": _longer(igpt, steps["igpt"] / n) for n in (1, 3, 9)}
    arms |= {f"clip_{n}": _longer(tower, steps["clip"] / n) for n in SHARES[preset]}
    first = SHARES[preset][0]
    return arms | {f"{kind}_{first}": _longer(recipe, steps[kind] / first) for kind, recipe in others.items()}


def arms(preset: str) -> Mapping[str, Any]:
    """Return the arms of the race on scenes, and the two on drawings."""
    return {**race(preset), "zero_shot": clip.PRESETS[preset], "supervised": labels.PRESETS[preset]}


# ---- the race on scenes


def efficiency(subject: Subject) -> Measured:
    """Probe accuracy of every factor, named in captions or not, at the FLOPs this net has had.

    Balanced accuracy of ridge probes with 1,200 labels; layer and ridge chosen on validation; each seed has a fresh
    test set. "probe_floor": what needs no training (chance, raw pixels, the net untrained).
    """
    kind, _, part = subject.arm.rpartition("_")
    if not part.isdigit():
        return Measured([])
    world, recipe = scenes_of("cluttered"), subject.recipe
    sizes = {"train": 1200, "val": 400, "test": 1000}
    parts = {
        s: world.draw(n // 8 if subject.preset == "smoke" else n, s, "03_clip", s, subject.seed)
        for s, n in sizes.items()
    }
    feats = {"trained": features(recipe, subject.model, parts)}
    longest = f"clip_{SHARES[subject.preset][0]}"
    if subject.arm in ("igpt_1", longest):
        device = next(subject.model.parameters()).device
        feats["untrained"] = features(recipe, recipe.build(subject.seed).to(device).eval(), parts)
    if subject.arm == longest:
        flat = {s: (p.reshape(1, len(p), -1) / 255.0).astype(np.float32) for s, (_, p) in parts.items()}
        feats["pixels"] = flat
    rows: Rows = []
    at = {"arm": kind, "flops": subject.cost["flops"], "core_seconds": subject.cost["core_seconds"]}
    at |= {"parameters": subject.cost["parameters"], "share": int(part), "raced": int(kind in RACERS)}
    for factor in (*NAMED, *UNNAMED):
        classes, named = len(world.factors[factor]), int(factor in NAMED)
        about = {"factor": factor, "named": named}
        y = {s: world.labels(i, factor) for s, (i, _) in parts.items()}
        for of, x in feats.items():
            found = probe_layers(x, y, classes)
            value = {"value": float(found.test_L[found.best]), "layer": found.best, "n": len(y["test"])}
            if of == "trained":
                rows.append({"metric": "probe_accuracy", **at, **about, **value})
            else:
                own = kind if of == "untrained" else of
                rows.append({"metric": "probe_floor", "arm": own, "of": of, **about, **value})
        if "pixels" in feats:
            rows.append({"metric": "probe_floor", "arm": "chance", "of": "chance", **about, "value": 1 / classes})
    return Measured(rows)


def features(recipe: Any, model: Any, parts: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return part -> float32 (L, N, D): every layer of a net, averaged over its positions or cells."""
    if isinstance(recipe, IGPT):
        palette = model.palette.cpu().numpy()
        return {s: layer_features(model, encode_pixels(p, palette)) for s, (_, p) in parts.items()}
    means = {s: [x.mean(1, dtype=np.float32) for x in tower_layers(model.image, p)] for s, (_, p) in parts.items()}
    return {s: np.stack(layers) for s, layers in means.items()}


# ---- the journey on drawings


def names_of(index: np.ndarray) -> np.ndarray:
    """Return the concept of each drawing, int64 (N,): positions in `emoji.factors["concept"]`."""
    return load_emoji().labels(index, "concept")


def scores(subject: Subject, index: np.ndarray, texts: np.ndarray | None) -> np.ndarray:
    """Return float32 (N, K): how well each drawing fits each concept; texts: class weights, for a net with words."""
    pictures = load_emoji().images(index)
    if texts is not None:
        return embed_pictures(subject.model, pictures, subject.recipe.pairs.side) @ texts.T
    out, device = [], next(subject.model.parameters()).device
    with torch.inference_mode():
        for i in range(0, len(pictures), BLOCK):
            out.append(subject.model(as_tensor(pictures[i : i + BLOCK]).to(device))["concept"].cpu().numpy())
    return np.concatenate(out)


def transfer(subject: Subject) -> Measured:
    """Naming real drawings among 32 names: a seen vendor (in), a vendor never shown (shift), and further still.

    "in" and "shift" are drawings of the SAME concepts, none of them shown in training (see `pairs.spared`); a row for
    each concept. For the net with words also new concepts, other ways to say a name, and retrieval.
    """
    if subject.arm not in ("zero_shot", "supervised"):
        return Measured([])
    emoji, recipe = load_emoji(), subject.recipe
    words, vendor = recipe.pairs.vocabulary, recipe.pairs.without
    inside, outside = spared(vendor)
    names = emoji.factors["concept"]
    known = np.unique(names_of(recipe.pairs.drawn))
    by_name = class_weights(subject.model, words, names) if subject.arm == "zero_shot" else None
    rows: Rows = []
    for domain, index in (("in", inside), ("shift", outside)):
        found = scores(subject, index, by_name)
        rows += item_rows(subject, found, index, known, {"domain": domain})
        rows += pooled_rows(subject, found, index, known, {"domain": domain})
    if by_name is None:
        return Measured(rows)
    said = {c: text for c, text in zip(names_of(inside), emoji.captions(inside, "keywords"))}
    keywords = by_name.copy()
    other = [" ".join(said[c][len(names[c]) :].split()) or names[c] for c in said]
    keywords[list(said)] = embed_captions(subject.model, words, other)
    prompts = ("{}", *(f"{{}} in {style} style" for style in ("twemoji", "fluent flat", "fluent 3d", "emojitwo")))
    ensemble = class_weights(subject.model, words, names, prompts)
    for domain, texts in (("paraphrase", keywords), ("ensemble", ensemble)):
        rows += item_rows(subject, scores(subject, inside, texts), inside, known, {"domain": domain})
    for domain, part in (("new concept", f"test_without_vendor:{vendor}"), ("new concept, shift", f"vendor:{vendor}")):
        index = emoji.split(part)
        found, new = scores(subject, index, by_name), np.unique(names_of(index))
        rows += item_rows(subject, found, index, new, {"domain": domain})
        rows += pooled_rows(subject, found, index, new, {"domain": domain})
    rows += style_rows(subject)
    pictures = embed_pictures(subject.model, emoji.images(inside), recipe.pairs.side)
    captions = embed_captions(subject.model, words, emoji.captions(inside, "style"))
    for way, ask, answer in (("picture to caption", pictures, captions), ("caption to picture", captions, pictures)):
        for metric, value in retrieval(ask, answer)._asdict().items():
            rows.append({"metric": f"retrieval_{metric}", "way": way, "n": len(inside), "value": value})
    return Measured(rows)


def item_rows(subject: Subject, found: np.ndarray, index: np.ndarray, pool: np.ndarray, about: dict[str, Any]) -> Rows:
    """Return a row for each concept: the share of its drawings named rightly among 32 of the pool, over four draws."""
    truth = names_of(index)
    hits = np.zeros(len(index))
    for k in range(DRAWS):  # the same candidates for every arm
        draw = rng("03_clip", "candidates", subject.seed, k)
        hits += right_among(found, truth, candidates_of(truth, pool, AMONG, draw)) / DRAWS
    rows: Rows = []
    for concept in np.unique(truth):
        value = float(hits[truth == concept].mean())
        rows.append({"metric": "accuracy", **about, "among": AMONG, "item": int(concept), "value": value})
    return rows


def pooled_rows(
    subject: Subject, found: np.ndarray, index: np.ndarray, pool: np.ndarray, about: dict[str, Any]
) -> Rows:
    """Return accuracy among 7 concepts of the drawing's own group, and among the whole pool, over all drawings."""
    emoji, truth = load_emoji(), names_of(index)
    every = np.arange(len(emoji))
    group_of = np.zeros(len(emoji.factors["concept"]), np.int64)
    group_of[names_of(every)] = emoji.labels(every, "group")
    mates = {g: pool[group_of[pool] == g] for g in np.unique(group_of[truth])}
    many = np.array([len(mates[group_of[c]]) >= MATES for c in truth])  # a tiny group has too few to choose from
    draw = rng("03_clip", "group", subject.seed)
    own = np.concatenate([candidates_of(np.array([c]), mates[group_of[c]], MATES, draw) for c in truth[many]])
    whole = np.tile(np.unique(pool), (len(truth), 1))
    asked = [(f"{MATES} of its group", many, own), ("all", np.ones(len(truth), bool), whole)]
    return [
        {
            "metric": "accuracy_among",
            **about,
            "among": among,
            "chance": 1 / candidates.shape[1],
            "value": float(right_among(found[rows], truth[rows], candidates).mean()),
        }
        for among, rows, candidates in asked
    ]


def style_rows(subject: Subject) -> Rows:
    """Return how well a linear probe reads the style (the set) of drawings from the embedding, trained and untrained."""
    emoji, recipe = load_emoji(), subject.recipe
    index = {s: emoji.split(f"{s}_without_vendor:{recipe.pairs.without}") for s in ("train", "val", "test")}
    index["train"] = rng("03_clip", "styles", subject.seed).permutation(index["train"])[:1200]
    seen = np.unique(emoji.labels(index["train"], "style"))
    device = next(subject.model.parameters()).device
    rows: Rows = []
    for of, net in (("trained", subject.model), ("untrained", recipe.build(subject.seed).to(device).eval())):
        train, val, test = (
            (embed_pictures(net, emoji.images(i), recipe.pairs.side), np.searchsorted(seen, emoji.labels(i, "style")))
            for i in index.values()
        )
        right = probe_accuracy(train, val, test, len(seen))[1]
        rows.append({"metric": "style_probe", "of": of, "chance": 1 / len(seen), "value": right})
    return rows


EXPERIMENT = Experiment(
    notebook="03_clip",
    arms=arms,
    seeds={"smoke": (0, 1), "laptop": (0, 1, 2), "overnight": (0, 1, 2, 3, 4), "gpu": (0, 1, 2)},
    few={
        preset: {f"{kind}_3": (1,) for kind in ("clip_cnn", "bag_of_words", "captioner", "labels")}
        for preset in ("smoke", "laptop")
    },
    measures={"efficiency": efficiency, "transfer": transfer},
    ships=("zero_shot",),
    data=lambda: {"emoji": load_emoji().digest, "scenes": scenes_of("cluttered").digest},
)
