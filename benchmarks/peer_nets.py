"""The nets that are compared, ours and the libraries', all built from sizes with random weights: nothing is downloaded.

A peer is wrapped until our own objectives and samplers can call it, and no further: its blocks, caches and attention stay
its own, and dropout is off, as in ours. Parameters are equal within 5 %; `peers.py` refuses otherwise.

Dimension key: B batch, T pixels or tokens, L places of text, C width, K palette colours, S side of a picture.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from falsework.nets.clip import CLIP
from falsework.nets.dalle import JointTransformer
from falsework.nets.dit import Denoiser, DiT, empty_skip
from falsework.nets.heads import Heads
from falsework.nets.igpt import PixelTransformer
from falsework.nets.towers import PatchTower, TextTower
from falsework.noise import add_noise, shrunk, sigma_of, stratified
from falsework.objectives.denoise import WEIGHTINGS, denoise_loss
from falsework.recipes.diffusion import PRESETS
from falsework.training import Objective

SIDE, COLOURS, DEPTH, HEADS = 16, 128, 4, 4  # 01_igpt; the towers of CLIP share depth and heads
LENGTH = SIDE * SIDE
WORDS, TEXT, CODES, GRID = 87, 22, 1024, 8  # the stream of 02_dalle1 at laptop
SEEN, PATCH, NAMES, CAPTION, CLASSES = 32, 4, 3700, 32, 100  # towers: side, patch, words, their number; labels
SAID, PLACES = 41, 26  # diffusion: words and the places of a caption
LAPTOP = PRESETS["laptop"]


def count(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in model.parameters())


# ---------------------------------------------------------------- pixels and codes, one after another


def ours(width: int) -> PixelTransformer:
    """Return the net of 01_igpt."""
    return PixelTransformer(SIDE, torch.zeros(COLOURS, 3, dtype=torch.uint8), width, DEPTH, HEADS)


def our_stream(width: int) -> JointTransformer:
    """Return the stream of 02_dalle1: 2 layers of 8 heads."""
    return JointTransformer(WORDS, TEXT, torch.randn(CODES, 48), GRID, width, 2, 8)


class XTransformer(nn.Module):
    """x-transformers' decoder as a pixel model: pre-norm LayerNorm, GELU, MLP of 4 widths, flash, learned absolute places.

    `places="grid"` hands it a learned row and column, as ours has, through its own `pos` argument: equal parameters.
    `places="table"` is its own table of one vector a position: 6 % more of them at width 64.
    """

    def __init__(self, width: int, places: str = "grid") -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from x_transformers import Decoder, TransformerWrapper
        layers = Decoder(dim=width, depth=DEPTH, heads=HEADS, attn_dim_head=width // HEADS, attn_flash=True)
        self.net = TransformerWrapper(
            num_tokens=COLOURS + 1,
            logits_dim=COLOURS,
            max_seq_len=LENGTH,
            use_abs_pos_emb=places == "table",
            attn_layers=layers,
        )
        self.grid = places == "grid"
        if self.grid:  # its own tables start at this scale
            self.row = nn.Parameter(torch.randn(SIDE, 1, width) * width**-0.5)
            self.column = nn.Parameter(torch.randn(1, SIDE, width) * width**-0.5)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Return logits (B, T, K) of every pixel given those before it, as ours does."""
        return self.net(_shifted(ids_BT), pos=(self.row + self.column).flatten(0, 1) if self.grid else None)


