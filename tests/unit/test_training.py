"""Training: killed and resumed to the same bits, averaged and counted as by hand, refused in one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from falsework import training
from falsework.core.artefacts import Store, key_of
from falsework.core.errors import Refused
from falsework.nets.igpt import PixelTransformer
from falsework.nets.trunk import Attention
from falsework.objectives.next_token import next_token
from falsework.recipes import description_of, igpt, obtain
from falsework.recipes.igpt import IGPT
from falsework.training import Train, count_flops, fit, generator_of, optimizers, schedule

torch.set_num_threads(1)
TINY = IGPT(side=8, colours=8, width=16, depth=1, heads=2, train=Train(steps=150, batch=4, ema=0.9))
TRAIN_IN_A_PROCESS = f"""
import functools, sys, torch
torch.set_num_threads(1)
from pathlib import Path
from falsework.core.artefacts import Store
from falsework.recipes import igpt, obtain
from falsework.recipes.igpt import IGPT
from falsework.training import Train, fit
igpt.fit = functools.partial(fit, checkpoint_seconds=0.1)
obtain({TINY!r}, 0, "smoke", Store(Path(sys.argv[1])))
"""


class Line(nn.Module):
    """y = w x: the smallest thing that trains."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, -2.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w


def squares(model: nn.Module, batch: dict, generator: torch.Generator):
    return ((model(batch["x"]) - 1) ** 2).mean(), {}


def some_x(step: int) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(4, 2, generator=generator_of("x", step))}


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def wait_for(condition, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


# ---- killed and resumed


def test_a_run_killed_in_the_middle_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    recipe = TINY
    whole = obtain(recipe, 0, "smoke", Store(tmp_path / "whole"))
    part = Store(tmp_path / "killed").folder("igpt", "smoke", whole.key)
    part = part.with_name(part.name + ".part")
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", TRAIN_IN_A_PROCESS, str(tmp_path / "killed")]
    with subprocess.Popen(command, env=env) as process:
        wait_for(lambda: (part / "checkpoint.safetensors").exists() or process.poll() is not None)
        lines = len(log_of(part))
        wait_for(lambda: len((part / "log.jsonl").read_text().splitlines()) > lines + 3)
        process.kill()
        assert process.wait() == -9
    assert not part.with_suffix("").exists()

    starts = []
    restore = training._restore
    monkeypatch.setattr(training, "_restore", lambda *a: starts.append(restore(*a)) or starts[-1])
    resumed = obtain(recipe, 0, "smoke", Store(tmp_path / "killed"))
    assert 0 < starts[0][0] < 150
    for name, tensor in whole.artefact.weights().items():
        assert resumed.artefact.weights()[name].tobytes() == tensor.tobytes(), name
    assert [row["step"] for row in resumed.artefact.log()] == list(range(150))
    assert resumed.artefact.log() == whole.artefact.log()
    assert not part.exists()


class Stop(Exception):
    """What stands for the end of the process in the tests below."""


@pytest.mark.parametrize("muon", [0.0, 0.02])
def test_a_run_stopped_at_any_step_goes_on_to_the_same_bits(tmp_path, muon):
    config = Train(steps=12, batch=4, warmup=3, ema=0.5, muon=muon)

    def net() -> nn.Module:
        torch.manual_seed(0)
        return PixelTransformer(2, torch.zeros(5, 3, dtype=torch.uint8), 8, 1, 2)

    def batches(step: int) -> dict:
        if step == stop_at:
            raise Stop
        return {"ids": torch.randint(5, (4, 4), generator=generator_of("ids", step))}

    def noisy(model, batch, generator):
        loss, _ = next_token(model, batch, generator)
        return loss * (1 + torch.rand((), generator=generator)), {"extra": loss.detach()}

    stop_at = -1
    whole = net()
    (tmp_path / "whole").mkdir()
    fit(whole, noisy, batches, config, 0, tmp_path / "whole")
    for stop_at in (1, 5, 11):
        folder = tmp_path / f"stopped-{stop_at}"
        folder.mkdir()
        with pytest.raises(Stop):
            fit(net(), noisy, batches, config, 0, folder, checkpoint_seconds=-1.0)
        stop_at, model = -1, net()
        fit(model, noisy, batches, config, 0, folder)
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters()))
        assert log_of(folder) == log_of(tmp_path / "whole")


