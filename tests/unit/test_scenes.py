"""The scene world: a number is a scene for ever, equal pictures share a side, and nothing held out leaks into training."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from falsework.core.dataset import Dataset
from falsework.core.errors import Refused
from falsework.data.emoji import STYLES as SETS_ON_DISK
from falsework.data.emoji import load_emoji
from falsework.probes.linear import probe_accuracy, range_share
from falsework.world.font import CHARACTERS, glyphs
from falsework.world.kinds import HELD_KINDS, SETS, SPRITES, Thing, held_out, kinds_of, size_of
from falsework.world.scene import COLOURS, SHAPES
from falsework.world.scenes import SceneWorld, hashed, pixel_hash
from falsework.world.stage import CELL, HORIZON, draw


@pytest.fixture(scope="module")
def plain():
    return SceneWorld("plain", 16)


@pytest.fixture(scope="module")
def cluttered():
    return SceneWorld("cluttered", 16)


@pytest.fixture(scope="module")
def sprites():
    emoji = load_emoji()
    index = np.array([emoji.find(name, style) for name in SPRITES for style in SETS_ON_DISK])
    assert not set(index) - set(emoji.split("train"))  # no held-out drawing is shown on a sticker
    return emoji.rgba(index, size=16).reshape(len(SPRITES), len(SETS), 16, 16, 4)


def some(kind, n=64, seed=0):
    source = np.random.default_rng(seed)
    return {f: source.integers(len(v), size=n) for f, v in kind.factors.items()}


# ---- drawing


@pytest.mark.parametrize("name, side", [("plain", 16), ("plain", 32), ("cluttered", 16)])
def test_a_picture_depends_on_its_number_alone_never_on_the_batch_around_it(name, side):
    world = SceneWorld(name, side)
    index = np.random.default_rng(0).integers(1 << 62, size=150)
    together = world.images(index)
    assert np.array_equal(together[::-1], world.images(index[::-1]))
    alone = np.concatenate([world.images(index[i : i + 1]) for i in range(150)])
    assert np.array_equal(together, alone)
    for kind in world.kinds.values():
        assert np.array_equal(draw(kind, some(kind), side, block=5), draw(kind, some(kind), side))


def test_another_process_draws_the_same_world(plain, cluttered):
    code = "from falsework.world.scenes import SceneWorld as W; print(W('plain', 16).digest, W('cluttered', 16).digest)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said == [plain.digest, cluttered.digest]


def test_every_factor_of_every_kind_is_visible(sprites):
    for layout in ("plain", "cluttered"):
        for kind in SceneWorld(layout, 32, sprites=sprites, slips=True).kinds.values():
            scenes = some(kind, 200)
            first = draw(kind, scenes, 32, sprites)
            for factor, values in kind.factors.items():
                other = scenes | {factor: (scenes[factor] + 1) % len(values)}
                changed = (draw(kind, other, 32, sprites) != first).any((1, 2, 3)).mean()
                assert changed > (0.5 if factor.startswith("crumb") else 0.9), (kind.name, factor, changed)


def test_light_comes_from_its_side_and_shadows_fall_away_from_it(plain):
    kind = plain.kinds["one"]
    scenes = some(kind, 300) | {"style": np.zeros(300, int), "position": np.full(300, 4), "shape": np.zeros(300, int)}
    left, right = (draw(kind, scenes | {"light": np.full(300, k)}, 16).astype(float) for k in (0, 1))
    half = (left - right).mean((0, 1, 3))  # by column
    assert half[5:7].min() > 5 and half[9:11].max() < -5


def test_a_glossy_floor_mirrors_the_object_and_a_matt_one_does_not(plain):
    kind = plain.kinds["one"]
    scenes = some(kind, 300) | {"style": np.zeros(300, int), "size": np.ones(300, int), "position": np.full(300, 4)}
    scenes["shape"][:] = 0  # circles, which end above the horizon
    below = slice(round(HORIZON * 16) + 1, None)
    spread = {}
    for floor in (0, 1):
        pictures = draw(kind, scenes | {"floor": np.full(300, floor)}, 16).astype(float)
        spread[floor] = pictures[:, below].std(2).mean()  # along a row of the floor
    assert spread[1] > 2 * spread[0]


def test_characters_are_drawn_as_the_font_has_them_on_the_grid_and_off_it():
    kind = kinds_of(slips=True)["sign 2"]
    for slip in range(4):
        scenes = some(kind, 40) | {"slip": np.full(40, slip)}
        dark = draw(kind, scenes, 32).max(-1) < 60
        font = glyphs() > 0
        for n in range(40):
            for k in range(2):
                x = (32 - 2 * CELL) // 2 + slip + CELL * k + 1
                cell = dark[n, 20:27, x : x + 5]
                assert np.array_equal(cell, font[scenes[f"letter_{k + 1}"][n]]), CHARACTERS[
                    scenes[f"letter_{k + 1}"][n]
                ]


def test_no_two_characters_look_alike():
    flat = glyphs().reshape(len(CHARACTERS), -1)
    apart = np.abs(flat[:, None] - flat).sum(-1) + 99 * np.eye(len(flat))
    assert apart.min() >= 2


def test_a_matrix_is_solved_by_its_two_changes():
    kind = kinds_of()["matrix"]
    scenes = some(kind, 500)
    a, right, below, both = kind.put(scenes)

    def moved(x: Thing, y: Thing) -> np.ndarray:
        return np.stack([(getattr(y, f) - getattr(x, f)) % k for f, k in (("colour", 8), ("shape", 8), ("style", 6))])

    assert np.array_equal(moved(a, right), moved(below, both)) and np.array_equal(moved(a, below), moved(right, both))
    assert ((moved(a, right) != 0).sum(0) == 1).all() and ((moved(a, below) != 0).sum(0) == 1).all()
    assert ((moved(a, both) != 0).sum(0) == 2).all()


# ---- splits


def test_training_and_the_iid_test_show_nothing_held_out_and_each_test_exactly_its_kind(plain):
    for part in ("train", "val", "test"):
        index, _ = plain.draw(400, part, "t", part)
        assert not any(found.any() for found in plain.held(index).values())
    for name in HELD_KINDS:
        index, _ = plain.draw(100, f"test_{name}", "t")
        held = plain.held(index)
        assert held[name].all() and sum(found.sum() for found in held.values()) == 100


def test_a_held_out_look_is_nowhere_on_a_training_picture_not_even_in_a_changed_cell(plain):
    index, _ = plain.draw(3000, "train", "looks")
    for kind, rows in plain._by_kind(index):
        for thing in kind.put(plain.scenes(index[rows], kind)):
            for shape, colour in (("star", "purple"), ("cross", "green")):
                assert not ((thing.shape == SHAPES.index(shape)) & (thing.colour == COLOURS.index(colour))).any()


def test_every_kind_of_hold_out_is_at_most_one_scene_in_twenty(plain, sprites):
    for world in (plain, SceneWorld("plain", 32, sprites=sprites), SceneWorld("cluttered", 16)):
        share = {name: found.mean() for name, found in world.held(np.arange(40_000)).items()}
        assert max(share.values()) < 0.05, share


def test_equal_pictures_are_on_one_side(plain):
    # a world so small that numbers repeat pictures: the sides must still be disjoint by pixels
    world = SceneWorld("plain", 16, kinds=("one",))
    parts = {name: world.draw(600, name, "small", name)[1] for name in ("train", "val", "test", "test_combination")}
    hashes = {name: set(pixel_hash(pictures).tolist()) for name, pictures in parts.items()}
    assert len(hashes["train"]) < 600  # repeats do occur
    names = list(hashes)
    assert all(not hashes[a] & hashes[b] for i, a in enumerate(names) for b in names[i + 1 :])
    both = {name: {p.tobytes() for p in pictures} for name, pictures in parts.items()}
    assert len(set.union(*both.values())) == sum(len(h) for h in hashes.values())  # the hash never collided


def test_what_is_drawn_twice_is_the_same_and_other_keys_draw_others(plain):
    assert np.array_equal(plain.split("test_binding"), plain.split("test_binding"))
    (a, pictures), (b, _) = plain.draw(50, "train", 1, "x"), plain.draw(50, "train", 2, "x")
    assert not set(a) & set(b) and np.array_equal(plain.images(a), pictures)
    assert isinstance(plain, Dataset)


def test_factors_are_even_and_independent(plain):
    world = SceneWorld("plain", 16, kinds=("pair",))
    index = np.arange(60_000)
    names = ("shape", "colour", "shape_2", "colour_2", "relation")
    labels = {f: world.labels(index, f) for f in names}
    for f in names:
        k = len(world.factors[f])
        assert np.abs(np.bincount(labels[f], minlength=k) / 60_000 - 1 / k).max() < 5 * np.sqrt(1 / k / 60_000)
    joint = np.zeros((8, 8))
    np.add.at(joint, (labels["colour"], labels["colour_2"]), 1 / 60_000)
    information = (joint * np.log2(joint * 64)).sum()
    assert information < 49 / (2 * 60_000 * np.log(2)) * 2  # twice what chance alone gives


# ---- words and bits


def test_the_entropy_left_undescribed_is_what_counting_finds():
    """On a world small enough to count: H(scene | caption), each scene weighed by its kind's share."""
    kind = kinds_of()["pair"]
    few = {f: v[:2] for f, v in kind.factors.items()}
    one = kinds_of()["one"]
    world = SceneWorld("plain", 16, kinds=("one", "pair"))
    world.kinds = {
        "one": replace(one, factors={f: v[:2] for f, v in one.factors.items()}),
        "pair": replace(kind, factors=few),
    }
    world.__dict__.pop("said", None)
    for level in world.levels[:-1]:
        weight: dict[str, list[float]] = {}
        for name, small in world.kinds.items():
            counts = [len(v) for v in small.factors.values()]
            for code in range(int(np.prod(counts))):
                facts = dict(zip(small.factors, np.unravel_index(code, counts)))
                told = {f: small.factors[f][facts[f]] for f in world.said[name][level]} if level != "none" else {}
                words = small.phrase.say(told) if level != "none" else ""
                weight.setdefault(words, []).append(world.share[name] / np.prod(counts))
        left = -sum(w * np.log2(w / sum(group)) for group in weight.values() for w in group)
        assert left == pytest.approx(world.residual[level], abs=1e-9), level


