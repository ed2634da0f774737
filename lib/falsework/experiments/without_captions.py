"""09_without_captions: take the frame down. Do captions in training give a better model of pictures without captions?

What a model of pictures pays is counted in bits above the least noise, sigma 1/16: half the integral of its squared error
over 1 / sigma^2 (`probes.information`), and the bits of a caption where one is said first. Three ways to use captions:

    s1    say the caption, then draw: p(c) p(x | c), p(c) counted and charged
    s2    half of the captions are left out; asked without any, the model is one of p(x)
    s3    a curriculum: long captions, then short ones, then none; asked without any

"direct" never hears a word. "_code" has a machine code in place of words, "_random" the words of another scene, "_facts" the
words' own facts in made-up words. Arms "small_..." are trained on a world of 1,024 scenes, in which each can have a name of
its own, "_name". At the same step all see the same pictures of their world; "_share", budgets and frames have fewer of them,
all others cost the same FLOPs. p(c) is counted on the captions of the training pictures (`probes.caption_prior`). Who says
a caption first is given the right one: that p(c) p(x | c) is never more than p(x), so it is a bill for pictures without.

Dimension key: S noise levels, n pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from falsework.experiments import Experiment, Measured, Subject
from falsework.experiments.dalle3 import flops_of
from falsework.experiments.diffusion import few
from falsework.experiments.exact_worlds import scenes_world
from falsework.probes.caption_prior import counted_bits
from falsework.probes.information import least_paid, left_bits, paid
from falsework.recipes.diffusion import Diffusion
from falsework.recipes.worded import Worded, entropy_told
from falsework.training import Train
from falsework.world.captions import LEVELS, load_scenes
from falsework.world.codes import LONGEST, small_world
from falsework.world.exact import ExactWorld
from falsework.world.ladder import SIGMAS, TEXTURE

Rows = list[dict[str, Any]]
BANDS = (0, 3, 6, 9, 15)  # places in SIGMAS between which bits are added up: 1/16, 1/4, 1, 4, 64
TURNS = (LONGEST, "short", "thing")  # the curriculum of s3; nothing after two thirds of the steps
EPS = 200.0  # bits above the least possible that count as "learned", stated after one seed and before overnight
SHOWN_ONCE = 1  # the seed of the arms that are shown and not judged
LADDER = {  # preset -> caption levels and budgets in steps, each annealed on its own
    "smoke": (("none", "ultra"), (4, 8)),
    "laptop": (("none", "short", "ultra"), (94, 188, 375, 750, 1500)),
    "overnight": (("none", "short", "ultra"), (94, 188, 375, 750, 1500, 3000)),
    "gpu": (LEVELS[:5], (94, 188, 375, 750, 1500, 3000, 6000)),
}
JUDGED = ("direct", "s1", "s1_code", "s2", "s2_code", "s3", "s3_code")
FRAME = {"smoke": 8, "laptop": 400, "overnight": 400, "gpu": 400}  # steps of a run that is short enough to wait for


def told(preset: str) -> Diffusion:
    """Return the model of pictures that is always told the longest caption."""
    patch, width, depth, heads, train = {
        "smoke": (8, 16, 1, 2, Train(8, 16, lr=0.01)),
        "laptop": (4, 64, 2, 2, Train(1500, 32, lr=0.01)),
        "overnight": (4, 64, 2, 2, Train(1500, 32, lr=0.01)),
        "gpu": (2, 384, 6, 6, Train(4000, 128, lr=3e-3)),
    }[preset]
    # half the bits are paid for the last specks; noise chosen for what "direct" pays, seed 1
    noise: dict[str, Any] = {"inner_low": 0.06, "inner_high": 1.0, "share": 0.9}
    return Diffusion(Worded(), patch, width, depth, heads, silent=0.0, train=train, **noise)


def arms(preset: str) -> Mapping[str, Any]:
    """Return the judged arms, their controls, the small world, the ladder of budgets, and the frame of the notebook."""
    main, steps = told(preset), told(preset).train.steps
    until = max(1, 2 * steps // 3)
    machine, third = Worded(language="machine"), max(1, steps // 3)
    small = Worded(small=True)
    out: dict[str, Any] = {
        "direct": replace(main, silent=1.0),
        "s1": main,
        "s1_code": replace(main, pairs=machine),
        "s1_random": replace(main, pairs=Worded(language="random")),
        "s1_facts": replace(main, pairs=Worded(language="facts")),
        "s2": replace(main, silent=0.5),
        "s2_code": replace(main, pairs=machine, silent=0.5),
        "s2_share": replace(main, silent=1.0, train=replace(main.train, batch=main.train.batch // 2)),
        "s3": replace(main, pairs=Worded(TURNS, until=until)),
        "s3_code": replace(main, pairs=Worded(TURNS, language="machine", until=until)),
        "s3_share": replace(main, silent=1.0, train=replace(main.train, steps=third)),
        "small_direct": replace(main, pairs=small, silent=1.0),
    }
    for name, language in (("s1", "words"), ("s1_code", "machine"), ("s1_random", "random"), ("s1_name", "name")):
        pairs = replace(small, language=language)
        out[f"small_{name}"] = replace(main, pairs=pairs)
    levels, budgets = LADDER[preset]
    for level in levels:
        for budget in budgets:
            train = replace(main.train, steps=budget)
            if level == "none":
                out[f"budget_none_{budget}"] = replace(main, silent=1.0, train=train)
            else:
                out[f"budget_{level}_{budget}"] = replace(main, pairs=Worded((level,)), train=train)
    steps = FRAME[preset]
    short = replace(main, train=replace(main.train, steps=steps))
    out["frame_0"] = replace(short, silent=1.0)
    for end in (steps // 4, steps // 2, 3 * steps // 4, steps):
        out[f"frame_{end}"] = replace(short, pairs=Worded(until=end))
    out["frame"] = out[f"frame_{steps // 2}"]  # the reader's own
    return out


def world_of(recipe: Any) -> tuple[ExactWorld, np.ndarray]:
    """Return the exact world that a recipe's pictures come from, and the numbers of its renders."""
    if not recipe.pairs.small:
        return scenes_world(), np.arange(len(load_scenes("energy")))
    rows = small_world()
    return ExactWorld(load_scenes("energy").unit[rows], {LEVELS[0]: 0 * rows}, texture=TEXTURE), rows


