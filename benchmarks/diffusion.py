"""One training step of our diffusion transformer beside those of Hugging Face `diffusers` at equal parameters, interleaved.

One thread, float32, batch 64. A step is noise, forward, loss, backward, clipping and AdamW, the same one for all. Counted is
every parameter that is trained, word tables and all; FLOPs are those of forward and backward.

    ours, net              the net alone, with the peers' loss: the mean square of noise minus what the net says it is
    ours, whole            as the course trains it: with the skip, whose linear guess costs two products, and its own loss
    diffusers, adaLN-zero  Transformer2DModel: the block of its DiT with cross-attention, as deep and as wide as ours
    diffusers, PixArt      PixArtTransformer2DModel: one adaLN for all blocks, so at equal parameters a block more

"one matrix": queries, keys and values in one product. "as deep": PixArt with our depth has a fifth fewer parameters. Target:
ours within 8 % of the fastest peer of equal parameters (its seconds over ours at least .92).
"""

from __future__ import annotations

import argparse
import statistics

import torch
from torch import Tensor, nn

from falsework.nets.dit import SPREAD, Denoiser, DiT, empty_skip
from falsework.noise import add_noise, like, sigma_of, stratified
from falsework.objectives.denoise import WEIGHTINGS, denoise_loss
from falsework.recipes.diffusion import PRESETS
from falsework.training import Objective, Train, count_flops
from peers import count
from timing import heading, interleave, ratio, report, step_of

SIZES = {"laptop": (16, 64, 3, 2), "larger": (32, 128, 3, 4), "wide": (32, 192, 3, 6)}  # side, width, depth, heads
PATCH, WORDS, LENGTH, BATCH = 4, 41, 26, 64
LAPTOP = PRESETS["laptop"]
LOW, HIGH = LAPTOP.low, LAPTOP.high
AS_DEEP, MUON, FUSED = "diffusers, PixArt, one matrix, as deep", "ours, whole, Muon + AdamW", ", fused AdamW"