@pytest.mark.parametrize("layout", ["plain", "cluttered"])
def test_both_orders_spend_growing_bits_and_end_at_the_scene(layout):
    for order in ("human", "energy"):
        world = SceneWorld(layout, 16, order=order)
        bits = [world.entropy(level) for level in world.levels]
        assert bits[0] == 0 and all(np.diff(bits) >= -1e-12)
        assert bits[-1] - world.residual["none"] == pytest.approx(0) and world.residual["pixel-words"] == 0


def test_the_orders_say_equally_many_factors_and_energy_puts_the_background_first():
    human, energy = (SceneWorld("plain", 16, order=order).said["one"] for order in ("human", "energy"))
    assert [len(f) for f in human.values()] == [len(f) for f in energy.values()]
    assert human["thing"] == ("shape",) and energy["thing"] == ("background",)


def test_the_share_of_wrong_captions_is_a_knob_of_its_own(plain):
    index = plain.draw(4000, "train", "wrong")[0]
    for level in ("short", "ultra"):
        right = plain.captions(index, level)
        wrong = [a != b for a, b in zip(right, plain.captions(index, level, wrong=0.3))]
        assert 0.25 < np.mean(wrong) < 0.32
        worse = [a != b for a, b in zip(right, plain.captions(index, level, wrong=0.6))]
        assert all(b for a, b in zip(wrong, worse) if a)  # raising the share keeps the wrong ones wrong
        all_wrong = np.mean([a == b for a, b in zip(right, plain.captions(index, level, wrong=1.0))])
        assert all_wrong < 0.05
    with pytest.raises(Refused, match="between 0 and 1"):
        plain.captions(index[:1], "short", wrong=1.5)


