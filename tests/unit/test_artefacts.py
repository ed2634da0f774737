"""The store of trained weights: damage is found and said, work is shared and never half kept, disks may fail."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from falsework.core import artefacts
from falsework.core.artefacts import FILES, Artefact, Store, file_digest, key_of, seal, unseal, write_atomic
from falsework.core.errors import Refused

WEIGHTS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "palette": np.array([[1, 2, 3]], np.uint8)}
DESCRIPTION = {"recipe": {"kind": "Toy", "width": 3, "train": {"lr": 0.1}}, "seed": 0, "version": 1}
KEY = key_of(DESCRIPTION)


def build(folder: Path) -> tuple[dict, dict]:
    (folder / "log.jsonl").write_text('{"step": 0, "loss": 1.5}\n')
    (folder / "checkpoint.safetensors").write_bytes(b"on the way")
    return WEIGHTS, {"seconds": 1.0}


class Counted:
    """A build that counts how often it ran."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, folder: Path) -> tuple[dict, dict]:
        self.times += 1
        return build(folder)


def make(root: Path, how=build, say=print) -> Artefact:
    return Store(root).make("toy", "smoke", KEY, DESCRIPTION, how, say)


def never(folder: Path) -> tuple[dict, dict]:
    raise AssertionError("a whole artefact was built again")


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# ---- made once, found again


def test_an_artefact_is_built_once_and_then_read_back_bit_for_bit(tmp_path):
    first = make(tmp_path)
    again = make(tmp_path, never)
    assert {n: w.tobytes() for n, w in again.weights().items()} == {n: w.tobytes() for n, w in WEIGHTS.items()}
    assert again.log() == [{"step": 0, "loss": 1.5}]
    assert again.manifest == first.manifest and again.manifest["seconds"] == 1.0
    assert again.manifest["machine"]["numpy"] == np.__version__
    assert json.loads((again.folder / "recipe.json").read_text()) == DESCRIPTION
    assert {p.name for p in again.folder.iterdir()} == {*FILES, "manifest.json"}  # the checkpoint is gone
    assert again.folder == tmp_path / "toy" / f"smoke-{KEY}"


def test_what_was_made_for_one_preset_serves_every_other_and_a_damaged_copy_does_not(tmp_path):
    made = make(tmp_path)
    assert Store(tmp_path).make("toy", "overnight", KEY, DESCRIPTION, never).folder == made.folder
    (made.folder / "weights.safetensors").write_bytes(b"cut")
    counted, said = Counted(), list[str]()
    assert Store(tmp_path).make("toy", "overnight", KEY, DESCRIPTION, counted, said.append).folder != made.folder
    assert counted.times == 1 and said == []  # the damaged one is another preset's, and is said when that asks


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_the_key_depends_on_every_field(data):
    plain = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.booleans())
    names = st.text("abc", min_size=1, max_size=3)
    found = data.draw(st.dictionaries(names, st.one_of(plain, st.dictionaries(names, plain)), min_size=1))
    key = key_of(found)
    assert key == key_of(dict(reversed(found.items()))) and len(key) == 12  # the order of fields is no field
    for name, value in found.items():
        assert key_of({**found, name: [value]}) != key
        assert key_of({n: v for n, v in found.items() if n != name}) != key
        if isinstance(value, dict):
            for inner in value:
                assert key_of({**found, name: {**value, inner: "something else"}}) != key
    assert key_of({**found, "one more": 0}) != key


def test_a_seal_is_opened_only_on_what_was_sealed(tmp_path):
    facts = {"quote": "脚手架", "value": 0.1, "list": [1, None, "x"], "deep": {"b": 1, "a": 2}}
    path = tmp_path / "manifest.json"
    path.write_bytes(seal(facts))
    assert unseal(path) == facts
    path.write_text(path.read_text("utf-8").replace("0.1", "0.2"), "utf-8")
    with pytest.raises(ValueError, match=r"^manifest\.json does not match its own digest$"):
        unseal(path)
    for broken in (b"", b"{", b"[]", b"3", b"null", b"{}", b"\xff\xfe", seal(facts)[:-9]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"^manifest\.json is unreadable$"):
            unseal(path)
    path.unlink()
    with pytest.raises(ValueError, match=r"^manifest\.json is unreadable$"):
        unseal(path)


# ---- damage


