"""How good drawn pictures are: closed forms, and what planted faults do to each number."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from falsework.core.errors import Refused
from falsework.probes.fidelity import NEAREST, copied, coverage_of, frechet, off_render

RENDERS = np.random.default_rng(0).uniform(-1, 1, (40, 48)).astype(np.float32)


def draw(n: int, d: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def cloud(mean: np.ndarray, covariance: np.ndarray, n: int = 200, seed: int = 0) -> np.ndarray:
    """Return a cloud whose own mean and covariance are these, to rounding."""
    x = draw(n, len(mean), seed)
    x -= x.mean(0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(x, rowvar=False)))).T
    return mean + white @ np.linalg.cholesky(covariance).T


def some_covariance(d: int, seed: int) -> np.ndarray:
    a = draw(d, d, seed)
    return a @ a.T + 0.1 * np.eye(d)


def root(c: np.ndarray) -> np.ndarray:
    """Return the symmetric root of a covariance."""
    values, vectors = np.linalg.eigh(c)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


# ---- Frechet


def test_a_cloud_is_no_distance_from_itself_however_it_is_shuffled():
    for n, d in ((200, 6), (30, 48), (50, 1)):  # also with fewer pictures than numbers
        x = draw(n, d)
        assert frechet(x, x) < 1e-4 and frechet(x, x[::-1]) < 1e-4


def test_two_gaussians_on_one_line_are_apart_by_their_means_and_deviations():
    """(m - m')^2 + (d - d')^2."""
    for (m, d), (m2, d2) in (((0.0, 1.0), (3.0, 1.0)), ((0.0, 1.0), (0.0, 2.5)), ((-1.0, 0.3), (2.0, 4.0))):
        one, other = (cloud(np.array([a]), np.array([[b**2]])) for a, b in ((m, d), (m2, d2)))
        assert frechet(one, other) == pytest.approx((m - m2) ** 2 + (d - d2) ** 2, rel=1e-4)


def test_two_gaussians_are_apart_by_the_closed_form():
    """|m - m'|^2 + tr(C + C' - 2 (C^1/2 C' C^1/2)^1/2), the symmetric form; and it is symmetric."""
    for seed in range(4):
        m, m2, c, c2 = draw(1, 5, seed)[0], draw(1, 5, seed + 9)[0], some_covariance(5, seed), some_covariance(5, 20)
        wanted = np.square(m - m2).sum() + np.trace(c + c2 - 2 * root(root(c) @ c2 @ root(c)))
        one, other = cloud(m, c), cloud(m2, c2, seed=1)
        assert frechet(one, other) == pytest.approx(wanted, rel=1e-3)
        assert frechet(other, one) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.filterwarnings("ignore::scipy.linalg.LinAlgWarning")
def test_clouds_without_a_dimension_in_common_are_apart_by_all_their_variance():
    """Also of fewer pictures than numbers, where the covariance has no inverse."""
    one, other = np.zeros((20, 48)), np.zeros((20, 48))
    one[:, :24], other[:, 24:] = draw(20, 24), draw(20, 24, 1)
    variance = np.var(one, axis=0, ddof=1).sum() + np.var(other, axis=0, ddof=1).sum()
    wanted = np.square(one.mean(0) - other.mean(0)).sum() + variance
    assert frechet(one, other) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.filterwarnings("ignore::scipy.linalg.LinAlgWarning")
def test_a_cloud_that_fell_to_a_point_lacks_all_the_variance_there_is():
    real = draw(300, 6)
    point = np.tile(real.mean(0), (300, 1))
    assert frechet(point, real) == pytest.approx(np.var(real, axis=0, ddof=1).sum(), rel=1e-4)
    shrunk = real.mean(0) + 0.5 * (real - real.mean(0))
    assert frechet(shrunk, real) == pytest.approx(0.25 * np.var(real, axis=0, ddof=1).sum(), rel=1e-4)


def test_it_falls_with_the_number_of_pictures_of_one_and_the_same_cloud():
    far = [frechet(draw(n, 20, 1), draw(n, 20, 2)) for n in (40, 160, 640, 2560)]
    assert all(3 < a / b < 6 for a, b in pairwise(far))  # about as one over their number


# ---- coverage


def test_all_of_a_cloud_is_covered_by_itself_and_nearly_all_by_its_like():
    real = draw(400, 6)
    assert coverage_of(real, real) == 1 and coverage_of(real[::-1], real) == 1
    assert coverage_of(draw(400, 6, 1), real) > 0.93


def test_each_real_picture_has_a_ball_with_so_many_others_and_one_drawn_picture_covers_its_neighbours():
    """On a line: a ball reaches to the k-th next on the nearer sides, and a drawn one must lie inside."""
    real = np.arange(20.0)[:, None]
    far = np.full((2, 1), 1e4)
    for k in (1, 2, 4):
        reach = [sorted(abs(i - j) for j in range(20) if j != i)[k - 1] for i in range(20)]
        for drawn in (7.0, 7.4, 0.0, 25.0):
            wanted = np.mean([abs(i - drawn) < reach[i] for i in range(20)])
            found = coverage_of(np.vstack([far[:1], [[drawn]]]), real, nearest=k)
            assert found == pytest.approx(wanted), (k, drawn)
    assert coverage_of(far, real) == 0


def test_a_cloud_that_fell_to_a_point_covers_almost_nothing_and_half_a_cloud_half():
    real = draw(400, 6)
    assert coverage_of(np.tile(real.mean(0), (400, 1)), real) < 0.1
    assert coverage_of(np.full((400, 6), 50.0), real) == 0
    two = np.concatenate([real, draw(400, 6, 3) + 100])
    assert coverage_of(real, two) == 0.5


def test_pictures_that_are_there_many_times_are_covered_by_themselves_too():
    real = np.repeat(draw(20, 6), NEAREST + 1, 0)
    assert coverage_of(real, real) == 1


# ---- off the renders


def test_a_render_is_no_distance_away_and_a_textured_one_its_texture():
    assert off_render(RENDERS, RENDERS) < 1e-6
    drawn = np.random.default_rng(1).integers(len(RENDERS), size=300)
    for texture in (0.02, 0.06, 0.2):
        pictures = RENDERS[drawn] + np.float32(texture) * draw(300, 48, 2).astype(np.float32)
        assert off_render(pictures.reshape(300, 4, 4, 3), RENDERS) == pytest.approx(texture, rel=0.02)


def test_what_is_no_picture_is_far_from_all_of_them_and_the_nearest_counts():
    grey = np.zeros((100, 48), np.float32)  # more than a block of 64, and the last block is a short one
    nearest = np.square(RENDERS).sum(1).min()
    assert off_render(grey, RENDERS) == pytest.approx(math.sqrt(nearest / 48), rel=1e-5)
    half = np.concatenate([RENDERS[:35], grey[:35]])
    assert off_render(half, RENDERS) == pytest.approx(math.sqrt(nearest / 48 / 2), rel=1e-5)
    assert off_render((RENDERS[::2] + RENDERS[1::2]) / 2, RENDERS) > 0.2  # two pictures in one


# ---- copied


def test_fresh_drawings_lie_as_near_to_what_was_held_out_as_to_what_was_trained_on():
    trained, held, drawn = (draw(1500, 6, seed) for seed in (0, 1, 2))
    assert copied(drawn, trained, held) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(1500))


