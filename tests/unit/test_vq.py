"""The tokenizer: it begins as k-means of cells, a code tells of its cell alone, and training only makes it better."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from falsework.core.errors import Refused
from falsework.nets.towers import unit_range
from falsework.nets.vq import VQ
from falsework.objectives.quantise import COMMIT, quantise
from falsework.recipes.dalle import PRESETS
from falsework.recipes.pairs import Pairs, as_tensor
from falsework.recipes.tokenizer import Tokenizer
from falsework.tokens import fit_cells
from falsework.training import Train

torch.set_num_threads(1)
SIDE, CELL, K = 16, 4, 12
GRID, INSIDE = SIDE // CELL, 3 * CELL**2
STAGE = Pairs("stage", ("ultra",))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 3, seed: int = 1, side: int = SIDE) -> Tensor:
    return torch.randint(256, (n, 3, side, side), generator=generator(seed), dtype=torch.uint8)


def fresh_vq(seed: int = 0) -> VQ:
    """An untrained tokenizer whose codes are random cells."""
    torch.manual_seed(seed)
    return VQ(SIDE, CELL, torch.rand(K, INSIDE, generator=generator(seed)) * 2 - 1, 8)


def shaken(net: VQ, seed: int = 0, by: float = 0.2) -> VQ:
    """Every weight drawn at random, so that no zero hides a leak; the codes stay."""
    gen = generator(seed)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name != "codes":
                p.copy_(torch.randn(p.shape, generator=gen) * by)
    return net


def cells_by_hand(shown: Tensor) -> np.ndarray:
    """Return (B, T, D): the pixels of each cell in reading order; within it colour, row, column."""
    x = unit_range(shown).numpy()
    rows = [x[:, :, CELL * r : CELL * r + CELL, CELL * c : CELL * c + CELL] for r in range(GRID) for c in range(GRID)]
    return np.stack(rows, 1).reshape(len(x), GRID**2, INSIDE)


# ---- what it begins with


@torch.no_grad()
def test_an_untrained_tokenizer_is_k_means_of_cells_to_the_last_bit():
    net, shown = fresh_vq(), pictures()
    cells, codes = cells_by_hand(shown), net.codes.numpy()
    assert np.array_equal(net.cells(shown).numpy(), cells)
    far = np.square(cells[:, :, None].astype(float) - codes).sum(3)
    ids = net.encode(shown)
    assert np.array_equal(ids.numpy(), far.argmin(2)) and len(ids.unique()) > 4
    assert np.array_equal(cells_by_hand(net.decode(ids)), codes[ids.numpy()])  # pixel for pixel, and in its place


@torch.no_grad()
def test_a_picture_made_of_its_own_codes_is_read_back():
    net = fresh_vq()
    ids = torch.randint(K, (4, GRID**2), generator=generator(3))
    assert torch.equal(net.encode(net.decode(ids)), ids)
    # bytes round the cells by less than half a grey level, which no code minds
    assert torch.equal(net.encode(net.decode(ids).add(1).mul(127.5).round().byte()), ids)


# ---- who sees what


@torch.no_grad()
def test_a_code_tells_of_its_own_cell_and_of_nothing_else():
    net, shown = shaken(fresh_vq()), pictures(1)
    before, ids = net.look(shown), net.encode(shown)
    changed = 0
    for t in range(GRID**2):
        row, column = divmod(t, GRID)
        other = shown.clone()
        other[:, :, CELL * row : CELL * row + CELL, CELL * column : CELL * column + CELL] ^= 255
        moved = (net.look(other) - before).abs().amax((0, 2))
        assert moved[t] > 1e-3 and moved.sum() == moved[t]
        there = (net.encode(other) != ids)[0].nonzero().flatten().tolist()
        assert there in ([], [t])
        changed += len(there)
    assert changed > GRID**2 / 2


@torch.no_grad()
def test_the_decoder_looks_at_the_neighbours_of_a_cell_and_at_first_does_not():
    codes = torch.randint(K, (1, GRID**2), generator=generator(0))
    t = 5  # row 1, column 1
    other = codes.clone()
    other[0, t] = (other[0, t] + 1) % K

    def moved(net: VQ) -> np.ndarray:
        change = net.paint(net.codes[other]) - net.paint(net.codes[codes])
        return np.abs(cells_by_hand(change)).max((0, 2))

    plain, company = moved(fresh_vq()), moved(shaken(fresh_vq()))
    assert plain[t] > 0.1 and plain.sum() == plain[t]
    beside = [0, 1, 2, 4, 6, 8, 9, 10]
    assert company[beside].min() > 1e-3


# ---- the loss


def test_codes_move_to_their_cells_and_the_encoder_hears_of_the_error_as_if_nothing_were_rounded():
    net, shown = fresh_vq(), pictures(5)
    loss, metrics = quantise(net, {"pictures": shown}, generator(0))
    x, ids = net.cells(shown), net.encode(shown)
    code = net.codes.detach()[ids]
    # at the start the cells stand where they are, and what is painted are the codes: all three terms are one error
    error = F.mse_loss(code, x).item()
    assert loss.item() == pytest.approx((2 + COMMIT) * error, rel=1e-5)
    assert metrics["rmse"].item() == pytest.approx(127.5 * error**0.5, rel=1e-5)
    assert metrics["used"].item() == pytest.approx(len(ids.unique()) / K)
    loss.backward()
    slope = 2 / x.numel() * (code - x)
    # straight through: what the picture says of the code reaches the encoder whole; commitment pulls the other way
    assert torch.allclose(net.down.bias.grad, (1 - COMMIT) * slope.sum((0, 1)), atol=1e-7)
    assert net.down.bias.grad.abs().max() > 1e-3
    wanted = torch.zeros(K, INSIDE).index_add_(0, ids.flatten(), slope.flatten(0, 1))
    assert torch.allclose(net.codes.grad, wanted, atol=1e-7)  # a code is moved by its own cells alone


def test_the_codes_hear_nothing_of_what_the_decoder_makes_of_them():
    net, shown = shaken(fresh_vq()), pictures(5)
    quantise(net, {"pictures": shown}, generator(0))[0].backward()
    at, ids = net.look(shown).detach(), net.encode(shown)
    slope = 2 / at.numel() * (net.codes.detach()[ids] - at)
    wanted = torch.zeros(K, INSIDE).index_add_(0, ids.flatten(), slope.flatten(0, 1))
    assert torch.allclose(net.codes.grad, wanted, atol=1e-7)
    for name, p in net.named_parameters():
        assert p.grad.abs().max() > 1e-6, name  # and everything learns


# ---- training


def rebuilt_error(net: VQ, shown: np.ndarray) -> float:
    """Return the root mean square error of a rebuilt picture in grey levels."""
    with torch.no_grad():
        painted = net.decode(net.encode(as_tensor(shown)))
    return float((painted - unit_range(as_tensor(shown))).square().mean().sqrt() * 127.5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small tokenizer before and after its training, and pictures that neither has seen."""
    recipe = replace(PRESETS["smoke"].tokenizer, width=32, train=Train(150, 16, lr=4e-3))
    folder = tmp_path_factory.mktemp("tokenizer")
    before, after = recipe.build(0).eval(), recipe.build(0)
    recipe.fit(after, 0, folder)
    return before, after, STAGE.draw(200, "unseen")[1], folder