def truncate(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


def edit_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def edit_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"seconds": 1.0', '"seconds": 9.0'))


def manifest_not_json(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]")


def edit_recipe(folder: Path) -> None:
    path = folder / "recipe.json"
    path.write_text(path.read_text().replace('"width": 3', '"width": 4'))


def edit_recipe_and_seal_anew(folder: Path) -> None:
    edit_recipe(folder)
    _seal_anew(folder)


def unreadable_weights_sealed_anew(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"not tensors")
    _seal_anew(folder)


def _seal_anew(folder: Path) -> None:
    facts = unseal(folder / "manifest.json")
    facts["digests"] = {n: file_digest(folder / n) for n in FILES}
    (folder / "manifest.json").write_bytes(seal(facts))


DAMAGES = [
    (truncate, "weights.safetensors does not match its digest"),
    (edit_weights, "weights.safetensors does not match its digest"),
    (edit_manifest, "manifest.json is unreadable or was edited"),
    (manifest_not_json, "manifest.json is unreadable or was edited"),
    (edit_recipe, "recipe.json does not match its digest"),
    (edit_recipe_and_seal_anew, "its recipe does not match its key"),
    (unreadable_weights_sealed_anew, "its weights are unreadable"),
    (lambda f: (f / "weights.safetensors").unlink(), "weights.safetensors is missing"),
    (lambda f: (f / "log.jsonl").unlink(), "log.jsonl is missing"),
    (lambda f: (f / "manifest.json").unlink(), "manifest.json is unreadable or was edited"),
]


@pytest.mark.parametrize(("damage", "fault"), DAMAGES, ids=[f"{i} {d[1]}" for i, d in enumerate(DAMAGES)])
def test_damage_is_found_said_in_one_sentence_and_made_again(tmp_path, damage, fault):
    folder, said, how = make(tmp_path).folder, [], Counted()
    damage(folder)
    again = make(tmp_path, how, said.append)
    assert said == [f"The artefact smoke-{KEY} of toy is damaged ({fault}); it is made again."]
    assert how.times == 1 and again.weights()["w"].tobytes() == WEIGHTS["w"].tobytes()
    make(tmp_path, never, said.append)
    assert len(said) == 1


# ---- several runs, and runs that die


def _make_slowly(root: Path, tally: Path) -> None:
    def slow(folder: Path) -> tuple[dict, dict]:
        with tally.open("a") as f:
            f.write(f"{os.getpid()}\n")
        time.sleep(0.5)
        return build(folder)

    make(root, slow, lambda text: None)


@pytest.mark.parametrize("damaged", [False, True])
def test_processes_that_want_the_same_artefact_build_it_once(tmp_path, damaged):
    root, tally = tmp_path / "store", tmp_path / "tally"
    if damaged:
        edit_weights(make(root).folder)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_make_slowly, args=(root, tally)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [p.exitcode for p in processes] == [0] * 4
    assert len(tally.read_text().splitlines()) == 1
    make(root, never)
    assert not list(root.rglob("*.part"))


def test_a_damaged_artefact_is_not_removed_from_under_the_one_who_mended_it(tmp_path, monkeypatch):
    """Between the look without a lock and the look under it, another run may have made it again."""
    folder = make(tmp_path).folder
    edit_weights(folder)
    find, looks = Store.find, []

    def mended_after_the_first_look(self, *args, **more):
        found = find(self, *args, **more)
        if not looks:
            looks.append(found)
            shutil.rmtree(folder)
            make(tmp_path)
        return found

    monkeypatch.setattr(Store, "find", mended_after_the_first_look)
    assert make(tmp_path, never).folder == folder and looks == [None]


def test_a_crash_inside_build_leaves_no_half_artefact_and_keeps_its_checkpoint(tmp_path):
    def crash(folder: Path) -> tuple[dict, dict]:
        (folder / "checkpoint.safetensors").write_bytes(b"half way")
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError):
        make(tmp_path, crash)
    part = tmp_path / "toy" / f"smoke-{KEY}.part"
    assert (part / "checkpoint.safetensors").read_bytes() == b"half way" and not part.with_suffix("").exists()

    def resume(folder: Path) -> tuple[dict, dict]:
        assert (folder / "checkpoint.safetensors").read_bytes() == b"half way"
        return build(folder)

    make(tmp_path, resume)
    assert not part.exists()


@pytest.mark.parametrize("moment", ["in build", "before the manifest", "before the rename"])
def test_a_process_that_dies_at_any_moment_leaves_nothing_that_passes_for_whole(tmp_path, moment):
    def die(*_: object, **__: object) -> None:
        os._exit(9)

    def child() -> None:
        if moment == "before the manifest":
            artefacts.write_atomic = die
        elif moment == "before the rename":
            replace = os.replace
            os.replace = lambda a, b: die() if str(a).endswith(".part") and Path(a).is_dir() else replace(a, b)
        make(tmp_path, die if moment == "in build" else build)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(30)
    assert process.exitcode == 9
    said: list[str] = []
    assert Store(tmp_path).find("toy", "smoke", KEY, said.append) is None and said == []
    how = Counted()
    make(tmp_path, how)  # the lock of the dead is free
    assert how.times == 1


