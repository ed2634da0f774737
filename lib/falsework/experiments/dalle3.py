"""07_dalle3: which words should a model draw from? Captions long and short, right and wrong, old and rewritten.

One model, one sequence of pictures; only what is told about them changes. Every arm is trained at several budgets, each
annealed on its own: "ultra_100_75" is told ultra captions, 100 % of them right, and has 75 steps.

Dimension key: N pictures, S side in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from falsework.experiments import Experiment, Measured, Subject
from falsework.experiments.diffusion import few, to_bytes
from falsework.probes.denoised import film
from falsework.probes.reader import exact_read
from falsework.recipes.diffusion import Diffusion
from falsework.recipes.recaptioned import PRESETS as REWRITTEN
from falsework.recipes.worded import PIXELS, Worded
from falsework.training import Train
from falsework.world.captions import load_scenes

Rows = list[dict[str, Any]]
SHORT, LONG = "short", "ultra"
LEVELS = ("thing", SHORT, "descriptive", LONG, "near-exact")
OWN = 0.95  # of an arm's captions; the others are short ones, as in DALL-E 3
BLENDS = (0.65, 0.8)  # shown beside it
SHOWN_ONCE = 1  # the seed of the arms that are shown and not judged
# preset -> budgets in steps: from where nobody draws what was asked to where every long caption is heard
BUDGETS = {
    "smoke": (4, 8),
    "laptop": (50, 75, 112, 168, 252, 378),
    "overnight": (50, 75, 112, 168, 252, 378),
    "gpu": (50, 75, 112, 168, 252, 378, 567, 850),
}
# preset -> FLOPs of a step, over those of "ultra": told 256 words for the pixels; with EDM's skip
COST = {"smoke": (1.44, 0.18), "laptop": (2.93, 0.908), "overnight": (2.93, 0.908), "gpu": (1.6, 1.0)}
DRAWN = 6  # scenes that an arm draws, for the picture
PICTURED = ("short_100", "ultra_100", "short_50", "rewritten_50")  # all arms are too much to publish


class Told(NamedTuple):
    """What the name of an arm says: "ultra_50_75_edm"."""

    level: str  # or "rewritten", "pixels", "blend"
    correct: float
    budget: int
    net: str = "better"


def told(arm: str) -> Told:
    """Return what an arm is told, and the budget in steps whose FLOPs it has."""
    level, share, budget, *net = arm.split("_")
    return Told(level, int(share) / 100, int(budget), "worse" if net else "better")


def painter(preset: str) -> Diffusion:
    """Return the model that every arm trains; its captions are dropped one time in ten."""
    patch, width, depth, heads, train = {
        "smoke": (8, 16, 1, 2, Train(1, 16, lr=0.01)),
        "laptop": (4, 64, 3, 2, Train(1, 64, lr=0.01)),
        "overnight": (4, 64, 3, 2, Train(1, 64, lr=0.01)),
        "gpu": (2, 384, 6, 6, Train(1, 256, lr=3e-3)),
    }[preset]
    return Diffusion(Worded(), patch, width, depth, heads, silent=0.1, train=train)


def taught_levels(preset: str) -> list[tuple[str, int]]:
    """Return (level, percent of its captions that are right); with half of them wrong nothing passes half-way, ever."""
    if preset == "smoke":
        return [(SHORT, 100), (SHORT, 50), (LONG, 100)]
    wrong = [(SHORT, 75), (LONG, 75), (SHORT, 50)] + [(LONG, 50)] * (preset != "laptop")
    return [(level, 100) for level in LEVELS] + wrong


def arms(preset: str) -> Mapping[str, Any]:
    """Return every arm at its budgets: levels by correctness, the rewritten collection, blends, pixels, a worse net."""
    main, budgets = painter(preset), BUDGETS[preset]
    pixels, edm = COST[preset]

    def taught(steps: float, **words: Any) -> Diffusion:
        train = replace(main.train, steps=max(1, round(steps)))
        return replace(main, pairs=Worded(**{"own": OWN, **words}), train=train)

    out: dict[str, Any] = {}
    for level, share in taught_levels(preset):
        for steps in budgets:
            out[f"{level}_{share}_{steps}"] = taught(steps, levels=(level,), right=share / 100)
    for steps in budgets if preset != "smoke" else budgets[-1:]:
        out[f"rewritten_50_{steps}"] = replace(REWRITTEN[preset], train=replace(main.train, steps=steps))
    for own in BLENDS if preset != "smoke" else ():
        out[f"blend{round(100 * own)}_100_{budgets[-2]}"] = taught(budgets[-2], levels=(LONG,), own=own)
    last = budgets[-1]
    out[f"pixels_100_{last}"] = taught(last / pixels, levels=(PIXELS,))
    for level, share in ((SHORT, 50), (LONG, 100)):
        worse = taught(last / edm, levels=(level,), right=share / 100)
        out[f"{level}_{share}_{last}_edm"] = replace(worse, skip="scalar")
    return out


def drawn(subject: Subject, level: str, n: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Return (numbers, pictures) of this seed's scenes, the same for every arm, drawn from right captions of a level."""
    index = Worded().numbers(few(subject, n), "07", "prompts", subject.seed)
    return index, _draw(subject, index, level)