def test_a_short_training_rebuilds_better_than_the_k_means_patches_it_began_with(trained):
    before, after, shown, folder = trained
    patches = before.codes.detach().numpy()
    cells = before.cells(as_tensor(shown)).detach().numpy().reshape(-1, INSIDE)
    nearest = np.square(cells[:, None] - patches).mean(2).min(1)
    assert rebuilt_error(before, shown) == pytest.approx(127.5 * nearest.mean() ** 0.5, rel=1e-4)
    assert rebuilt_error(after, shown) < 0.95 * rebuilt_error(before, shown)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert log[0]["rmse"] > log[-1]["rmse"] and 0.1 < log[-1]["used"] <= 1


def test_a_trained_tokenizer_still_looks_at_one_cell_at_a_time(trained):
    _, after, shown, _ = trained
    one = as_tensor(shown[:8])
    other = one.clone()
    other[:, :, :, 16:] = 255 - other[:, :, :, 16:]
    kept = torch.arange(64).view(8, 8)[:, :4].flatten()
    with torch.no_grad():
        assert torch.equal(after.encode(other)[:, kept], after.encode(one)[:, kept])
        assert (after.encode(other) != after.encode(one)).any()


def test_a_build_is_a_function_of_the_seed_and_leaves_the_dice_outside_alone():
    recipe = replace(PRESETS["smoke"].tokenizer, codes=16)
    dice = torch.get_rng_state()
    one, two, other = recipe.build(0), recipe.build(0), recipe.build(1)
    assert torch.equal(torch.get_rng_state(), dice)
    assert all(torch.equal(v, two.state_dict()[k]) for k, v in one.state_dict().items())
    for name in ("codes", "up.weight"):
        assert not torch.equal(one.state_dict()[name], other.state_dict()[name])
    again = recipe.build(3, one.state_dict())  # of another number of codes than asked for, it may be
    assert again.codes.shape == one.codes.shape


