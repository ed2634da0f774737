"""Drawing 64 pictures of 256 tokens: our static cache beside Hugging Face's `generate` on a GPT-2 of our size.

One thread, interleaved, plain sampling (temperature 1, every colour allowed) in float32. Target: at least 1.5x faster.
The peer runs with each of its attentions and caches ("sdpa, dynamic" is what `generate` has when nobody asks for
another); its fastest by the median is the one that counts.
"""

from __future__ import annotations

import argparse
import statistics
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
    rivals = {"ours": draw_ours(*shape)} | {f"peer, {a}, {c}": draw_peer(*shape, a, c) for a, c in SETTINGS}
    assert all(draw().shape == shape[1:] for draw in rivals.values())
    print(f"  {sizes[0]:,} parameters, the peer {sizes[1]:,}")
    times = interleave(rivals, args.rounds)
    report(times)
    for name in sorted(list(rivals)[1:], key=lambda name: statistics.median(times[name])):
        print(f"  {name} / ours: {ratio(times, name, 'ours')}")


if __name__ == "__main__":
    main()
