"""04_captioners: who is red? A captioner (Cap), one that also guesses all words at once (CapPa), and CLIP, on twins.

Twins are two objects of one size; the sentence names first the one whose shape is of the first family, so neither place
nor size tells which is which. All arms have the same tower, pictures and FLOPs (within 3 %, a test counts).

Dimension key: N pictures, M cells, D features, F factors, K candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from falsework.core.rng import rng
from falsework.experiments import Experiment, Measured, Subject
from falsework.probes.binding import IN_PLACE, Swaps, binding_accuracy, preferences, swaps_of
from falsework.probes.candidates import Scorer, by_captioner, by_clip, by_words, tell
from falsework.probes.linear import attention_probe, tower_layers
from falsework.recipes.captioner import PRESETS, Captioner
from falsework.recipes.clip import CLIP
from falsework.recipes.labels import Labels
from falsework.recipes.pairs import Pairs, scenes_of

Rows = list[dict[str, Any]]
SWAPPED = ("colour", "style")
NAMED = ("shape", "shape_2", "colour", "colour_2", "style", "style_2", "relation")  # what "descriptive" says
UNNAMED = ("lane", "background", "floor", "light")
CAPPA = 0.75  # the paper's share of examples whose words are all predicted at once
SHOWN = 12
# arms that have one seed at laptop, and which: not the first, so that a reader's own run is short
SHOWN_ONCE = {"clip_bag": 1, "labels": 1, "bag_of_words": 1, "captioner_ultra": 2, "clip_ultra": 2}
# preset -> steps that cost the FLOPs of "captioner", whose own stand in its recipe
STEPS = {
    "smoke": {"clip": 21, "cappa": 19, "words": 21, "captioner_ultra": 19, "clip_ultra": 19},
    "laptop": {"clip": 510, "cappa": 478, "words": 528, "captioner_ultra": 470, "clip_ultra": 485},
    "overnight": {"clip": 510, "cappa": 478, "words": 528, "captioner_ultra": 470, "clip_ultra": 485},
    "gpu": {"clip": 4430, "cappa": 3121, "words": 5825, "captioner_ultra": 2906, "clip_ultra": 3270},
}


def arms(preset: str) -> Mapping[str, Any]:
    """Return Cap, CapPa and CLIP; CLIP without word order; supervised nets on words and on labels; and longer captions.

    At overnight and gpu also Cap and CLIP whose captions name either thing first.
    """
    cap = PRESETS[preset]
    assert isinstance(cap.pairs, Pairs)
    count = STEPS[preset]

    def cut(recipe: Any, arm: str) -> Any:
        return replace(recipe, train=replace(cap.train, steps=count[arm]))

    clip = CLIP(cap.pairs, cap.eye, "words in order", cap.width, cap.depth, cap.heads)
    ultra, either = Pairs("twins", ("ultra",)), replace(cap.pairs, turned=0.5)
    main = {
        "captioner": cap,
        "clip": cut(clip, "clip"),
        "cappa": cut(replace(cap, parallel=CAPPA), "cappa"),
        "clip_bag": cut(replace(clip, text="bag"), "words"),
        "bag_of_words": cut(Labels(cap.pairs, cap.eye), "words"),
        "labels": cut(Labels(cap.pairs, cap.eye, NAMED), "words"),
        "captioner_ultra": cut(replace(cap, pairs=ultra), "captioner_ultra"),
        "clip_ultra": cut(replace(clip, pairs=ultra), "clip_ultra"),
    }
    if preset not in ("smoke", "laptop"):
        main["captioner_either"] = replace(cap, pairs=either)
        main["clip_either"] = cut(replace(clip, pairs=either), "clip")
    return main


def scorer_of(recipe: Any, model: Any, blind: bool = False) -> Scorer | None:
    """Return how a net says which caption fits; None for one that knows no captions."""
    words, side = recipe.pairs.vocabulary, recipe.pairs.side
    if isinstance(recipe, Captioner):
        return by_captioner(model, words, side, blind)
    if isinstance(recipe, CLIP):
        return by_clip(model, words, side)
    return None if recipe.factors else by_words(model, words, side)


@cache
def drawn_swaps(attribute: str, n: int, level: str, seed: int) -> Swaps:
    """Return a seed's own swaps, the same for every arm; found once per process, for few scenes may be swapped."""
    return swaps_of(scenes_of("twins"), attribute, n, level, "04_captioners", attribute, seed)


def paired(swaps: Swaps) -> Swaps:
    """Return the same swaps with each picture's counterpart right after it, as they are shown."""
    order = np.arange(len(swaps.pictures)).reshape(2, -1).T.ravel()
    return Swaps(swaps.pictures[order], [swaps.captions[k] for k in order])


