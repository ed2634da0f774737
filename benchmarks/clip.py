"""CLIP beside open_clip: one training step at equal parameters, interleaved, one thread; and zero-shot at full size.

Targets: ours takes at most 1.08 of the peer's seconds; 1,000 drawings against 1,648 names take less than 2 s.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import nn

from falsework.core.vocabulary import END
from falsework.data.emoji import load_emoji
from falsework.nets.clip import CLIP
from falsework.nets.towers import PatchTower, TextTower
from falsework.objectives.contrast import contrast
from falsework.probes.candidates import embed_pictures
from falsework.probes.zero_shot import class_weights
from falsework.recipes import clip
from falsework.training import Train
from timing import heading, interleave, ratio, report, step_of

SIDE, PATCH, WORDS, LENGTH, BATCH = 32, 4, 3700, 32, 64


def ours(width: int, depth: int, heads: int) -> CLIP:
    """Return our CLIP with a patch tower and a caption tower of the same trunk."""
    tower = PatchTower(SIDE, PATCH, width, depth, heads)
    return CLIP(tower, TextTower(WORDS, LENGTH, width, depth, heads), width)


class OpenCLIP(nn.Module):
    """open_clip's model of the same sizes, behind the names that our objective calls."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        from open_clip.model import CLIP as Peer

        vision = {
            "layers": depth,
            "width": width,
            "head_width": width // heads,
            "patch_size": PATCH,
            "image_size": SIDE,
        }
        text = {"context_length": LENGTH, "vocab_size": WORDS, "width": width, "heads": heads, "layers": depth}
        self.net = Peer(width, vision, text)

    def embed_images(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.net.encode_image(pictures.float() / 127.5 - 1, normalize=True)

    def embed_texts(self, ids: torch.Tensor) -> torch.Tensor:
        return self.net.encode_text(ids, normalize=True)

    @property
    def scale(self) -> torch.Tensor:
        return self.net.logit_scale.exp().clamp(max=100)


def batch() -> dict[str, torch.Tensor]:
    """Return random pictures and captions."""
    ids = torch.randint(3, WORDS - 1, (BATCH, LENGTH))
    ids[:, -1] = END
    ids[:, -2] = WORDS - 1  # the peer reads where the id is largest, ours at the end
    return {"pictures": torch.randint(256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8), "ids": ids}


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    heading("One training step of CLIP, batch 64, 64 patches, 32 words, depth 4", "open_clip_torch")
    for width in args.widths:
        nets = {"ours": ours(width, 4, 4), "open_clip": OpenCLIP(width, 4, 4)}
        sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
        print(f"width {width}: {sizes}")
        assert abs(sizes["ours"] / sizes["open_clip"] - 1) < 0.03, f"unequal parameters: {sizes}"
        adamw = Train(steps=1, batch=BATCH, lr=1e-3, muon=0.0)
        rivals = {
            f"{n}{', fused' * fused}": step_of(net, contrast, batch(), adamw, fused)
            for n, net in nets.items()
            for fused in (False, True)
        }
        times = interleave(rivals, args.rounds, warmup=2)
        report(times, "ms")
        for kind in ("", ", fused"):
            print(f"  ours / open_clip{kind}: {ratio(times, f'ours{kind}', f'open_clip{kind}')}")
    recipe, emoji = clip.PRESETS["laptop"], load_emoji()
    model, names = recipe.build(0).eval(), emoji.factors["concept"]
    pictures = emoji.images(np.arange(1000))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        weights = class_weights(model, recipe.pairs.vocabulary, names)
        (embed_pictures(model, pictures, 32) @ weights.T).argmax(1)
        seconds.append(time.perf_counter() - start)
    print(f"1,000 drawings against {len(names):,} names: {np.median(seconds):.2f} s (median of 5)")


if __name__ == "__main__":
    main()
