"""05_diffusion_classifier: the model that draws, asked to recognise; beside Bayes, a captioner and a CLIP.

All on the exact world, where the best possible answer is one softmax. What is asked of everybody: eight pictures' worth
of candidates that differ in one fact, "a red thing" against "a blue thing", all else unsaid.

Dimension key: N pictures, K candidates, J noise levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from falsework.core.rng import rng
from falsework.experiments import Experiment, Measured, Subject
from falsework.noise import SPREAD, even_sigmas, levels
from falsework.probes.candidates import Scorer, by_captioner, by_clip
from falsework.probes.denoised import film, imagine, layers
from falsework.probes.diffusion_classifier import FULL, HIGH, LOW, PRUNED, Stage, by_diffusion, classify, evaluations_of
from falsework.probes.fidelity import coverage_of, frechet, off_render
from falsework.probes.linear import probe_layers
from falsework.probes.reader import exact_read, features_of
from falsework.recipes.captioner import Captioner
from falsework.recipes.clip import CLIP
from falsework.recipes.diffusion import PRESETS, Diffusion
from falsework.recipes.listed import NEVER_TOLD, TOLD, Listed, caption_of
from falsework.recipes.noisy_reader import PRESETS as READERS
from falsework.recipes.pairs import Eye
from falsework.training import Train
from falsework.world.captions import load_scenes

Rows = list[dict[str, Any]]
JUDGED = ("colour", "background", "position")
ASKED = (*JUDGED, "size", "style", "shape", "light")
TIED, SHIFTED = 0.95, 0.5  # share of pictures whose shape hangs on its wall, in training and under shift
SHOWN_ONCE = 1  # the seed of the arms that are shown and not judged
# preset -> steps that cost the FLOPs of "diffusion", and those of "biased" (within 3 % where there are hundreds)
STEPS = {
    "smoke": {"captioner": 8, "clip": 8, "biased_captioner": 4},
    "laptop": {"captioner": 1258, "clip": 1312, "biased_captioner": 629},
    "overnight": {"captioner": 3494, "clip": 3646, "biased_captioner": 1747},
    "gpu": {"captioner": 5879, "clip": 5885, "biased_captioner": 2939},
}
SIZE = np.float32(np.sqrt(SPREAD))  # a clean picture is divided by it before the reader of noisy ones sees it
VIEWS = (0.25, 0.5, 1.0, 2.0, 4.0)  # noise under which a picture is to be recognised


def arms(preset: str) -> Mapping[str, Any]:
    """Return the judged model, one without text, two others that know captions, and two raised on a tied world."""
    main = PRESETS[preset]
    half = replace(main.train, steps=max(1, main.train.steps // 2))
    tied = replace(main.pairs, tied=tie(TIED))
    eye = Eye("conv", {"smoke": 8, "laptop": 24, "overnight": 24, "gpu": 256}[preset])
    train = {arm: Train(steps, main.train.batch) for arm, steps in STEPS[preset].items()}
    return {
        "diffusion": main,
        "unconditional": replace(main, silent=1.0),
        "captioner": Captioner(main.pairs, eye, train=train["captioner"]),
        "clip": CLIP(main.pairs, eye, "words in order", train=train["clip"]),
        "biased": replace(main, pairs=tied, train=half),
        "biased_captioner": Captioner(tied, eye, train=train["biased_captioner"]),
    }


def tie(share: float, walls: int = 4) -> float:
    """Return the share of pictures to tie so that `share` of all match: of the free ones one in `walls` does anyway."""
    return (share - 1 / walls) / (1 - 1 / walls)


def few(subject: Subject, n: int) -> int:
    """Return n, or an eighth of it at smoke."""
    return max(4, n // 8) if subject.preset == "smoke" else n


def drawn(subject: Subject, n: int, about: str, tied: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return (numbers, pictures float32 (N, S, S, 3)) of this seed's own draw, the same for every arm."""
    pairs, key = Listed(), ("05_diffusion_classifier", about, subject.seed)
    index = pairs.numbers(few(subject, n), *key, tied=tied)
    return index, pairs.pictures(index, *key)


def alone(factor: str) -> list[str]:
    """Return a caption for each value of a factor that names it and nothing else."""
    world = load_scenes("energy")
    return [world.phrase.say({factor: value}) for value in world.factors[factor]]


def scorer_of(subject: Subject, *keys: object, **how: Any) -> Scorer:
    """Return how an arm says which caption fits."""
    recipe, model = subject.recipe, subject.model
    if isinstance(recipe, Diffusion):
        return by_diffusion(model, recipe.pairs, *keys, **how)
    words, side = recipe.pairs.vocabulary, recipe.pairs.side
    return by_captioner(model, words, side) if isinstance(recipe, Captioner) else by_clip(model, words, side)