def test_with_cells_of_one_pixel_the_codes_are_a_palette():
    net = Tokenizer(STAGE, cell=1, codes=16, width=8).build(0)
    assert net.codes.shape == (16, 3) and net.grid == 32
    shown = as_tensor(STAGE.draw(2, "palette")[1])
    with torch.no_grad():
        ids, painted = net.encode(shown), net.decode(net.encode(shown))
    assert torch.equal(painted.permute(0, 2, 3, 1).reshape(2, -1, 3), net.codes.detach()[ids])


# ---- cells to begin with


def test_cells_are_laid_out_as_pixel_unshuffle_lays_them_out():
    shown = pictures(2).permute(0, 2, 3, 1).numpy()
    found = fit_cells(shown, CELL, 10**6, 0)
    wanted = F.pixel_unshuffle(unit_range(pictures(2)), CELL).flatten(2).transpose(1, 2).reshape(-1, INSIDE).numpy()
    assert found.dtype == np.float32 and len(found) == len(wanted) == 2 * GRID**2  # each of them, as none comes twice
    assert np.array_equal(np.unique(found, axis=0), np.unique(wanted, axis=0))


def test_fewer_distinct_cells_than_codes_are_all_kept_and_cost_nothing():
    net = fresh_vq()
    ids = torch.randint(K, (6, GRID**2), generator=generator(0))
    with torch.no_grad():
        shown = net.decode(ids).add(1).mul(127.5).round().byte()
    some = shown.permute(0, 2, 3, 1).numpy()
    for codes in (K, K + 1, 400):
        assert len(fit_cells(some, CELL, codes, 0)) == len(ids.unique()) == K
    again = VQ(SIDE, CELL, torch.from_numpy(fit_cells(some, CELL, 400, 0)), 8)
    with torch.no_grad():
        assert torch.equal(again.decode(again.encode(shown)), unit_range(shown))
    assert len(fit_cells(some, CELL, K - 1, 0)) == K - 1


def test_much_ground_does_not_eat_the_codes_that_letters_need():
    from sklearn.cluster import MiniBatchKMeans

    draw, looks = np.random.default_rng(0), 60
    ground = draw.integers(60, 180, size=(looks, 1)) + draw.integers(-4, 5, size=(looks, INSIDE))
    letters = draw.choice([20, 235], size=(24, INSIDE))
    cells = ground[draw.integers(looks, size=(400, GRID**2))]
    cells[:48, 0] = np.tile(letters, (2, 1))  # 48 of 6400 cells show a letter, each letter twice
    shown = cells.reshape(400, GRID, GRID, 3, CELL, CELL).transpose(0, 1, 4, 2, 5, 3).reshape(400, SIDE, SIDE, 3)
    every, rare = cells.reshape(-1, INSIDE) / 127.5 - 1, letters / 127.5 - 1

    def error(codes: np.ndarray) -> float:
        return float(np.square(rare[:, None] - codes).mean(2).min(1).mean())

    found = fit_cells(shown.astype(np.uint8), CELL, 32, 0)
    counted = MiniBatchKMeans(32, random_state=0, n_init=1, max_iter=15, batch_size=4096).fit(every).cluster_centers_
    assert len(found) == 32 and np.abs(found).max() <= 1
    assert error(found) < 0.8 * error(counted)  # counted: k-means that meets every cell as often as it comes


# ---- refusals


def test_what_does_not_fit_is_refused_in_one_sentence():
    net = fresh_vq()
    with pytest.raises(Refused, match=r"^The side is 16 with cells of 5, but must be a multiple of the cell\.$"):
        VQ(16, 5, torch.zeros(4, 75), 8)
    with pytest.raises(Refused, match=r"^The codes have 12 numbers, but a cell of 4 x 4 has 48\.$"):
        VQ(16, 4, torch.zeros(4, 12), 8)
    for ask in (net.encode, net.look, net.cells):
        with pytest.raises(Refused, match=r"^The tokenizer got .* \(1, 3, 32, 32\), but reads \(B, 3, 16, 16\)\.$"):
            ask(pictures(1, side=32))
    with pytest.raises(Refused, match=r"^A picture has 16 codes, but 15 were given\.$"):
        net.decode(torch.zeros(2, 15, dtype=torch.long))
    some = np.zeros((2, 16, 16, 3), np.uint8)
    for cell, codes in ((4, 1), (4, 0), (5, 8)):
        with pytest.raises(Refused, match=f"^{codes} codes for cells of {cell} in pictures of 16 x 16 were asked for"):
            fit_cells(some, cell, codes, 0)
    with pytest.raises(Refused, match="in pictures of 16 x 18 were asked for, but it takes 2 or more, and sides that"):
        fit_cells(np.zeros((2, 16, 18, 3), np.uint8), 4, 8, 0)
