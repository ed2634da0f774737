"""The concept table of the emoji pictures: names, families, keywords and splits.

A concept is one emoji of the Unicode list without skin tone that is not a flag. A family is a set of
concepts that differ only in gender, age or direction, or that some art set draws all but alike. Families are
split, not concepts, so that no test drawing has a twin in training.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from falsework.core.rng import seed_of
from falsework.data.emoji import words_of

SKIN_TONES = {f"1F3F{digit}" for digit in "BCDEF"}
# words that do not tell families of people apart
VARIES = re.compile("(wo)?m[ae]n|person|people|boy|girl|child|adult|older|old|santa|mrs|mx|facing|right")
SMALL = re.compile("with|in|a|and|the")
ONE_WORD = {"merman": "merperson", "mermaid": "merperson", "prince": "crown", "princess": "crown"}
# families whose members share no words; each is one drawing with small changes in most sets
ALIKE = {
    "": "person",
    "breast feeding": "feeding baby",
    "couple heart": "couple",
    "kiss": "couple",
    "holding hands": "couple",
    "headscarf": "skullcap",
    "mens room": "toilet sign",
    "womens room": "toilet sign",
}
SHARES = {"val": 0.10, "test": 0.10}
TWINS = 0.04
HELD_SHARE = 0.08  # of the training concepts, one vendor's drawings each


@dataclass
class Concept:
    """One row of the table; `key` is its code points as file names spell them."""

    codepoints: str
    group: str
    subgroup: str
    name: str
    family: str
    keywords: list[str]
    split: str = "train"
    held_out_vendor: str = ""
    words: set[str] = field(default_factory=set)

    @property
    def key(self) -> str:
        return join_key(self.codepoints.split())


def join_key(codepoints: list[str]) -> str:
    """Return "1f3f4-200d-2620" for ["1F3F4", "200D", "2620", "FE0F"]: one spelling for every package."""
    return "-".join(c.lower().lstrip("0") for c in codepoints if c.upper() != "FE0F")


def family_of(name: str, group: str) -> str:
    """Return the name that all gender, age and direction variants of this concept share."""
    words = words_of(name).split()
    if group in ("People & Body", "Component"):
        if words[0] == "family":
            return "family"
        words = [ONE_WORD.get(w, w) for w in words if not (VARIES.fullmatch(w) or SMALL.fullmatch(w))]
    short = " ".join(words)
    return ALIKE.get(short, short)


def read_concepts(emoji_test: Path, tags: dict[str, list[str]]) -> list[Concept]:
    """Return the concepts in Unicode order, named by emoji-test.txt; `tags` are keywords by emoji."""
    tags_of = {join_key([f"{ord(sign):X}" for sign in emoji]): said for emoji, said in tags.items()}
    group = subgroup = ""
    found = []
    for line in emoji_test.read_text(encoding="utf-8").splitlines():
        if line.startswith("# group:"):
            group = line.split(":", 1)[1].strip()
        elif line.startswith("# subgroup:"):
            subgroup = line.split(":", 1)[1].strip()
        elif "; fully-qualified" in line or "; component" in line:
            codepoints = line.split(";")[0].split()
            if group == "Flags" or SKIN_TONES & set(codepoints):
                continue
            name = re.split(r" E\d+\.\d+ ", line.split("#", 1)[1], maxsplit=1)[1].strip()
            concept = Concept(" ".join(codepoints), group, subgroup, name, family_of(name, group), [])
            plain = words_of(name).split()
            # tags such as ":d" are pictures made of signs, not words
            said = [t for t in tags_of.get(concept.key, []) if re.fullmatch(r"[\w\s&'’.+-]+", t)]
            words = dict.fromkeys(w for t in said for w in words_of(t).split())
            concept.keywords = [w for w in words if w not in plain]
            concept.words = {*plain, *concept.keywords}
            found.append(concept)
    return found


def merge_twins(concepts: list[Concept], arrays: dict[str, np.ndarray]) -> None:
    """Join, in place, families with nearly the same drawing in one style: snowmen, clocks, white squares.

    arrays: images uint8 (N, 32, 32, 4) premultiplied, concept (N,), style (N,). Two drawings are twins when
    the root mean square difference of their 16 x 16 means, colour and alpha, is below TWINS of the range, or
    when they cannot be told apart on white (below a quarter of that).
    """
    parent = {c.family: c.family for c in concepts}

    def head(family: str) -> str:
        while parent[family] != family:
            family = parent[family]
        return family

    coarse = arrays["images"].reshape(-1, 16, 2, 16, 2, 4).mean(axis=(2, 4)) / 255
    white = coarse[..., :3] + 1 - coarse[..., 3:]
    for style in np.unique(arrays["style"]):
        rows = np.flatnonzero(arrays["style"] == style)
        for i, row in enumerate(rows):
            later = rows[i + 1 :]
            apart, on_white = (np.sqrt(((v[later] - v[row]) ** 2).mean(axis=(1, 2, 3))) for v in (coarse, white))
            for twin in later[(apart < TWINS) | (on_white < TWINS / 4)]:
                first, second = (head(concepts[arrays["concept"][r]].family) for r in (row, twin))
                parent[second] = first
    for concept in concepts:
        concept.family = head(concept.family)


def assign_splits(concepts: list[Concept]) -> None:
    """Give every family a side, in place: about 80/10/10 within each group, held-out words said in training.

    Families are met in an order fixed by a hash of their names. One goes to val or test when every word
    of its names is still said by the names or keywords of families left in training, and when it does not
    silence a word that an earlier held-out name needs. (By chance, 24 % of the names had no known word.)
    """
    families: dict[str, list[Concept]] = defaultdict(list)
    for concept in concepts:
        families[concept.family].append(concept)
    words = {f: set().union(*(c.words for c in members)) for f, members in families.items()}
    speakers = Counter(w for own in words.values() for w in own)  # in how many training families a word is said
    quota = {s: {g: share * n for g, n in Counter(c.group for c in concepts).items()} for s, share in SHARES.items()}
    needed: set[str] = set()  # words of held-out names: training must go on saying them
    for family in sorted(families, key=lambda f: seed_of("emoji split", f)):
        members = families[family]
        names = {w for c in members for w in words_of(c.name).split()}
        still_said = all(speakers[w] >= 2 for w in names | (needed & words[family]))  # this family and another
        group = Counter(c.group for c in members).most_common(1)[0][0]
        sides = [s for s in SHARES if quota[s][group] + 0.5 >= len(members)]
        if not (still_said and sides):
            continue
        side = max(sides, key=lambda s: quota[s][group])
        quota[side][group] -= len(members)
        speakers.subtract(words[family])
        needed |= names
        for concept in members:
            concept.split = side


def hold_out_vendors(concepts: list[Concept], vendors_of: list[set[str]]) -> None:
    """Give some training concepts a vendor whose drawings of them are kept out of training, in place.

    `vendors_of[i]` are the vendors that drew concept i. A vendor, not a style, because Fluent flat and 3D, or
    Noto and Noto blob, share designs. Only concepts of three vendors or more are taken: two still show them.
    """
    able = [i for i, c in enumerate(concepts) if c.split == "train" and len(vendors_of[i]) >= 3]
    able.sort(key=lambda i: seed_of("emoji style_concept", concepts[i].name))
    wanted = round(HELD_SHARE * sum(c.split == "train" for c in concepts))
    used: Counter[str] = Counter()
    for i in able[:wanted]:
        vendor = min(sorted(vendors_of[i]), key=lambda v: used[v])  # balanced over the four
        concepts[i].held_out_vendor = vendor
        used[vendor] += 1


def coverage(concepts: list[Concept]) -> dict[str, dict[str, float]]:
    """Return, for val and test, the shares of concepts of whose name training says all words, or no word."""
    report = {}
    train = [c for c in concepts if c.split == "train"]
    sources = {
        "names": {w for c in train for w in words_of(c.name).split()},
        "names and keywords": {w for c in train for w in c.words},
    }
    for side in SHARES:
        names = [set(words_of(c.name).split()) for c in concepts if c.split == side]
        for source, known in sources.items():
            report[f"{side}, {source}"] = {
                "all words": round(sum(n <= known for n in names) / len(names), 4),
                "no word": round(sum(not n & known for n in names) / len(names), 4),
            }
    return report
