"""The glossary and the notebooks agree: no word before its notebook, every boxed word explained, no box too full."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

import nbformat
import pytest

from redraw import NOTEBOOKS, ROOT

DIAL = "The language dial,"  # it names every station, those to come as well
MOST = 6  # new words that one notebook may box
BOX = re.compile(r"^> \*\*New words\.\*\*.*(?:\n>.*)*", re.M)
BOXED = re.compile(r"\*([^*\n]+)\*(?=[:,])")  # "*Term*: meaning", also "*Short*, *ultra*: meaning"


@dataclass(frozen=True)
class Word:
    """A row of the glossary. An everyday word is used in its plain sense before its notebook, so it is not looked for."""

    term: str
    meaning: str
    introduced: str
    boxed: tuple[str, ...]

    @property
    def everyday(self) -> bool:
        return self.term.endswith("*")

    @property
    def forms(self) -> list[str]:
        """Return the ways to write it: "σ (sigma)" has two."""
        return [form.strip() for form in re.split(r"[(),]", self.term.removesuffix("*")) if form.strip()]

    def named(self, boxed: str) -> bool:
        """Return whether a term of a box is this word."""
        asked = [form.strip().lower() for form in re.split(r"[(),]", boxed) if form.strip()]
        return any(form.lower() in {*asked, *(a.removeprefix("the ") for a in asked)} for form in self.forms)

    def found(self, text: str) -> list[str]:
        """Return where a text says it: as a whole word, one or many; J, a single letter, in its own case only."""
        stems = [re.escape(form) + ("(?:es|s)?" if len(form) > 1 else "") for form in self.forms]
        stems += [re.escape(form[:-1]) + "ies" for form in self.forms if len(form) > 2 and form.endswith("y")]
        word = re.compile(rf"(?<![\w-])(?:{'|'.join(stems)})(?![\w-])", re.I if len(self.forms[0]) > 1 else 0)
        flat = " ".join(text.replace("\n>", " ").split())
        return [flat[max(0, m.start() - 30) : m.end() + 20] for m in word.finditer(flat)]


def glossary(text: str) -> list[Word]:
    """Return the rows of the glossary's table."""
    rows = [[c.strip() for c in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")]
    return [Word(t, m, i, tuple(re.findall(r"\d\d", b))) for t, m, i, b in rows[1:]]


def boxes(text: str) -> list[str]:
    """Return the words that a notebook's text boxes as new."""
    return [term for box in BOX.findall(text) for term in BOXED.findall(box.replace("\n> ", " "))]


def faults(words: list[Word], texts: dict[str, str]) -> list[str]:
    """Return what is wrong between a glossary and the notebooks' texts, which are named by their numbers."""
    found = []
    for word in words:
        if word.introduced not in texts:
            found.append(f"{word.term}: there is no notebook {word.introduced}")
            continue
        for number in sorted(texts) if not word.everyday else []:
            said = word.found(texts[number])
            if number < word.introduced and said:
                found.append(f"{word.term}: used in {number}, introduced in {word.introduced}: ... {said[0]} ...")
            if number == word.introduced and not said:
                found.append(f"{word.term}: not a word of {number}, which introduces it")
        if word.boxed and min(word.boxed) < word.introduced:
            found.append(f"{word.term}: boxed before it is introduced in {word.introduced}")
        if word.boxed and word.introduced not in word.boxed:
            paragraphs = texts[word.introduced].replace("**", "").split("\n\n")
            italic = [term for paragraph in paragraphs for term in re.findall(r"\*([^*]+)\*", paragraph)]
            if not any(word.named(term) for term in italic):
                found.append(f"{word.term}: boxed later than {word.introduced}, where it is not in italics")
        for number in word.boxed:
            if not any(word.named(term) for term in boxes(texts.get(number, ""))):
                found.append(f"{word.term}: not in the box of {number}")
    for number, text in sorted(texts.items()):
        inside = boxes(text)
        if len(inside) > MOST:
            found.append(f"{number}: {len(inside)} new words in a box, but at most {MOST} can be kept in mind")
        for term in inside:
            if not any(word.named(term) for word in words):
                found.append(f"{term}: boxed in {number}, not in the glossary")
            elif not any(word.named(term) and number in word.boxed for word in words):
                found.append(f"{term}: boxed in {number}, and the glossary does not say so")
    return found


def shown_text(name: str) -> str:
    """Return what a reader of a notebook reads: its text, and the words of its pictures, save the dial's."""
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells
    parts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    for output in (o for cell in cells if cell.cell_type == "code" for o in cell.outputs):
        page = output.get("data", {}).get("text/html", "")
        parts += [alt for alt in map(html.unescape, re.findall(r'alt="([^"]*)"', page)) if not alt.startswith(DIAL)]
    return "\n\n".join(parts)


@pytest.fixture(scope="module")
def words() -> list[Word]:
    return glossary((ROOT / "docs" / "GLOSSARY.md").read_text(encoding="utf-8"))


def test_the_notebooks_keep_to_the_glossary(words: list[Word]) -> None:
    assert faults(words, {name[:2]: shown_text(name) for name in NOTEBOOKS}) == []


def test_the_glossary_is_fit_to_be_read(words: list[Word]) -> None:
    forms = [form.lower() for word in words for form in word.forms]
    assert len(forms) == len(set(forms)), "a word explained twice"
    keys = [word.term.replace("σ (sigma)", "sigma").lower() for word in words]
    assert keys == sorted(keys)
    assert len(words) > 60 and sum(word.everyday for word in words) <= 5, "a star is an excuse: few have it"
    for word in words:
        assert word.meaning.endswith(".") and word.meaning.count(". ") <= 1 and len(word.meaning) <= 160, word.term


def test_words_are_matched_whole_in_plural_and_in_any_case() -> None:
    def count(term: str, text: str) -> int:
        return len(Word(term, "", "00", ()).found(text))

    assert count("Code", "a Code, two codes, a barcode, decoded, code-free, CODE") == 3
    assert count("Visible energy", "visible\nenergy and visible energies") == 2
    assert count("J", "J is what there is to say; letters a to j") == 1
    assert count("FLOPs (FLOP, GFLOP)", "98 GFLOP, one FLOP, FLOPs, a flop house, flopped") == 4
    assert count("σ (sigma)", "at sigma 2, σ = 5, sigmas") == 3


def test_planted_violations_are_found() -> None:
    box = "> **New words.** *Probe*: a straight-line\n> classifier. *Short*, *ultra*: captions."
    texts = {"00": "A look at pictures.", "01": f"Hello.\n\n{box}\n\nProbes read.", "02": "A probe again."}
    good = [Word("Probe", "m.", "01", ("01",)), Word("Short*", "m.", "01", ("01",)), Word("Ultra", "m.", "01", ("01",))]
    assert boxes(texts["01"]) == ["Probe", "Short", "ultra"]
    assert faults(good, texts) == []

    def only(words: list[Word], texts: dict[str, str], *said: str) -> None:
        found = faults(words, texts)
        assert len(found) == len(said) and all(a in b for a, b in zip(said, found)), found

    only(good, texts | {"00": "Two PROBES."}, "Probe: used in 00, introduced in 01")
    only(good, texts | {"00": "In short."})  # an everyday word
    only(good[1:], texts, "Probe: boxed in 01, not in the glossary")
    late = Word("Probe", "m.", "02", ("02",))
    only([late, *good[1:]], texts, "Probe: used in 01", "not in the box of 02", "and the glossary does not say so")
    again = f"{texts['02']}\n\n> **New words.** *Probe*: once more."
    only(good, texts | {"02": again}, "Probe: boxed in 02, and the glossary does not say so")
    both = [Word("Probe", "m.", "01", ("01", "02")), *good[1:]]
    only(both, texts | {"02": again})
    plain = {"00": "A look.", "01": "Probes read. In short, ultra.", "02": f"{box}"}
    moved = [Word(w.term, "m.", "01", ("02",)) for w in good]
    only(moved, plain, *["not in italics"] * 3)
    only(moved, plain | {"01": "A *probe*, a *short* and an *ultra* one."})
    full = "> **New words.** " + " ".join(f"*Word{k}*: new." for k in "abcdefg")
    many = [Word(f"Word{k}", "m.", "00", ("00",)) for k in "abcdefg"]
    only(many, {"00": full}, "7 new words")
    only([Word("Ghost", "m.", "00", ())], {"00": "Nobody."}, "not a word of 00")
    only([Word("Probe", "m.", "07", ())], {"00": "Nobody."}, "no notebook 07")
