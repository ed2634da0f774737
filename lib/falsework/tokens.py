"""Pixels <-> palette ids, and cells of pixels to begin a tokenizer with.

Dimension key: N pictures, H x W pixels, K colours or codes, P side of a cell, D = 3 P^2.
"""

from __future__ import annotations

import numpy as np

from falsework.core.errors import Refused


def fit_palette(images_NHW3: np.ndarray, colours: int, seed: int) -> np.ndarray:
    """Return K <= `colours` palette colours, uint8 (K, 3), by k-means on the pixels (Chen et al. 2020 use 512).

    Each cluster gives its commonest colour, and the table is sorted dark to light. Fewer distinct pixels than
    `colours` give them all. Raises Refused for fewer than two colours.
    """
    from sklearn.cluster import MiniBatchKMeans

    if colours < 2:
        raise Refused(f"The palette was asked for {colours} colours, but needs 2 or more.")
    pixels = images_NHW3.reshape(-1, 3)
    distinct, counts = np.unique(pixels, axis=0, return_counts=True)
    if len(distinct) > colours:
        # sqrt: pure white is 44 % of the drawings and would otherwise draw every centre towards itself
        weight = np.sqrt(counts)
        means = MiniBatchKMeans(colours, random_state=seed, n_init=1, max_iter=30, batch_size=4096)
        cluster = means.fit(distinct.astype(np.float32), sample_weight=weight).labels_
        # the commonest true colour of each cluster, not its mean: white paper stays white, not 250
        order = np.lexsort((-counts, cluster))
        distinct = distinct[order[np.unique(cluster[order], return_index=True)[1]]]
    table = np.unique(distinct, axis=0)
    luma = table @ np.array([299, 587, 114])
    return table[np.argsort(luma, kind="stable")]


def encode_pixels(images_NHW3: np.ndarray, palette_K3: np.ndarray) -> np.ndarray:
    """Return uint16 ids (N, H * W) of the nearest colour by squared distance; ties go to the smaller id.

    Exact in integers. Works on distinct pixels only, which drawings have few of.
    """
    flat = images_NHW3.reshape(-1, 3)
    codes = flat.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    distinct, where = np.unique(codes, return_inverse=True)
    rgb = np.stack([distinct >> 16, (distinct >> 8) & 255, distinct & 255], 1).astype(np.int32)
    palette = palette_K3.astype(np.int32)
    ids = np.empty(len(rgb), np.uint16)
    for i in range(0, len(rgb), 8192):
        ids[i : i + 8192] = ((rgb[i : i + 8192, None] - palette) ** 2).sum(-1).argmin(1)
    return ids[where].reshape(len(images_NHW3), images_NHW3.shape[1] * images_NHW3.shape[2])


def decode_pixels(ids_NT: np.ndarray, palette_K3: np.ndarray, side: int) -> np.ndarray:
    """Return uint8 pictures (N, side, side, 3) of palette ids (N, side * side)."""
    return palette_K3[np.asarray(ids_NT)].reshape(-1, side, side, 3)


def fit_cells(images_NHW3: np.ndarray, cell: int, codes: int, seed: int) -> np.ndarray:
    """Return K <= `codes` cells, float32 (K, D) in [-1, 1], by k-means on the DISTINCT cells of the pictures.

    Most cells of a picture are bare ground: counted each time, they would take most of the codes; counted once, letters
    would get none. So a cell weighs the square root of how often it comes. Its numbers are in the order of
    `torch.nn.functional.pixel_unshuffle`: colour, row, column. Fewer distinct cells than `codes` give
    them all. Raises Refused for fewer than two codes, and for pictures that are no multiple of the cell.
    """
    from sklearn.cluster import MiniBatchKMeans

    N, H, W, _ = images_NHW3.shape
    if codes < 2 or H % cell or W % cell:
        raise Refused(
            f"{codes} codes for cells of {cell} in pictures of {H} x {W} were asked for, but it takes 2 or more, "
            "and sides that are a multiple of the cell."
        )
    grid = images_NHW3.reshape(N, H // cell, cell, W // cell, cell, 3).transpose(0, 1, 3, 5, 2, 4)
    found, counts = np.unique(grid.reshape(-1, 3 * cell**2), axis=0, return_counts=True)
    distinct = found.astype(np.float32) / np.float32(127.5) - 1
    if len(distinct) <= codes:
        return distinct
    means = MiniBatchKMeans(codes, random_state=seed, n_init=1, max_iter=15, batch_size=4096)
    return means.fit(distinct, sample_weight=np.sqrt(counts)).cluster_centers_.astype(np.float32)
