"""Every claim of the talk as data: what was said, what we test, what would count, how it could fool us.

The names of experiments, metrics, arms and context columns below are the contract with the notebooks'
measures (`needs` prints it). Two derived numbers recur:

- `range_share`: (accuracy - chance) / (ceiling - chance), one row per factor. A factor is "reached" at .5,
and the size
  or the FLOPs at which that happens is derived from the rows (`effects.Threshold`), censored when it never
  does.
- `kl_over_eps`: the reducible part of the loss (exact entropy subtracted) over the eps its experiment states
beforehand.

Margins were fixed after small prototypes and before the runs that judge them; `revised_after_evidence` marks
a claim that was reworded later.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from falsework.claims.effects import (
    Effect,
    Forecast,
    LogRatio,
    Pick,
    Range,
    Share,
    Slope,
    Threshold,
    Weighted,
    difference,
    level,
)
from falsework.claims.lines import Curve, Grid, NonIncreasing, PastPeak, Staircase
from falsework.claims.predicates import Above, All, Below, Part, Predicate, RatioAtLeast, RatioAtMost, Within
from falsework.core.errors import Refused, one_of
from falsework.core.stats import MIN_SEEDS

ROLES = ("primary", "exploratory", "exact", "interpretive")
JUDGED_AT = ("laptop", "overnight", "gpu")  # smoke is a rehearsal


@dataclass(frozen=True)
class Claim:
    """One falsifiable claim; a reader's own needs only the first six fields.

    `preset`: the first preset at which it is judged. `floor`, `ceiling`: what it is measured against, in
    words. `shown`: metrics that stand beside the verdict and do not enter it. An `All` predicate carries its
    own effects.
    """

    id: str
    wording: str
    notebook: str
    experiment: str = ""
    effect: Effect | None = None
    predicate: Predicate | None = None
    role: str = "exploratory"
    quote_key: str = ""
    gloss: str = ""
    floor: str = ""
    ceiling: str = ""
    scope: str = ""
    preset: str = "overnight"
    seeds: int = MIN_SEEDS
    pitfall: str = ""
    linked: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    revised_after_evidence: bool = False

    def __post_init__(self) -> None:
        one_of(f"The role of claim {self.id}", self.role, ROLES)
        one_of(f"The preset of claim {self.id}", self.preset, JUDGED_AT)
        if self.seeds < MIN_SEEDS and self.role != "exact":
            raise Refused(f"Claim {self.id} asks {self.seeds} seeds, but at least {MIN_SEEDS} are needed to judge.")
        if self.role != "interpretive" and (not self.experiment or not self.parts):
            raise Refused(f"Claim {self.id} lacks an experiment or an effect with its predicate, and needs both.")

    @property
    def parts(self) -> tuple[Part, ...]:
        """The effects under their predicates: one, several for an `All`, none for an interpretive claim."""
        if isinstance(self.predicate, All):
            return self.predicate.parts
        return (Part(self.effect, self.predicate),) if self.effect and self.predicate else ()

    @property
    def criterion(self) -> str:
        """What counts, in words: "at least 0.40 (of the range above shuffled captions)"."""
        return "; and ".join(f"{part.predicate.bar()} ({part.effect.unit})" for part in self.parts)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics its verdict reads, in order."""
        return tuple(dict.fromkeys(pick.metric for pick in self.picks))

    @property
    def picks(self) -> tuple[Pick, ...]:
        """The rows its verdict reads, one Pick for each mean."""
        every = (pick for part in self.parts for pick in part.effect.picks())
        return tuple(
            dict.fromkeys(p for pick in every for p in (pick.reads if isinstance(pick, Threshold) else [pick]))
        )


@cache
def _quotes() -> dict:
    text = resources.files("falsework.claims").joinpath("quotes.json").read_text(encoding="utf-8")
    return json.loads(text)["quotes"]


def quote(claim: Claim) -> str:
    """Return the talk's words for a claim, verbatim from the notes; "" for a claim that quotes nobody."""
    return _quotes()[claim.quote_key]["quote"] if claim.quote_key else ""


def claim_of(name: str) -> Claim:
    """Return a claim by its id; raises Refused with the nearest id for an unknown one."""
    return BY_ID[one_of("The claim", name, BY_ID)]


def claims_of(notebook: str) -> tuple[Claim, ...]:
    """Return a notebook's claims in talk order."""
    return tuple(c for c in CLAIMS if c.notebook == notebook)


def needs(notebook: str) -> list[dict]:
    """Return the rows a notebook's measures must give; arm "" is any, `columns` must be filled."""
    out = []
    for claim in claims_of(notebook):
        for part in claim.parts:
            for pick in part.effect.picks():
                reads = pick.reads if isinstance(pick, Threshold) else [pick]
                along = [pick.along, pick.over] if isinstance(pick, Threshold) else []
                along += [getattr(part.effect, name, "") for name in ("along", "by", "over")]
                for base in reads:
                    columns = [*(along if base is reads[0] else along[1:2]), *([base.at[0]] if base.at else [])]
                    out.append(
                        {
                            "claim": claim.id,
                            "experiment": claim.experiment,
                            "metric": base.metric,
                            "arm": base.arm,
                            "where": dict(base.where),
                            "columns": tuple(dict.fromkeys(c for c in columns if c)),
                        }
                    )
    return out


# --- shorthand for the rows below; each returns plain data ---


