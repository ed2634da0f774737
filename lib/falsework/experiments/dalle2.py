"""06_dalle2: pictures drawn from CLIP's embeddings. What does an embedding keep, and what only the noise it was drawn from?

On scenes every fact is read exactly (arm "scenes", measure "restyling": judged). On real drawings (arm "drawings", measure
"drawings") nets read them that learned every drawing there is. Three CLIPs that differ in what captions say
of a drawing's style ("clip_<what>", measure "styles").

Dimension key: N pictures, S side, E shared space, K concepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from falsework.core.rng import rng
from falsework.data.emoji import STYLES, load_emoji
from falsework.experiments import Experiment, Measured, Subject
from falsework.experiments.diffusion import few, to_bytes
from falsework.probes.candidates import BLOCK, embed_captions, embed_pictures
from falsework.probes.fidelity import copied
from falsework.probes.linear import probe_accuracy
from falsework.probes.reader import exact_read
from falsework.probes.restyling import Embedding, Painter, in_style
from falsework.probes.zero_shot import candidates_of, class_weights, right_among
from falsework.recipes import labels, obtain, unclip
from falsework.recipes.listed import caption_of
from falsework.recipes.pairs import Pairs, as_tensor
from falsework.world.captions import load_scenes

Rows = list[dict[str, Any]]
WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # of the way to what the words ask for
STYLE = "style"
NUISANCE = ("nudge_x", "nudge_y")  # what no caption of these scenes names
AMONG = 32  # candidates that a drawing's concept is chosen from
DRAWS = 4  # sets of candidates for each drawing
SHOWN_ONCE = 1  # the seed of the arms that are shown and not judged


def arms(preset: str) -> Mapping[str, Any]:
    """Return the models of scenes and of drawings, and CLIPs that heard less or more of style."""
    main, scenes = unclip.PRESETS[preset], unclip.SCENES[preset]
    return {
        "scenes": scenes,
        "drawings": main,
        "clip_mixed": replace(main.clip, pairs=Pairs("drawings", ())),
        "clip_sisters": replace(main.clip, pairs=Pairs("sisters", ("set",))),
    }


# ---- scenes, where every fact is read exactly


def named() -> tuple[str, ...]:
    """Return the facts that captions name."""
    return load_scenes("energy").named["ultra"]


def drawn(subject: Subject, n: int, about: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (numbers, pictures float32 (N, S, S, 3)) of this seed's own draw."""
    pairs, key = subject.recipe.pairs, ("06_dalle2", about, subject.seed)
    index = pairs.numbers(few(subject, n), *key)
    return index, pairs.pictures(index, *key)


def other_styles(index: np.ndarray, *keys: object) -> np.ndarray:
    """Return int64 (N,): for each scene a style that it does not have."""
    world = load_scenes("energy")
    count = len(world.factors[STYLE])
    return (world.labels(index, STYLE) + rng(*keys, "target").integers(1, count, size=len(index))) % count


def captions_of(index: np.ndarray, target: np.ndarray | None = None) -> list[str]:
    """Return each scene's full caption, as it is or in another style."""
    world = load_scenes("energy")
    told = [caption_of(world, int(i), named()) for i in index]
    if target is None:
        return told
    styles = world.factors[STYLE]
    return [world.phrase.say(world.facts(said) | {STYLE: styles[t]}) for said, t in zip(told, target)]


def directions_of(painter: Painter, index: np.ndarray, target: np.ndarray, *keys: object) -> dict[str, Embedding]:
    """Return how to ask for another style, (N, E) each: by words; and three controls.

    "random_direction": a random point of the sphere. Without words: "image_mean", the mean of 64 pictures in that style,
    and "image_difference", that mean less the mean of the style that is there.
    """
    world, pairs = load_scenes("energy"), painter.recipe.pairs
    dice = rng(*keys, "random").standard_normal((len(index), painter.recipe.clip.shared)).astype(np.float32)
    others = pairs.numbers(64 * len(world.factors[STYLE]), *keys, "mean")
    seen = painter.see(pairs.pictures(others, *keys, "mean")).points
    means = np.stack([seen[world.labels(others, STYLE) == s].mean(0) for s in range(len(world.factors[STYLE]))])
    own = world.labels(index, STYLE)
    found = {"random_direction": dice, "image_mean": means[target], "image_difference": means[target] - means[own]}
    controls = {n: Embedding(x / np.linalg.norm(x, axis=1, keepdims=True), painter.key) for n, x in found.items()}
    return {"unclip": painter.difference(captions_of(index, target), captions_of(index)), **controls}


