"""Ours beside x-transformers, Hugging Face's GPT-2, open_clip, diffusers and timm: equal parameters, one run, in turns.

    python benchmarks/peers.py                  # look; about 7 minutes
    python benchmarks/peers.py --keep           # and keep every second in evidence/benchmarks, and the table in README.md
    python benchmarks/peers.py --only clip      # one contest

Every round goes once through all rivals of all contests, every second one backwards, so that a slow minute of the machine
falls on all alike; a ratio is taken within a round. One thread, float32, the same optimizer, clipping and objective for
all rivals of a contest. Targets: a step takes at most 1.08 of the peer's seconds, drawing at most two thirds.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

import peer_nets as nets
from falsework.core.vocabulary import END
from falsework.objectives.contrast import contrast
from falsework.objectives.factors import factor_loss
from falsework.objectives.next_token import next_token
from falsework.samplers import sample_tokens
from falsework.training import Objective, Train, generator_of
from kept import keep, markdown, span
from timing import Times, heading, interleave, step_of

STEP, DRAW, MUON = 1.08, 2 / 3, "ours, Muon"
PEERS = ("x-transformers", "transformers", "open_clip_torch", "diffusers", "timm")
PICTURES = 64


class Rival(NamedTuple):
    """One of a contest: its name, its parameters, and what is timed."""

    name: str
    parameters: int
    once: Callable[[], object]


class Contest(NamedTuple):
    """What is done, at which size; the first rival is ours, and the others are measured by it."""

    kind: str
    size: str
    target: float
    rivals: list[Rival]


def steps(
    kind: str, size: str, batch: dict[str, Tensor], entries: dict[str, tuple[nn.Module, Objective]], muon: bool
) -> Contest:
    """Return a contest of training steps: forward, backward, clipping, AdamW; muon: ours once more, as the course trains."""
    adamw, course = Train(steps=1, batch=1, lr=1e-3, muon=0.0), Train(steps=1, batch=1, lr=1e-3)
    rivals = [Rival(n, nets.count(net), step_of(net, loss, batch, adamw)) for n, (net, loss) in entries.items()]
    if muon:
        twin, loss = entries["ours"]
        rivals.append(Rival(MUON, nets.count(twin), step_of(twin, loss, batch, course)))
    return Contest(kind, size, STEP, rivals)


def igpt() -> Iterator[Contest]:
    """01_igpt: 16 pictures of 256 pixels in 128 colours, depth 4."""
    for width in (64, 128):
        batch = {"ids": torch.randint(nets.COLOURS, (16, nets.LENGTH))}
        entries = {"ours": nets.ours(width), "x-transformers": nets.XTransformer(width)}
        entries["GPT-2"] = nets.gpt2(width, "sdpa")
        yield steps("igpt", f"width {width}", batch, {n: (net, next_token) for n, net in entries.items()}, muon=True)


def draw() -> Iterator[Contest]:
    """64 pictures, plain sampling: 256 pixels from nothing, and 64 codes after a sentence (02_dalle1)."""
    generator, empty = generator_of("sampling"), torch.zeros(PICTURES, 0, dtype=torch.long)
    # its fastest setting here, then the one that `generate` has when nobody asks for another
    settings = {"GPT-2, eager, static cache": ("eager", "static"), "GPT-2, as it comes": ("sdpa", "dynamic")}

    mine = nets.ours(64).eval()
    rivals = [Rival("ours", nets.count(mine), lambda: sample_tokens(mine.step, empty, nets.LENGTH, generator))]
    for name, (attention, cache) in settings.items():
        peer, start = nets.gpt2(64, attention), torch.full((PICTURES, 1), nets.COLOURS)
        rivals.append(Rival(name, nets.count(peer), peer.generator(start, nets.LENGTH, cache)))
    yield Contest("draw", "256 pixels, width 64", DRAW, rivals)

    stream, codes = nets.our_stream(128).eval(), nets.GRID**2
    text = torch.randint(3, nets.WORDS, (PICTURES, nets.TEXT))
    told = [Rival("ours", nets.count(stream), lambda: sample_tokens(stream.step(text), empty, codes, generator))]
    for name, (attention, cache) in settings.items():
        peer, prompt = nets.gpt2_stream(128, attention), torch.randint(1, nets.CODES, (PICTURES, nets.TEXT + 1))
        told.append(Rival(name, nets.count(peer), peer.generator(prompt, codes, cache)))
    yield Contest("draw", "a sentence, 64 codes, width 128", DRAW, told)


def clip() -> Iterator[Contest]:
    """03_clip with towers of patches: 64 pictures of 64 patches and captions of 32 words, depth 4."""
    ids = torch.randint(3, nets.NAMES - 1, (64, nets.CAPTION))
    ids[:, -1] = END
    ids[:, -2] = nets.NAMES - 1  # the peer reads where the id is largest, ours at the end
    batch = {"pictures": torch.randint(256, (64, 3, nets.SEEN, nets.SEEN), dtype=torch.uint8), "ids": ids}
    for width in (64, 128):
        entries = {"ours": (nets.our_clip(width), contrast), "open_clip": (nets.OpenCLIP(width), contrast)}
        yield steps("clip", f"width {width}", batch, entries, muon=False)


def vit() -> Iterator[Contest]:
    """A tower of patches under 100 labels: 64 pictures of 64 patches, depth 4."""
    pictures = torch.randint(256, (64, 3, nets.SEEN, nets.SEEN), dtype=torch.uint8)
    batch = {"pictures": pictures, "labels": torch.randint(nets.CLASSES, (64, 1))}
    for width in (64, 128):
        entries = {"ours": (nets.our_vit(width), factor_loss), "timm": (nets.TimmViT(width), factor_loss)}
        yield steps("vit", f"width {width}", batch, entries, muon=False)


def diffusion() -> Iterator[Contest]:
    """05_diffusion_classifier: 64 pictures, patches of 4, captions of 26 places, depth 3.

    "ours" is what the course trains: the net, the skip with its linear guess, and its own loss; "ours, no skip" is the net
    alone with the peers' loss.
    """
    for side, width, heads in ((16, 64, 2), (32, 128, 4)):
        pictures, ids = torch.rand(64, 3, side, side) * 2 - 1, torch.randint(3, nets.SAID, (64, nets.PLACES))
        entries = {"ours": nets.our_denoiser(side, width, heads)}
        for kind in ("adaLN-zero", "PixArt"):
            entries[f"diffusers, {kind}"] = nets.Diffusers(kind, side, width, heads), nets.plain_loss
        entries["ours, no skip"] = nets.Net(side, width, heads), nets.plain_loss
        yield steps("diffusion", f"{side} px, width {width}", {"pictures": pictures, "ids": ids}, entries, muon=True)


CONTESTS = {f.__name__: f for f in (igpt, draw, clip, vit, diffusion)}


def rows_of(contests: list[Contest], times: Times) -> list[dict[str, object]]:
    """Return tidy rows: one for each contest, rival and round."""
    return [
        {"contest": c.kind, "size": c.size, "rival": r.name, "parameters": r.parameters, "round": i, "seconds": s}
        for c in contests
        for r in c.rivals
        for i, s in enumerate(times[f"{c.kind}, {c.size}: {r.name}"])
    ]


def table(rows: list[dict[str, object]]) -> list[list[str]]:
    """Return the table that is printed and goes into the README: a line for each rival, ours over it where it is a peer."""
    grouped: dict[tuple, dict[str, list]] = {}
    for row in rows:
        rivals = grouped.setdefault((row["contest"], row["size"]), {})
        rivals.setdefault(str(row["rival"]), [row["parameters"]]).append(row["seconds"])
    lines = [["contest", "rival", "parameters", "ms", "ours / rival", "target"]]
    for (kind, size), rivals in grouped.items():
        target = DRAW if kind == "draw" else STEP
        for name, (parameters, *seconds) in rivals.items():
            ms = span([1e3 * s for s in seconds], 0 if statistics.median(seconds) >= 0.1 else 1)
            line = [f"{kind}, {size}", name, f"{parameters:,}", ms, "", ""]
            if not name.startswith("ours"):
                shares = [a / b for a, b in zip(rivals["ours"][1:], seconds)]
                reached = "reached" if statistics.median(shares) <= target else "**not reached**"
                line[4:] = [span(shares, 2), f"<= {target:.2f} {reached}"]
            elif name != "ours":  # what our own additions cost
                line[4] = span([a / b for a, b in zip(rivals["ours"][1:], seconds)], 2)
            lines.append(line)
    return lines


def main() -> None:
    """Run, print, and keep if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(CONTESTS), choices=CONTESTS)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--keep", action="store_true", help="publish in evidence/benchmarks and in README.md")
    args = parser.parse_args()
    if args.keep and set(args.only) != set(CONTESTS):
        parser.error("--keep publishes one whole run; leave --only out")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    heading(f"{args.rounds} rounds of {', '.join(args.only)}", *PEERS)
    contests = [contest for name in args.only for contest in CONTESTS[name]()]
    for c in contests:
        shares = {r.name: r.parameters / c.rivals[0].parameters for r in c.rivals}
        assert all(abs(share - 1) < 0.05 for share in shares.values()), f"unequal parameters: {c.kind}, {shares}"
    timed = {f"{c.kind}, {c.size}: {r.name}": r.once for c in contests for r in c.rivals}
    rows = rows_of(contests, interleave(timed, args.rounds, warmup=2))
    print(markdown(table(rows)))
    if args.keep:
        keep("peers", rows, table(rows), PEERS)


if __name__ == "__main__":
    main()
