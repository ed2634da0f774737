"""The exact world: a finite list of captioned pictures in Gaussian noise, where Bayes' answer is one softmax.

A picture is a render with texture laid over it, x = r_i + t eta, and is seen in noise, x_s = x + s eps, with
eta, eps ~ N(0, 1). Given the render, x_s is Gaussian with variance v = t^2 + s^2, so exactly

    p(i | x_s)     ~  p_i exp(-|x_s - r_i|^2 / 2v)               one softmax over all renders
    E[x | x_s]     =  (s^2 rbar + t^2 x_s) / v                   rbar = sum_i p(i | x_s) r_i
    E[x | x_s, c]  =  (s^2 rbar_c + t^2 x_s) / v                 rbar_c: the same softmax over renders with caption c
    mmse(s | c)    =  (s^2/v)^2 E|r - rbar_c|^2 + D t^2 s^2 / v  what is left of the render, and of the texture

Nothing is trained. What follows from it about information is in `ladder`. Everything here holds by construction.

Dimension key: N renders, D numbers of a picture, n noisy pictures, K different codes of a caption level.
Range [-1, 1], noise as sigma in that range, information in bits at the public edge (nats within).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from falsework.core.errors import Refused, one_of
from falsework.core.rng import rng

BITS = 1.0 / np.log(2.0)  # bits in a nat


class Sample(NamedTuple):
    """Pictures drawn from a world; the same draws serve every caption level (paired)."""

    index: np.ndarray  # type: ignore[assignment]  # int64 (n,): which render
    x: np.ndarray  # float32 (n, D): render and texture
    eps: np.ndarray  # float32 (n, D), N(0, 1): the noise, to be scaled by sigma


class Grouping(NamedTuple):
    """The renders sorted by one code."""

    values: np.ndarray  # int64 (K,), sorted: the codes as the caller wrote them
    code: np.ndarray  # int64 (N,): position in `values`
    order: np.ndarray  # int64 (N,): renders sorted by code
    starts: np.ndarray  # int64 (K + 1,): where each code begins in `order`
    prior: np.ndarray  # float64 (K,): p(code)


def entropy_bits(p: np.ndarray) -> np.ndarray:
    """Return the entropy of distributions along the last axis in bits, with 0 log 0 = 0."""
    p = np.asarray(p, dtype=np.float64)
    return 0.0 - (p * np.log2(np.where(p > 0, p, 1.0))).sum(-1)


class ExactWorld:
    """Bayes-optimal reader and denoiser of a finite list of pictures.

    images    float32 (N, D) in [-1, 1]
    captions  level -> int (N,), from the shortest caption to the longest: what each level says about each render
    prior     (N,) weights above 0, default equal; normalised here
    texture   t >= 0, standard deviation of the texture no caption describes, in the range of the images
    factors   factor -> int (N,): further codes to be read, in no order

    Raises Refused for wrong shapes or values. Memory: the images once more, and block x N float32 while it works.
    """

    def __init__(
        self,
        images: np.ndarray,
        captions: Mapping[str, np.ndarray],
        prior: np.ndarray | None = None,
        texture: float = 0.0,
        factors: Mapping[str, np.ndarray] | None = None,
    ):
        images = np.asarray(images, dtype=np.float32)
        if images.ndim != 2 or not len(images) or not np.isfinite(images).all():
            raise Refused(f"Images must be finite numbers of shape (N, D), but have shape {images.shape}.")
        prior = np.ones(len(images)) if prior is None else np.asarray(prior, dtype=np.float64)
        if prior.shape != images.shape[:1] or not (prior > 0).all():
            raise Refused(f"The prior must be {len(images)} weights above 0, but has shape {prior.shape}.")
        if not texture >= 0:
            raise Refused(f"The texture is {texture!r}, but must be a standard deviation of 0 or more.")
        self.N, self.D = images.shape
        self.texture, self.prior = float(texture), prior / prior.sum()
        self.levels, self.factors = tuple(captions), tuple(factors or ())
        self._groups = {name: self._group(name, code) for name, code in {**(factors or {}), **captions}.items()}
        # Centred, |x|^2 - 2 x.r + |r|^2 subtracts numbers a few times smaller, and float32 keeps more of the result.
        self.mean = (self.prior @ images).astype(np.float32)
        self.renders = images - self.mean
        norms = np.einsum("nd,nd->n", self.renders, self.renders, dtype=np.float64)
        self._norms, self._half_norms = norms, (0.5 * norms).astype(np.float32)
        self._log_prior = np.log(self.prior).astype(np.float32)
        self._rounding = 3e-7 * norms.max()  # of one x.r in float32, measured and rounded up

    def _group(self, name: str, code: np.ndarray) -> Grouping:
        code = np.asarray(code)
        if code.shape != (self.N,) or code.dtype.kind not in "iu":
            raise Refused(f"The codes of {name!r} must be {self.N} integers, but are {code.dtype} {code.shape}.")
        values, inverse = np.unique(code, return_inverse=True)
        counts = np.bincount(inverse)
        prior = np.bincount(inverse, weights=self.prior)
        order = np.argsort(inverse, kind="stable")
        return Grouping(values, inverse, order, np.concatenate([[0], counts.cumsum()]), prior)

    def group(self, name: str) -> Grouping:
        """Return the renders sorted by a caption level or factor; raises Refused for an unknown name."""
        return self._groups[one_of("caption level or factor", name, self._groups)]

    # -- counting: nothing here looks at noise

    def entropy(self, name: str | None = None) -> float:
        """Return H(c) of a caption level or factor, or of the render itself, in bits."""
        return float(entropy_bits(self.prior if name is None else self.group(name).prior))

    def entropy_given_render(self, name: str | None = None) -> float:
        """Return H(c | r) in bits: above 0 only where the same picture stands twice in the list, said differently."""
        rows = np.ascontiguousarray(self.renders + 0.0).view(np.dtype((np.void, 4 * self.D))).ravel()
        same = np.unique(rows, return_inverse=True)[1]
        code = np.arange(self.N) if name is None else self.group(name).code
        joint = np.unique(np.stack([same, code]), axis=1, return_inverse=True)[1].ravel()
        h_joint, h_same = (entropy_bits(np.bincount(k, weights=self.prior)) for k in (joint, same))
        return max(0.0, float(h_joint - h_same))

    def variance_between(self, name: str | None = None) -> float:
        """Return tr Cov(E[r | c]): the variance of pictures that a caption accounts for (all of it for None)."""
        weighted = self.renders * self.prior[:, None].astype(np.float32)
        g = None if name is None else self.group(name)
        if g is None or len(g.values) == self.N:  # a caption for each picture accounts for all of it
            return float(np.einsum("nd,nd->", weighted, self.renders, dtype=np.float64))
        sums = np.add.reduceat(weighted[g.order], g.starts[:-1], axis=0).astype(np.float64)
        return float((np.square(sums).sum(1) / g.prior).sum())

    def texture_information(self, sigma: float) -> float:
        """Return I(x; x_s | r) = D/2 log2(1 + t^2 / s^2) in bits, the texture's own part; without bound as s -> 0."""
        if self.texture == 0:
            return 0.0
        return float("inf") if sigma == 0 else 0.5 * self.D * float(np.log2(1 + (self.texture / sigma) ** 2))

    # -- drawing

    def sample(self, n: int, *keys: object) -> Sample:
        """Return n pictures with texture and unit noise, a function of the keys alone.

        Stratified: one picture from each n-th part of the list, at random inside it (even steps would fall in step
        with the grammar). Means are unbiased; standard errors computed as for independent draws are a little large.
        """
        draw = rng("exact world", *keys)
        at = (np.arange(n) + draw.random(n)) / n
        index = np.searchsorted(self.prior.cumsum(), at).clip(max=self.N - 1)
        eta, eps = draw.standard_normal((2, n, self.D), dtype=np.float32)
        return Sample(index, self.renders[index] + self.mean + np.float32(self.texture) * eta, eps)

    # -- reading

    def variance(self, sigma: float) -> float:
        """Return v = t^2 + s^2; raises Refused where it is not above 0."""
        v = self.texture**2 + float(sigma) ** 2
        if not (sigma >= 0 and v > 0):
            raise Refused(f"Sigma is {sigma!r}, but must be above 0 (0 is allowed where there is texture).")
        return v

    def log_posterior(self, x_s: np.ndarray, sigma: float) -> np.ndarray:
        """Return log p(i | x_s) in nats, float32 (n, N), for noisy pictures (n, D) at one sigma."""
        v = self.variance(sigma)
        x = np.asarray(x_s, dtype=np.float32) - self.mean
        if x.ndim != 2 or x.shape[1] != self.D:
            raise Refused(f"Noisy pictures must have shape (n, {self.D}), but have {x.shape}.")
        log_p = x @ self.renders.T
        log_p -= self._half_norms
        log_p -= log_p.max(axis=1, keepdims=True)  # before the division: large numbers would lose their last digits
        log_p /= np.float32(v)
        log_p += self._log_prior
        if self._rounding > 0.01 * v:
            self._sharpen(log_p, x, v)
        log_p -= log_p.max(axis=1, keepdims=True)
        log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)
        return log_p

    def _sharpen(self, log_p: np.ndarray, x: np.ndarray, v: float) -> None:
        """Recompute in float64 the few renders per picture that matter, where float32 rounding is not below 0.01 nats."""
        margin = 40.0 + 4 * self._rounding / v
        for row, seen in zip(log_p, x):
            near = np.flatnonzero(row > row.max() - margin)
            away = seen.astype(np.float64) - self.renders[near]
            fresh = self._log_prior[near] - 0.5 * np.square(away).sum(1) / v
            row[near] = fresh - fresh.max() + row[near].max()

    def sum_by_code(self, p: np.ndarray, name: str) -> np.ndarray:
        """Return p(c | x_s), float32 (n, K), by adding p(i | x_s) (n, N) over the renders of each code."""
        g = self.group(name)
        if len(g.values) == self.N:
            return p[:, g.order]
        if len(g.values) <= 32:
            return p @ (g.code[:, None] == np.arange(len(g.values))).astype(np.float32)
        return np.add.reduceat(p[:, g.order], g.starts[:-1], axis=1)

    def _moments(self, p: np.ndarray, rows: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean (n, D) of some renders under weights p (n, M), and their variance (n,) summed over D."""
        renders, total = self.renders[rows], p.sum(1, dtype=np.float64)
        mean = (p @ renders) / total[:, None].astype(np.float32)
        variance = (p @ self._norms[rows]) / total - np.einsum("nd,nd->n", mean, mean, dtype=np.float64)
        return mean, variance.clip(min=0)

    def render_moments(
        self, log_p: np.ndarray, name: str | None = None, code: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return rbar - mean, float32 (n, D), and E[|r - rbar|^2 | x_s], float64 (n,), from log_posterior (n, N).

        With a caption level and code (n,), positions in its values, rbar_c and its variance: the caption masks the
        renders, and the softmax is taken among those that are left.
        """
        if name is None or len(self.group(name).values) == 1:  # a caption that says nothing masks nothing
            return self._moments(np.exp(log_p), slice(None))
        g, mean, variance = self.group(name), np.empty((len(log_p), self.D), np.float32), np.empty(len(log_p))
        for c in np.unique(np.asarray(code)):
            rows, members = np.flatnonzero(code == c), g.order[g.starts[c] : g.starts[c + 1]]
            w = log_p[np.ix_(rows, members)]
            mean[rows], variance[rows] = self._moments(np.exp(w - w.max(axis=1, keepdims=True)), members)
        return mean, variance

    def blocks(self, n: int, block: int) -> Iterator[slice]:
        """Yield slices of at most `block` pictures: what bounds the memory."""
        yield from (slice(start, min(start + block, n)) for start in range(0, n, block))

    def posterior(self, x_s: np.ndarray, sigma: float, name: str | None = None, block: int = 128) -> np.ndarray:
        """Return p(i | x_s) float32 (n, N), or p(c | x_s) (n, K) of a caption level or factor.

        Columns of the latter follow the sorted codes, `group(name).values`.
        """
        parts = []
        for rows in self.blocks(len(x_s), block):
            p = np.exp(self.log_posterior(x_s[rows], sigma))
            parts.append(p if name is None else self.sum_by_code(p, name))
        return np.concatenate(parts)

    def denoise(
        self, x_s: np.ndarray, sigma: float, name: str | None = None, codes: np.ndarray | None = None, block: int = 128
    ) -> np.ndarray:
        """Return E[x | x_s], or E[x | x_s, c] when a caption level and codes (n,) are given: float32 (n, D).

        No estimate has a smaller mean squared error. Raises Refused for a code no render has.
        """
        v, code = self.variance(sigma), np.zeros(len(x_s), dtype=np.int64)
        if name is not None:
            values, codes = self.group(name).values, np.asarray(codes)
            code = np.searchsorted(values, codes).clip(max=len(values) - 1)
            if not np.array_equal(values[code], codes):
                raise Refused(f"The codes of {name!r} must be among those of the renders, one for each noisy picture.")
        parts = []
        for rows in self.blocks(len(x_s), block):
            log_p = self.log_posterior(x_s[rows], sigma)
            mean = self.render_moments(log_p, name, code[rows])[0]
            parts.append((sigma**2 * (mean + self.mean) + self.texture**2 * np.asarray(x_s[rows])) / v)
        return np.concatenate(parts).astype(np.float32)
