"""A diffusion model that is taught by rewritten captions (Betker et al. 2023, DALL-E 3), with a few old ones mixed in."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from falsework.core.dataset import Index
from falsework.core.errors import Refused
from falsework.core.rng import rng
from falsework.recipes.diffusion import Diffusion
from falsework.recipes.recaptioner import PRESETS as WRITERS
from falsework.recipes.recaptioner import Recaptioner
from falsework.recipes.worded import Worded, exactly
from falsework.training import Fit, Train
from falsework.world.codes import LANGUAGES


@dataclass(frozen=True)
class Rewritten(Worded):
    """A collection whose own captions a captioner wrote, one for each scene; the others are as they were before."""

    written: tuple[str, ...] = ()

    @cached_property
    def before(self) -> Worded:
        """The collection as it was: its old captions, all of one level."""
        kept = {f.name: getattr(self, f.name) for f in dataclasses.fields(Worded)}
        return Worded(**{**kept, "levels": (self.plain,), "own": 1.0})

    def say(self, index: Index, *keys: object) -> list[str]:
        """Return a caption for each scene: the old ones are right as often as they were."""
        old = self.before.say(index, *keys)
        new = exactly(len(index), self.own, rng(*keys, "rewritten"))
        return [self.written[i] if own else told for i, own, told in zip(index.tolist(), new, old)]


@dataclass(frozen=True)
class Recaptioned(Diffusion):
    """recaptioner: who rewrites, a parent. pairs: the collection as it was.

    The share `own` of its captions is replaced, the others stay as they were: the level `plain`, the share `right` of
    them right. Raises Refused for a collection in another language than words, and for a curriculum.
    """

    pairs: Worded = field(default_factory=lambda: Worded(own=0.95, right=0.5))
    recaptioner: Recaptioner = field(default_factory=Recaptioner)
    name: ClassVar[str] = "recaptioned"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pairs.until or self.pairs.language != LANGUAGES[0]:
            raise Refused(
                f"The collection speaks {self.pairs.language!r} until step {self.pairs.until}, but is rewritten in words, "
                "for good."
            )

    def parents(self) -> dict[str, Any]:
        """Return who rewrites."""
        return {"recaptioner": self.recaptioner}

    def build(self, seed: int, weights: dict[str, Any] | None = None) -> nn.Module:
        """Return a Denoiser that holds the recaptioner, frozen; `weights` has the parent's at least."""
        mine = {k: v for k, v in (weights or {}).items() if not k.startswith("recaptioner.")}
        theirs = {k.removeprefix("recaptioner."): v for k, v in (weights or {}).items() if k not in mine}
        model = super().build(seed, mine or None)
        model.recaptioner = self.recaptioner.build(seed, theirs or None).requires_grad_(False)
        return model

    def fit(self, model: Any, seed: int, folder: Path, watch: Any = None) -> Fit:
        """Train on fresh pictures and rewritten captions, a function of the step."""
        fields = {f.name: getattr(self.pairs, f.name) for f in dataclasses.fields(Worded)}
        pairs = Rewritten(**fields, written=self.recaptioner.captions(model.recaptioner))
        return Diffusion.fit(replace(self, pairs=pairs), model, seed, folder, watch)


# core-seconds of the painter alone, on one thread of a 2024 server core
PRESETS = {
    "smoke": Recaptioned(
        patch=8, width=16, depth=1, heads=2, train=Train(20, 16, lr=0.01), recaptioner=WRITERS["smoke"]
    ),
    "laptop": Recaptioned(
        patch=4, width=64, depth=3, heads=2, silent=0.1, train=Train(378, 64, lr=0.01), recaptioner=WRITERS["laptop"]
    ),
    "overnight": Recaptioned(
        patch=4, width=64, depth=3, heads=2, silent=0.1, train=Train(378, 64, lr=0.01), recaptioner=WRITERS["overnight"]
    ),
    "gpu": Recaptioned(
        patch=2, width=384, depth=6, heads=6, silent=0.1, train=Train(850, 256, lr=3e-3), recaptioner=WRITERS["gpu"]
    ),
}