def rendered(pictures: np.ndarray) -> np.ndarray:
    """Return float32 (N, S, S, 3): the scene that Bayes takes each picture for, without texture."""
    world, found = load_scenes("energy"), exact_read(pictures)
    index = world.grammar.index({f: found[f][0] for f in world.factors})
    return world.unit[index].reshape(pictures.shape)


def texture_kept(pictures: np.ndarray, others: np.ndarray) -> float:
    """Return the mean correlation of what is left of two pictures once their renders are taken off, -1 to 1."""
    a, b = ((x - rendered(x)).reshape(len(x), -1) for x in (pictures, others))
    a, b = (x - x.mean(1, keepdims=True) for x in (a, b))
    return float(((a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))).mean())


def kept(found: Mapping[str, Any], index: np.ndarray, factors: tuple[str, ...]) -> dict[str, float]:
    """Return factor -> the share of pictures that are read as these scenes."""
    world = load_scenes("energy")
    return {f: float((found[f][0] == world.labels(index, f)).mean()) for f in factors}


def restyling(subject: Subject) -> Measured:
    """Scenes drawn again from their embeddings, as they are or in another style, from their own noise or from fresh noise.

    The weight of an edit is that at which the lesser of target and off-target is largest, on pictures of their own.
    """
    if subject.arm != "scenes":
        return Measured([])
    painter = Painter(subject.model, subject.recipe, subject.seed)
    key, facts = ("06", "restyling", subject.seed), named()
    every = (*facts, *NUISANCE)
    rows: Rows = []

    def put(metric: str, value: float, **about: Any) -> None:
        rows.append({"metric": metric, **about, "n": len(index), "value": float(value)})

    index, pictures = drawn(subject, 96, "weight")
    target = other_styles(index, *key, "weight")
    words = directions_of(painter, index, target, *key, "weight")["unclip"]
    seen = painter.see(pictures)
    latent = painter.invert(pictures, seen)
    off = tuple(f for f in facts if f != STYLE)
    least = []
    for weight in WEIGHTS:
        found = exact_read(painter.draw(painter.toward(seen, words, weight), latent=latent))
        hit = float((found[STYLE][0] == target).mean())
        least.append(min(hit, float(np.mean(list(kept(found, index, off).values())))))
    best = WEIGHTS[int(np.argmax(least))]

    index, pictures = drawn(subject, 192, "edits")
    seen, target = painter.see(pictures), other_styles(index, *key)
    latent = painter.invert(pictures, seen)
    asked = directions_of(painter, index, target, *key)
    put("weight", best)
    arrays: dict[str, np.ndarray] = {}
    for arm, direction in asked.items():
        for weight in (0.0, *WEIGHTS) if arm == "unclip" else (best,):
            moved = painter.toward(seen, direction, weight)
            starts = {"with_noise": latent, "without_noise": None, "other_noise": np.roll(latent, 1, 0)}
            for noise, start in starts.items():
                if (arm != "unclip" and noise != "with_noise") or (noise == "other_noise" and weight != best):
                    continue
                made = painter.draw(moved, *key, "fresh", latent=start)
                found = exact_read(made)
                hit, share = float((found[STYLE][0] == target).mean()), kept(found, index, every)
                others = float(np.mean([share[f] for f in off]))
                about = {"arm": arm, "noise": noise, "weight": weight}
                put("edited", hit, of="target", **about)
                put("edited", others, of="offtarget", **about)
                put("edited", float(np.mean([share[f] for f in NUISANCE])), of="nuisance", **about)
                if weight != best:
                    continue
                if noise == "with_noise":
                    put("target_success", hit, arm=arm)
                    put("offtarget_kept", others, arm=arm)
                if arm == "unclip" and noise != "other_noise":
                    put("nuisance_kept", float(np.mean([share[f] for f in NUISANCE])), arm=noise)
                    for f in (*off, *NUISANCE):
                        put("edited_by_factor", share[f], factor=f, noise=noise)
                    if subject.seed == 0:
                        arrays[f"edit_{noise}"] = to_bytes(made[:12])
    rows += variation_rows(painter, index, pictures, latent, every, key)
    rows += prior_rows(painter, index, facts, key)
    rows += holding_rows(subject, painter, every)
    if subject.seed == 0:
        arrays |= {"edit_source": to_bytes(pictures[:12]), "edit_target": target[:12]}
        arrays["edit_vary"] = to_bytes(np.stack([painter.draw(seen[:12], *key, "vary", k) for k in range(3)]))
        arrays["edit_again"] = to_bytes(painter.draw(seen[:12], latent=latent[:12]))
    return Measured(rows, arrays)


