"""Figures of 05 and 08: the words say the numbers, one seed is enough, yours is a star, and a missing arm is left out."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from falsework.core.errors import Refused
from falsework.figures import Figure, diffusion
from falsework.world.scene import EXACT

Rows = list[dict[str, object]]
DICE = np.random.default_rng(0)
ONE = DICE.integers(0, 256, (16, 16, 3), dtype=np.uint8)
LEARNED = {"colour": 0.9, "background": 0.97, "position": 0.96, "size": 0.8, "style": 0.75, "shape": 0.5, "light": 0.6}
BEST = {"colour": 0.99, "background": 1.0, "position": 1.0, "size": 0.97, "style": 0.98, "shape": 0.99, "light": 0.95}
VIEWS = (0.25, 0.5, 1.0, 2.0, 4.0)


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def table(rows: Rows, seeds: int = 1, yours: bool = False) -> pd.DataFrame:
    """Return rows published by some seeds around their values; with yours, the same a tenth lower as seed 9."""
    every: Rows = [
        {"seed": s, **r, "source": "published", "value": float(str(r["value"])) + 0.004 * (s - (seeds - 1) / 2)}
        for s in range(seeds)
        for r in rows
    ]
    mine: Rows = [{**r, "seed": 9, "source": "yours", "value": float(str(r["value"])) * 0.9} for r in rows]
    return pd.DataFrame(every + (mine if yours else []))


def classified() -> Rows:
    rows: Rows = []
    for f, value in LEARNED.items():
        at: dict[str, object] = {"factor": f, "metric": "accuracy"}
        rows += [{**at, "arm": "diffusion", "value": value}, {**at, "arm": "bayes", "value": BEST[f]}]
        rows += [{**at, "arm": "captioner", "value": value - 0.05}, {**at, "arm": "clip", "value": value - 0.12}]
        rows.append({**at, "arm": "chance", "value": 1 / len(EXACT.factors[f])})
        rows.append({**at, "metric": "accuracy_pruned", "arm": "diffusion", "value": value - 0.02})
        share = 0.5 - 0.03 * len(EXACT.factors[f])
        rows.append({**at, "metric": "evaluations_share", "arm": "diffusion", "value": share})
    return rows


def noisy() -> Rows:
    rows: Rows = []
    for k, draws in enumerate((1, 2, 4, 8, 16, 32)):
        for shared in (0, 1):
            at: dict[str, object] = {"metric": "accuracy_by_draws", "arm": "diffusion", "draws": draws}
            rows.append({**at, "shared": shared, "value": 0.2 + 0.07 * k + shared * (0.3 - 0.03 * k)})
    for f in ("colour", "background", "position", "shape"):
        for k, sigma in enumerate(VIEWS):
            at = {"metric": "accuracy_seen_in_noise", "factor": f, "sigma": sigma}
            rows.append({**at, "arm": "bayes", "value": BEST[f] - 0.03 * k**2})
            rows.append({**at, "arm": "diffusion", "value": (BEST[f] - 0.03 * k**2) * LEARNED[f]})
    return rows


def moved() -> Rows:
    rows: Rows = []
    for arm, ends in (("image_given_text", (0.7, 0.66)), ("text_given_image", (0.9, 0.7))):
        for domain, value in zip(("in", "shift"), ends):
            at: dict[str, object] = {"arm": arm, "domain": domain}
            rows.append({**at, "metric": "accuracy", "value": value})
            rows += [{**at, "metric": "accuracy_when", "tied": t, "value": value - 0.3 + 0.5 * t} for t in (1, 0)]
    return rows


def probed() -> Rows:
    return [
        {"metric": "probe_accuracy", "arm": arm, "factor": f, "named": int(f != "nudge_x"), "value": value - less}
        for arm, less in (("conditional", 0.0), ("unconditional", 0.06))
        for f, value in {**LEARNED, "nudge_x": 0.8}.items()
    ]


def shown() -> Rows:
    rows: Rows = []
    for k, how in enumerate(("unguided", "guided", "ancestral", "real")):
        rows += [{"metric": "drawn_right", "arm": "diffusion", "how": how, "factor": f, "value": v} for f, v in BEST.items()]
        rows.append({"metric": "off_render", "arm": "diffusion", "how": how, "value": 0.3 - 0.06 * k})
    for how in ("unguided", "guided", "ancestral", "nothing said", "real"):
        rows += [{"metric": m, "arm": "diffusion", "how": how, "value": 0.5} for m in ("frechet", "coverage")]
    return rows


def curves() -> dict[str, np.ndarray]:
    sigmas, colours = np.geomspace(0.2, 8, 24), EXACT.factors["colour"]
    way = np.linspace(-1, 1, 8)[:, None] / (1 + sigmas) / 200
    noise = np.random.default_rng(1).normal(0, 1, (8, 24)) / (0.5 + sigmas) / 150
    return {
        "curve_sigmas": sigmas,
        "curve_errors": 0.4 + np.stack([way, way + noise]),
        "curve_captions": np.array([f"a {c} thing" for c in colours]),
        "curve_truth": np.array([0]),
        "curve_picture": ONE,
    }