# ---- full and read-only disks


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A real limit of the system: any write beyond `size` bytes fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def sentence_of(raised: pytest.ExceptionInfo) -> str:
    text = str(raised.value)
    assert "\n" not in text and text.endswith("; what was saved earlier is intact.")
    return text


def test_weights_that_do_not_fit_are_said_in_one_sentence_and_earlier_artefacts_stay(tmp_path):
    make(tmp_path)
    before = files_of(tmp_path)
    other = {**DESCRIPTION, "seed": 1}
    large = {"w": np.zeros(100_000, np.float32)}
    with files_of_at_most(5_000), pytest.raises(Refused) as raised:
        Store(tmp_path).make("toy", "smoke", key_of(other), other, lambda f: (large, {}))
    assert "Cannot write weights.safetensors in" in sentence_of(raised)
    assert "File too large" in str(raised.value)
    after = files_of(tmp_path)
    assert {n: after[n] for n in before} == before
    make(tmp_path, never)
    Store(tmp_path).make("toy", "smoke", key_of(other), other, lambda f: (large, {}))  # and with room it goes on


def test_a_checkpoint_that_does_not_fit_is_the_same_sentence(tmp_path):
    def checkpoint(folder: Path) -> tuple[dict, dict]:
        save_file({"w": np.zeros(100_000, np.float32)}, folder / "checkpoint.part")
        raise AssertionError("the disk was not full")

    with files_of_at_most(5_000), pytest.raises(Refused) as raised:
        make(tmp_path, checkpoint)
    sentence_of(raised)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_really_full_device_leaves_the_old_file_whole_and_no_part(tmp_path):
    path = tmp_path / "rows.json"
    write_atomic(path, b"old")
    os.symlink("/dev/full", tmp_path / f".rows.json.{os.getpid()}.part")
    with pytest.raises(Refused) as raised:
        write_atomic(path, b"new")
    assert os.strerror(errno.ENOSPC) in sentence_of(raised) and "Cannot write rows.json" in str(raised.value)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["rows.json"]


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_disk_that_fails_late_leaves_the_old_file_whole_and_no_part(tmp_path, monkeypatch, call):
    path = tmp_path / "rows.json"
    write_atomic(path, b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(Refused) as raised:
        write_atomic(path, b"new")
    sentence_of(raised)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["rows.json"]


def test_a_folder_that_is_a_file_is_said_in_one_sentence(tmp_path):
    (tmp_path / "runs").write_text("a file where a folder should be")
    with pytest.raises(Refused) as raised:
        write_atomic(tmp_path / "runs" / "rows.json", b"new")
    sentence_of(raised)
    with pytest.raises(Refused) as raised:
        make(tmp_path / "runs", never)
    sentence_of(raised)


def _as_nobody(root: Path, answers) -> None:
    """Use a store that this user may read and not write: root gives up its rights first, for rights bind others."""
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        served = make(root, never).weights()["w"].tobytes() == WEIGHTS["w"].tobytes()
        other = {**DESCRIPTION, "seed": 1}
        try:
            Store(root).make("toy", "smoke", key_of(other), other, never)
            answers.send((served, "nothing refused"))
        except Refused as refusal:
            answers.send((served, str(refusal)))
    except BaseException as fault:
        answers.send((False, repr(fault)))


def test_a_read_only_store_serves_what_is_whole_and_refuses_to_build_in_one_sentence():
    root = Path(tempfile.mkdtemp(prefix="falsework-"))  # not tmp_path: another user may not enter that
    folders = [root, *(p for p in [make(root).folder.parent, make(root).folder])]
    before = files_of(root)
    for folder in folders:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    try:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(target=_as_nobody, args=(root, theirs))
        process.start()
        served, refusal = ours.recv() if ours.poll(30) else (False, "no answer")
        process.join(10)
        assert served, refusal
        assert "Permission denied; what was saved earlier is intact." in refusal and "\n" not in refusal
        assert files_of(root) == before
    finally:
        for folder in folders:
            folder.chmod(0o755)
        shutil.rmtree(root)


def test_the_store_needs_no_torch():
    code = "import sys, falsework.core.artefacts, falsework.core.evidence; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