def _draw(subject: Subject, index: np.ndarray, level: str) -> np.ndarray:
    captions = [Worded().caption(int(i), level) for i in index]
    words = subject.recipe.pairs.vocabulary
    return film(subject.model, words, captions, "07", "draw", subject.seed, steps=16)[-1]


def flops_of(subject: Subject) -> float:
    """Return the FLOPs of a model and of what it stands on: a captioner counts, and its writing."""
    return subject.cost["flops"] + sum(parent["flops"] for parent in subject.cost.get("parents", {}).values())


def prompt_of(level: str) -> str:
    """Return the level that an arm is asked in: its own; what was rewritten or blended is long, pixels ask in short."""
    return level if level in LEVELS else SHORT if level == "pixels" else LONG


# ---- better words


def descriptiveness(subject: Subject) -> Measured:
    """Share of drawings that show what the caption said, by fact and budget; asked in the arm's own way, and in short.

    Unguided, read by the exact posterior, for which a real picture is no riddle (arm "real"). range_share: of the way
    from chance to it. named: 1 for what short captions say as well. Arrays: six scenes as the arms of PICTURED draw them.
    """
    about = told(subject.arm)
    if about.net != "better":
        return Measured([])
    world, rows = load_scenes("energy"), list[dict[str, Any]]()
    where = {"arm": about.level, "correct": about.correct, "flops": flops_of(subject), "steps": about.budget}
    if about.level.startswith("blend"):
        where |= {"arm": "blend", "own": int(about.level[5:]) / 100}
    index, pictures = drawn(subject, prompt_of(about.level))
    own = exact_read(pictures)
    asked = {"": own, "_short": own if prompt_of(about.level) == SHORT else exact_read(drawn(subject, SHORT)[1])}
    real = exact_read(Worded().pictures(index, "07", "real", subject.seed))
    first = about == Told(LONG, 1.0, BUDGETS[subject.preset][-1])
    for factor in world.named[LONG]:
        truth, chance = world.labels(index, factor), 1 / len(world.factors[factor])
        named, top = int(factor in world.named[SHORT]), float((real[factor][0] == truth).mean())
        for kind, seen in asked.items():
            right = float((seen[factor][0] == truth).mean())
            at = {**where, "factor": factor, "named": named, "n": len(index)}
            rows.append({"metric": f"accuracy{kind}", **at, "value": right})
            if not kind:
                rows.append({"metric": "range_share", **at, "value": (right - chance) / (top - chance)})
        if first:
            for arm, value in (("chance", chance), ("real", top)):
                rows.append({"metric": "accuracy", "arm": arm, "factor": factor, "named": named, "value": value})
    arrays: dict[str, np.ndarray] = {}
    if subject.seed == SHOWN_ONCE and subject.arm.startswith(PICTURED):
        some = Worded().numbers(DRAWN, "07", "shown")
        arrays[f"drawn_{subject.arm}"] = to_bytes(_draw(subject, some, prompt_of(about.level)))
        if first:
            arrays |= {"shown_real": to_bytes(Worded().pictures(some, "07", "shown")), "shown_numbers": some}
    return Measured(rows, arrays)


# ---- words that a captioner wrote