def _restyled(kept: str) -> All:
    """An edit reaches its target, keeps what was not asked for, and keeps details only with the noise latent."""
    nuisance = (Pick("nuisance_kept", "with_noise"), Pick("nuisance_kept", "without_noise"))
    return All(
        (
            Part(level(Pick("target_success", "unclip"), "of edits reach their target"), Above(0.6)),
            Part(level(Pick("offtarget_kept", "unclip"), kept), Above(0.8)),
            Part(difference(*nuisance, "more nuisance kept with the noise latent"), Above()),
        )
    )


def _reach(arm: str, along: str, **where: object) -> Threshold:
    """The place at which a factor passes half-way from chance to its ceiling."""
    return Threshold(Pick("range_share", arm, tuple(where.items())), along)


def _flops(top: str, bottom: str, unit: str, **where: object) -> LogRatio:
    """How many times the FLOPs one arm needs of another's, over the factors that at least one reaches."""
    return LogRatio(_reach(top, "flops", **where), _reach(bottom, "flops", **where), "factor", unit)


def _race(top: str, bottom: str, unit: str, named: int) -> LogRatio:
    """The same, half-way from what no training gives to the best of the two, over factors with a range to learn."""
    where = (("named", named),)
    span = Range(Pick("probe_floor", "", where), Pick("probe_accuracy", "", (*where, ("raced", 1))))
    ends = [Threshold(Pick("probe_accuracy", arm, where), "flops", within=span) for arm in (top, bottom)]
    return LogRatio(ends[0], ends[1], "factor", unit)


def _half_of_ladder(factor: str) -> Part:
    pick = Pick("range_share", "dalle", (("factor", factor),), at=("size", "middle"))
    return Part(level(pick, f"of the range for {factor} at the top of the smaller half"), Above(0.5))


def _drop_gap(metric: str, steady: str, other: str, unit: str) -> Weighted:
    """How much more `other` loses under shift than `steady` does."""
    inside, shift = (("domain", "in"),), (("domain", "shift"),)
    terms = ((1.0, other, inside), (-1.0, other, shift), (-1.0, steady, inside), (1.0, steady, shift))
    return Weighted(tuple((w, Pick(metric, arm, where)) for w, arm, where in terms), unit)


def _main_effects(metric: str, unit: str) -> Weighted:
    """Main effect of captions minus main effect of architecture in a 2 x 2 of "worse" and "better".

    Written out, the two corners worse-worse and better-better cancel: what stays is (worse architecture,
    better captions) minus (better architecture, worse captions).
    """
    corners = [(a, c) for a in ("worse", "better") for c in ("worse", "better")]
    sign = {"worse": -0.5, "better": 0.5}
    return Weighted(
        tuple((sign[c] - sign[a], Pick(metric, "", (("architecture", a), ("captions", c)))) for a, c in corners),
        unit,
    )


def _scaffold(scheme: str) -> All:
    """Fewer bits per image than the direct model, and than the same scheme with a code that has no words."""
    own = Pick("bits_per_image", scheme)
    return All(
        (
            Part(difference(Pick("bits_per_image", "direct"), own, "bits saved over the direct model"), Above()),
            Part(
                difference(Pick("bits_per_image", f"{scheme}_code"), own, "bits saved over the machine code"),
                Above(),
            ),
        )
    )


def _probe(weights: str, at: tuple[str, str] | None = None) -> Pick:
    """Few-shot probes on scenes with mean pooling, of the layer chosen on validation; mean over the factors."""
    where = (("weights", weights), ("data", "scenes"), ("pool", "mean"), ("labels", "few"))
    return Pick("probe_best", where=where, at=at)