def variation_rows(
    painter: Painter, index: np.ndarray, pictures: np.ndarray, latent: np.ndarray, every: tuple[str, ...], key: tuple
) -> Rows:
    """Return how much of a scene is there again when it is drawn from its own embedding, with its noise and without."""
    seen, rows = painter.see(pictures), list[dict[str, Any]]()
    made = {
        "real": pictures,
        "with_noise": painter.draw(seen, latent=latent),
        "without_noise": painter.draw(seen, *key, "vary"),
        "shuffled": painter.draw(seen[np.roll(np.arange(len(index)), 1)], *key, "vary"),
    }
    for how, drawing in made.items():
        for f, share in kept(exact_read(drawing), index, every).items():
            values = len(load_scenes("energy").factors[f])
            rows.append(
                {"metric": "kept", "how": how, "factor": f, "chance": 1 / values, "n": len(index), "value": share}
            )
        rows.append({"metric": "texture_kept", "how": how, "n": len(index), "value": texture_kept(pictures, drawing)})
    off = float(np.sqrt(np.square(made["with_noise"] - pictures).mean()))
    rows.append({"metric": "round_trip_error", "n": len(index), "value": off})
    return rows


def prior_rows(painter: Painter, index: np.ndarray, facts: tuple[str, ...], key: tuple) -> Rows:
    """Return how well a caption is drawn: through the prior, from its own embedding, and from that of such a picture."""
    told = captions_of(index)
    points = {
        "prior": painter.dream(told, *key),
        "prior, first try": painter.dream(told, *key, tries=1),
        "caption": painter.hear(told),
        "picture": painter.see(painter.recipe.pairs.pictures(index, *key, "again")),
    }
    rows: Rows = []
    for how, embedding in points.items():
        shares = kept(exact_read(painter.draw(embedding, *key, "caption")), index, facts)
        rows += [
            {"metric": "drawn_right", "how": how, "factor": f, "n": len(index), "value": v} for f, v in shares.items()
        ]
    return rows


def holding_rows(subject: Subject, painter: Painter, every: tuple[str, ...]) -> Rows:
    """Return how well a linear probe reads each fact from the embedding (1,200 labels), trained and untrained."""
    world, rows = load_scenes("energy"), list[dict[str, Any]]()
    parts = [drawn(subject, n, f"probe {n}") for n in (1200, 400, 1000)]
    device = next(subject.model.parameters()).device
    blank = subject.recipe.clip.build(subject.seed).to(device).eval()
    for of, clip in (("trained", subject.model.clip), ("untrained", blank)):
        seen = [embed_pictures(clip, pictures, painter.side) for _, pictures in parts]
        for f in every:
            train, val, test = ((x, world.labels(index, f)) for x, (index, _) in zip(seen, parts))
            values = len(world.factors[f])
            right = probe_accuracy(train, val, test, values)[1]
            rows.append({"metric": "embedding_holds", "of": of, "factor": f, "chance": 1 / values, "value": right})
    return rows