def test_the_half_written_last_line_of_a_killed_run_is_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 0, "loss": 2}\n{"step": 1, "loss": 1}\n{"step": 2, "lo')
    training._open_log(path, 2).close()
    assert [row["step"] for row in log_of(tmp_path)] == [0, 1]
    training._open_log(path, 1).close()
    assert [row["step"] for row in log_of(tmp_path)] == [0]
    training._open_log(path, 0).close()
    assert path.read_text() == ""


@pytest.mark.parametrize("damage", ["truncated", "empty", "not a checkpoint", "another net's"])
def test_an_unreadable_checkpoint_is_said_and_training_starts_again(tmp_path, capsys, damage):
    config, wanted = Train(steps=6, warmup=0), Line()
    fit(wanted, squares, some_x, config, 0, tmp_path, checkpoint_seconds=-1.0)
    path = tmp_path / "checkpoint.safetensors"
    if damage == "another net's":
        save_file({"model.v": torch.zeros(2)}, path, metadata={"step": "3", "seconds": "1", "core_seconds": "1"})
    elif damage == "not a checkpoint":
        save_file({"v": torch.zeros(2)}, path)
    else:
        path.write_bytes(path.read_bytes()[:50] if damage == "truncated" else b"")
    model = Line()
    fit(model, squares, some_x, config, 0, tmp_path)
    assert "checkpoint.safetensors was unreadable; training starts again from step 0." in capsys.readouterr().out
    assert torch.equal(model.w, wanted.w)
    assert [row["step"] for row in log_of(tmp_path)] == list(range(6))


# ---- what is computed


def test_the_average_of_weights_is_the_one_computed_by_hand(tmp_path):
    config, seen = Train(steps=9, lr=0.1, warmup=2, ema=0.8), []

    def watched(model, batch, generator):
        seen.append(model.w.detach().clone())
        return squares(model, batch, generator)

    last, averaged = Line(), Line()
    fit(last, squares, some_x, Train(steps=9, lr=0.1, warmup=2), 0, tmp_path)
    fit(averaged, watched, some_x, config, 0, tmp_path)
    after = [*seen[2:], last.w.detach()]  # the first look is the FLOP count's, the second is before step 0
    average = seen[1]
    for step, w in enumerate(after):
        decay = min(0.8, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * w
    assert torch.allclose(averaged.w, average, atol=1e-6) and not torch.allclose(averaged.w, last.w, atol=1e-3)


def test_the_first_step_is_adamws_first_step(tmp_path):
    model = Line()
    gradient = torch.autograd.grad(squares(model, some_x(0), None)[0], model.w)[0]
    before = model.w.detach().clone()
    fit(model, squares, some_x, Train(steps=1, lr=0.01), 0, tmp_path)
    assert torch.allclose(model.w, before - 0.01 * gradient.sign(), atol=1e-6)


def test_training_brings_the_loss_down_and_the_log_tells_the_steps(tmp_path):
    ids = torch.arange(4).repeat(4, 1)  # one row, to be learnt by heart
    torch.manual_seed(0)
    net = PixelTransformer(2, torch.zeros(4, 3, dtype=torch.uint8), 16, 1, 2)
    cost = fit(net, next_token, lambda step: {"ids": ids}, Train(steps=40, warmup=4), 0, tmp_path)
    log = log_of(tmp_path)
    assert log[0]["loss"] == pytest.approx(1.386, abs=0.1) and log[-1]["loss"] < 0.3
    assert torch.equal(net(ids).argmax(-1), ids) and not net.training
    assert cost.threads == torch.get_num_threads() and cost.seconds > 0


def test_the_watcher_is_shown_the_model_in_eval_mode_about_a_dozen_times(tmp_path):
    looks = []
    fit(
        Line(),
        squares,
        some_x,
        Train(steps=120),
        0,
        tmp_path,
        watch=lambda m, s: looks.append((s, m.training)),
    )
    assert looks == [(10 * i, False) for i in range(1, 12)]


# ---- what it costs


def test_a_linear_layers_flops_are_counted_as_by_hand():
    B, inputs, outputs = 3, 8, 5
    layer = nn.Linear(inputs, outputs)
    one = count_flops(layer, lambda m, b, g: (m(b["x"]).sum(), {}), {"x": torch.randn(B, inputs)})
    assert one == 2 * (2 * B * inputs * outputs)  # forward, and the weight's gradient: the input needs none
    two = nn.Sequential(layer, nn.Linear(outputs, 7))
    counted = count_flops(two, lambda m, b, g: (m(b["x"]).sum(), {}), {"x": torch.randn(B, inputs)})
    assert counted == one + 3 * (2 * B * outputs * 7)  # the second layer passes a gradient on
    assert all(p.grad is None for p in two.parameters())


@pytest.mark.parametrize("T", [4, 16, 64])
def test_attention_is_counted_both_products_forward_and_backward(T):
    B, C = 2, 8
    net = Attention(C, heads=2)
    counted = count_flops(net, lambda m, b, g: (m(b["x"], True, None, 0).sum(), {}), {"x": torch.randn(B, T, C)})
    projections = 2 * (2 * B * T * C * 3 * C) + 3 * (2 * B * T * C * C)
    scores = 3 * (2 * B * T * T * C)  # q k^T: forward, gradient to q, gradient to k
    values = 3 * (2 * B * T * T * C)  # a v
    assert counted == projections + scores + values


# ---- rates and optimizers


def test_the_rate_climbs_to_its_peak_falls_as_a_cosine_and_ends_at_zero():
    config = Train(steps=1000, warmup=50)
    assert schedule(0, config) == 1 / 50 and schedule(49, config) == 1.0 == schedule(50, config)
    assert schedule(525, config) == pytest.approx(0.5)
    assert schedule(1000, config) == pytest.approx(0) and 0 < schedule(999, config) < 1e-5
    rates = [schedule(s, config) for s in range(1001)]
    assert rates[:50] == sorted(rates[:50]) and rates[50:] == sorted(rates[50:], reverse=True)
    short = [schedule(s, Train(steps=8, warmup=50)) for s in range(8)]
    assert max(short) == 1.0 and short[0] == 0.5  # warm-up never takes more than a quarter
    assert schedule(0, Train(steps=1)) == 1.0


def test_muon_takes_the_matrices_in_blocks_alone_and_every_weight_has_one_optimizer():
    net = PixelTransformer(4, torch.zeros(5, 3, dtype=torch.uint8), 16, 2, 2)
    adam, muon = optimizers(net, Train())
    taken = [id(p) for o in (adam, muon) for g in o.param_groups for p in g["params"]]
    assert sorted(taken) == sorted(id(p) for p in net.parameters())
    names = {id(p): n for n, p in net.named_parameters()}
    by_muon = {names[id(p)] for g in muon.param_groups for p in g["params"]}
    kinds = ("attention.qkv.weight", "attention.out.weight", "mlp.0.weight", "mlp.2.weight")
    assert by_muon == {f"trunk.blocks.{i}.{k}" for i in range(2) for k in kinds}
    plain = [names[id(p)] for p in adam.param_groups[1]["params"]]
    assert adam.param_groups[1]["weight_decay"] == 0 and all("norm" in n or "bias" in n for n in plain)
    (only,) = optimizers(net, Train(muon=0.0))
    assert sum(len(g["params"]) for g in only.param_groups) == len(list(net.parameters()))


def test_a_recipes_training_sees_batches_that_depend_on_seed_and_step_alone(tmp_path, monkeypatch):
    recipe, drawn = TINY, {}

    def look(model, objective, batches, *rest, **more):
        drawn[rest[1], len(drawn)] = [batches(s)["ids"] for s in (0, 1, 0, 7)]
        return fit(
            model,
            lambda m, b, g: (sum(p.sum() for p in m.parameters()), {}),
            batches,
            Train(steps=1),
            *rest[1:],
        )

    monkeypatch.setattr(igpt, "fit", look)
    palette = {"palette": torch.tensor([[0, 0, 0], [255, 0, 0], [0, 0, 255], [255, 255, 255]]).to(torch.uint8)}
    for seed in (0, 0, 1):
        recipe.fit(recipe.build(seed, palette), seed, tmp_path)
    first, again, other = drawn.values()
    assert all(torch.equal(a, b) for a, b in zip(first, again)) and torch.equal(first[0], first[2])
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], other[0])


