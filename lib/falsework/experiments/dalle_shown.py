"""The half of 02_dalle1 without words: what a model makes of an example, a matrix, or the upper half of a picture.

Three arms differ in how many such pictures their training shows: "alone" none, "dalle" one in 25, "taught" most. None of
them came with a caption.

Dimension key: N pictures, A answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from falsework.core.dataset import Index
from falsework.experiments import Measured, Subject
from falsework.probes.completion import answer_bits, finish, upper_cells
from falsework.recipes.pairs import scenes_of
from falsework.recipes.reader import fresh
from falsework.world.kinds import ATTRIBUTES
from falsework.world.puzzles import ANSWERS, COUNTS, Puzzles, puzzles_of
from falsework.world.scenes import SceneWorld

Rows = list[dict[str, Any]]
SHOWN_ONCE = 1  # the seed whose pictures are shown, and at laptop the only one of the arms that are not judged
# arm -> what its stage shows beside single scenes
TRAINING = {"alone": "single", "dalle": "collages", "taught": "taught"}


def dose(kind: str, arm: str) -> float:
    """Return the share of one kind of picture in an arm's world, before training leaves out what is held out."""
    data = {"alone": "stage alone", "dalle": "stage", "taught": "stage taught"}[arm]
    return float(scenes_of(data).share.get(kind, 0.0))