def recaptioning(subject: Subject) -> Measured:
    """What the collection's captions said, and what the captioner made of them: the share of facts told, and told rightly.

    right: of all pictures those whose caption says this fact and is right; wrong: says it and is not.
    """
    about = told(subject.arm)
    if about.level != "rewritten" or about.budget != BUDGETS[subject.preset][-1]:
        return Measured([])
    world, rows = load_scenes("energy"), list[dict[str, Any]]()
    index = Worded().numbers(few(subject, 1024), "07", "captions", subject.seed)
    pairs, written = subject.recipe.pairs, subject.recipe.recaptioner.captions(subject.model.recaptioner)
    lines = {
        "before": Worded((pairs.plain,), right=pairs.right).say(index, "07", "captions", subject.seed),
        "after": [written[i] for i in index],
    }
    for when, captions in lines.items():
        facts = [world.phrase.parse(line) if line else {} for line in captions]
        rows.append({"metric": "parses", "when": when, "value": float(np.mean([f is not None for f in facts]))})
        for factor, values in world.factors.items():
            if factor not in world.named[LONG]:
                continue
            truth = world.labels(index, factor)
            said = [None if f is None else f.get(factor) for f in facts]
            right = float(np.mean([word == values[t] for word, t in zip(said, truth)]))
            at = {"when": when, "factor": factor, "n": len(index)}
            rows.append({"metric": "right", **at, "value": right})
            rows.append({"metric": "wrong", **at, "value": float(np.mean([w is not None for w in said])) - right})
    cost = subject.cost["parents"]["recaptioner"]["flops"]
    rows.append({"metric": "recaptioner_flops", "value": float(cost)})
    return Measured(rows)


# ---- words or architecture


def data_or_architecture(subject: Subject) -> Measured:
    """Two nets by two kinds of caption, at equal FLOPs: the share of drawings that show what short captions name.

    Stated beforehand: the worse net has EDM's skip, the better one paints (`nets.dit.GrainSkip`); the worse captions are
    short, half of them wrong, the better ones are ultra and right.
    """
    about, last = told(subject.arm), BUDGETS[subject.preset][-1]
    captions = {(SHORT, 0.5): "worse", (LONG, 1.0): "better"}.get((about.level, about.correct))
    if captions is None or about.budget != last:
        return Measured([])
    world, rows = load_scenes("energy"), list[dict[str, Any]]()
    index, pictures = drawn(subject, about.level)
    seen = exact_read(pictures)
    for factor in world.named[SHORT]:
        right = float((seen[factor][0] == world.labels(index, factor)).mean())
        at = {"architecture": about.net, "captions": captions, "factor": factor, "flops": flops_of(subject)}
        rows.append({"metric": "accuracy", **at, "n": len(index), "value": right})
    return Measured(rows)


def watch(recipe: Any, model: Any) -> np.ndarray:
    """Return what a few long captions give at this moment of the training."""
    some = Worded().numbers(4, "07", "shown")
    captions = [Worded().caption(int(i), SHORT if recipe.pairs.levels == (PIXELS,) else LONG) for i in some]
    return to_bytes(film(model, recipe.pairs.vocabulary, captions, "07", "watch", steps=8)[-1])


def _shown(preset: str) -> dict[str, tuple[int, ...]]:
    """Return the arms that have one seed: all but those that a claim judges at this preset."""
    judged = (f"{SHORT}_100_", f"{LONG}_100_") if preset in ("smoke", "laptop") else ("",)
    return {arm: (SHOWN_ONCE,) for arm in arms(preset) if not arm.startswith(judged) or arm.endswith("edm")}


EXPERIMENT = Experiment(
    notebook="07_dalle3",
    arms=arms,
    seeds={"smoke": (0, 1), "laptop": (0, 1, 2), "overnight": (0, 1, 2, 3, 4), "gpu": (0, 1, 2)},
    few={preset: _shown(preset) for preset in ("smoke", "laptop")},
    measures={
        "descriptiveness": descriptiveness,
        "recaptioning": recaptioning,
        "data_or_architecture": data_or_architecture,
    },
    data=lambda: {"scenes": load_scenes("energy").digest},
    watch=watch,
    published_only=("recaptioning",),
)
