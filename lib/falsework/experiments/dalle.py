"""02_dalle1: a caption and a picture as one stream of tokens. What does it draw, what does it learn first, and what else?

Every picture is read by the renders it could have been (`probes.reader.nearest_value`): exact, and nothing to train. The
judged arm is "dalle"; the others are "tiny" to "big" nets, "longer" with three times its steps, "tokens_n"
and "pixels_n" with a share of its FLOPs, "pixels_longer" with three times as many, "alone", "taught" and "faint" on other
stages, and "drawings".

Dimension key: N pictures, K values of a factor, A answers, T codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from falsework.core.rng import rng
from falsework.data.emoji import load_emoji
from falsework.experiments import Experiment, Measured, Subject
from falsework.experiments.dalle_shown import SHOWN_ONCE, halves, in_context, puzzles
from falsework.probes.drawing import best_of, draw, paint, tries
from falsework.probes.likelihood import by_stream, drawing_bits
from falsework.probes.reader import nearest_value
from falsework.recipes import clip
from falsework.recipes.dalle import DALLE, PRESETS, codes_of, said
from falsework.recipes.pairs import Pairs, scenes_of
from falsework.recipes.reader import fresh
from falsework.recipes.tokenizer import Tokenizer
from falsework.training import Train
from falsework.world.scenes import SceneWorld

Rows = list[dict[str, Any]]
FACTORS = ("shape", "colour", "style", "size", "position", "background", "floor", "light")  # of a lone object
ASKED = {  # what is read of the other kinds
    "pair": ("shape", "colour", "style", "shape_2", "colour_2", "style_2", "relation"),
    "sign 1": ("shape", "colour", "style", "letter_1"),
    "sign 2": ("letter_1", "letter_2"),
}
BEST = 8  # drawings that CLIP chooses from
# preset -> the other sizes of the ladder, (width, depth, heads); the judged arm is one of them
SIZES: dict[str, dict[str, tuple[int, int, int]]] = {
    "smoke": {"tiny": (4, 1, 2), "small": (8, 1, 2), "medium": (12, 1, 2)},
    "laptop": {"tiny": (12, 1, 2), "small": (32, 2, 2), "medium": (64, 2, 4)},
    "overnight": {"tiny": (12, 1, 2), "small": (24, 2, 2), "medium": (48, 2, 4), "big": (80, 2, 5)},
    "gpu": {"tiny": (64, 2, 4), "small": (128, 4, 4), "medium": (256, 6, 8)},
}
# preset -> pixels in a batch of pictures, and the steps that cost the judged arm's FLOPs
PIXELS = {"smoke": (2, 1), "laptop": (4, 303), "overnight": (4, 568), "gpu": (32, 2197)}


# ---- arms


def _longer(recipe: DALLE, share: float) -> DALLE:
    return replace(recipe, train=replace(recipe.train, steps=max(1, round(recipe.train.steps * share))))


def arms(preset: str) -> Mapping[str, Any]:
    """Return the judged arm and those it is compared with."""
    main = PRESETS[preset]
    found: dict[str, Any] = {"dalle": main}
    for name, (width, depth, heads) in SIZES[preset].items():
        found[name] = replace(main, width=width, depth=depth, heads=heads)
    found["longer"] = _longer(main, 3)
    found |= {f"tokens_{n}": _longer(main, 1 / n) for n in (3, 9)}
    batch, steps = PIXELS[preset]
    palette = Tokenizer(main.pairs, cell=1, codes=128, width=8, train=Train(1, 2))
    pixels = replace(main, tokenizer=palette, train=replace(main.train, batch=batch, steps=steps))
    found["pixels_1"] = pixels
    if preset in ("overnight", "gpu"):  # with one budget a ratio of FLOPs is only a bound, too low for C09b's margin
        found["pixels_longer"] = _longer(pixels, 3)
    found["alone"] = replace(main, pairs=replace(main.pairs, data="stage alone"))
    found["taught"] = replace(main, pairs=replace(main.pairs, data="stage taught"))
    faint = replace(main.pairs, data="stage faint")
    found["faint"] = replace(found["small"], pairs=faint, tokenizer=replace(main.tokenizer, pairs=faint))
    drawn = Pairs("drawings", (), without="noto")
    found["drawings"] = replace(
        main, pairs=drawn, tokenizer=replace(main.tokenizer, pairs=drawn), clip=clip.PRESETS[preset]
    )
    return found


def few(subject: Subject, n: int) -> int:
    """Return n, or an eighth of it at smoke."""
    return max(2, n // 8) if subject.preset == "smoke" else n


def scenes(subject: Subject, kind: str, n: int, split: str = "test") -> tuple[SceneWorld, np.ndarray, np.ndarray]:
    """Return (world, numbers, pictures) of this seed's own draw of one kind, the same for every arm of one stage."""
    world = scenes_of("stage faint" if subject.recipe.pairs.data == "stage faint" else "stage alone")
    return world, *fresh(world, kind, few(subject, n), split, "02_dalle1", split, subject.seed)