def binding(subject: Subject) -> Measured:
    """The swap test, fresh for each seed; the blindfolded decoder; and probes of what is named and what never is.

    Probes: 1,200 labels, ridge chosen on validation, the tower's cells pooled by their mean or by learned attention.
    """
    recipe, model, few = subject.recipe, subject.model, subject.preset == "smoke"
    world = scenes_of("twins")
    rows: Rows = []
    level = recipe.pairs.levels[-1]
    for attribute in SWAPPED:
        swaps = drawn_swaps(attribute, 40 if few else 400, level, subject.seed)
        looks = [(subject.arm, False)] + [("blind", True)] * (subject.arm == "captioner")
        for arm, blind in looks:
            score = scorer_of(recipe, model, blind)
            if score is None:
                continue
            right = binding_accuracy(preferences(score, swaps))
            about = {"metric": "binding_accuracy", "arm": arm, "attribute": attribute, "n": len(swaps.pictures)}
            rows.append({**about, "value": right})
    sizes = {"train": 1200, "val": 400, "test": 1000}
    parts = {s: world.draw(n // 8 if few else n, s, "04_captioners", s, subject.seed) for s, n in sizes.items()}
    factors = (*NAMED, *UNNAMED)
    sets = [
        (tower_layers(model.image, pictures)[-1], np.stack([world.labels(index, f) for f in factors], 1))
        for index, pictures in parts.values()
    ]
    classes = [len(world.factors[f]) for f in factors]
    draw = rng("04_captioners", "attention", subject.seed)
    found = attention_probe(sets[0], sets[1], sets[2], classes, draw, steps=20 if few else 300)
    for factor, classes_of, probe in zip(factors, classes, found):
        about = {"metric": "probe_accuracy", "factor": factor, "named": int(factor in NAMED)}
        about |= {"chance": 1 / classes_of, "n": len(sets[2][0])}
        rows += [
            {**about, "pool": "mean", "value": probe.mean_test},
            {**about, "pool": "attention", "value": probe.test},
        ]
    cost = {"flops": subject.cost["flops"], "core_seconds": subject.cost["core_seconds"]}
    rows += [{"metric": metric, "value": value} for metric, value in cost.items()]
    return Measured(rows)


def swaps(subject: Subject) -> Measured:
    """The harder swap, of shapes under looks that stay; sentences that captioners write; twelve swaps to look at."""
    recipe, model, world = subject.recipe, subject.model, scenes_of("twins")
    rows: Rows = []
    arrays: dict[str, np.ndarray] = {}
    score, level = scorer_of(recipe, model), recipe.pairs.levels[-1]
    if score is not None:
        pairs = drawn_swaps(IN_PLACE, 30 if subject.preset == "smoke" else 300, level, subject.seed)
        about = {"metric": "shape_binding", "attribute": IN_PLACE, "n": len(pairs.pictures)}
        rows.append({**about, "value": binding_accuracy(preferences(score, pairs))})
    if isinstance(recipe, Captioner):
        index, pictures = world.draw(
            64 if subject.preset == "smoke" else 500, "test", "04_captioners", "tell", subject.seed
        )
        told = tell(model, recipe.pairs.vocabulary, pictures, recipe.pairs.side)
        truth = [world.facts(c) for c in world.captions(index, level)]
        kind = next(iter(world.kinds.values()))
        read = [kind.phrase.parse(sentence) for sentence in told]
        rows.append({"metric": "told_sentence", "n": len(read), "value": float(np.mean([r is not None for r in read]))})
        for factor in NAMED:
            right = np.mean([r is not None and r.get(factor) == t[factor] for r, t in zip(read, truth)])
            rows.append({"metric": "told_right", "factor": factor, "n": len(read), "value": float(right)})
    if subject.seed == SHOWN_ONCE.get(subject.arm, 0) and score is not None:
        some = [paired(swaps_of(world, a, SHOWN // 2, "descriptive", "04_captioners", "shown", a)) for a in SWAPPED]
        arrays[f"prefers_{subject.arm}"] = np.concatenate([preferences(score, s) for s in some]).astype(np.float32)
        if subject.arm == "captioner":
            arrays["swap_pictures"] = np.concatenate([s.pictures for s in some])
            arrays["swap_captions"] = np.array([c for s in some for c in s.captions])
            shown = world.draw(8, "test", "04_captioners", "told")
            arrays["told_pictures"], arrays["told_truth"] = shown[1], np.array(world.captions(shown[0], "descriptive"))
            arrays["told"] = np.array(tell(model, recipe.pairs.vocabulary, shown[1], recipe.pairs.side))
    return Measured(rows, arrays)


EXPERIMENT = Experiment(
    notebook="04_captioners",
    arms=arms,
    seeds={"smoke": (0, 1), "laptop": (0, 1, 2), "overnight": (0, 1, 2, 3, 4), "gpu": (0, 1, 2)},
    few={p: {arm: (seed,) for arm, seed in SHOWN_ONCE.items()} for p in ("smoke", "laptop")},
    measures={"binding": binding, "swaps": swaps},
    ships=("captioner", "clip"),
    data=lambda: {"scenes": scenes_of("twins").digest},
)
