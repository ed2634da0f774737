"""falsework run | measure | publish | verdicts | status | clean | store | handout | lab.

Each command imports what it needs: `falsework verdicts` never waits for torch.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from falsework.core.config import PRESETS, check_preset, check_seeds
from falsework.core.errors import Refused
from falsework.core.paths import root


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 well, 1 something failed, 2 the request was refused, 130 stopped."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        code = int(args.command(args) or 0)
        sys.stdout.flush()  # words still in the buffer meet their reader here, not when Python ends
        return code
    except Refused as refusal:
        print(f"falsework: {refusal}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read our words has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as fault:
        print(f"falsework: {fault.filename or 'the disk'} cannot be used: {fault.strerror or fault}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. What was trained is kept; the same command goes on from there.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("falsework", description="Run the course and its measurements.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, does: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=does)
        return sub

    run = add("run", _run, "execute the notebooks and train what is missing")
    run.add_argument("--preset", default="laptop", help=f"one of {', '.join(PRESETS)}")
    run.add_argument("--only", default="", help="notebooks by number, such as 00,01")
    run.add_argument("--seeds", default=None, help="such as 0,1; the preset's own seeds when left out")
    run.add_argument("--jobs", default=None, metavar="N", help="train N nets at once; as many as cores when left out")
    run.add_argument("--fresh", action="store_true", help="forget what was trained and executed for these notebooks")
    run.add_argument(
        "--cluster", default=None, metavar="ADDRESS", help="train on a Dask cluster, such as tcp://host:8786"
    )
    measure = add("measure", _measure, "train and measure one notebook without opening it")
    publish = add("publish", _publish, "copy a notebook's measured results to evidence/")
    for sub in (measure, publish):
        sub.add_argument("notebook")
        sub.add_argument("--preset", default="laptop", help=f"one of {', '.join(PRESETS)}")
    measure.add_argument("--seeds", default=None, help="such as 0,1; the preset's own seeds when left out")
    measure.add_argument("--set", action="append", default=[], metavar="ARM.FIELD=VALUE", help="override a field")
    measure.add_argument("--cluster", default=None, metavar="ADDRESS", help="train on a Dask cluster")
    measure.add_argument("--device", choices=["cpu"], help="rehearse arms of the gpu preset, made small by --set, here")
    verdicts = add("verdicts", _verdicts, "judge every claim from published evidence")
    verdicts.add_argument("--here", action="store_true", help="judge what was measured here, and write the page")
    verdicts.add_argument("--preset", default="laptop", help="of what was measured here")
    store = add("store", _clean, "carry trained models and results to another machine").add_subparsers(required=True)
    export = store.add_parser("export", help="write what is trained and measured here to one file")
    export.set_defaults(command=_store_export)
    export.add_argument("file")
    export.add_argument("--only", default="", help="notebooks by number, such as 00,01")
    export.add_argument("--preset", default="laptop", help=f"one of {', '.join(PRESETS)}")
    export.add_argument("--results", action="store_true", help="results alone, without the models: small")
    bring = store.add_parser("import", help="bring in what export wrote; what is here stays")
    bring.set_defaults(command=_store_import)
    bring.add_argument("file", nargs="+")
    handout = add("handout", _handout, "write copies of the notebooks without their solutions")
    handout.add_argument("folder")
    add("status", _status, "say what is trained, measured and published")
    clean = add("clean", _clean, "remove what was executed and measured here (runs/)")
    clean.add_argument("--artefacts", action="store_true", help="trained weights too")
    add("lab", _lab, "open the course in JupyterLab")
    return parser


def _seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return check_seeds([int(x) for x in text.split(",") if x.strip()])
    except ValueError:
        wanted = "different whole numbers from 0 up with commas, such as 0,1,2"
        raise Refused(f"--seeds is {text!r}, but must be {wanted}.") from None


def _run(args: argparse.Namespace) -> int:
    from falsework import headless
    from falsework.experiments.cluster import backend
    from falsework.page import gather, write_page

    here, preset, seeds = root(), _preset(args), _seeds(args.seeds)
    names = headless.chosen(args.only, headless.standing(here))
    jobs = _jobs(args.jobs)
    began = time.monotonic()
    with backend(args.cluster):
        if args.fresh:
            print(f"Begins anew: {headless.forget(names, preset, seeds, here)} trained models removed.")
        stations = headless.run_course(names, preset, seeds, here, jobs)
    failed = [f"{s.name} failed ({s.fault})." for s in stations if s.fault]
    page, _ = write_page(gather(preset, here), here, failed)
    well, spent = len(stations) - len(failed), (time.monotonic() - began) / 60
    before = sum(s.before for s in stations)
    known = f", {before} of them before," if before else ""
    print(f"{well} of {len(stations)} notebooks executed{known} in {spent:.1f} min. The verdicts: {page}")
    for sentence in failed:
        print(sentence, file=sys.stderr)
    return 1 if failed else 0


def _preset(args: argparse.Namespace) -> str:
    """Return the preset; raises Refused for gpu without a GPU, unless the CPU was asked for by name."""
    preset = check_preset(args.preset)
    if preset == "gpu" and getattr(args, "device", None) is None and not getattr(args, "cluster", None):
        from falsework.recipes import device_of

        device_of(preset)
    return preset


def _jobs(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise Refused(f"--jobs is {text!r}, but must be a whole number from 1 up.")
    return int(text)


def _measure(args: argparse.Namespace) -> int:
    from falsework.experiments import experiment_of
    from falsework.experiments.cluster import backend
    from falsework.experiments.runner import measure

    experiment = experiment_of(args.notebook)
    if experiment is None:
        raise Refused(f"The notebook {args.notebook!r} measures nothing; its cards read the others' evidence.")
    preset, seeds, here = _preset(args), _seeds(args.seeds), root()
    without: tuple[str, ...] = ()
    overrides = dict(_override(x) for x in args.set)
    own = experiment.seeds[preset] if seeds is None else seeds
    if args.device:
        here, without = _rehearsal(preset, experiment.arms(preset), overrides)
    with backend(args.cluster):
        what = (args.notebook, tuple(experiment.measures), preset, own, overrides, here)
        found = measure(*what, without=without, device=args.device)
    print()
    for name, results in found.items():
        print(f"{name}: {sum(len(r.rows) for r in results)} rows from {len(results)} (arm, seed) pairs")
    return 0


def _rehearsal(preset: str, arms: Any, overrides: dict[str, Any]) -> tuple[Path, tuple[str, ...]]:
    """Return the root of a rehearsal of the gpu preset on the CPU, where nothing is published or judged from; and the
    arms that stay out of it: all that were not made small. Raises Refused for another preset, and without overrides.
    """
    if preset != "gpu":
        raise Refused(
            f"--device cpu rehearses the preset 'gpu' alone, but PRESET is {preset!r}, which always runs there."
        )
    small = {path.partition(".")[0] for path in overrides}
    if not small:
        raise Refused("--device cpu needs --set ARM.FIELD=VALUE to make an arm small, such as large.train.steps=3.")
    return root() / "runs" / "rehearsal", tuple(arm for arm in arms if arm not in small)


def _override(text: str) -> tuple[str, Any]:
    import ast

    path, eq, value = text.partition("=")
    if not eq:
        raise Refused(f"--set was given {text!r}, but must be ARM.FIELD=VALUE, such as small.train.steps=200.")
    try:
        return path, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return path, value


def _publish(args: argparse.Namespace) -> int:
    from falsework.experiments.publishing import publish_notebook

    folder = publish_notebook(args.notebook, check_preset(args.preset), root())
    print(f"Published {args.notebook} at {args.preset}: {', '.join(sorted(p.name for p in folder.iterdir()))}")
    return 0


def _verdicts(args: argparse.Namespace) -> int:
    if args.here:
        return _verdicts_here(check_preset(args.preset))
    from falsework.claims.published import judge_published

    for name, judged in judge_published(root() / "evidence").items():
        print(f"{name:5} {judged.verdict.state:13} {'stale! ' if judged.stale else ''}{judged.verdict.sentence}")
    return 0


def _verdicts_here(preset: str) -> int:
    from falsework.claims.ledger import YOURS
    from falsework.page import gather, write_page

    gathered = gather(preset, root())
    mine = [line.entries[YOURS] for line in gathered.lines]
    for entry in (e for e in mine if e.found):
        print(f"{entry.verdict.claim:5} {entry.state:13} {entry.verdict.sentence}")
    print(f"The page: {write_page(gathered, root())[0]}")
    return 0


def _store_export(args: argparse.Namespace) -> int:
    from falsework.experiments.packing import pack
    from falsework.headless import chosen, standing

    preset, names = check_preset(args.preset), chosen(args.only, standing(root()))
    packed = pack(Path(args.file), names, preset, root(), results_only=args.results)
    size = Path(args.file).stat().st_size / 1e6
    print(f"Exported {packed.nets} trained models and {packed.results} results to {args.file}, {size:.1f} MB.")
    return 0


def _store_import(args: argparse.Namespace) -> int:
    from falsework.experiments.packing import unpack

    for name in args.file:
        got = unpack(Path(name), root())
        rest = f"; {got.known} were here" * bool(got.known) + f"; {got.other} of another version left out" * bool(
            got.other
        )
        print(f"{name}: {got.nets} trained models and {got.results} results imported{rest}.")
    return 0


def _handout(args: argparse.Namespace) -> int:
    from falsework.handout import write_handout

    written = write_handout(Path(args.folder), root())
    print(f"{len(written)} notebooks without solutions, in {args.folder}.")
    return 0


def _status(args: argparse.Namespace) -> int:
    from falsework.core.evidence import load_evidence
    from falsework.experiments import MODULES, experiment_of
    from falsework.experiments.jobs import arms_of, collect

    here = root()
    for name in MODULES:
        experiment = experiment_of(name)
        if experiment is None:
            continue
        parts = []
        for preset in PRESETS:
            evidence = load_evidence(here / "evidence", name, preset)
            have = lack = 0
            if (here / "runs" / preset / name / "measured").is_dir():
                arms, seeds = arms_of(experiment, preset, {}), experiment.seeds[preset]
                for measure in experiment.measures:
                    found, missing = collect(experiment, measure, preset, arms, seeds, here / "runs")
                    have, lack = have + len(found), lack + len(missing)
            if have or evidence:
                word = "not published" if evidence is None else "published, stale" if evidence.stale else "published"
                parts.append(f"{preset}: {f'{have} of {have + lack} results here, ' if have else ''}{word}")
        print(f"{name}: {'; '.join(parts) or 'nothing yet'}")
    weights = list((here / "artefacts").glob("*/*/weights.safetensors"))
    size = sum(f.stat().st_size for f in weights) / 1e6
    print(
        f"{len(weights)} trained models here, {size:.0f} MB; {len(list((here / 'artefacts').glob('*/*.part')))} unfinished"
    )
    return 0


def _clean(args: argparse.Namespace) -> int:
    import shutil

    for name in ("runs", "artefacts")[: 2 if args.artefacts else 1]:
        folder = root() / name
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) if folder.exists() else 0
        keep = folder / "guesses.json"
        kept = keep.read_bytes() if keep.exists() else None
        shutil.rmtree(folder, ignore_errors=True)
        if kept is not None:
            folder.mkdir(exist_ok=True)  # on some systems a file in use keeps its folder
            keep.write_bytes(kept)
        print(f"Removed {name}/, {size / 1e6:.0f} MB{'; your guesses are kept' if kept is not None else ''}.")
    return 0


def _lab(args: argparse.Namespace) -> int:
    import subprocess

    first = root() / "notebooks" / "00_the_world.ipynb"
    return subprocess.call([sys.executable, "-m", "jupyter", "lab", str(first)])