def test_copies_are_found_out_as_far_as_they_are_copies():
    trained, held, drawn = (draw(600, 6, seed) for seed in (0, 1, 2))
    near = trained + 0.01 * draw(600, 6, 3)
    assert copied(trained, trained, held) == 1 and copied(near, trained, held) > 0.99
    assert copied(near, held, trained) < 0.01
    mixed = np.concatenate([near[:300], drawn[:300]])
    assert copied(mixed, trained, held) == pytest.approx(0.75, abs=0.05)


def test_a_tie_counts_half():
    same = draw(50, 6)
    assert copied(draw(80, 6, 1), same, same) == 0.5


# ---- refusals


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: frechet(draw(1), draw(5)), r"^The drawn are \(1, 6\), but must be two or more and finite\.$"),
        (lambda: frechet(draw(5), draw(5) / 0), r"^The real are \(5, 6\), but must be two or more and finite\.$"),
        (lambda: off_render(RENDERS[:1], RENDERS), r"^The pictures are \(1, 48\), but must be two or more"),
        (lambda: off_render(RENDERS * np.nan, RENDERS), r"^The pictures are \(40, 48\), but must be two or more"),
        (
            lambda: coverage_of(draw(9), draw(5)),
            r"^There are 5 real pictures, but their 5 nearest others are asked for\.$",
        ),
        (lambda: coverage_of(draw(1), draw(9)), r"^The drawn are \(1, 6\), but must be two or more"),
        (
            lambda: copied(draw(9), draw(5), draw(6)),
            r"^There are 5 trained and 6 held-out pictures, but need as many\.$",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_too_few_pictures_and_those_that_are_not_finite_are_refused(call, said):
    with pytest.raises(Refused, match=said):
        call()