# ---- what draws also recognises


def classifier(subject: Subject) -> Measured:
    """Share of pictures whose value of a factor is named rightly, by arm; exact Bayes and chance beside it.

    The diffusion model is asked with the full schedule, and with one that drops hopeless candidates early.
    """
    if subject.arm not in ("diffusion", "captioner", "clip"):
        return Measured([])
    world, rows = load_scenes("energy"), list[dict[str, Any]]()
    index, pictures = drawn(subject, 256, "classifier")
    judge, key = exact_read(pictures), ("05", "classifier", subject.seed)

    def put(metric: str, arm: str, factor: str, guess: np.ndarray, **more: Any) -> None:
        right = float((guess == world.labels(index, factor)).mean())
        rows.append({"metric": metric, "arm": arm, "factor": factor, "n": len(index), **more, "value": right})

    for factor in ASKED:
        candidates = alone(factor)
        if subject.arm != "diffusion":
            put("accuracy", subject.arm, factor, scorer_of(subject)(pictures, candidates).argmax(1))
            continue
        full = scorer_of(subject, *key)(pictures, candidates)
        put("accuracy", "diffusion", factor, full.argmax(1))
        put("accuracy", "bayes", factor, judge[factor][0])
        rows.append({"metric": "accuracy", "arm": "chance", "factor": factor, "value": 1 / len(candidates)})
        pruned = classify(subject.model, subject.recipe.pairs.vocabulary, pictures, candidates, *key, stages=PRUNED)
        put("accuracy_pruned", "diffusion", factor, pruned.scores.argmax(1))
        cost = float(pruned.evaluations.mean()) / evaluations_of(FULL, len(candidates))
        rows.append({"metric": "evaluations_share", "factor": factor, "value": cost})
    return Measured(rows)


def noise(subject: Subject) -> Measured:
    """Accuracy by the number of noise levels, the noise shared or not; and on pictures that are noisy to begin with.

    Beside the latter stands what Bayes can still read there. Arrays: the error curves of one picture.
    """
    if subject.arm != "diffusion":
        return Measured([])
    world, words, model = load_scenes("energy"), subject.recipe.pairs.vocabulary, subject.model
    key, rows, arrays = ("05", "noise", subject.seed), list[dict[str, Any]](), dict[str, np.ndarray]()
    index, pictures = drawn(subject, 128, "noise")
    truth = world.labels(index, "colour")
    for draws in (1, 2, 4, 8, 16, 32):
        for shared in (True, False):
            found = classify(model, words, pictures, alone("colour"), *key, stages=(Stage(draws, 1),), shared=shared)
            right = float((found.scores.argmax(1) == truth).mean())
            about = {"draws": draws, "shared": int(shared), "n": len(index)}
            rows.append({"metric": "accuracy_by_draws", **about, "value": right})
    for factor in (*JUDGED, "shape"):
        truth = world.labels(index, factor)
        for sigma in VIEWS:
            eps = rng(*key, sigma).standard_normal(pictures.shape, dtype=np.float32)
            seen = pictures + np.float32(sigma) * eps
            best = exact_read(seen, sigma)[factor][0]
            # what is added to the noise that is there must be of its size to tell anything
            how: dict[str, Any] = {"seen": sigma, "low": max(LOW, sigma / 3), "high": max(HIGH, 4 * sigma)}
            how["stages"] = (Stage(12, 1),)
            found = classify(model, words, seen, alone(factor), *key, **how).scores.argmax(1)
            for arm, guess in (("diffusion", found), ("bayes", best)):
                where = {"metric": "accuracy_seen_in_noise", "arm": arm, "factor": factor, "sigma": sigma}
                rows.append({**where, "n": len(index), "value": float((guess == truth).mean())})
    if subject.seed == 0:
        arrays |= _curves(subject, pictures[:1], world.labels(index[:1], "colour"))
    return Measured(rows, arrays)


