"""Evidence: what was measured comes back as it was, and nothing edited, stale or unfinished passes for it."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falsework.core import evidence, versions
from falsework.core.artefacts import seal, unseal
from falsework.core.errors import Refused
from falsework.core.evidence import (
    EXHIBIT_BYTES,
    Result,
    check_rows,
    load_evidence,
    load_result,
    publish,
    result_path,
    save_result,
)

WHERE = ("01_igpt", "laptop")
WHICH = ("likelihood", "small", 0, "0123456789ab")


@pytest.fixture(autouse=True)
def version_numbers(monkeypatch):
    monkeypatch.setitem(versions.RECIPES, "igpt", 3)
    monkeypatch.setitem(versions.MEASURES, "01_igpt/likelihood", 5)
    monkeypatch.setitem(versions.MEASURES, "01_igpt/samples", 1)


def row(metric: str = "bits", value: object = 1.5, **context: object) -> dict:
    return {"arm": "small", "seed": 0, "metric": metric, "value": value, **context}


def result(seed: int = 0, rows: list | None = None, experiment: str = "likelihood", **more: object) -> Result:
    rows = [{**r, "seed": seed} for r in (rows or [row()])]
    return Result(experiment, "small", seed, f"key{seed}", rows, facts={"recipe": "igpt"}, **more)


def publish_to(folder, results, facts=None):
    return publish(folder, *WHERE, results, facts or {"machine": {"cpu": "abacus"}}, {"emoji": "d1ce57"})


def refused(call, *args: object) -> str:
    with pytest.raises(Refused) as raised:
        call(*args)
    text = str(raised.value)
    assert "\n" not in text and text.endswith(".")
    return text


# ---- published


def test_what_is_published_is_read_back(tmp_path):
    arrays = {"heat": np.arange(8, dtype=np.float16).reshape(2, 4), "seen": np.full((2, 2, 3), 255, np.uint8)}
    curve = [{"arm": "small", "seed": 0, "step": s, "loss": 2.0 / (s + 1)} for s in range(3)]
    rows = [
        row("bits", 1234.5678, region="background"),
        row("bits", 7, region="drawing, inside"),
        row("reached", math.inf, sigma=0.25),
        row("lost", -math.inf),
        row("tiny", 1.25e-9),
    ]
    folder = publish_to(tmp_path, [result(0, rows, arrays=arrays, curve=curve), result(1, [row()])])
    assert folder == tmp_path / "01_igpt" / "laptop"
    found = load_evidence(tmp_path, *WHERE)
    assert found is not None and found.stale == []
    assert found.rows("likelihood") == [{**rows[0], "value": 1234.57}, *rows[1:], {**row(), "seed": 1}]
    assert all(list(r)[:3] == ["arm", "seed", "metric"] and list(r)[-1] == "value" for r in found.rows("likelihood"))
    assert [c["loss"] for c in found.curves()] == pytest.approx([2.0, 1.0, 2 / 3], rel=1e-5)
    assert {n: (a.dtype, a.tolist()) for n, a in found.exhibits.items()} == {
        n: (a.dtype, a.tolist()) for n, a in arrays.items()
    }
    assert found.rows("never measured") == []
    assert found.all_rows() == [{"experiment": "likelihood", **r} for r in found.rows("likelihood")]
    assert found.manifest["keys"] == {"likelihood/small/0": "key0", "likelihood/small/1": "key1"}
    assert found.manifest["versions"] == {"igpt": 3, "01_igpt/likelihood": 5}
    assert found.manifest["data"] == {"emoji": "d1ce57"} and found.manifest["machine"] == {"cpu": "abacus"}


def test_nothing_published_is_none_and_not_an_error(tmp_path):
    assert load_evidence(tmp_path, *WHERE) is None


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.one_of(st.integers(-(10**12), 10**12), st.floats(allow_nan=False)),
    st.one_of(
        st.integers(-999, 10**9),
        st.sampled_from(["infinity", "nan", "NaN", "1_000", "+5", "Infinity", " 7", "0x10", "½", "脚手架", 'a "b", c']),
        st.text("abcdefgh ,\"'", min_size=1),
    ),
)
def test_a_value_keeps_six_figures_and_a_word_stays_a_word(tmp_path_factory, value, context):
    found = evidence._read_csv(_written(tmp_path_factory, [row(value=value, concept=context)]))[0]
    assert found["concept"] == context and type(found["concept"]) is type(context)
    assert found["value"] == value if isinstance(value, int) else found["value"] == float(f"{value:.6g}")


def _written(factory, rows):
    path = factory.mktemp("csv") / "rows.csv"
    path.write_bytes(evidence._csv_bytes(rows))
    return path


def test_curves_of_arms_that_log_different_metrics_keep_them_all(tmp_path):
    one = [{"arm": "small", "seed": 0, "step": 0, "loss": 1.0}]
    other = [{"arm": "clip", "seed": 0, "step": 0, "loss": 2.0, "hits": 0.5}]
    publish_to(tmp_path, [result(0, curve=one), result(1, curve=other)])
    assert load_evidence(tmp_path, *WHERE).curves() == one + other


def test_a_measure_of_pictures_alone_is_published(tmp_path):
    folder = publish_to(
        tmp_path, [Result("samples", "small", 0, "k", [], arrays={"drawn": np.zeros((2, 2), np.uint8)}, facts={})]
    )
    assert load_evidence(tmp_path, *WHERE).rows("samples") == []
    assert (folder / "exhibits.npz").exists()


def test_arms_of_one_recipe_are_published_apart_with_the_pictures_of_each(tmp_path):
    arms = ("drawings", "small")
    results = [
        Result("samples", arm, 0, arm, [{**row(), "arm": arm}], arrays={arm: np.full(2, i)}, facts={"recipe": "igpt"})
        for i, arm in enumerate(arms)
    ]
    publish_to(tmp_path, results)
    found = load_evidence(tmp_path, *WHERE)
    assert [r["arm"] for r in found.rows("samples")] == list(arms)
    assert {name: a.tolist() for name, a in found.exhibits.items()} == {"drawings": [0, 0], "small": [1, 1]}
    assert found.manifest["keys"] == {"samples/drawings/0": "drawings", "samples/small/0": "small"}
    assert found.manifest["versions"] == {"igpt": 3, "01_igpt/samples": 1}


def test_a_picture_that_two_results_call_by_one_name_is_refused_and_nothing_is_written(tmp_path):
    both = [result(seed, arrays={"heat": np.zeros(3)}) for seed in (0, 1)]
    text = refused(publish_to, tmp_path, both)
    assert text == "Two results of 01_igpt hold the exhibit 'heat', but a name may stand only once."
    assert not list(tmp_path.rglob("*"))


def test_a_new_publication_does_not_show_the_pictures_of_an_old_one(tmp_path):
    publish_to(tmp_path, [result(arrays={"old": np.zeros(3)})])
    assert set(load_evidence(tmp_path, *WHERE).exhibits) == {"old"}
    publish_to(tmp_path, [result()])
    assert load_evidence(tmp_path, *WHERE).exhibits == {}


# ---- damaged, stale, refused


def edit_csv(folder):
    path = folder / "likelihood.csv"
    path.write_text(path.read_text().replace("1.5", "1.4"))


def truncate_npz(folder):
    path = folder / "exhibits.npz"
    path.write_bytes(path.read_bytes()[:-20])


def edit_manifest(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("abacus", "laptop"))


def truncate_manifest(folder):
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:-20])


def manifest_without_digests(folder):
    facts = unseal(folder / "manifest.json")
    del facts["digests"]
    (folder / "manifest.json").write_bytes(seal(facts))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (edit_csv, "likelihood.csv does not match its digest"),
        (truncate_npz, "exhibits.npz does not match its digest"),
        (lambda f: (f / "curves.csv").unlink(), "curves.csv does not match its digest"),
        (edit_manifest, "manifest.json does not match its own digest"),
        (truncate_manifest, "manifest.json is unreadable"),
        (lambda f: (f / "manifest.json").write_text("[]"), "manifest.json is unreadable"),
        (manifest_without_digests, "'digests'"),
    ],
)
def test_published_evidence_that_was_edited_or_cut_is_refused_naming_the_file(tmp_path, damage, named):
    curve = [{"arm": "small", "seed": 0, "step": 0, "loss": 1.0}]
    damage(publish_to(tmp_path, [result(arrays={"heat": np.arange(99)}, curve=curve)]))
    text = refused(load_evidence, tmp_path, *WHERE)
    assert text == (
        f"The published evidence of 01_igpt at laptop is damaged ({named}); restore it with git or publish again."
    )


@pytest.mark.parametrize(("table", "name"), [("RECIPES", "igpt"), ("MEASURES", "01_igpt/likelihood")])
def test_evidence_is_stale_when_a_version_it_used_has_changed_or_gone(tmp_path, monkeypatch, table, name):
    publish_to(tmp_path, [result()])
    numbers = getattr(versions, table)
    with monkeypatch.context() as change:
        change.setitem(numbers, name, 99)
        assert load_evidence(tmp_path, *WHERE).stale == [name]
        change.delitem(numbers, name)
        assert load_evidence(tmp_path, *WHERE).stale == [name]
    monkeypatch.setitem(versions.MEASURES, "01_igpt/samples", 99)  # not used by this evidence
    assert load_evidence(tmp_path, *WHERE).stale == []


def test_exhibits_above_the_limit_are_refused_and_nothing_is_written(tmp_path):
    noise = np.random.default_rng(0).integers(256, size=EXHIBIT_BYTES + 1000, dtype=np.uint8)
    text = refused(publish_to, tmp_path, [result(arrays={"noise": noise})])
    assert "The exhibits of 01_igpt are 30" in text and "at most 300,000 are published" in text
    assert not list(tmp_path.rglob("*"))
    publish_to(tmp_path, [result(arrays={"noise": noise[: EXHIBIT_BYTES - 2000]})])


@pytest.mark.parametrize("missing", ["arm", "seed", "metric", "value"])
def test_a_row_without_a_needed_column_is_refused_naming_it(tmp_path, missing):
    rows = [row(), {k: v for k, v in row().items() if k != missing}]
    text = refused(check_rows, rows, "likelihood of 01_igpt")
    assert text == (f"Row 1 of likelihood of 01_igpt has no '{missing}', but every row needs arm, seed, metric, value.")
    refused(save_result, tmp_path, "laptop", "01_igpt", Result(*WHICH, rows))
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("value", [math.nan, np.float64("nan"), "1.5", None, True, [1.0], np.float32(1)])
def test_a_value_that_is_no_number_is_refused(tmp_path, value):
    text = refused(save_result, tmp_path, "laptop", "01_igpt", Result(*WHICH, [row(value=value)]))
    assert f"Row 0 of likelihood of 01_igpt has the value {value!r}, but a value must be a number." == text
    assert not list(tmp_path.rglob("*"))


# ---- kept in runs/


def kept(tmp_path) -> Result:
    made = Result(
        *WHICH,
        rows=[row(value=0.1 + 0.2, region="背景"), row("reached", math.inf)],
        curve=[{"arm": "small", "seed": 0, "step": 0, "loss": 1.0}],
        arrays={"heat": np.arange(5, dtype=np.float16)},
        facts={"seconds": 3.5},
    )
    save_result(tmp_path, "laptop", "01_igpt", made)
    return made


def test_a_kept_result_is_read_back_exactly(tmp_path):
    made = kept(tmp_path)
    found = load_result(tmp_path, "laptop", "01_igpt", WHICH)
    today = datetime.now(UTC).date().isoformat()
    assert (found.rows, found.curve) == (made.rows, made.curve)
    assert found.facts == {"measured": today, **made.facts}
    assert found.arrays["heat"].tobytes() == made.arrays["heat"].tobytes()
    assert result_path(tmp_path, "laptop", "01_igpt", made) == result_path(tmp_path, "laptop", "01_igpt", WHICH)
    for other in (("samples", *WHICH[1:]), (*WHICH[:2], 1, WHICH[3]), (*WHICH[:3], "another key")):
        assert load_result(tmp_path, "laptop", "01_igpt", other) is None


def edit_result(path):
    path.write_text(path.read_text("utf-8").replace("3.5", "0.5"), "utf-8")


def cut_result(path):
    path.write_bytes(path.read_bytes()[:100])


def edit_arrays(path):
    with path.with_suffix(".npz").open("ab") as f:
        f.write(b"more")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (edit_result, "does not match its own digest"),
        (cut_result, "is unreadable"),
        (lambda p: p.write_text("[]"), "is unreadable"),
        (lambda p: p.write_bytes(seal({"rows": []})), "facts"),
        (edit_arrays, "npz does not match its digest"),
        (lambda p: p.with_suffix(".npz").unlink(), "No such file"),
    ],
)
def test_a_damaged_result_is_said_and_counts_as_missing(tmp_path, capsys, damage, fault):
    made = kept(tmp_path)
    path = result_path(tmp_path, "laptop", "01_igpt", WHICH)
    damage(path)
    assert load_result(tmp_path, "laptop", "01_igpt", WHICH) is None
    said = capsys.readouterr().out
    assert said.startswith(f"The measured result {path.name} is damaged (") and fault in said
    assert said.endswith("); it is measured again.\n") and said.count("\n") == 1
    save_result(tmp_path, "laptop", "01_igpt", made)
    assert load_result(tmp_path, "laptop", "01_igpt", WHICH).rows == made.rows
    assert capsys.readouterr().out == ""
