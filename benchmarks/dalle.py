"""DALL-E draws: our static cache beside Hugging Face's `generate` on a GPT-2 of our size; and 1,000 pictures' memory.

The stream of 02_dalle1 at laptop: 23 places of text, then 64 codes of 1,024. The peer gets the same prompt and draws as
many tokens. One thread, interleaved, plain sampling (temperature 1, every code allowed) in float32. Target: at least 1.5x
faster; 1,000 pictures, guided, in less than 1 GiB. The peer's fastest setting by the median is the one that counts.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable

import torch
from torch import nn

from falsework.nets.dalle import JointTransformer
from falsework.samplers import guide, sample_tokens
from falsework.training import generator_of
from peers import count
from timing import heading, interleave, ratio, report

WORDS, TEXT, CODES, GRID, WIDTH, DEPTH, HEADS = 87, 22, 1024, 8, 128, 2, 8
SETTINGS = [(a, c) for a in ("sdpa", "eager") for c in ("dynamic", "static")]


def ours() -> JointTransformer:
    """Return the stream of 02_dalle1."""
    return JointTransformer(WORDS, TEXT, torch.randn(CODES, 48), GRID, WIDTH, DEPTH, HEADS).eval()


def peer(attention: str) -> nn.Module:
    """Return a GPT-2 whose one table holds words and codes; its head is not tied to it, as ours is not."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {"vocab_size": CODES + WORDS + 1, "n_positions": TEXT + 1 + GRID**2, "n_embd": WIDTH, "n_layer": DEPTH}
    config = GPT2Config(
        **shape,
        n_head=HEADS,
        bos_token_id=0,
        eos_token_id=None,
        tie_word_embeddings=False,
        attn_implementation=attention,
    )
    return GPT2LMHeadModel(config).eval()


def draw_ours(pictures: int) -> Callable[[], torch.Tensor]:
    """Return a function that draws codes for captions."""
    model, generator = ours(), generator_of("sampling")
    text, empty = torch.randint(3, WORDS, (pictures, TEXT)), torch.zeros(pictures, 0, dtype=torch.long)
    return lambda: sample_tokens(model.step(text), empty, GRID**2, generator)


def draw_peer(pictures: int, attention: str, cache: str) -> Callable[[], torch.Tensor]:
    """Return a function that draws as many tokens after a prompt of the same length."""
    from transformers import GenerationConfig

    model = peer(attention)
    asked = {"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": 1.0, "use_cache": True}
    asked |= {"max_new_tokens": GRID**2, "min_new_tokens": None, "eos_token_id": None, "pad_token_id": 0}
    config = GenerationConfig(**asked, bos_token_id=0, cache_implementation=cache)
    prompt = torch.randint(1, CODES, (pictures, TEXT + 1))
    mask = torch.ones_like(prompt)

    @torch.inference_mode()
    def draw() -> torch.Tensor:
        return model.generate(prompt, attention_mask=mask, generation_config=config)[:, TEXT + 1 :]

    return draw


def memory() -> None:
    """Draw 1,000 pictures, guided, in blocks of 250, and print how much memory that took beyond what was there before."""
    model, generator = ours(), generator_of("memory")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(4):
        text, empty = torch.randint(3, WORDS, (250, TEXT)), torch.zeros(250, 0, dtype=torch.long)
        sample_tokens(guide(model.step(text), model.step(torch.zeros_like(text)), 2.0), empty, GRID**2, generator)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"  1,000 pictures, guided: {(after - before) / 1024:.0f} MiB beyond {before / 1024:.0f} MiB, torch and all")


def main() -> None:
    """Print the seconds of both, the ratio, and the memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory", action="store_true", help="only draw 1,000 pictures and print the memory")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if args.memory:
        return memory()
    heading(f"Drawing {args.pictures} pictures of {GRID**2} codes after {TEXT + 1} places of text", "transformers")
    sizes = count(ours()), count(peer("sdpa"))
    assert abs(sizes[1] / sizes[0] - 1) < 0.05, f"unequal parameters: {sizes}"
    rivals = {"ours": draw_ours(args.pictures)}
    rivals |= {f"peer, {a}, {c}": draw_peer(args.pictures, a, c) for a, c in SETTINGS}
    assert all(draw().shape == (args.pictures, GRID**2) for draw in rivals.values())
    print(f"  {sizes[0]:,} parameters, the peer {sizes[1]:,}")
    times = interleave(rivals, args.rounds)
    report(times)
    for name in sorted(list(rivals)[1:], key=lambda name: statistics.median(times[name])):
        print(f"  {name} / ours: {ratio(times, name, 'ours')}")
    subprocess.run([sys.executable, __file__, "--memory"], check=True)


if __name__ == "__main__":
    main()
