"""Drawing 64 pictures of 256 tokens: our static cache beside Hugging Face's `generate` on a GPT-2 of our size.

One thread, interleaved, plain sampling (temperature 1, every colour allowed) in float32. Target: at least 1.5x faster.
The peer is given each of its caches and attentions once; the fastest goes into the comparison.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from falsework.samplers import sample_tokens
from falsework.training import generator_of
from peers import COLOURS, LENGTH, count, gpt2, ours
from timing import heading, interleave, ratio, report

SETTINGS = [(a, c) for a in ("sdpa", "eager") for c in ("dynamic", "static")]


def draw_ours(width: int, pictures: int, length: int) -> Callable[[], torch.Tensor]:
    """Return a function that draws pictures with our sampler."""
    model = ours(width).eval()
    empty, generator = torch.zeros(pictures, 0, dtype=torch.long), generator_of("sampling")
    return lambda: sample_tokens(model.step, empty, length, generator)


def draw_peer(width: int, pictures: int, length: int, attention: str, cache: str) -> Callable[[], torch.Tensor]:
    """Return a function that draws pictures with `generate`, free of its default cut at 50 tokens."""
    from transformers import GenerationConfig

    model = gpt2(width, attention)
    asked = {"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": 1.0, "use_cache": True}
    asked |= {"max_new_tokens": length, "min_new_tokens": None, "eos_token_id": None, "pad_token_id": COLOURS}
    config = GenerationConfig(**asked, bos_token_id=COLOURS, cache_implementation=cache)
    start = torch.full((pictures, 1), COLOURS)
    mask = torch.ones_like(start)

    @torch.inference_mode()
    def draw() -> torch.Tensor:
        return model.generate(start, attention_mask=mask, generation_config=config)[:, 1:]

    return draw


def main() -> None:
    """Print the seconds of both and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--length", type=int, default=LENGTH)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    heading(f"Drawing {args.pictures} pictures of {args.length} tokens, width {args.width}", "transformers")
    sizes = count(ours(args.width)), count(gpt2(args.width, "sdpa"))
    assert abs(sizes[1] / sizes[0] - 1) < 0.04, f"unequal parameters: {sizes}"
    shape = (args.width, args.pictures, args.length)
    first = {}
    for setting in SETTINGS:
        draw = draw_peer(*shape, *setting)
        draw_peer(args.width, 2, 4, *setting)()
        start = time.process_time()
        assert draw().shape == shape[1:]
        first[setting] = time.process_time() - start
        print(f"  the peer's {setting[0]} attention with its {setting[1]} cache, once: {first[setting]:.2f} s")
    best = min(first, key=first.__getitem__)
    rivals = {"ours": draw_ours(*shape), "peer": draw_peer(*shape, *best)}
    assert rivals["ours"]().shape == shape[1:]
    print(f"  {sizes[0]:,} parameters, the peer {sizes[1]:,}; its best: {best[0]}, {best[1]}")
    times = interleave(rivals, args.rounds)
    report(times)
    print(f"  peer / ours: {ratio(times, 'peer', 'ours')}")


if __name__ == "__main__":
    main()