def drawn(subject: Subject, kind: str, n: int, split: str, *keys: object) -> tuple[SceneWorld, Index, np.ndarray]:
    """Return (world, numbers, pictures) of this seed's own draw of one kind, the same for every arm."""
    world, n = scenes_of("stage"), max(4, n // 8) if subject.preset == "smoke" else n
    return world, *fresh(world, kind, n, split, "02_dalle1", split, subject.seed, *keys)


def answers(subject: Subject, asked: Puzzles) -> np.ndarray:
    """Return int64 (N,): the answer that the model finds likeliest."""
    return answer_bits(subject.model, asked.pictures(subject.model.tokenizer.side)).argmin(1)


def in_context(subject: Subject) -> Measured:
    """How often the model changes a thing as an example shows, and as an unrelated example does not.

    One row shows a thing and its change; below it another thing, whose change is asked: eight answers, one as shown.
    Operations seen in training, and those held out ("heldout").
    """
    if subject.arm not in TRAINING:
        return Measured([])
    rows: Rows = []
    for operation, split in (("seen", "test"), ("heldout", "test_operation")):
        world, index, _ = drawn(subject, "episode", 200, split)
        asked = puzzles_of(world, "episode", index, "02_dalle1", split, subject.seed)
        order = np.roll(np.arange(len(index)), 1)
        others = puzzles_of(world, "episode", index[order], "02_dalle1", split, subject.seed)
        # an example with the same change would be no stranger
        moved, theirs = (p.cells[:, 0] != p.cells[:, 1] for p in (asked, others))
        apart = (moved != theirs).any(1)
        for arm, version in (("example", asked), ("unrelated", asked.after(others))):
            right = answers(subject, version) == asked.right
            about: dict[str, Any] = {"metric": "accuracy" if subject.arm == "dalle" else "accuracy_by_dose", "arm": arm}
            about |= {"training": TRAINING[subject.arm], "dose": dose("episode", subject.arm), "operation": operation}
            rows.append({**about, "n": int(apart.sum()), "value": float(right[apart].mean())})
    rows.append({"metric": "chance", "value": 1 / ANSWERS})
    return Measured(rows)


def puzzles(subject: Subject) -> Measured:
    """How often the likeliest of eight answers to a matrix is right; one attribute alone; and who copies, or is blind."""
    if subject.arm not in TRAINING:
        return Measured([])
    world, index, _ = drawn(subject, "matrix", 240, "test")
    asked = puzzles_of(world, "matrix", index, "02_dalle1", subject.seed)
    chosen = answers(subject, asked)
    name = "accuracy" if subject.arm == "dalle" else "accuracy_by_dose"
    at = {"training": TRAINING[subject.arm], "dose": dose("matrix", subject.arm), "n": len(asked)}
    rows: Rows = [{"metric": name, "arm": subject.arm, **at, "value": float((chosen == asked.right).mean())}]
    rows.append({"metric": name, "arm": "chance", "value": 1 / ANSWERS})
    pick = asked.answers[np.arange(len(asked)), chosen]
    for a, attribute in enumerate(ATTRIBUTES):
        right = float((pick[:, a] == asked.cells[:, 3, a]).mean())
        rows.append({"metric": "attribute_right", "arm": subject.arm, **at, "attribute": attribute, "value": right})
    beside = (asked.answers == asked.cells[:, 2:3]).all(2)  # the answer that looks like the cell to its left
    rows.append(
        {"metric": "has_neighbour_among_answers", "arm": "copy_neighbour", "value": float(beside.any(1).mean())}
    )
    copied = np.where(beside.any(1), beside.argmax(1), 0)
    rows.append({"metric": name, "arm": "copy_neighbour", "value": float((copied == asked.right).mean())})
    blind = blind_answers(subject, asked)
    rows.append({"metric": name, "arm": "answers_alone", **at, "value": float((blind == asked.right).mean())})
    return Measured(
        rows, _shown(subject, asked, chosen) if subject.arm == "taught" and subject.seed == SHOWN_ONCE else {}
    )


def blind_answers(subject: Subject, asked: Puzzles) -> np.ndarray:
    """Return int64 (N,): the answer chosen when the three cells are those of another puzzle: who sees answers alone."""
    strange = Puzzles(np.roll(asked.cells, 1, 0), asked.answers, asked.right, asked.ground)
    return answers(subject, strange)


def _shown(subject: Subject, asked: Puzzles, chosen: np.ndarray) -> dict[str, np.ndarray]:
    some = asked.pictures(subject.model.tokenizer.side)[:4]
    return {"puzzles": some, "puzzles_right": asked.right[:4], "puzzles_chosen": chosen[:4]}


def halves(subject: Subject) -> Measured:
    """Whether a lower half is the upper one with one attribute changed, after its own upper half and after another's.

    The lower thing is read as the nearest of all 384 looks. "changed": one attribute differs; "same": none.
    """
    if subject.arm not in TRAINING:
        return Measured([])
    world, index, pictures = drawn(subject, "collage", 160, "test")
    words, model = subject.recipe.pairs.vocabulary, subject.model
    kept = upper_cells(model)
    made = finish(model, words, pictures, kept, "02_dalle1", "halves", subject.seed)
    others = np.roll(made, 1, axis=0)
    others[:, : others.shape[1] // 2] = pictures[:, : others.shape[1] // 2]
    about = {"training": TRAINING[subject.arm], "dose": dose("collage", subject.arm), "n": len(index)}
    rows: Rows = []
    for arm, version in (("upper_half", made), ("unrelated", others), ("real", pictures)):
        differ = attributes_changed(world, index, version)
        for metric, hit in (("accuracy", differ == 1), ("same", differ == 0)):
            rows.append({"metric": metric, "arm": arm, **about, "value": float(hit.mean())})
    if subject.seed != SHOWN_ONCE:
        return Measured(rows)
    shown = {f"halves_{subject.arm}": made[:8]}
    return Measured(rows, shown | ({"halves_given": pictures[:8]} if subject.arm == "dalle" else {}))


def attributes_changed(world: SceneWorld, index: Index, pictures: np.ndarray) -> np.ndarray:
    """Return int64 (N,): in how many attributes the lower thing of a collage differs from its upper one, 0 to 3.

    The lower thing is the one of all looks whose render is nearest to the picture's lower half.
    """
    kind, side = world.kinds["collage"], world.side
    scenes = world.scenes(index, kind)
    upper = np.stack([scenes[f] for f in ATTRIBUTES], 1)
    given = pictures[:, side // 2 :].astype(np.float32).reshape(len(index), -1)
    best, found = np.full(len(index), np.inf), np.zeros_like(upper)
    # a look in the upper place of a collage and no change puts it in the lower place as well
    still = scenes | {"change": np.zeros_like(scenes["change"]), "across": np.full_like(scenes["across"], -1)}
    for look in np.ndindex(*COUNTS):
        version = still | {f: np.full(len(index), look[a]) for a, f in enumerate(ATTRIBUTES)}
        render = world.render("collage", version)[:, side // 2 :].reshape(len(index), -1)
        error = np.square(given - render).sum(1)
        better = error < best
        best, found = np.where(better, error, best), np.where(better[:, None], look, found)
    return (found != upper).sum(1)