_ASKED = (("named", 1),)  # the facts that a short prompt names, and so can call up
_NO_CAPTION = Pick("caption_information", "exact", (("level", 0),))
_COVERAGE = "of coverage to spare at the tightest predicted step"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="C01",
        quote_key="C01",
        gloss="You can see that the generated images match the text rather well.",
        wording="Tokens and an autoregressive transformer draw what the caption says.",
        notebook="02_dalle1",
        experiment="drawing",
        effect=Share(
            Pick("accuracy", "dalle", (("best_of", 1),)),
            ceiling=Pick("accuracy", "real"),
            floor=Pick("accuracy", "shuffled", (("best_of", 1),)),
            chance=Pick("accuracy", "chance"),
            unit="of the range from chance to ceiling above shuffled captions",
        ),
        predicate=Above(0.4),
        role="primary",
        preset="laptop",
        floor="the same model given shuffled captions",
        ceiling="one: real pictures are read without fault",
        scope="scene world, one plain object, mean over eight factors, first sample taken (best of 1); each factor is "
        "read as the value whose render is nearest, all else as asked",
        pitfall="Reranking inflates the score: best of 1 and best of k are reported apart.",
        shown=("accuracy_of_best",),
    ),
    Claim(
        id="C02",
        quote_key="C02",
        gloss="DALL-E's scaling law, just like the scaling law of large language models.",
        wording="The loss falls as a power law in model size.",
        notebook="02_dalle1",
        experiment="sizes",
        predicate=All(
            (
                Part(
                    Slope(
                        Pick("bits_per_image", "dalle"),
                        along="size",
                        log_y=True,
                        sign=-1,
                        unit="as the exponent of bits in size",
                    ),
                    Above(),
                ),
                Part(
                    Forecast(
                        Pick("bits_per_image", "dalle"),
                        along="size",
                        unit="relative miss at the largest size",
                    ),
                    Within(0.02),
                ),
            )
        ),
        floor="an exponent of zero",
        ceiling="the entropy of the tokens, which no size goes below",
        scope="scene world, at least five sizes, equal images, each annealed on its own",
        pitfall="Large models may be undertrained, and the tokens have an entropy floor.",
        linked=("C27",),
    ),
    Claim(
        id="C03",
        quote_key="C03",
        gloss="Light and reflections, colours and shapes are drawn well (by a small model).",
        wording="Small models already get colour, shape and light.",
        notebook="02_dalle1",
        experiment="sizes",
        predicate=All(tuple(map(_half_of_ladder, ("colour", "shape", "light")))),
        floor="chance",
        ceiling="one: the exact posterior names every value",
        scope="scene world, the size ladder of the preset; reached means half-way from chance to ceiling",
        pitfall="The order of factors may follow pixel energy, not abstraction: the regression on log "
        "energy and "
        "Kendall's tau stand beside it.",
        linked=("C04", "C05"),
        shown=("pixel_energy",),
    ),
    Claim(
        id="C04",
        quote_key="C04",
        gloss="(At a larger scale) it can learn artistic styles, change some attributes and so on.",
        wording="Style and attribute swaps need a larger model than shape.",
        notebook="02_dalle1",
        experiment="sizes",
        effect=LogRatio(
            _reach("dalle", "size", factor="style"),
            _reach("dalle", "size", factor="shape"),
            unit="times the size that shape needs",
        ),
        predicate=RatioAtLeast(1),
        floor="chance",
        ceiling="one: the exact posterior names every value",
        scope="scene world, the size ladder of the preset",
        pitfall="Style touches every pixel and may come first.",
        linked=("C03", "C05"),
    ),
    Claim(
        id="C05",
        quote_key="C05",
        gloss="(Larger still) you can see that it renders text.",
        wording="Legible text needs a larger model than style.",
        notebook="02_dalle1",
        experiment="sizes",
        effect=LogRatio(
            _reach("dalle", "size", factor="text"),
            _reach("dalle", "size", factor="style"),
            unit="times the size that style needs",
        ),
        predicate=RatioAtLeast(1),
        floor="chance",
        ceiling="one: the exact posterior names every value",
        scope="scene world, strings held out of training",
        pitfall="Exact match makes a smooth gain look sudden: the log-likelihood of the text is shown too.",
        linked=("C03", "C04"),
        shown=("text_log_likelihood", "exact_match"),
    ),
    Claim(
        id="C06",
        quote_key="C06",
        gloss="A generalisation to combinations.",
        wording="Combinations held out of training become drawable with size.",
        notebook="02_dalle1",
        experiment="sizes",
        # Not the ratio of held-out to seen: it is near one for a net that draws neither, so it can only fall.
        effect=difference(
            Pick("pair_right", "dalle", (("split", "test_combination"),), at=("size", "largest")),
            Pick("pair_right", "dalle", (("split", "test_combination"),), at=("size", "smallest")),
            "more held-out combinations drawn right over the ladder",
        ),
        predicate=Above(0.15),
        floor="the smallest model of the ladder",
        ceiling="one: every held-out combination drawn right",
        scope="scene world, held-out pairs of colour and shape",
        pitfall="Too few combinations in training: how far held-out ones lag behind seen ones is shown.",
        shown=("heldout_ratio", "pair_right at split = test"),
        revised_after_evidence=True,
    ),
    Claim(
        id="C07",
        quote_key="C07",
        gloss="Even in-context learning of images.",
        wording="A shown pair of example pictures changes the next picture.",
        notebook="02_dalle1",
        experiment="in_context",
        effect=difference(
            Pick("accuracy", "example", (("operation", "seen"),)),
            Pick("accuracy", "unrelated", (("operation", "seen"),)),
            "above an unrelated example",
        ),
        predicate=Above(0.2),
        floor="the same model after an unrelated example",
        ceiling="one: real pictures are read without fault",
        scope="scene world, operations seen in training; held-out ones apart",
        pitfall="Trained episodes are meta-learning, and are called so.",
        shown=("accuracy at operation = heldout",),
    ),
    Claim(
        id="C08",
        quote_key="C08",
        gloss="It can even do some IQ tests on images.",
        wording="Matrix puzzles are solved by likelihood.",
        notebook="02_dalle1",
        experiment="puzzles",
        effect=difference(Pick("accuracy", "dalle"), Pick("accuracy", "chance"), "above chance"),
        predicate=Above(0.2),
        floor="chance among eight answers",
        ceiling="the right answer every time",
        scope="scene world, 2 x 2 matrices, the right answer against seven balanced foils",
        pitfall="Foils may be beaten by copying the neighbouring cell.",
        shown=("accuracy of arm copy_neighbour",),
    ),
    Claim(
        id="C09a",
        quote_key="C09",
        gloss="Compressing all the pixels of the world is very hard and needs much information to be modelled.",
        wording="At least four fifths of the bits that a model pays for a picture are detail that no caption carries.",
        notebook="01_igpt",
        experiment="likelihood",
        # A sentence of the scene world can be read back, so what it carries is its entropy, exactly. On drawings nobody
        # knows that entropy: the card shows the bound there.
        effect=Share(
            Pick("caption_bits", "large", (("level", "near-exact"),)),
            ceiling=Pick("bits_per_image", "large"),
            unit="of the bits could be carried by the longest sentence",
        ),
        predicate=Below(0.2),
        role="primary",
        preset="laptop",
        floor="no caption",
        ceiling="all bits that the largest model pays for an unseen scene",
        scope="cluttered scenes, 16 x 16, whose author chose how much nobody mentions: the sweep shows where the verdict "
        "turns; real drawings stay open (the longest caption, spelled for a stranger, is only an upper bound)",
        pitfall="What no sentence names is put there by the world's author: crumbs and texture are swept.",
        linked=("C33",),
        shown=("perfect_share", "caption_share", "caption_code_share", "bits_in_region", "bits_in_band"),
        revised_after_evidence=True,
    ),
    Claim(
        id="C09b",
        quote_key="C09",
        gloss="Compressing all the pixels of the world is very hard and needs much information to be modelled.",
        wording="A model of tokens learns what captions name with fewer FLOPs than a model of pixels.",
        notebook="02_dalle1",
        experiment="pixels_or_tokens",
        effect=_flops("pixels", "tokens", "times the FLOPs of the token model"),
        predicate=RatioAtLeast(3),
        floor="chance",
        ceiling="the exact posterior of each factor",
        scope="scene world, accuracy of the generative classifier",
        pitfall="Tokens throw detail away before anyone counts.",
        linked=("C33",),
    ),
    Claim(
        id="C10",
        quote_key="C10",
        gloss="iGPT can get good results when it is scaled.",
        wording="Linear probes of a pixel model improve with its size, above an untrained network and "
        "above raw pixels.",
        notebook="01_igpt",
        experiment="layers",
        predicate=All(
            (
                Part(
                    Slope(
                        _probe("trained"),
                        along="size",
                        unit="of probe accuracy gained per doubling of size",
                    ),
                    Above(),
                ),
                Part(
                    difference(
                        _probe("trained", at=("size", "largest")),
                        _probe("random", at=("size", "largest")),
                        "above the untrained network at the largest size",
                    ),
                    Above(),
                ),
                Part(
                    difference(
                        _probe("trained", at=("size", "largest")),
                        _probe("pixels", at=("size", "largest")),
                        "above raw pixels at the largest size",
                    ),
                    Above(),
                ),
            )
        ),
        role="primary",
        preset="laptop",
        floor="the same network before training, and raw pixels",
        ceiling="every label right",
        scope="cluttered scenes; colour, style and shape; 32 labels a class; layer chosen on validation; fresh test scenes "
        "for every seed",
        pitfall="Easy pictures are solved by raw pixels already: they are the floor that counts.",
        linked=("C11a",),
        shown=("probe_test by layer (are the middle layers best?)", "probe_pool", "probe_best of drawings"),
    ),
    Claim(
        id="C11a",
        quote_key="C11",
        gloss="CLIP draws intelligence from images several orders of magnitude more efficiently than CLIP "
        "(from the context, the second must be iGPT).",
        wording="To the same probe accuracy iGPT needs at least three times the FLOPs of CLIP.",
        notebook="03_clip",
        experiment="efficiency",
        effect=_race("igpt", "clip", "times the FLOPs of CLIP", named=1),
        predicate=RatioAtLeast(3),
        role="primary",
        preset="laptop",
        floor="what no training gives: chance, raw pixels, either net untrained",
        ceiling="the best probe of the two",
        scope="a ViT and an iGPT trunk of the same size, named factors whose floor lies .1 or more below their ceiling: "
        "of four only the style",
        pitfall="Captions contain the label: factors that no caption names are reported beside.",
        linked=("C10", "C11b"),
        shown=("probe_accuracy of arms bag_of_words, captioner, clip_cnn, supervised", "probe_accuracy at named = 0"),
    ),
    Claim(
        id="C11b",
        quote_key="C11",
        gloss="CLIP draws intelligence from images several orders of magnitude more efficiently than CLIP "
        "(from the context, the second must be iGPT).",
        wording="... and by orders of magnitude, as the talk says: at least a hundred times.",
        notebook="03_clip",
        experiment="efficiency",
        effect=_race("igpt", "clip", "times the FLOPs of CLIP", named=1),
        predicate=RatioAtLeast(100),
        floor="what no training gives: chance, raw pixels, either net untrained",
        ceiling="the best probe of the two",
        scope="a ViT and an iGPT trunk of the same size, named factors whose floor lies .1 or more below their ceiling: "
        "of four only the style",
        pitfall="Captions contain the label: factors that no caption names are reported beside.",
        linked=("C11a",),
    ),
    Claim(
        id="C12",
        quote_key="C12",
        gloss="(DALL-E) is an interesting project, but not the critical path to AGI.",
        wording="A judgement of research strategy; nothing here can measure it.",
        notebook="02_dalle1",
        role="interpretive",
    ),
    Claim(
        id="C13",
        quote_key="C13",
        gloss="To learn a classifier that is good in every domain (from free text on the internet).",
        wording="Free text makes a zero-shot classifier that travels.",
        notebook="03_clip",
        experiment="transfer",
        predicate=All(
            (
                Part(
                    Share(
                        Pick("accuracy", "zero_shot", (("domain", "in"),)),
                        ceiling=Pick("accuracy", "supervised", (("domain", "in"),)),
                        unit="of supervised accuracy in its own domain",
                    ),
                    Above(0.9),
                ),
                Part(
                    _drop_gap(
                        "accuracy",
                        "zero_shot",
                        "supervised",
                        "less accuracy lost under shift than supervised",
                    ),
                    Above(),
                ),
            )
        ),
        role="primary",
        preset="laptop",
        floor="chance among the classes",
        ceiling="a supervised classifier at equal FLOPs",
        scope="real drawings of seen concepts named among 32; shift is a vendor never shown",
        pitfall="Free text may be labels in disguise.",
        shown=("accuracy of paraphrases and of new concepts, for which labels have no answer",),
    ),
    Claim(
        id="C14",
        quote_key="C14",
        gloss="By training an image encoder and using that encoder to reconstruct the image's caption.",
        wording="A captioner learns the binding of attributes that CLIP misses, and classifies as well.",
        notebook="04_captioners",
        experiment="binding",
        predicate=All(
            (
                Part(
                    difference(
                        Pick("binding_accuracy", "captioner"),
                        Pick("binding_accuracy", "clip"),
                        "above CLIP on swapped attributes",
                    ),
                    Above(0.1),
                ),
                *(
                    Part(
                        difference(
                            Pick("probe_accuracy", "captioner", (("named", 1), ("pool", pool))),
                            Pick("probe_accuracy", "clip", (("named", 1), ("pool", pool))),
                            f"away from CLIP on classification, {pool}-pooled",
                        ),
                        Within(0.03),
                    )
                    for pool in ("mean", "attention")
                ),
            )
        ),
        role="primary",
        preset="laptop",
        floor="a blind decoder, which must be at chance",
        ceiling="every swap told apart",
        scope="twin scenes, colour or style swapped between two objects, descriptive captions, equal FLOPs",
        pitfall="A decoder may win without looking; a CLIP that hears a bag of words cannot pass, whatever it sees.",
        linked=("C11a",),
        shown=(
            "binding_accuracy of arms blind, cappa, clip_bag, bag_of_words, captioner_ultra, clip_ultra",
            "probe_accuracy of factors not named",
        ),
    ),
    Claim(
        id="C15",
        quote_key="C15",
        gloss="Can a text-to-image model also learn good representations? Aditya's answer: yes.",
        wording="Features of p(image given text) beat features of p(image), even for a factor no caption names.",
        notebook="05_diffusion_classifier",
        experiment="features",
        predicate=All(
            tuple(
                Part(
                    difference(
                        Pick("probe_accuracy", "conditional", (("named", named),)),
                        Pick("probe_accuracy", "unconditional", (("named", named),)),
                        f"above the model without text on {what}",
                    ),
                    Above(0.02),
                )
                for named, what in ((1, "named factors"), (0, "the factor no caption names"))
            )
        ),
        floor="the model without text at equal FLOPs",
        ceiling="the exact posterior of each factor",
        scope="probes over layers and noise levels, both chosen on validation",
        pitfall="Captions leak the factor they name.",
    ),
    Claim(
        id="C16",
        quote_key="C16",
        gloss="Even though you model the distribution of images given text, the model can be turned into a classifier.",
        wording="A text-to-image diffusion model is a zero-shot classifier.",
        notebook="05_diffusion_classifier",
        experiment="classifier",
        effect=Share(
            Pick("accuracy", "diffusion", (("factor", ("colour", "background", "position")),)),
            ceiling=Pick("accuracy", "bayes", (("factor", ("colour", "background", "position")),)),
            unit="of the Bayes-optimal accuracy",
        ),
        predicate=Above(0.9),
        role="primary",
        preset="laptop",
        floor="chance among the candidates",
        ceiling="the exact Bayes classifier",
        scope="exact world, mean over colour, background and position; shape apart",
        pitfall="Candidates must be phrased like training captions.",
        linked=("C17",),
        shown=("accuracy at factor = shape",),
    ),
    Claim(
        id="C17",
        quote_key="C17",
        gloss="(Our paradigm is turning) to predicting the image from given text.",
        wording="Used as classifiers, p(image given text) holds under shift where p(text given image) does not.",
        notebook="05_diffusion_classifier",
        experiment="shift",
        predicate=All(
            (
                Part(
                    difference(
                        Pick("accuracy", "image_given_text", (("domain", "in"),)),
                        Pick("accuracy", "text_given_image", (("domain", "in"),)),
                        "above p(text given image) without shift",
                    ),
                    Above(-0.05),
                ),
                Part(
                    difference(
                        Pick("accuracy", "image_given_text", (("domain", "shift"),)),
                        Pick("accuracy", "text_given_image", (("domain", "shift"),)),
                        "above p(text given image) under shift",
                    ),
                    Above(0.05),
                ),
            )
        ),
        floor="p(text given image) at equal FLOPs",
        ceiling="the exact Bayes classifier",
        scope="shape and wall go together in 95 % of training and 50 % of test; Bayes' rule with the p(c) of training",
        pitfall="Both must use the same p(c): with even p(c) a captioner that knows only the wall falls below chance.",
        linked=("C16",),
        shown=("accuracy_even",),
    ),
    Claim(
        id="C18",
        quote_key="C18",
        gloss="Training on the most descriptive (ultradescriptive) text is more efficient.",
        wording="The FLOPs to the same prompted accuracy fall by half or more with descriptive captions.",
        notebook="07_dalle3",
        experiment="descriptiveness",
        effect=_flops("ultra", "short", "times the FLOPs of short captions", named=1, correct=1),
        predicate=RatioAtMost(0.5),
        role="primary",
        preset="laptop",
        floor="short captions, equally correct",
        ceiling="the reader's own accuracy on real pictures",
        scope="correct captions, 95 % of the arm's own and 5 % plain ones, only factors that both arms name",
        pitfall="A lower conditional loss alone is a theorem, not evidence.",
        linked=("C24", "C29"),
        shown=("range_share by level and correct",),
    ),
    Claim(
        id="C19",
        quote_key="C19",
        gloss="By using language as scaffolding one can get a better unsupervised model.",
        wording="S1: a caption first, then the picture, p(c) p(x given c), is a better model of p(x) than "
        "a direct one, "
        "and better than with a machine code in place of words.",
        notebook="09_without_captions",
        experiment="scaffold",
        predicate=_scaffold("s1"),
        role="primary",
        preset="laptop",
        floor="the direct model, and the same scheme with a code that has no words",
        ceiling="the exact entropy of the world",
        scope="exact world, equal FLOPs, the caption's own bits charged; per noise band",
        pitfall="The gain may sit where an ideal denoiser needs no caption: compute, not information.",
        linked=("C19s2", "C19s3", "C26", "C28", "C33"),
        shown=("bits_in_band", "bits_per_image of arm s1_random"),
    ),
    Claim(
        id="C19s2",
        quote_key="C19",
        gloss="By using language as scaffolding one can get a better unsupervised model.",
        wording="S2: the blank branch of a captioned model is a better model of p(x) than a direct one.",
        notebook="09_without_captions",
        experiment="scaffold",
        predicate=_scaffold("s2"),
        preset="laptop",
        floor="the direct model, and the same scheme with a code that has no words",
        ceiling="the exact entropy of the world",
        scope="exact world, equal FLOPs; per noise band",
        pitfall="Blank and captioned branch share one budget.",
        linked=("C19",),
        shown=("bits_in_band",),
    ),
    Claim(
        id="C19s3",
        quote_key="C19",
        gloss="By using language as scaffolding one can get a better unsupervised model.",
        wording="S3: a curriculum from detailed captions to none leaves a better model of p(x) than a direct one.",
        notebook="09_without_captions",
        experiment="scaffold",
        predicate=_scaffold("s3"),
        preset="laptop",
        floor="the direct model, and the same scheme with a code that has no words",
        ceiling="the exact entropy of the world",
        scope="exact world, equal FLOPs; per noise band",
        pitfall="The last steps without captions may be too few to tell.",
        linked=("C19",),
        shown=("bits_in_band",),
    ),
    Claim(
        id="C20",
        quote_key="C20",
        gloss="If there is no noise in the image, it must be described with every single pixel.",
        wording="What there is to say about a picture grows without end as its noise falls, and an empty caption "
        "says none of it.",
        notebook="00_the_world",
        experiment="information",
        predicate=All(
            (
                Part(
                    Curve(Pick("J", "exact"), along="sigma", unit="bits at the steepest step up with noise"),
                    NonIncreasing(0.01),
                ),
                Part(Slope(Pick("J", "exact"), along="sigma", unit="bits to say per doubling of noise"), Below()),
                Part(level(_NO_CAPTION, "bits told by an empty caption"), Within(0.01)),
            )
        ),
        role="exact",
        preset="laptop",
        seeds=1,
        floor="zero bits",
        ceiling="the entropy of the renders",
        scope="exact world",
        pitfall="Without end because of the grain that no caption describes; the scene's own part ends at 15 bits.",
        linked=("C21e", "C23"),
        shown=("J_render", "H_render"),
    ),
    Claim(
        id="C21e",
        quote_key="C21",
        gloss="The uncertainty that is left needs only a really descriptive caption.",
        wording="In the exact world the least caption that covers half of what there is to say gets shorter, level by "
        "level, as noise rises.",
        notebook="08_noise_ladder",
        experiment="coverage",
        effect=Grid(Pick("coverage", "exact"), unit=_COVERAGE),
        predicate=Staircase(),
        role="exact",
        preset="laptop",
        seeds=1,
        floor="an empty caption",
        ceiling="the pixels themselves",
        scope="exact world with texture, levels ordered by visible energy: its author chose that order",
        pitfall="It needs texture no caption describes; the human order of levels is kept as the control.",
        linked=("C21t",),
        shown=("coverage at order = human",),
    ),
    Claim(
        id="C21t",
        quote_key="C21",
        gloss="The uncertainty that is left needs only a really descriptive caption.",
        wording="A trained net shows the same staircase: at middle noise only descriptive captions cover half of what "
        "there is to say.",
        notebook="08_noise_ladder",
        experiment="coverage",
        effect=Grid(Pick("coverage", "trained"), Pick("coverage", "exact"), unit=_COVERAGE),
        predicate=Staircase(),
        role="primary",
        preset="laptop",
        floor="an empty caption",
        ceiling="the exact world's staircase",
        scope="noise levels where J is at least .1 bit; each step of the exact staircase, one grid point of slack",
        pitfall="A net that is undertrained without captions makes captions look too informative.",
        linked=("C21e", "C22t"),
        shown=("information by band, trained over exact",),
    ),
    Claim(
        id="C22e",
        quote_key="C22",
        gloss="To explain the part that still has signal, only a simple description is needed.",
        wording="In the exact world the staircase ends, at high noise, at a short caption.",
        notebook="08_noise_ladder",
        experiment="coverage",
        effect=Grid(Pick("coverage", "exact"), unit=_COVERAGE),
        predicate=Staircase(ends_at=2),
        role="exact",
        preset="laptop",
        seeds=1,
        floor="an empty caption",
        ceiling="the pixels themselves",
        scope="exact world with texture, levels ordered by visible energy: its author chose that order",
        pitfall="True only if the short caption names the factors of highest energy.",
        linked=("C22t",),
        shown=("coverage at order = human",),
    ),
    Claim(
        id="C22t",
        quote_key="C22",
        gloss="To explain the part that still has signal, only a simple description is needed.",
        wording="A trained net shows the same: at high noise a short caption covers half of what there is to say.",
        notebook="08_noise_ladder",
        experiment="coverage",
        effect=Grid(Pick("coverage", "trained"), Pick("coverage", "exact"), unit=_COVERAGE),
        predicate=Staircase(ends_at=2),
        floor="an empty caption",
        ceiling="the exact world's staircase",
        scope="noise levels where J is at least .1 bit; each step of the exact staircase, one grid point of slack",
        pitfall="True only if the short caption names the factors of highest energy.",
        linked=("C22e", "C21t"),
    ),
    Claim(
        id="C23",
        quote_key="C23",
        gloss="Now there is no caption any more, because anything is possible.",
        wording="At full noise there is nothing left to say: below a tenth of a bit.",
        notebook="00_the_world",
        experiment="information",
        effect=level(Pick("J", "exact", at=("sigma", "largest")), "bits left to say at full noise"),
        predicate=Below(0.1),
        role="exact",
        preset="laptop",
        seeds=1,
        floor="zero bits",
        ceiling="the entropy of the renders",
        scope="exact world",
        pitfall="It holds for any picture once the noise is large enough.",
        linked=("C20",),
    ),
    Claim(
        id="C24",
        quote_key="C24",
        gloss="If it is given the value of every pixel, it may learn nothing.",
        wording="Conditioned on every pixel value, a model learns nothing that a text prompt can call up.",
        notebook="07_dalle3",
        experiment="descriptiveness",
        effect=Share(
            Pick("accuracy", "pixels", _ASKED, at=("flops", "largest")),
            ceiling=Pick("accuracy", "ultra", (("correct", 1), *_ASKED), at=("flops", "largest")),
            floor=Pick("accuracy", "chance", _ASKED),
            chance=Pick("accuracy", "chance", _ASKED),
            unit="of what ultra-descriptive captions gain over chance",
        ),
        predicate=Below(0.1),
        floor="chance",
        ceiling="the ultra-descriptive arm at equal FLOPs",
        scope="captions replaced by the quantised pixels",
        pitfall="Nearly trivial: an illustration.",
        linked=("C18",),
        revised_after_evidence=True,
    ),
    Claim(
        id="C25",
        quote_key="C25",
        gloss="With yet more compute, it can learn from more descriptive text "
        "(for the ladder to end without captions, it must mean less).",
        wording="The compute needed rises as captions get shorter.",
        notebook="09_without_captions",
        experiment="budgets",
        predicate=All(
            (
                Part(
                    Slope(
                        Threshold(Pick("kl_over_eps", "captioned"), "flops", 1.0, falling=True, over="level"),
                        along="level",
                        log_x=False,
                        log_y=True,
                        unit="doublings of FLOPs per caption level",
                    ),
                    Below(),
                ),
                Part(
                    Curve(
                        Threshold(Pick("kl_over_eps", "captioned"), "flops", 1.0, falling=True, over="level"),
                        along="level",
                        unit="FLOPs more at the worst step to a longer caption",
                    ),
                    NonIncreasing(),
                ),
            )
        ),
        floor="a flat line",
        ceiling="the exact conditional entropy at each level, subtracted",
        scope="exact world, at least five budgets for each level, each annealed on its own",
        pitfall="Raw losses have different floors.",
        linked=("C26",),
    ),
    Claim(
        id="C26",
        quote_key="C26",
        gloss="At a very large scale, perhaps no conditioning is needed at all.",
        wording="The caption's advantage shrinks with compute.",
        notebook="09_without_captions",
        experiment="budgets",
        effect=Curve(Pick("gap", "ultra_over_none"), along="flops", unit="bits below its earlier peak"),
        predicate=PastPeak(),
        floor="a gap that stays",
        ceiling="no gap left",
        scope="exact world, gap between ultra-descriptive captions and none, paired by seed",
        pitfall="Finite worlds saturate.",
        linked=("C19", "C28"),
        shown=("gap over the direct model's KL", "steps_ratio at equal KL"),
    ),
    Claim(
        id="C27",
        quote_key="C27",
        gloss="Performance on the unconditional task will also rise over time.",
        wording="The loss without captions keeps falling with compute.",
        notebook="09_without_captions",
        experiment="budgets",
        effect=Slope(
            Pick("kl", "direct"),
            along="flops",
            log_y=True,
            sign=-1,
            unit="as the exponent of the reducible loss in FLOPs",
        ),
        predicate=Above(),
        floor="an exponent of zero",
        ceiling="the exact entropy of the world, subtracted",
        scope="exact world, the arm without captions",
        pitfall="Nearly a tautology: the exponent is the news.",
        linked=("C02",),
    ),
    Claim(
        id="C28",
        quote_key="C28",
        gloss="Language may really be only scaffolding that can be thrown away, because the visual world "
        "may be a more "
        "general interface than text.",
        wording="History and forecast; what can be measured of it is in C19 and C26.",
        notebook="09_without_captions",
        role="interpretive",
        linked=("C19", "C26"),
    ),
    Claim(
        id="C29",
        quote_key="C29",
        gloss="Fix the objective and the model's structure, and look for better data.",
        wording="Better captions matter more than a better architecture.",
        notebook="07_dalle3",
        experiment="data_or_architecture",
        effect=_main_effects("accuracy", "more accuracy from better captions than from a better architecture"),
        predicate=Above(),
        floor="the worse architecture with the worse captions",
        ceiling="the reader's own accuracy on real pictures",
        scope="two architectures by two kinds of caption, equal FLOPs, which is better stated beforehand",
        pitfall="It depends on how far apart the two of each kind are chosen: the range is stated.",
        linked=("C18",),
    ),
    Claim(
        id="C30",
        quote_key="C30",
        gloss="One can restyle in visual space and keep the picture's own details.",
        wording="A decoder of CLIP embeddings restyles a scene and keeps its content; what the embedding does not hold "
        "is kept only with the noise latent.",
        notebook="06_dalle2",
        experiment="restyling",
        predicate=_restyled("of the other facts kept"),
        role="primary",
        preset="laptop",
        floor="random directions and the mean picture of a style",
        ceiling="one: Bayes reads real pictures without fault",
        scope="exact world, one of four styles asked for by a difference of two captions",
        pitfall="The embedding may hold everything or nothing.",
        linked=("C30d",),
        shown=("target_success of arms random_direction, image_mean, image_difference",),
    ),
    Claim(
        id="C30d",
        quote_key="C30",
        gloss="One can restyle in visual space and keep the picture's own details.",
        wording="The same on real drawings: a drawing moves to another set and stays what it was.",
        notebook="06_dalle2",
        experiment="drawings",
        predicate=_restyled("of the start's concept kept"),
        floor="random directions and the mean picture of a set",
        ceiling="the judges' own accuracy on real drawings",
        scope="real drawings, pairs of concept and set that training never shows, one of six sets asked for by words",
        pitfall="The judge of sets knows .58 of the real drawings of these pairs: the margin lies above that.",
        linked=("C30",),
    ),
    Claim(
        id="C31",
        quote_key="C31",
        gloss="Given only the upper half of a picture, it can generate a lower half that changes the "
        "upper half in some way.",
        wording="Given an upper half, a changed lower half is drawn, where natural collages were seen and "
        "no instruction.",
        notebook="02_dalle1",
        experiment="halves",
        effect=difference(
            Pick("accuracy", "upper_half", (("training", "collages"),)),
            Pick("accuracy", "unrelated", (("training", "collages"),)),
            "above an unrelated upper half",
        ),
        predicate=Above(0.2),
        floor="the same model given an unrelated upper half",
        ceiling="one: real collages are read without fault",
        scope="scene world, 2 % natural collages in training",
        pitfall="Collages in training are a kind of teaching: their dose is swept.",
        linked=("C31i", "C32"),
        shown=("accuracy by dose",),
    ),
    Claim(
        id="C31i",
        quote_key="C31",
        gloss="Given only the upper half of a picture, it can generate a lower half that changes the "
        "upper half in some way.",
        wording="... and also where only single scenes were seen, that is, without training for it at all.",
        notebook="02_dalle1",
        experiment="halves",
        effect=difference(
            Pick("accuracy", "upper_half", (("training", "single"),)),
            Pick("accuracy", "unrelated", (("training", "single"),)),
            "above an unrelated upper half",
        ),
        predicate=Above(0.2),
        floor="the same model given an unrelated upper half",
        ceiling="one: real collages are read without fault",
        scope="scene world, no collage in training",
        pitfall="The model will likely just continue the scene: the null is published.",
        linked=("C31",),
    ),
    Claim(
        id="C32",
        quote_key="C32",
        gloss="This is a path to image control of every kind.",
        wording="A forecast; what can be measured of it is in C30 and C31.",
        notebook="02_dalle1",
        role="interpretive",
        linked=("C30", "C31"),
    ),
    Claim(
        id="C33",
        quote_key="C33",
        gloss="Compressing everything may be the right path, and language is only a necessary scaffolding.",
        wording="A conviction; what can be measured of it is in C09 and C19.",
        notebook="10_verdicts",
        role="interpretive",
        linked=("C09a", "C09b", "C19"),
    ),
    Claim(
        id="C34",
        quote_key="C34",
        gloss="In the end it will come down to visual intelligence.",
        wording="A forecast; nothing here can measure it.",
        notebook="10_verdicts",
        role="interpretive",
    ),
    Claim(
        id="C35",
        quote_key="C35",
        gloss="It will give us a general interface to simulate anything we want.",
        wording="A forecast; nothing here can measure it.",
        notebook="10_verdicts",
        role="interpretive",
    ),
)

BY_ID = {claim.id: claim for claim in CLAIMS}
PRIMARY = tuple(claim.id for claim in CLAIMS if claim.role == "primary")