def test_captions_are_plain_words(plain):
    index = np.arange(400)
    for level in plain.levels[:-1]:
        for text in plain.captions(index, level):
            assert text == " ".join(text.split()) and set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789 ")
    words = plain.captions(index[:3], "pixel-words")
    assert [len(w.split()) for w in words] == [256] * 3


# ---- what pixels give away


def test_raw_pixels_do_not_linearly_solve_colour_style_or_shape(cluttered):
    sets = {}
    for part, n in (("train", 3000), ("val", 600), ("test", 1500)):
        index, pictures = cluttered.draw(n, part, "pixels")
        sets[part] = index, (pictures.reshape(n, -1) / 127.5 - 1).astype(np.float32)
    for factor in ("colour", "style", "shape"):
        k = len(cluttered.factors[factor])
        pairs = [(x, cluttered.labels(index, factor)) for index, x in sets.values()]
        accuracy = probe_accuracy(pairs[0], pairs[1], pairs[2], k)[1]
        assert range_share(accuracy, 1 / k) < 0.7, factor


# ---- errors


def test_refusals_say_what_was_given_and_what_is_allowed(plain, sprites):
    with pytest.raises(Refused, match="16 or 32"):
        SceneWorld("plain", 24).images(np.arange(3))
    with pytest.raises(Refused, match="did you mean 'plain'"):
        SceneWorld("plane")
    with pytest.raises(Refused, match="kind of scene"):
        SceneWorld("plain", 16, kinds=("sticker",))
    with pytest.raises(Refused, match="2 characters"):
        draw(kinds_of()["sign 3"], some(kinds_of()["sign 3"]), 16)
    with pytest.raises(Refused, match="sprites"):
        draw(kinds_of()["sticker"], some(kinds_of()["sticker"]), 32)
    with pytest.raises(Refused, match="no sentence of this world"):
        plain.facts("a purple elephant")
    with pytest.raises(Refused, match="shows no 'test_string'"):
        SceneWorld("cluttered", 16).draw(1, "test_string", 0)
    with pytest.raises(Refused, match="did you mean 'train'"):
        plain.draw(1, "trian", 0)


def test_hashes_of_neighbouring_numbers_share_nothing():
    a = hashed(np.arange(4096), "x")
    bits = np.unpackbits((a[1:] ^ a[:-1]).view(np.uint8)).mean()
    assert abs(bits - 0.5) < 0.005 and len(np.unique(a)) == 4096
    assert held_out(kinds_of()["sticker"], some(kinds_of()["sticker"]))["combination"].sum() == 0
    assert size_of(some(kinds_of()["one"])) == 64