def _curves(subject: Subject, pictures: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Return |eps - eps_c|^2 / D of one picture at 24 noise levels, (2, K, J): under one noise for all, and under own."""
    model, words, captions = subject.model, subject.recipe.pairs.vocabulary, alone("colour")
    sigmas = even_sigmas(24, 0.2, 8.0).numpy()
    numbers = pictures[0].size
    both = np.empty((2, len(captions), len(sigmas)))
    for own in (0, 1):
        for k, caption in enumerate(captions):
            for j, sigma in enumerate(sigmas):
                eps = rng("05 curves", j, k if own else "all").standard_normal(pictures.shape, dtype=np.float32)
                x_s = (pictures + np.float32(sigma) * eps).reshape(1, -1)
                guess = imagine(model, words, x_s, float(sigma), [caption])
                both[own, k, j] = np.square((pictures.reshape(1, -1) - guess) / sigma).sum() / numbers
    return {
        "curve_sigmas": sigmas,
        "curve_errors": both,
        "curve_captions": np.array(captions),
        "curve_truth": truth,
        "curve_picture": np.clip((pictures[0] + 1) * 127.5, 0, 255).round().astype(np.uint8),
    }


# ---- it draws


def drawing(subject: Subject) -> Measured:
    """Pictures drawn from ultra captions, read exactly; how far they lie from any render; and how they are spread.

    Fidelity: root mean square distance to the nearest render (a real picture's is its texture); Frechet distance and
    coverage among features of a reader of noisy pictures, each beside real pictures against other real ones.
    """
    if subject.arm != "diffusion":
        return Measured([])
    from falsework.recipes import obtain

    world, model, words = load_scenes("energy"), subject.model, subject.recipe.pairs.vocabulary
    key, rows = ("05", "draw", subject.seed), list[dict[str, Any]]()
    index, real = drawn(subject, 256, "drawing")
    captions = [caption_of(world, int(i), world.named["ultra"]) for i in index]
    made = {
        "unguided": film(model, words, captions, *key)[-1],
        "guided": film(model, words, captions, *key, guidance=2.0)[-1],
        "ancestral": film(model, words, captions, *key, ancestral=True)[-1],
        "real": real,
    }
    for how, pictures in made.items():
        seen = exact_read(pictures)
        for factor in world.named["ultra"]:
            right = float((seen[factor][0] == world.labels(index, factor)).mean())
            rows.append({"metric": "drawn_right", "how": how, "factor": factor, "n": len(index), "value": right})
        rows.append(
            {
                "metric": "off_render",
                "how": how,
                "value": off_render(pictures, world.unit),
            }
        )
    assert subject.store is not None
    reader = obtain(READERS[subject.preset], 0, subject.preset, subject.store)
    blank = film(model, words, [""] * len(index), *key)[-1]
    _, others = drawn(subject, 256, "drawing, other")
    features = {
        n: features_of(reader.model, p / SIZE) for n, p in {**made, "nothing said": blank, "other": others}.items()
    }
    for how in ("unguided", "guided", "ancestral", "nothing said", "real"):
        about = {"how": how, "n": len(index)}
        rows.append({"metric": "frechet", **about, "value": frechet(features[how], features["other"])})
        rows.append({"metric": "coverage", **about, "value": coverage_of(features[how], features["other"])})
    arrays: dict[str, np.ndarray] = {}
    if subject.seed == 0:
        strip = np.concatenate([film(model, words, [said], "05", "film") for said in FILM], 1)  # one noise for all
        frames = np.linspace(0, len(strip) - 1, 9).round().astype(int)
        arrays["film"] = to_bytes(strip[frames])
        arrays["film_sigmas"] = levels(len(strip) - 1, *model.range).numpy()[frames]
        arrays["film_captions"] = np.array(FILM)
        arrays["drawn"] = to_bytes(made["unguided"][:24])
        arrays["drawn_guided"] = to_bytes(made["guided"][:24])
        arrays["drawn_asked"] = to_bytes(real[:24])
        arrays["drawn_blank"] = to_bytes(blank[:24])
    return Measured(rows, arrays)


SHOWN = (
    "a large red filled circle in the upper left on a night background lit from the left",
    "a small yellow outlined square in the lower right on a wine background lit from the right",
    "a large green striped triangle in the upper right on a cream background lit from the left",
    "a large blue soft cross in the lower left on a stone background lit from the right",
)


FILM = (
    "",
    "a thing on a night background",
    "a large red thing in the upper left on a night background",
    SHOWN[0],
)


def to_bytes(pictures: np.ndarray) -> np.ndarray:
    """Return uint8 of pictures around [-1, 1]."""
    return np.clip((pictures + 1) * 127.5, 0, 255).round().astype(np.uint8)


# ---- under shift


def shift(subject: Subject) -> Measured:
    """The shape named by nets that saw shape and wall go together in 95 % of pictures; where it is 95 % and where 50 %.

    The candidates are the picture's own ultra caption with every shape, so the wall is told. Both are used through Bayes
    with the p(c) of their lessons, which is known exactly: a captioner's p(c | x) holds it, and log p(x | c) gets it
    added. "accuracy_even": with all shapes equally likely instead, what a captioner says divided by p(c).
    """
    if subject.arm not in ("biased", "biased_captioner"):
        return Measured([])
    world, rows = load_scenes("energy"), list[dict[str, Any]]()
    generative = subject.arm == "biased"
    arm = "image_given_text" if generative else "text_given_image"
    for domain, tied in (("in", TIED), ("shift", SHIFTED)):
        index, pictures = drawn(subject, 256, domain, tied=tie(tied))
        truth, wall = world.labels(index, "shape"), world.labels(index, "background")
        shapes = world.factors["shape"]
        told = [world.facts(caption_of(world, int(i), world.named["ultra"])) for i in index]
        candidates = [[world.phrase.say(fact | {"shape": shape}) for shape in shapes] for fact in told]
        scores = scorer_of(subject, "05", "shift", subject.seed, domain)(pictures, candidates)
        usual = np.where(np.arange(len(shapes)) == wall[:, None], TIED, (1 - TIED) / (len(shapes) - 1))
        about = {"domain": domain, "n": len(index)}
        habit = np.log(usual)
        even = scores if generative else scores - habit
        for metric, score in (("accuracy", even + habit), ("accuracy_even", even)):
            right = score.argmax(1) == truth
            rows.append({"metric": metric, "arm": arm, **about, "value": float(right.mean())})
            for bound in (1, 0):
                some = right[(truth == wall) == bool(bound)]
                rows.append(
                    {
                        "metric": f"{metric}_when",
                        "arm": arm,
                        **about,
                        "tied": bound,
                        "n": len(some),
                        "value": float(some.mean()),
                    }
                )
    return Measured(rows)


# ---- what else its features know


def features(subject: Subject) -> Measured:
    """Probes of every block at four noise levels, told nothing: factors that captions name, and the one that none names.

    1,200 labels; layer, noise level and ridge chosen on validation; tokens pooled by their mean.
    """
    if subject.arm not in ("diffusion", "unconditional"):
        return Measured([])
    arm = "conditional" if subject.arm == "diffusion" else "unconditional"
    world, rows = load_scenes("energy"), list[dict[str, Any]]()
    sets = {s: drawn(subject, n, f"probe {s}") for s, n in {"train": 1200, "val": 400, "test": 1000}.items()}
    sigmas = (0.06, 0.25, 0.5, 1.0)
    seen = {
        s: np.concatenate([np.stack([_pooled(x) for x in layers_at(subject, pictures, sigma, s)]) for sigma in sigmas])
        for s, (_, pictures) in sets.items()
    }
    depth = len(seen["train"]) // len(sigmas)
    for factor in (*world.named[TOLD[-1]], NEVER_TOLD):
        labels = {s: world.labels(index, factor) for s, (index, _) in sets.items()}
        found = probe_layers(seen, labels, len(world.factors[factor]))
        about = {"arm": arm, "factor": factor, "named": int(factor != NEVER_TOLD)}
        rows.append({"metric": "probe_accuracy", **about, "value": float(found.test_L[found.best])})
        for k, value in enumerate(found.test_L):
            rows.append(
                {
                    "metric": "probe_by_layer",
                    **about,
                    "layer": k % depth,
                    "sigma": sigmas[k // depth],
                    "value": float(value),
                }
            )
    return Measured(rows)


def _pooled(x_NTC: np.ndarray) -> np.ndarray:
    return x_NTC.mean(1, dtype=np.float32)


def layers_at(subject: Subject, pictures: np.ndarray, sigma: float, part: str) -> Sequence[np.ndarray]:
    """Return every block's tokens (N, T, C) for pictures seen at a noise level, told nothing."""
    eps = rng("05 features", subject.seed, part, sigma).standard_normal(pictures.shape, dtype=np.float32)
    return layers(subject.model, pictures + np.float32(sigma) * eps, sigma)


def watch(recipe: Any, model: Any) -> np.ndarray:
    """Return what the captions that are always shown give at this moment of the training."""
    if not isinstance(recipe, Diffusion):
        return np.zeros((1, recipe.pairs.side, recipe.pairs.side, 3), np.uint8)
    return to_bytes(film(model, recipe.pairs.vocabulary, SHOWN, "05", "watch", steps=8)[-1])


EXPERIMENT = Experiment(
    notebook="05_diffusion_classifier",
    arms=arms,
    seeds={"smoke": (0, 1), "laptop": (0, 1, 2), "overnight": (0, 1, 2, 3, 4), "gpu": (0, 1, 2)},
    few={p: dict.fromkeys((a for a in arms(p) if a != "diffusion"), (SHOWN_ONCE,)) for p in ("smoke", "laptop")}
    | {p: {"captioner": (SHOWN_ONCE,), "clip": (SHOWN_ONCE,)} for p in ("overnight", "gpu")},
    measures={"classifier": classifier, "noise": noise, "drawing": drawing, "shift": shift, "features": features},
    judges={"drawing": lambda preset: (READERS[preset],)},
    asking={"drawing": ("diffusion",)},
    published_only=("noise", "drawing"),
    ships=("diffusion",),
    data=lambda: {"scenes": load_scenes("energy").digest},
    watch=watch,
)