def read_rows(
    world: SceneWorld, kind: str, index: np.ndarray, factors: Sequence[str], pictures: np.ndarray, about: dict[str, Any]
) -> Rows:
    """Return a row for each factor: the share of the pictures in which it is what was asked."""
    rows: Rows = []
    for factor in factors:
        right = nearest_value(world, kind, index, factor, pictures) == world.labels(index, factor)
        rows.append({**about, "factor": factor, "n": len(index), "value": float(right.mean())})
    return rows


# ---- does it draw what the caption says?


def drawing(subject: Subject) -> Measured:
    """Share of factors drawn as asked: best of 1 and of 8; with shuffled captions; rebuilt by the tokenizer; real.

    Lone objects are judged ("accuracy"); two objects and signs stand beside them ("accuracy_on").
    """
    if subject.arm == "drawings":
        return _of_drawings(subject)
    if subject.arm == "longer":
        return _longer_drawn(subject)
    if subject.arm != "dalle":
        return Measured([])
    model, words, key = subject.model, subject.recipe.pairs.vocabulary, ("02_dalle1", "draw", subject.seed)
    world, index, real = scenes(subject, "one", 400)
    captions = world.captions(index, "ultra")
    drawn = draw(model, words, captions, *key)
    strange = draw(model, words, [*captions[1:], captions[0]], *key)
    shown = {"dalle": drawn, "shuffled": strange, "real": real, "rebuilt": paint(model, codes_of(model, real))}
    rows: Rows = []
    for arm, pictures in shown.items():
        about = {"metric": "accuracy", "arm": arm, "best_of": 1}
        rows += read_rows(world, "one", index, FACTORS, pictures, about)
    for factor in FACTORS:
        rows.append({"metric": "accuracy", "arm": "chance", "factor": factor, "value": 1 / len(world.factors[factor])})
    plain = draw(model, words, captions, *key, guidance=1.0, temperature=1.0)
    rows += read_rows(world, "one", index, FACTORS, plain, {"metric": "accuracy_unguided"})
    some = index[: len(index) // 4]
    several = tries(model, words, world.captions(some, "ultra"), BEST, *key)
    for k in (1, 2, 4, BEST):
        best = best_of(model, words, world.captions(some, "ultra"), several, k)
        rows += read_rows(world, "one", some, FACTORS, best, {"metric": "accuracy_of_best", "best_of": k})
    for kind, factors in ASKED.items():
        _, at, pictures = scenes(subject, kind, 200)
        made = draw(model, words, world.captions(at, "ultra"), *key)
        for arm, version in (("dalle", made), ("rebuilt", paint(model, codes_of(model, pictures)))):
            about = {"metric": "accuracy_on", "arm": arm, "kind": kind}
            rows += read_rows(world, kind, at, factors, version, about)
    arrays = _exhibits(subject, world) if subject.seed == 0 else {}
    return Measured(rows, arrays)


SHOWN = (
    "a large red filled heart in the middle on a night background over a glossy floor lit from the left",
    "a small yellow outlined star in the upper left on a wine background over a matt floor lit from the right",
    "a large green striped circle in the lower right on a cream background over a matt floor lit from the left",
    "a blue filled square right of an orange soft diamond in the first lane on a stone background over a matt floor "
    "lit from the right",
    "a cyan framed triangle over the sign b at the left on a cream background lit from the left",
    "a pink filled crescent over the sign o k at the middle on a night background lit from the right",
)


def sheet(model: Any, recipe: DALLE) -> np.ndarray:
    """Return uint8 (6, S, S, 3): what a net draws of the captions that are always shown, the best of four."""
    words = recipe.pairs.vocabulary
    return best_of(model, words, SHOWN, tries(model, words, SHOWN, 4, "02_dalle1", "sheet"), 4)


def _exhibits(subject: Subject, world: SceneWorld) -> dict[str, np.ndarray]:
    model, words = subject.model, subject.recipe.pairs.vocabulary
    index, real = fresh(world, "one", 12, "test", "02_dalle1", "shown")
    captions = world.captions(index[:3], "ultra")
    return {
        "real": real,
        "rebuilt": paint(model, codes_of(model, real)),
        "eight": tries(model, words, captions, BEST, "02_dalle1", "eight"),
        "eight_captions": np.array(captions),
    }


def _longer_drawn(subject: Subject) -> Measured:
    """The same for three times the steps, first tries alone: what the judged arm lacks in time, and what in kind."""
    model, words, rows = subject.model, subject.recipe.pairs.vocabulary, list[dict[str, Any]]()
    for kind, factors in {"one": FACTORS, **ASKED}.items():
        world, index, _ = scenes(subject, kind, 200)
        made = draw(model, words, world.captions(index, "ultra"), "02_dalle1", "draw", subject.seed)
        rows += read_rows(world, kind, index, factors, made, {"metric": "accuracy_on", "arm": "longer", "kind": kind})
    return Measured(rows, {"sheet_of_longer": sheet(model, subject.recipe)})


def _of_drawings(subject: Subject) -> Measured:
    """Drawings asked for by name and style, the best of four by the CLIP of 03: to look at, nothing is counted."""
    model, recipe = subject.model, subject.recipe
    captions = [f"{name} in {style} style" for style in ("twemoji", "fluent 3d") for name in DRAWN]
    several = tries(model, recipe.pairs.vocabulary, captions, 4, "02_dalle1", "drawings")
    best = best_of(model, recipe.pairs.vocabulary, captions, several, 4)
    return Measured([], {"emoji_drawn": best, "emoji_captions": np.array(captions)})


DRAWN = ("red heart", "soccer ball", "sunflower", "cat face", "red apple", "pizza", "blue circle", "black cat")


# ---- what does it learn first?


def sizes(subject: Subject) -> Measured:
    """Bits per unseen picture, and for each factor how often the model used backwards names it, by size of the stream.

    "range_share": (accuracy - chance) / (1 - chance) of the generative classifier: the caption with which the picture
    is likeliest, all else told rightly. "heldout_ratio": drawings of held-out pairs of colour and shape that are right in
    both, over those of seen pairs. Text: strings never seen in training.
    """
    ladder = ("dalle", *SIZES[subject.preset])
    if subject.arm not in (*ladder, "faint"):
        return Measured([])
    model, words = subject.model, subject.recipe.pairs.vocabulary
    at: dict[str, Any] = {"arm": "dalle" if subject.arm in ladder else subject.arm, "size": subject.cost["parameters"]}
    world, index, pictures = scenes(subject, "one", 240)
    bits = drawing_bits(model.stream, said(words, world.captions(index, "ultra")), codes_of(model, pictures)).sum(1)
    rows: Rows = [{"metric": "bits_per_image", **at, "value": float(bits.mean())}]
    for factor in FACTORS:
        rows += classified(subject, world, "one", index, pictures, factor, at)
    energy = world.energy("one")
    rows += [{"metric": "pixel_energy", **at, "factor": f, "value": energy[f]} for f in FACTORS]
    if subject.arm not in ladder:
        return Measured(rows)
    _, strings, signs = scenes(subject, "sign 2", 160, "test_string")
    rows += classified(subject, world, "sign 2", strings, signs, "letter_1", at | {"factor": "text"})
    made = draw(model, words, world.captions(strings, "ultra"), "02_dalle1", "text", subject.seed)
    letters = [nearest_value(world, "sign 2", strings, f, made) == world.labels(strings, f) for f in ASKED["sign 2"]]
    rows += [
        {"metric": "exact_match", **at, "value": float(np.mean(letters[0] & letters[1]))},
        {"metric": "letters_right", **at, "value": float(np.mean(letters))},
    ]
    right = {}
    for split in ("test", "test_combination"):
        _, some, _ = scenes(subject, "one", 240, split)
        drawn = draw(model, words, world.captions(some, "ultra"), "02_dalle1", split, subject.seed)
        hits = [nearest_value(world, "one", some, f, drawn) == world.labels(some, f) for f in ("colour", "shape")]
        right[split] = float(np.mean(hits[0] & hits[1]))
        rows.append({"metric": "pair_right", **at, "split": split, "n": len(some), "value": right[split]})
    ratio = right["test_combination"] / max(right["test"], 1 / len(index))
    rows.append({"metric": "heldout_ratio", **at, "value": ratio})
    shown = {f"sheet_{subject.arm}": sheet(model, subject.recipe)} if subject.seed == SHOWN_ONCE else {}
    return Measured(rows, shown)


def classified(
    subject: Subject,
    world: SceneWorld,
    kind: str,
    index: np.ndarray,
    pictures: np.ndarray,
    factor: str,
    about: dict[str, Any],
) -> Rows:
    """Return the generative classifier's accuracy on one factor and its share of the range from chance to one.

    The candidates are the pictures' own captions with every value of the factor, all else as it is.
    """
    values = world.kinds[kind].factors[factor]
    facts = [world.facts(caption) for caption in world.captions(index, "ultra")]
    told = [{f: v for f, v in fact.items() if f != "kind"} for fact in facts]
    rows_of = [[world.kinds[kind].phrase.say(fact | {factor: v}) for v in values] for fact in told]
    scores_NK = by_stream(subject.model, subject.recipe.pairs.vocabulary)(pictures, rows_of)
    truth, chance = world.labels(index, factor), 1 / len(values)
    right = float((scores_NK.argmax(1) == truth).mean())
    # in bits: how sure it is of the truth, which grows smoothly where right and wrong jump
    sure = scores_NK - scores_NK.max(1, keepdims=True)
    sure -= np.log(np.exp(sure).sum(1, keepdims=True))
    bits = float(sure[np.arange(len(truth)), truth].mean() / np.log(2))
    about = {"factor": factor, **about, "n": len(index)}
    return [
        {"metric": "accuracy", **about, "chance": chance, "value": right},
        {"metric": "range_share", **about, "value": (right - chance) / (1 - chance)},
        {"metric": "log2_posterior", **about, "value": bits},
    ]


# ---- tokens or pixels?


def budget(arm: str) -> tuple[str, float]:
    """Return ("tokens" or "pixels", by how much its lessons are fewer than the whole), or ("", 1) for another arm."""
    kind, _, share = ("tokens_1" if arm == "dalle" else arm).partition("_")
    if kind not in ("tokens", "pixels"):
        return "", 1
    return kind, 1 / 3 if share == "longer" else int(share)


def pixels_or_tokens(subject: Subject) -> Measured:
    """The generative classifier of models of tokens and of pixels, against their FLOPs with the tokenizer's."""
    kind, share = budget(subject.arm)
    if not kind:
        return Measured([])
    flops = subject.cost["flops"] + subject.cost["parents"]["tokenizer"]["flops"]
    about = {"arm": kind, "flops": flops, "share": share}
    world, index, pictures = scenes(subject, "one", 64)
    rows: Rows = []
    for factor in FACTORS:
        rows += classified(subject, world, "one", index, pictures, factor, about)
    return Measured([row for row in rows if row["metric"] != "log2_posterior"])


def information(subject: Subject) -> Measured:
    """What a lone thing costs in bits without words, with its caption, and with another's; and -log2 p(caption), exact."""
    if subject.arm != "dalle":
        return Measured([])
    model, words = subject.model, subject.recipe.pairs.vocabulary
    world, index, pictures = scenes(subject, "one", 400)
    codes, draws = codes_of(model, pictures), rng("02_dalle1", "information", subject.seed)
    captions = world.captions(index, "ultra")
    strange = [captions[k] for k in draws.permutation(len(captions))]
    rows: Rows = []
    for told, said_of in (("none", [""] * len(captions)), ("ultra", captions), ("shuffled", strange)):
        bits = drawing_bits(model.stream, said(words, said_of), codes).sum(1)
        rows.append({"metric": "bits_per_image", "told": told, "n": len(bits), "value": float(bits.mean())})
    # -log2 p(caption): that it is about a lone thing, and then its factors, all values alike
    said_bits = sum(np.log2(len(world.factors[f])) for f in FACTORS) - np.log2(scenes_of("stage").share["one"])
    rows.append({"metric": "caption_bits", "value": float(said_bits)})
    return Measured(rows)


def watch(recipe: DALLE, model: Any) -> np.ndarray:
    """Return what the captions that are always shown give at this moment of the training."""
    words = recipe.pairs.vocabulary
    return draw(model, words, SHOWN[:4], "02_dalle1", "watch")


EXPERIMENT = Experiment(
    notebook="02_dalle1",
    arms=arms,
    seeds={"smoke": (0, 1), "laptop": (0, 1, 2), "overnight": (0, 1, 2, 3, 4), "gpu": (0, 1, 2)},
    few={p: dict.fromkeys((a for a in arms(p) if a != "dalle"), (SHOWN_ONCE,)) for p in ("smoke", "laptop")}
    | {p: {"drawings": (SHOWN_ONCE,), "longer": (SHOWN_ONCE,)} for p in ("overnight", "gpu")},
    measures={
        "drawing": drawing,
        "information": information,
        "sizes": sizes,
        "pixels_or_tokens": pixels_or_tokens,
        "in_context": in_context,
        "puzzles": puzzles,
        "halves": halves,
    },
    ships=("dalle",),
    data=lambda: {"stage": scenes_of("stage").digest, "emoji": load_emoji().digest},
    watch=watch,
    published_only=("information",),
)