class GPT2(nn.Module):
    """Hugging Face's GPT-2 of `tokens` and one more to begin with, for training and for `generate`."""

    def __init__(
        self, tokens: int, length: int, width: int, depth: int, heads: int, attention: str, tied: bool
    ) -> None:
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(
            vocab_size=tokens + 1,
            n_positions=length + 1,
            n_embd=width,
            n_layer=depth,
            n_head=heads,
            bos_token_id=tokens,
            eos_token_id=None,
            tie_word_embeddings=tied,
            attn_implementation=attention,
            activation_function="gelu",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
        self.net = GPT2LMHeadModel(config)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Return logits (B, T, K) of every token given those before it."""
        return self.net(_shifted(ids_BT), use_cache=False).logits[..., :-1]

    def generator(self, prompt_BL: Tensor, tokens: int, cache: str) -> Callable[[], Tensor]:
        """Return a function that draws (B, tokens) after a prompt: plain sampling, free of the default cut at 50."""
        from transformers import GenerationConfig

        asked: dict[str, Any] = {"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": 1.0, "use_cache": True}
        asked |= {"max_new_tokens": tokens, "min_new_tokens": None, "eos_token_id": None}
        start = self.net.config.bos_token_id
        config = GenerationConfig(**asked, pad_token_id=start, bos_token_id=start, cache_implementation=cache)
        mask, net = torch.ones_like(prompt_BL), self.net.eval()

        @torch.inference_mode()
        def draw() -> Tensor:
            return net.generate(prompt_BL, attention_mask=mask, generation_config=config)[:, prompt_BL.shape[1] :]

        return draw


def gpt2(width: int, attention: str) -> GPT2:
    """Return a GPT-2 of the size of `ours`; `attention` is "sdpa" or "eager"."""
    return GPT2(COLOURS, LENGTH, width, DEPTH, HEADS, attention, tied=True)


def gpt2_stream(width: int, attention: str) -> GPT2:
    """Return a GPT-2 whose one table holds words and codes; its head is not tied to it, as that of our stream is not."""
    return GPT2(CODES + WORDS, TEXT + GRID**2, width, 2, 8, attention, tied=False)


def _shifted(ids_BT: Tensor) -> Tensor:
    return torch.cat([torch.full_like(ids_BT[:, :1], COLOURS), ids_BT[:, :-1]], 1)


# ---------------------------------------------------------------- towers


def our_clip(width: int) -> CLIP:
    """Return our CLIP with a patch tower and a caption tower of the same trunk."""
    text = TextTower(NAMES, CAPTION, width, DEPTH, HEADS)
    return CLIP(PatchTower(SEEN, PATCH, width, DEPTH, HEADS), text, width)


class OpenCLIP(nn.Module):
    """open_clip's model of the same sizes, behind the names that our objective calls."""

    def __init__(self, width: int) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from open_clip.model import CLIP as Peer

        vision = {
            "layers": DEPTH,
            "width": width,
            "head_width": width // HEADS,
            "patch_size": PATCH,
            "image_size": SEEN,
        }
        text = {"context_length": CAPTION, "vocab_size": NAMES, "width": width, "heads": HEADS, "layers": DEPTH}
        self.net = Peer(width, vision, text)

    def embed_images(self, pictures: Tensor) -> Tensor:
        return self.net.encode_image(pictures.float() / 127.5 - 1, normalize=True)

    def embed_texts(self, ids: Tensor) -> Tensor:
        return self.net.encode_text(ids, normalize=True)

    @property
    def scale(self) -> Tensor:
        return self.net.logit_scale.exp().clamp(max=100)


def our_vit(width: int) -> Heads:
    """Return our vision tower under the mean and one linear head."""
    return Heads(PatchTower(SEEN, PATCH, width, DEPTH, HEADS), {"label": CLASSES})


class TimmViT(nn.Module):
    """timm's vision transformer of the same sizes, read by the mean over its patches as ours is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from timm.models.vision_transformer import VisionTransformer

        shape = {"img_size": SEEN, "patch_size": PATCH, "embed_dim": width, "depth": DEPTH, "num_heads": HEADS}
        read = {"num_classes": CLASSES, "class_token": False, "global_pool": "avg"}
        self.net = VisionTransformer(**shape, **read)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return the logits under the name that our objective reads."""
        return {"label": self.net(pictures.float() / 127.5 - 1)}


# ---------------------------------------------------------------- diffusion


def our_denoiser(side: int, width: int, heads: int) -> tuple[nn.Module, Objective]:
    """Return the denoiser of 05_diffusion_classifier with its loss: the net and the skip, whose linear guess costs too."""
    net = DiT(side, PATCH, width, 3, heads, SAID, PLACES)
    middle = (LAPTOP.inner_low, LAPTOP.inner_high)
    loss = denoise_loss(WEIGHTINGS[LAPTOP.weighting], LAPTOP.low, LAPTOP.high, middle, LAPTOP.share)
    return Denoiser(empty_skip(LAPTOP.skip, 3 * side**2), net, (LAPTOP.low, LAPTOP.high)), loss


class Net(nn.Module):
    """Our DiT without its skip: where it looks at two pictures it sees the noisy one twice."""

    def __init__(self, side: int, width: int, heads: int) -> None:
        super().__init__()
        self.net = DiT(side, PATCH, width, 3, heads, SAID, PLACES)

    def forward(self, x: Tensor, log_snr_B: Tensor, ids_BM: Tensor) -> Tensor:
        return self.net(torch.cat([x, x], 1), log_snr_B, self.net.hear(ids_BM))


class Diffusers(nn.Module):
    """A transformer of diffusers: it reads a table of words and places through its own caption projection.

    adaLN-zero: Transformer2DModel, the block of its DiT with cross-attention, as deep and as wide as ours. It takes class
    labels, here always the same one, and has an embedding of the noise level in every block; they share the first one's.
    PixArt: PixArtTransformer2DModel, one adaLN for all blocks, so at equal parameters a block more.
    Queries, keys and values come from one matrix, as its `fuse_qkv_projections` makes it: that is no slower.
    """

    def __init__(self, kind: str, side: int, width: int, heads: int) -> None:
        super().__init__()
        from diffusers import PixArtTransformer2DModel, Transformer2DModel
        from diffusers.models.attention_processor import Attention, FusedAttnProcessor2_0

        self.labelled = kind == "adaLN-zero"
        shape: dict[str, Any] = {"num_attention_heads": heads, "attention_head_dim": width // heads}
        shape |= {"in_channels": 3, "out_channels": 3, "sample_size": side, "patch_size": PATCH}
        shape |= {"cross_attention_dim": width, "caption_channels": width, "attention_bias": False}
        shape |= {"num_layers": 3 if self.labelled else 4, "activation_fn": "gelu"}
        self.table = nn.Embedding(SAID, width)
        self.place = nn.Parameter(torch.randn(PLACES, width))
        if self.labelled:
            self.net = Transformer2DModel(**shape, norm_type="ada_norm_zero", num_embeds_ada_norm=1)
            for block in self.net.transformer_blocks[1:]:
                block.norm1.emb = self.net.transformer_blocks[0].norm1.emb
        else:
            self.net = PixArtTransformer2DModel(**shape)
        for attention in self.net.modules():
            if isinstance(attention, Attention):
                attention.fuse_projections()
                attention.set_processor(FusedAttnProcessor2_0())
                for name in ("to_k", "to_v") if attention.is_cross_attention else ("to_q", "to_k", "to_v"):
                    delattr(attention, name)

    def forward(self, x: Tensor, log_snr_B: Tensor, ids_BM: Tensor) -> Tensor:
        said: dict[str, Any] = {"encoder_hidden_states": self.table(ids_BM) + self.place, "timestep": log_snr_B}
        if self.labelled:
            said["class_labels"] = torch.zeros_like(ids_BM[:, 0])
        return self.net(x, **said, return_dict=False)[0]


def plain_loss(
    model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean square of noise minus what the net says it is: the common loss of diffusion models."""
    x = batch["pictures"]
    log_snr_B = stratified(len(x), LAPTOP.low, LAPTOP.high, generator)
    eps = torch.randn(x.shape, generator=generator)
    seen = shrunk(add_noise(x, eps, log_snr_B), sigma_of(log_snr_B))
    return (model(seen, log_snr_B, batch["ids"]) - eps).square().mean(), {}
