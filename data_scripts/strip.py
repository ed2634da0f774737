"""Draw docs/strip.png, the README's picture: a dog melts while its caption fades, inked by its exact posterior."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from falsework.core.paths import root
from falsework.core.rng import rng
from falsework.data.emoji import load_emoji
from falsework.experiments.exact_worlds import drawings_world
from falsework.experiments.the_world import as_seen
from falsework.figures import INK, canvas

SIGMAS = (0.1, 0.5, 1.0, 2.0, 5.0, 7.0, 10.0, 64.0)
NAME, STYLE = "dog face", "twemoji"


def main() -> None:
    """Write the strip: eight noise levels, 64 draws of noise behind each shade of ink."""
    emoji, world = load_emoji(), drawings_world()
    dog = emoji.find(NAME, STYLE)
    clean = emoji.images(np.array([dog])).reshape(1, -1).astype(np.float32) / 127.5 - 1
    mine = world.group("name").code[dog]
    drawing, axes = canvas(12, 1.9, ncols=len(SIGMAS), gridspec_kw={"wspace": 0.04})
    for ax, sigma in zip(axes[0], SIGMAS):
        noise = rng("strip", sigma).standard_normal((64, clean.shape[1]), dtype=np.float32)
        noisy = clean + np.float32(sigma) * noise
        ink = float(world.posterior(noisy, sigma, "name")[:, mine].mean())
        ax.imshow(as_seen(noisy[0], sigma), interpolation="nearest")
        ax.text(15.5, 37.5, NAME, ha="center", va="center", fontsize=15, weight="bold", color=INK, alpha=ink)
        ax.set_axis_off()
    (root() / "docs").mkdir(exist_ok=True)
    drawing.savefig(root() / "docs" / "strip.png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(drawing)


if __name__ == "__main__":
    main()