def spent(subject: Subject, level: str = LEVELS[0], recipe: Any = None, model: Any = None) -> np.ndarray:
    """Return the squared errors (S, n) of a model of pictures told a level, on this seed's draws, the same for all arms."""
    recipe, model = recipe or subject.recipe, model or subject.model
    world, rows = world_of(recipe)
    key = ("09", subject.seed, recipe.pairs.small)

    def say(index: np.ndarray) -> list[str]:
        return [recipe.pairs.caption(int(i), level) for i in rows[index]]

    return paid(model, recipe.pairs.vocabulary, world, say, SIGMAS, few(subject, 256), *key)


def best(subject: Subject, level: str | None = None) -> np.ndarray:
    """Return the squared errors (S, n) of the exact denoiser on the same draws."""
    world, _ = world_of(subject.recipe)
    key = ("09", subject.seed, subject.recipe.pairs.small)
    return least_paid(world, SIGMAS, few(subject, 256), *key, level=level)


def total(square_Sn: np.ndarray) -> float:
    """Return the bits above the least noise."""
    return float(left_bits(square_Sn, np.array(SIGMAS))[0][0])


def bill(square_Sn: np.ndarray, caption: float = 0.0, **about: Any) -> Rows:
    """Return rows of what is paid for a picture: in all, for the caption, and between noise levels."""
    left = left_bits(square_Sn, np.array(SIGMAS))[0]
    rows: Rows = [
        {"metric": "bits_per_image", **about, "value": float(left[0]) + caption},
        {"metric": "caption_bits", **about, "value": caption},
    ]
    for band, (low, high) in enumerate(pairwise(BANDS)):
        bits = left[low] - (left[high] if high < BANDS[-1] else 0.0)
        rows.append({"metric": "bits_in_band", **about, "band": band, "sigma": SIGMAS[low], "value": float(bits)})
    return rows


def caption_bits(subject: Subject) -> float:
    """Return what the captions of fresh scenes cost, in bits, counted on those of all pictures that it was trained on."""
    pairs, train = subject.recipe.pairs, subject.recipe.train
    lessons = [pairs.numbers(train.batch, subject.seed, "batch", step) for step in range(train.steps)]
    fresh = pairs.numbers(few(subject, 4096), "09", "captions", subject.seed)
    seen, asked = (pairs.symbols[index] for index in (np.concatenate(lessons), fresh))
    values = pairs.symbols[small_world() if pairs.small else slice(None)].max(0) + 1
    return float(counted_bits(seen, asked, values.tolist()).mean())


