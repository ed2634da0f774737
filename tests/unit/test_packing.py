"""A store that travels: everything arrives whole, nothing else is written, and a bad file is refused in one sentence."""

from __future__ import annotations

import errno
import json
import zipfile
from pathlib import Path

import pytest

from falsework import cli
from falsework.core import versions
from falsework.core.artefacts import Store, key_of
from falsework.core.errors import Refused
from falsework.experiments import experiment_of, packing
from falsework.experiments.jobs import Job, collect, run_job
from falsework.experiments.packing import pack, unpack
from falsework.recipes import description_of

NOTEBOOK, ARM, SEED = "01_igpt", "small", 7  # a seed of a student's own
RECIPE = experiment_of(NOTEBOOK).arms("smoke")[ARM]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A root where one net was trained and measured."""
    root = tmp_path_factory.mktemp("student")
    run_job(Job(NOTEBOOK, "smoke", ARM, SEED, ("likelihood",), (), str(root)))
    return root


@pytest.fixture(scope="module")
def packed(trained, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("carried") / "class.zip"
    found = pack(path, [NOTEBOOK, "10_verdicts"], "smoke", trained)
    assert (found.nets, found.results) == (1, 1)
    return path


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def rewritten(source: Path, target: Path, change) -> Path:
    """Copy a pack with its members (name -> bytes) changed."""
    with zipfile.ZipFile(source) as old:
        members = {n: old.read(n) for n in old.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)
    return target


def test_what_is_packed_arrives_bit_for_bit_and_serves_as_if_trained_here(trained, packed, tmp_path):
    found = unpack(packed, tmp_path)
    assert (found.nets, found.results, found.known, found.other) == (1, 1, 0, 0)
    assert files(tmp_path) == {n: b for n, b in files(trained).items() if not n.endswith(".lock")}
    key = key_of(description_of(RECIPE, SEED))
    assert Store(tmp_path / "artefacts").find("igpt", "smoke", key, say=pytest.fail) is not None
    have, missing = collect(experiment_of(NOTEBOOK), "likelihood", "smoke", {ARM: RECIPE}, (SEED,), tmp_path / "runs")
    assert not missing and have[0].rows


def test_what_is_here_stays_and_is_counted(packed, tmp_path):
    unpack(packed, tmp_path)
    (weights,) = tmp_path.glob("artefacts/*/*/weights.safetensors")
    weights.write_bytes(b"mine")
    found = unpack(packed, tmp_path)
    assert (found.nets, found.results, found.known) == (0, 0, 2) and weights.read_bytes() == b"mine"


def test_results_alone_are_small_and_leave_the_nets_at_home(trained, tmp_path):
    found = pack(tmp_path / "rows.zip", [NOTEBOOK], "smoke", trained, results_only=True)
    assert (found.nets, found.results) == (0, 1) and (tmp_path / "rows.zip").stat().st_size < 50_000


def test_a_class_pools_its_seeds(trained, tmp_path):
    """Two students, two seeds: the teacher has both, each once."""
    other = tmp_path / "other"
    run_job(Job(NOTEBOOK, "smoke", ARM, 8, ("likelihood",), (), str(other)))
    for name, root in (("a.zip", trained), ("b.zip", other)):
        pack(tmp_path / name, [NOTEBOOK], "smoke", root, results_only=True)
        unpack(tmp_path / name, tmp_path / "teacher")
    unpack(tmp_path / "a.zip", tmp_path / "teacher")
    runs = tmp_path / "teacher" / "runs"
    have, missing = collect(experiment_of(NOTEBOOK), "likelihood", "smoke", {ARM: RECIPE}, (7, 8), runs)
    assert not missing and [r.seed for r in have] == [7, 8]


def test_results_made_with_overrides_stay_at_home(tmp_path):
    run_job(Job(NOTEBOOK, "smoke", ARM, SEED, ("likelihood",), (("small.train.steps", 2),), str(tmp_path)))
    with pytest.raises(Refused, match=r"^Nothing is trained or measured here at smoke, so there is nothing to export"):
        pack(tmp_path / "x.zip", [NOTEBOOK], "smoke", tmp_path)
    assert not (tmp_path / "x.zip").exists()


# ---- files that are refused, whole


def flipped(members: dict[str, bytes]) -> None:
    name = next(n for n in members if n.endswith("weights.safetensors"))
    members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])


def climbing(members: dict[str, bytes]) -> None:
    head = json.loads(members["pack.json"])
    members["../../evil.txt"], head["files"]["../../evil.txt"] = b"x", "0"
    members["pack.json"] = json.dumps(head).encode()


def stowaway(members: dict[str, bytes]) -> None:
    members["lib/falsework/cli.py"] = b"print('owned')"


def newer(what: str, name: str):
    def change(members: dict[str, bytes]) -> None:
        head = json.loads(members["pack.json"])
        head[what][name] += 1
        members["pack.json"] = json.dumps(head).encode()

    return change


def later(members: dict[str, bytes]) -> None:
    members["pack.json"] = json.dumps({**json.loads(members["pack.json"]), "format": packing.FORMAT + 1}).encode()


def headless(members: dict[str, bytes]) -> None:
    del members["pack.json"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (flipped, r"is damaged \(artefacts/igpt/.*weights.safetensors does not match its digest\)"),
        (
            climbing,
            r"is not a whole file of `falsework store export` \('\.\./\.\./evil\.txt' is neither a net nor a result\)",
        ),
        (stowaway, r"its list of members is wrong"),
        (newer("recipes", "igpt"), r"written by a newer falsework \(its igpt is of a later version\).*`git pull`"),
        (newer("measures", "01_igpt/likelihood"), r"newer falsework \(its 01_igpt/likelihood is of a later version\)"),
        (later, r"newer falsework \(its format is 2\)"),
        (headless, r"is not a whole file of `falsework store export`"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence_and_nothing_is_written(packed, tmp_path, change, words):
    bad = rewritten(packed, tmp_path / "bad.zip", change)
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(Refused, match=words) as refusal:
        unpack(bad, root)
    assert not list(root.rglob("*")) and not (tmp_path.parent / "evil.txt").exists()
    assert str(refusal.value).endswith(".") and "\n" not in str(refusal.value)


def test_a_file_that_is_missing_or_no_zip_is_refused(tmp_path):
    with pytest.raises(
        Refused, match=r"^There is no file .*none\.zip; give one that `falsework store export` wrote\.$"
    ):
        unpack(tmp_path / "none.zip", tmp_path)
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(Refused, match=r"^.*text\.zip is not a whole file of"):
        unpack(tmp_path / "text.zip", tmp_path)


def test_nets_of_an_older_version_are_left_out_and_counted(packed, tmp_path, monkeypatch):
    monkeypatch.setitem(versions.RECIPES, "igpt", versions.RECIPES["igpt"] + 1)
    found = unpack(packed, tmp_path)
    assert (found.nets, found.results, found.other) == (0, 1, 1)
    assert not (tmp_path / "artefacts").exists()


@pytest.mark.parametrize("at", ["pack", "unpack"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_done(trained, packed, tmp_path, monkeypatch, at):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(
        Refused, match=r"^Cannot write .*: No space left on device; what was saved earlier is intact\.$"
    ):
        if at == "pack":
            pack(tmp_path / "x.zip", [NOTEBOOK], "smoke", trained)
        else:
            unpack(packed, tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_the_commands_carry_a_store_from_one_clone_to_another(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "root", lambda: trained)
    (trained / "notebooks").mkdir(exist_ok=True)
    (trained / "notebooks" / "01_igpt.ipynb").write_text("{}")
    carried = str(tmp_path / "class.zip")
    assert cli.main(["store", "export", carried, "--only=01", "--preset=smoke"]) == 0
    monkeypatch.setattr(cli, "root", lambda: tmp_path / "clone")
    assert cli.main(["store", "import", carried, carried]) == 0
    out = capsys.readouterr().out
    assert "Exported 1 trained models and 1 results" in out
    assert (
        "1 trained models and 1 results imported.\n" in out
        and "0 trained models and 0 results imported; 2 were here" in out
    )