# ---- refusals


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_and_names_step_and_artefact(tmp_path, bad):
    def breaks(model, batch, generator):
        return squares(model, batch, generator)[0] + (bad if batch["step"] == 7 else 0.0), {}

    with pytest.raises(Refused, match=rf"The loss became {bad} at step 7 of igpt; a lower rate may cure it\."):
        fit(Line(), breaks, lambda s: {**some_x(s), "step": s}, Train(steps=20), 0, tmp_path, name="igpt")
    assert log_of(tmp_path)[-1]["step"] == 6


def test_a_recipe_whose_loss_is_not_finite_leaves_no_artefact_and_names_itself(tmp_path, monkeypatch):
    recipe = TINY
    monkeypatch.setattr(igpt, "next_token", lambda m, b, g: (F.relu(m(b["ids"])).sum() * float("nan"), {}))
    with pytest.raises(Refused, match="nan at step 0 of igpt"):
        obtain(recipe, 0, "smoke", Store(tmp_path))
    key = key_of(description_of(recipe, 0))
    assert not Store(tmp_path).folder("igpt", "smoke", key).exists()


def test_a_gpu_that_is_too_small_names_the_field_to_lower(tmp_path, monkeypatch):
    def too_big(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(igpt, "next_token", too_big)
    with pytest.raises(Refused) as refusal:
        obtain(TINY, 0, "smoke", Store(tmp_path))
    batch = TINY.train.batch
    assert str(refusal.value) == (
        "The memory of the GPU is too small for igpt, seed 0, at smoke; lower its train.batch, "
        f"now {batch}, such as OVERRIDES = {{'ARM.train.batch': {batch // 2}}}."
    )


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("steps", 0, "above 0"),
        ("batch", -1, "above 0"),
        ("lr", 0.0, "above 0"),
        ("lr", float("nan"), "above 0"),
        ("muon", -0.1, "0 or more"),
        ("weight_decay", -1e-9, "0 or more"),
        ("warmup", -1, "0 or more"),
        ("ema", 1.0, "at least 0 and below 1"),
        ("ema", float("nan"), "at least 0 and below 1"),
    ],
)
def test_training_settings_out_of_range_are_refused(field, value, rule):
    with pytest.raises(Refused, match=rf"^train\.{field} is {value}, but must be {rule}\.$"):
        Train(**{field: value})