def scaffold(subject: Subject) -> Measured:
    """What each arm pays for pictures, in all and between noise levels; s1 with the right caption, and with its bits.

    Arms as they are called, and Bayes: "exact", "exact_told". caption_entropy: H(c) of the language that is spoken.
    """
    arm = subject.arm
    if arm.startswith(("budget", "frame")):
        return Measured([])
    if arm.removeprefix("small_").startswith("s1"):
        rows = bill(spent(subject, LONGEST), caption_bits(subject), flops=flops_of(subject))
        rows.append({"metric": "caption_entropy", "value": entropy_told(subject.recipe.pairs, LONGEST)})
        return Measured(rows)
    rows = bill(spent(subject), flops=flops_of(subject))
    if arm in ("direct", "small_direct"):
        rows += bill(best(subject), arm=arm.replace("direct", "exact"))
    if arm == "direct":  # what the best denoiser pays when told, band by band
        rows += bill(best(subject, LONGEST), entropy_told(Worded(), LONGEST), arm="exact_told")
    return Measured(rows)


def budgets(subject: Subject) -> Measured:
    """What is left to learn at each budget and caption level, in bits above the least that Bayes pays there.

    kl: of the arms "direct" and "captioned"; kl_over_eps: over 200 bits. gap, of "ultra_over_none": what saying the
    caption first saves, its bits charged, paired with the same net without words; gap_share: of what that net overpays.
    """
    if not subject.arm.startswith("budget"):
        return Measured([])
    _, level, steps = subject.arm.split("_")
    at = {"flops": flops_of(subject), "steps": int(steps), "level": LEVELS.index(level), "name": level}
    own = total(spent(subject, level))
    kl = own - total(best(subject, None if level == "none" else level))
    rows: Rows = [{"metric": "kl_over_eps", "arm": "captioned", **at, "value": kl / EPS}]
    rows.append({"metric": "kl", "arm": "direct" if level == "none" else "captioned", **at, "value": kl})
    if level == LONGEST:
        from falsework.recipes import obtain

        assert subject.store is not None
        twin = replace(subject.recipe, silent=1.0, pairs=Worded())
        bare = total(spent(subject, LEVELS[0], twin, obtain(twin, subject.seed, subject.preset, subject.store).model))
        gap = bare - own - caption_bits(subject)
        share = gap / (bare - total(best(subject)))
        rows += [
            {"metric": m, "arm": "ultra_over_none", **at, "value": v} for m, v in (("gap", gap), ("gap_share", share))
        ]
    return Measured(rows)


def frame(subject: Subject) -> Measured:
    """What a short run pays for pictures without captions, by the step at which its captions were taken away."""
    if not subject.arm.startswith("frame"):
        return Measured([])
    never = subject.recipe.silent == 1  # not told a word: taken away before the first step
    return Measured(bill(spent(subject), arm="frame", until=0 if never else subject.recipe.pairs.until))


def _shown(preset: str) -> dict[str, tuple[int, ...]]:
    """Return the arms that have one seed: all but those that a claim judges at this preset."""
    if preset in ("overnight", "gpu"):
        fewer = {arm: (0, 1, 2) for arm in arms(preset) if arm.startswith(("budget_", "small_"))}
        return fewer | {arm: (SHOWN_ONCE,) for arm in arms(preset) if arm.startswith("frame_")}
    return {arm: (SHOWN_ONCE,) for arm in arms(preset) if arm not in (*JUDGED, "frame")}


EXPERIMENT = Experiment(
    notebook="09_without_captions",
    arms=arms,
    seeds={"smoke": (0, 1), "laptop": (0, 1, 2, 3, 4), "overnight": (0, 1, 2, 3, 4), "gpu": (0, 1, 2)},
    few={preset: _shown(preset) for preset in ("smoke", "laptop", "overnight", "gpu")},
    measures={"scaffold": scaffold, "budgets": budgets, "frame": frame},
    data=lambda: {"scenes": load_scenes("energy").digest},
    published_only=("frame",),
)
