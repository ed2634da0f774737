"""The splits keep their promises: no family or twin on two sides, hold-outs absent, words covered."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsework.core.errors import Refused
from falsework.data.emoji import PARTS, VENDORS, load_emoji, words_of

emoji = load_emoji()
EVERY = np.arange(len(emoji))
CONCEPT = emoji.labels(EVERY, "concept")
VENDOR = emoji.labels(EVERY, "vendor")
FAMILY = np.array([row["family"] for row in emoji.table])[CONCEPT]
MAIN = (*PARTS, "style_concept")


def test_the_four_main_parts_share_no_picture_and_leave_none_out():
    together = np.concatenate([emoji.split(part) for part in MAIN])
    np.testing.assert_array_equal(np.sort(together), EVERY)


def test_no_family_is_on_two_sides():
    families = {part: set(FAMILY[emoji.split(part)]) for part in PARTS}
    assert not families["train"] & families["val"]
    assert not families["train"] & families["test"]
    assert not families["val"] & families["test"]


@pytest.mark.parametrize("names", [("man cook", "woman cook", "cook"), ("man running", "person running facing right")])
def test_variants_of_one_thing_are_one_family(names):
    found = {row["family"] for row in emoji.table if words_of(row["name"]) in names}
    assert len(found) == 1


def test_no_held_out_drawing_is_a_twin_of_a_training_drawing_in_its_style():
    rgba = emoji.rgba(EVERY).reshape(-1, 16, 2, 16, 2, 4).mean(axis=(2, 4), dtype=np.float32).reshape(-1, 1024) / 255
    style = emoji.labels(EVERY, "style")
    side = np.full(len(EVERY), "train", dtype=object)
    for part in ("val", "test"):
        side[emoji.split(part)] = part
    for s in np.unique(style):
        for part in ("val", "test"):
            ours, theirs = rgba[(style == s) & (side == part)], rgba[(style == s) & (side != part)]
            square = (ours**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * ours @ theirs.T
            assert np.sqrt(max(square.min(), 0) / 1024) > 0.039  # the builder joins below .04


def test_parts_are_about_80_10_10_of_the_concepts_in_every_large_group():
    sides = Counter((row["group"], row["split"]) for row in emoji.table)
    for group, count in Counter(row["group"] for row in emoji.table).items():
        if count >= 50:
            assert sides[group, "val"] / count == pytest.approx(0.1, abs=0.02)
            assert sides[group, "test"] / count == pytest.approx(0.1, abs=0.02)


def test_every_word_of_a_held_out_name_is_said_in_training():
    said = {
        word
        for row in emoji.table
        if row["split"] == "train"
        for word in [*words_of(row["name"]).split(), *row["keywords"].split()]
    }
    for row in emoji.table:
        if row["split"] != "train":
            assert set(words_of(row["name"]).split()) <= said, row["name"]


def test_style_concept_pairs_are_unseen_but_their_concepts_and_their_styles_are_seen():
    train, held = emoji.split("train"), emoji.split("style_concept")
    seen_pairs = set(zip(CONCEPT[train].tolist(), VENDOR[train].tolist()))
    vendors_of = {c: set(VENDOR[train][CONCEPT[train] == c].tolist()) for c in set(CONCEPT[held].tolist())}
    for c, v in zip(CONCEPT[held].tolist(), VENDOR[held].tolist()):
        assert (c, v) not in seen_pairs
        assert len(vendors_of[c]) >= 2
    assert set(VENDOR[held].tolist()) == set(range(len(VENDORS)))  # every vendor is held out for some concept
    assert not set(FAMILY[held]) & set(FAMILY[emoji.split("test")])


@given(st.sampled_from(VENDORS), st.sampled_from(PARTS))
def test_without_a_vendor_means_the_part_less_its_pictures(vendor, part):
    v = VENDORS.index(vendor)
    left = emoji.split(f"{part}_without_vendor:{vendor}")
    whole = emoji.split(part)
    np.testing.assert_array_equal(left, whole[VENDOR[whole] != v])
    unseen = emoji.split(f"vendor:{vendor}")
    np.testing.assert_array_equal(
        np.sort([*unseen, *emoji.split(f"test_without_vendor:{vendor}")]), emoji.split("test")
    )
    assert len(unseen) > 100 and set(VENDOR[unseen]) == {v}


@given(st.text(max_size=30))
def test_any_other_name_is_refused(name):
    if name not in emoji.splits:
        with pytest.raises(Refused, match=r"^The split is .* but must be one of"):
            emoji.split(name)


@given(st.lists(st.integers(0, len(emoji) - 1), min_size=1, max_size=8), st.sampled_from(emoji.levels))
def test_a_batch_is_the_pictures_one_by_one(index, level):
    flat = emoji.backgrounds(index, "one by one")
    one_by_one = [emoji.images([i], 16, f)[0] for i, f in zip(index, flat)]
    np.testing.assert_array_equal(emoji.images(index, 16, flat), one_by_one)
    assert emoji.captions(index, level, flat) == [emoji.captions([i], level, f)[0] for i, f in zip(index, flat)]