# ---- real drawings


class Judge:
    """Two nets that learned every drawing, asked what they see: the concept among 32, and the set."""

    def __init__(self, subject: Subject) -> None:
        assert subject.store is not None
        self.seed = subject.seed
        self.models = {
            f: obtain(recipe, 0, subject.preset, subject.store).model
            for f, recipe in labels.JUDGES[subject.preset].items()
        }
        self.pool = np.arange(len(load_emoji().factors["concept"]))

    @torch.inference_mode()
    def read(self, pictures: np.ndarray, concept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of draws in which each picture (N, S, S, 3) is its concept among 32, and its set; (N,) both."""
        parts: dict[str, list[np.ndarray]] = {f: [] for f in self.models}
        for i in range(0, len(pictures), BLOCK):
            x = as_tensor(pictures[i : i + BLOCK].astype(np.float32)).clamp(-1, 1)
            for f, model in self.models.items():
                parts[f].append(model(x.to(next(model.parameters()).device))[f].cpu().numpy())
        scores, style = (np.concatenate(parts[f]) for f in ("concept", "style"))
        asked = [candidates_of(concept, self.pool, AMONG, rng("06", "among", self.seed, k)) for k in range(DRAWS)]
        right = np.mean([right_among(scores, concept, candidates) for candidates in asked], axis=0)
        return right, style.argmax(1)


def on_white(index: np.ndarray) -> np.ndarray:
    """Return drawings float32 (N, S, S, 3) in [-1, 1]."""
    return load_emoji().images(index).astype(np.float32) / 127.5 - 1


def one_each(index: np.ndarray, *keys: object) -> np.ndarray:
    """Return one drawing of each concept among these, in the order of the concepts."""
    order = rng(*keys).permutation(index)
    _, first = np.unique(load_emoji().labels(order, "concept"), return_index=True)
    return order[first]


def sources_of(targets: np.ndarray, among: np.ndarray, *keys: object) -> np.ndarray:
    """Return for each drawing another of the same concept, by another vendor, out of `among`; -1 where there is none."""
    emoji = load_emoji()
    concept, vendor = (emoji.labels(among, f) for f in ("concept", "vendor"))
    out = np.full(len(targets), -1)
    for k, (c, v) in enumerate(zip(emoji.labels(targets, "concept"), emoji.labels(targets, "vendor"))):
        fits = among[(concept == c) & (vendor != v)]
        if len(fits):
            out[k] = rng(*keys, int(targets[k])).choice(fits)
    return out


def edits_of(part: str, *keys: object) -> tuple[np.ndarray, np.ndarray]:
    """Return (drawings to start from, drawings as they should become), one of each concept of a part of the drawings.

    "style_concept": the start was seen in training, the concept in the other style never. "test": neither.
    """
    emoji = load_emoji()
    targets = one_each(emoji.split(part), *keys, "targets")
    among = emoji.split("train") if part == "style_concept" else emoji.split(part)
    sources = sources_of(targets, among, *keys)
    order = rng(*keys, "order").permutation(np.flatnonzero(sources >= 0))
    return sources[order], targets[order]


def drawings(subject: Subject) -> Measured:
    """Held-out drawings drawn again, and moved to another set, read by a judge; a row for each concept.

    Beside them: real drawings, embeddings of another drawing, random directions, the mean of a set; captions through the
    prior and fed directly; how near the drawn lie to drawings of the training.
    """
    if subject.arm != "drawings":
        return Measured([])
    emoji, painter, judge = load_emoji(), Painter(subject.model, subject.recipe, subject.seed), Judge(subject)
    key, rows = ("06", "drawings", subject.seed), list[dict[str, Any]]()

    def put(metric: str, index: np.ndarray, values: np.ndarray, **about: Any) -> None:
        for concept, value in zip(emoji.labels(index, "concept"), values):
            rows.append({"metric": metric, **about, "item": int(concept), "value": float(value)})

    for part in ("test", "style_concept", "train"):
        index = one_each(emoji.split(part), *key, part)  # in the order of the concepts: faces first
        index = rng(*key, part, "few").permutation(index)[: few(subject, 145)]
        real, seen = on_white(index), painter.see(emoji.images(index))
        mixed = seen[np.roll(np.arange(len(index)), 1)]
        made = {
            "real": real,
            "without_noise": painter.draw(seen, *key, part),
            "shuffled": painter.draw(mixed, *key, part),
        }
        if part == "test":
            made["with_noise"] = painter.draw(seen, latent=painter.invert(emoji.images(index), seen))
        if part != "style_concept":
            told = [in_style(n, STYLES[k]) for n, k in zip(emoji.captions(index, "name"), emoji.labels(index, "style"))]
            made["prior"] = painter.draw(painter.dream(told, *key), *key, part)
            made["caption"] = painter.draw(painter.hear(told), *key, part)
        for how, pictures in made.items():
            right, style = judge.read(pictures, emoji.labels(index, "concept"))
            put("concept_kept", index, right, part=part, how=how)
            put("style_kept", index, style == emoji.labels(index, "style"), part=part, how=how)
        if part == "test":
            held, trained = (
                on_white(emoji.split("test")),
                on_white(rng(*key, "trained").permutation(painter_drawn(subject))),
            )
            near = copied(made["without_noise"], trained[: len(held)], held)
            rows.append({"metric": "nearer_to_trained", "n": len(index), "value": near})
    rows += edit_rows(painter, judge, subject, key)
    arrays = pictures_of(painter) if subject.seed == SHOWN_ONCE else {}
    return Measured(rows, arrays)


def painter_drawn(subject: Subject) -> np.ndarray:
    """Return the drawings that were shown in training."""
    return subject.recipe.pairs.drawn


def edit_rows(painter: Painter, judge: Judge, subject: Subject, key: tuple) -> Rows:
    """Return how often a drawing moved to another set is read as that set and still as its concept.

    The weight is that at which the lesser of the two is largest, on drawings of the "val" part.
    """
    emoji, rows = load_emoji(), list[dict[str, Any]]()

    def moved(source: np.ndarray, style: np.ndarray, weight: float, arm: str = "unclip") -> Embedding:
        start, names = painter.see(emoji.images(source)), emoji.captions(source, "name")
        now = [STYLES[s] for s in emoji.labels(source, "style")]
        if arm == "unclip":
            return painter.restyle(start, [STYLES[s] for s in style], weight, names, now)
        if arm == "random_direction":
            dice = rng(*key, "random").standard_normal(start.points.shape).astype(np.float32)
            there = Embedding(dice / np.linalg.norm(dice, axis=1, keepdims=True), painter.key)
        else:
            shown = rng(*key, "mean").permutation(painter_drawn(subject))[:1200]
            points, sets = painter.see(emoji.images(shown)).points, emoji.labels(shown, "style")
            means = np.stack([points[sets == s].mean(0) for s in range(len(STYLES))])[style]
            there = Embedding(means / np.linalg.norm(means, axis=1, keepdims=True), painter.key)
        return painter.toward(start, there, weight)

    def put(value: float, count: int, **about: Any) -> None:
        rows.append({"metric": "edited", **about, "n": count, "value": float(value)})

    source, target = (x[: few(subject, 96)] for x in edits_of("val", *key))
    latent = painter.invert(emoji.images(source), painter.see(emoji.images(source)))
    style, concept = emoji.labels(target, "style"), emoji.labels(target, "concept")
    least = []
    for weight in WEIGHTS:
        right, read = judge.read(painter.draw(moved(source, style, weight), latent=latent), concept)
        least.append(min(float((read == style).mean()), float(right.mean())))
    best = WEIGHTS[int(np.argmax(least))]
    rows.append({"metric": "weight", "n": len(source), "value": best})
    for part in ("style_concept", "test"):
        source, target = (x[: few(subject, 145)] for x in edits_of(part, *key))
        style, concept = emoji.labels(target, "style"), emoji.labels(target, "concept")
        seen, start = painter.see(emoji.images(source)), on_white(source)
        latent = painter.invert(emoji.images(source), seen)
        for arm, pictures in (("start", start), ("real", on_white(target))):
            right, read = judge.read(pictures, concept)
            put((read == style).mean(), len(concept), of="target", arm=arm, part=part)
            put(right.mean(), len(concept), of="concept", arm=arm, part=part)
            if arm == "start":
                level = max(float(right.mean()), 1 / AMONG)  # chance at least
        for arm in ("unclip", "random_direction", "image_mean"):
            for weight in WEIGHTS if (arm, part) == ("unclip", "style_concept") else (best,):
                points = moved(source, style, weight, arm)
                for noise, own in (("with_noise", latent), ("without_noise", None)):
                    if own is None and arm != "unclip":
                        continue
                    pictures = painter.draw(points, *key, part, latent=own)
                    right, read = judge.read(pictures, concept)
                    same = {"arm": arm, "part": part, "noise": noise, "weight": weight}
                    found = {"target": read == style, "concept": right, "nuisance": 1 - nearness(pictures, start)}
                    for of, values in found.items():
                        put(values.mean(), len(concept), of=of, **same)
                    if part == "style_concept" and weight == best:
                        rows += judged_rows(arm, noise, concept, found, level)
    return rows


def judged_rows(arm: str, noise: str, concept: np.ndarray, found: Mapping[str, np.ndarray], level: float) -> Rows:
    """Return the rows that the claim reads, one for each concept; level: how often the starts are named rightly."""
    out = (
        {"target_success": found["target"], "offtarget_kept": found["concept"] / level} if noise == "with_noise" else {}
    )
    rows = [
        {"metric": m, "arm": arm, "item": int(c), "value": float(v)} for m, x in out.items() for c, v in zip(concept, x)
    ]
    if arm == "unclip":
        near = zip(concept, found["nuisance"])
        rows += [{"metric": "nuisance_kept", "arm": noise, "item": int(c), "value": float(v)} for c, v in near]
    return rows


def nearness(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return (N,): mean squared difference of each two pictures over that of unrelated ones, at most 1."""
    off = np.square(pictures - others).mean((1, 2, 3))
    chance = np.mean([np.square(others - np.roll(others, k, 0)).mean() for k in (1, 2, 3)])
    return np.minimum(off / chance, 1.0)


SHOWN = ("horse face", "christmas tree", "pig", "strawberry", "police car light", "smirking face")  # held out
KNOWN = ("dog face", "rocket", "sunflower", "snail", "house", "guitar")  # shown in training
MATRIX = "horse face"
WALKS = (("strawberry", "christmas tree"), ("smirking face", "full moon face"))
SHOWN_WEIGHT = 0.4  # of the matrix: a drawing moves visibly and can still be told


def pictures_of(painter: Painter) -> dict[str, np.ndarray]:
    """Return the exhibits: variations of held-out and of known drawings, the vendor matrix, and walks."""
    emoji = load_emoji()
    out: dict[str, np.ndarray] = {}
    for what, names in (("shown", SHOWN), ("known", KNOWN)):
        index = np.array([emoji.find(name, STYLES[k % len(STYLES)]) for k, name in enumerate(names)])
        seen = painter.see(emoji.images(index))
        out[what] = emoji.images(index)
        out[f"{what}_varied"] = np.stack([to_bytes(painter.draw(seen, "06", "varied", k)) for k in range(3)])
    six = np.array([emoji.find(MATRIX, style) for style in STYLES])
    source = six[:1].repeat(len(STYLES))
    start = painter.see(emoji.images(source))
    latent = painter.invert(emoji.images(source), start)
    others = [k for k in range(len(STYLES)) if k]
    points = start.points.copy()
    n, asked = len(others), [STYLES[k] for k in others]
    points[others] = painter.restyle(start[others], asked, SHOWN_WEIGHT, [MATRIX] * n, [STYLES[0]] * n).points
    moved = Embedding(points, painter.key)
    out["matrix_real"] = emoji.images(six)
    out["matrix_with_noise"] = to_bytes(painter.draw(moved, latent=latent))
    out["matrix_without_noise"] = to_bytes(painter.draw(moved, "06", "matrix"))
    ends = [painter.see(emoji.images(np.array([emoji.find(n, "twemoji") for n in pair]))) for pair in WALKS]
    out["walks"] = np.stack([to_bytes(painter.draw(painter.walk(e[0], e[1], 8), "06", "walk")) for e in ends])
    return out


# ---- what a CLIP hears of style is what its embedding keeps


def styles(subject: Subject) -> Measured:
    """How well three CLIPs tell sets and concepts: a linear probe of the set, and names of drawings among 32."""
    if not (subject.arm.startswith("clip_") or subject.arm == "drawings"):
        return Measured([])
    clip, net = (
        (subject.recipe.clip, subject.model.clip) if subject.arm == "drawings" else (subject.recipe, subject.model)
    )
    emoji, arm = load_emoji(), "clip_named" if subject.arm == "drawings" else subject.arm
    words, key = clip.pairs.vocabulary, ("06", "styles", subject.seed)
    parts = [emoji.split(part) for part in ("train", "val", "test")]
    parts[0] = rng(*key).permutation(parts[0])[:2400]
    train, val, test = ((embed_pictures(net, emoji.images(i), 32), emoji.labels(i, "style")) for i in parts)
    found = probe_accuracy(train, val, test, len(STYLES))[1]
    rows: Rows = [{"metric": "style_probe", "arm": arm, "chance": 1 / len(STYLES), "value": found}]
    by_name = class_weights(net, words, emoji.factors["concept"])
    for part in ("test", "style_concept"):
        index = emoji.split(part)
        truth, points = emoji.labels(index, "concept"), embed_pictures(net, emoji.images(index), 32)
        asked = [candidates_of(truth, np.unique(truth), AMONG, rng(*key, k)) for k in range(DRAWS)]
        right = float(np.mean([right_among(points @ by_name.T, truth, c).mean() for c in asked]))
        rows.append({"metric": "concept_named", "arm": arm, "part": part, "n": len(index), "value": right})
        names = emoji.captions(index, "name")
        told = np.stack([embed_captions(net, words, [in_style(n, s) for n in names]) for s in STYLES], 1)
        right = float((np.einsum("ne,nse->ns", points, told).argmax(1) == emoji.labels(index, "style")).mean())
        rows.append({"metric": "style_named", "arm": arm, "part": part, "n": len(index), "value": right})
    return Measured(rows)


def watch(recipe: Any, model: Any) -> np.ndarray:
    """Return what four embeddings of drawings, or scenes, give at this moment of the training."""
    if not isinstance(recipe, unclip.UnCLIP):
        return np.zeros((1, 32, 32, 3), np.uint8)
    painter = Painter(model, recipe)
    index = recipe.pairs.numbers(4, "06", "watch")
    pictures = recipe.pairs.pictures(index, "06", "watch")
    return to_bytes(painter.draw(painter.see(pictures), "06", "watch", steps=8))


def few_seeds(preset: str) -> dict[str, tuple[int, ...]]:
    """Return the seeds of the arms that have few: CLIPs one, drawings three where they are judged."""
    seeds = dict.fromkeys((arm for arm in arms(preset) if arm != "scenes"), (SHOWN_ONCE,))
    return seeds | ({"drawings": (0, 1, 2)} if preset in ("overnight", "gpu") else {})


EXPERIMENT = Experiment(
    notebook="06_dalle2",
    arms=arms,
    seeds={"smoke": (0, 1), "laptop": (0, 1, 2), "overnight": (0, 1, 2, 3, 4), "gpu": (0, 1, 2)},
    few={preset: few_seeds(preset) for preset in ("smoke", "laptop", "overnight", "gpu")},
    measures={"restyling": restyling, "drawings": drawings, "styles": styles},
    judges={"drawings": lambda preset: tuple(labels.JUDGES[preset].values())},
    asking={"drawings": ("drawings",)},
    ships=("drawings",),
    data=lambda: {"emoji": load_emoji().digest, "scenes": load_scenes("energy").digest},
    watch=watch,
    published_only=("styles",),
)