class Net(nn.Module):
    """Our DiT without its skip: where it looks at two pictures it sees the noisy one twice."""

    def __init__(self, side: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.net = DiT(side, PATCH, width, depth, heads, WORDS, LENGTH)

    def forward(self, x: Tensor, log_snr_B: Tensor, ids_BM: Tensor) -> Tensor:
        return self.net(torch.cat([x, x], 1), log_snr_B, self.net.hear(ids_BM))


class Peer(nn.Module):
    """A transformer of diffusers: it reads a table of words and places through its own caption projection.

    one: one matrix for queries, keys and values, as its `fuse_qkv_projections` does. adaLN-zero takes class labels, here
    always the same one, and has an embedding of the noise level in every block; they share the first one's here.
    """

    def __init__(self, kind: str, side: int, width: int, depth: int, heads: int, one: bool) -> None:
        super().__init__()
        from diffusers import PixArtTransformer2DModel, Transformer2DModel
        from diffusers.models.attention_processor import Attention, FusedAttnProcessor2_0

        shape = {"num_attention_heads": heads, "attention_head_dim": width // heads, "num_layers": depth}
        shape |= {"in_channels": 3, "out_channels": 3, "sample_size": side, "patch_size": PATCH}
        shape |= {"cross_attention_dim": width, "caption_channels": width, "attention_bias": False}
        self.table = nn.Embedding(WORDS, width)
        self.place = nn.Parameter(torch.randn(LENGTH, width))
        self.labelled = kind == "adaLN-zero"
        if self.labelled:
            more = {"norm_type": "ada_norm_zero", "num_embeds_ada_norm": 1, "activation_fn": "gelu"}
            self.net = Transformer2DModel(**shape, **more)
            for block in self.net.transformer_blocks[1:]:
                block.norm1.emb = self.net.transformer_blocks[0].norm1.emb
        else:
            self.net = PixArtTransformer2DModel(**shape, activation_fn="gelu")
        for attention in self.net.modules() if one else ():
            if isinstance(attention, Attention):
                attention.fuse_projections()
                attention.set_processor(FusedAttnProcessor2_0())
                for name in ("to_k", "to_v") if attention.is_cross_attention else ("to_q", "to_k", "to_v"):
                    delattr(attention, name)

    def forward(self, x: Tensor, log_snr_B: Tensor, ids_BM: Tensor) -> Tensor:
        said = {"encoder_hidden_states": self.table(ids_BM) + self.place, "timestep": log_snr_B}
        if self.labelled:
            said["class_labels"] = torch.zeros_like(ids_BM[:, 0])
        return self.net(x, **said, return_dict=False)[0]


def plain_loss(
    model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean square of noise minus what the net says it is: the common loss of diffusion models."""
    x = batch["pictures"]
    log_snr_B = stratified(len(x), LOW, HIGH, generator)
    eps = torch.randn(x.shape, generator=generator)
    seen = add_noise(x, eps, log_snr_B) * like(torch.rsqrt(sigma_of(log_snr_B) ** 2 + SPREAD), x)
    return (model(seen, log_snr_B, batch["ids"]) - eps).square().mean(), {}


def ours(side: int, width: int, depth: int, heads: int) -> tuple[nn.Module, Objective]:
    """Return the denoiser of 05_diffusion with its loss."""
    net = DiT(side, PATCH, width, depth, heads, WORDS, LENGTH)
    middle = (LAPTOP.inner_low, LAPTOP.inner_high)
    loss = denoise_loss(WEIGHTINGS[LAPTOP.weighting], LOW, HIGH, middle, LAPTOP.share)
    return Denoiser(empty_skip(LAPTOP.skip, 3 * side**2), net, (LOW, HIGH)), loss


def nets_of(side: int, width: int, depth: int, heads: int) -> dict[str, tuple[nn.Module, Objective]]:
    """Return every net with its loss, ours first."""
    shape = (side, width, depth, heads)
    nets = {"ours, whole": ours(*shape), "ours, net": (Net(*shape), plain_loss)}
    for kind, blocks in (("adaLN-zero", depth), ("PixArt", depth + 1)):
        for one in (False, True):
            peer = Peer(kind, side, width, blocks, heads, one)
            nets[f"diffusers, {kind}{', one matrix' * one}"] = peer, plain_loss
    return nets | {AS_DEEP: (Peer("PixArt", *shape, True), plain_loss)}


def main() -> None:
    """Print parameters, FLOPs and the seconds of a step of all, and the peers' over ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["laptop", "larger"], choices=SIZES)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--fused", action="store_true", help="AdamW's fused form, for all")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    heading(
        f"One training step of diffusion, batch {BATCH}, patch {PATCH}, {LENGTH} words{FUSED * args.fused}", "diffusers"
    )
    adamw = Train(steps=1, batch=BATCH, lr=1e-3, muon=0.0)
    for name in args.sizes:
        side, width, depth, heads = SIZES[name]
        pictures, ids = torch.rand(BATCH, 3, side, side) * 2 - 1, torch.randint(3, WORDS, (BATCH, LENGTH))
        batch = {"pictures": pictures, "ids": ids}
        nets = nets_of(*SIZES[name])
        print(f"{name}: {side} px, {(side // PATCH) ** 2} patches, width {width}, depth {depth}, {heads} heads")
        for rival, (net, loss) in nets.items():
            share = count(net) / count(nets["ours, whole"][0])
            assert rival == AS_DEEP or abs(share - 1) < 0.02, f"unequal parameters: {rival} {share:.3f}"
            flops = count_flops(net, loss, batch) / 1e9
            print(f"  {rival:<44} {count(net):>9,} parameters ({share:.3f}), {flops:6.2f} GFLOP a step")
        rivals = {rival: step_of(net, loss, batch, adamw, args.fused) for rival, (net, loss) in nets.items()}
        rivals[MUON] = step_of(*ours(*SIZES[name]), batch, Train(steps=1, batch=BATCH, lr=1e-3), args.fused)
        times = interleave(rivals, args.rounds, warmup=3)
        report(times, "ms")
        peers = [rival for rival in nets if rival.startswith("diffusers")]
        for rival in sorted(peers, key=lambda rival: statistics.median(times[rival])):
            whole, net = (ratio(times, rival, mine) for mine in ("ours, whole", "ours, net"))
            print(f"  {rival} / ours: whole {whole}, net {net}")
        print(f"  ours, Muon / AdamW: {ratio(times, MUON, 'ours, whole')}")


if __name__ == "__main__":
    main()
