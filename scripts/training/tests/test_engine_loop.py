import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_toy import STEPS_PER_EPOCH, Regression, run
from processes import launch
from torch import nn

from facetrain.engine.checkpoint import LAST, read_checkpoint
from facetrain.engine.metrics import read_metrics

TOY = Path(__file__).with_name("engine_toy.py")
EXACT = ("step", "epoch", "loss", "largest", "lr")


def rows(out: Path) -> list[dict]:
    return [{key: row[key] for key in EXACT} for row in read_metrics(out / "metrics.jsonl")]


def same_state(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_state(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same_state, a, b))
    return a == b


def test_a_killed_run_continues_bit_for_bit(tmp_path: Path) -> None:
    launch(TOY, tmp_path / "straight", "--save-every", "3")
    killed = launch(TOY, tmp_path / "killed", "--save-every", "3", "--kill", "5", check=False)
    assert killed == -signal.SIGKILL
    assert read_checkpoint(tmp_path / "killed" / LAST)["step"] == STEPS_PER_EPOCH
    assert len(rows(tmp_path / "killed")) == 5
    launch(TOY, tmp_path / "killed", "--save-every", "3")

    straight, continued = rows(tmp_path / "straight"), rows(tmp_path / "killed")
    assert [row["step"] for row in straight] == list(range(1, 9))
    assert continued == straight
    ends = [read_checkpoint(tmp_path / name / LAST) for name in ("straight", "killed")]
    assert same_state(*ends)


def test_a_run_continues_within_an_epoch(tmp_path: Path) -> None:
    run(tmp_path / "straight", save_every=3)
    stopped = run(tmp_path / "parts", save_every=3, max_steps=3)
    assert (stopped.step, stopped.epoch) == (3, 0)
    task = Regression()
    finish = run(tmp_path / "parts", save_every=3, task=task)
    assert finish.complete
    assert task.epochs == [0, 1]
    # max_steps shortens the schedule too: only the steps behind it are alike in rate.
    assert [r["step"] for r in rows(tmp_path / "parts")] == list(range(1, 9))


def test_same_seed_same_losses(tmp_path: Path) -> None:
    run(tmp_path / "a")
    run(tmp_path / "b")
    assert rows(tmp_path / "a") == rows(tmp_path / "b")
    assert rows(tmp_path / "a")[-1]["loss"] < rows(tmp_path / "a")[0]["loss"]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    launch(TOY, tmp_path / "one", "--freeze-statistics")
    launch(TOY, tmp_path / "two", "--freeze-statistics", processes=2)
    one, two = (read_checkpoint(tmp_path / name / LAST) for name in ("one", "two"))
    for name, value in one["state"].items():
        torch.testing.assert_close(two["state"][name], value, rtol=1e-5, atol=1e-6)
    losses = [[row["loss"] for row in rows(tmp_path / name)] for name in ("one", "two")]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_time_budget_stops_cleanly_and_continues(tmp_path: Path) -> None:
    run(tmp_path / "straight")
    reasons = []
    for _ in range(20):
        finish = run(tmp_path / "budget", max_minutes=1e-9)
        reasons.append(finish.reason)
        if finish.complete:
            break
    assert len(reasons) == 8
    assert "time budget" in str(reasons[0])
    assert rows(tmp_path / "budget") == rows(tmp_path / "straight")


def test_sigterm_stops_after_the_step_and_checkpoints(tmp_path: Path) -> None:
    class Told(Regression):
        def loss(self, batch, step):
            if step == 2:
                signal.raise_signal(signal.SIGTERM)
            return super().loss(batch, step)

    before = signal.getsignal(signal.SIGTERM)
    finish = run(tmp_path, task=Told())
    assert (finish.step, finish.complete) == (3, False)
    assert finish.reason == "received SIGTERM"
    assert read_checkpoint(tmp_path / LAST)["step"] == 3
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_loss_that_is_not_finite_stops_before_the_checkpoint(tmp_path: Path) -> None:
    class Diverges(Regression):
        def loss(self, batch, step):
            losses = super().loss(batch, step)
            return {"loss": losses["loss"] * (float("nan") if step == 5 else 1.0)}

    with pytest.raises(FloatingPointError, match="loss is not finite at step 6"):
        run(tmp_path, task=Diverges())
    assert read_checkpoint(tmp_path / LAST)["step"] == STEPS_PER_EPOCH


def test_evaluators_see_the_averaged_model_in_evaluation_mode(tmp_path: Path) -> None:
    seen = []

    class Look:
        every = 2
        every_steps = 3

        def run(self, model: nn.Module) -> dict[str, float]:
            seen.append((model.training, model.get_parameter("0.weight").detach().clone()))
            return {"figure": 1.5}

    task = Regression()
    run(tmp_path, task=task, evaluators=[Look()])
    stored = read_checkpoint(tmp_path / LAST)
    assert [training for training, _ in seen] == [False] * 3
    assert torch.equal(seen[-1][1], stored["ema"]["0.weight"])
    assert torch.equal(
        task.modules()["backbone"].get_parameter("0.weight"), stored["state"]["0.weight"]
    )
    figures = [row for row in read_metrics(tmp_path / "metrics.jsonl") if "figure" in row]
    assert [(row["step"], row["epoch"]) for row in figures] == [(3, 0), (6, 1), (8, 2)]
    assert all(row["figure"] == 1.5 for row in figures)


def test_epochs_are_kept_as_weights_alone(tmp_path: Path) -> None:
    run(tmp_path, keep_epochs=True)
    kept = sorted(path.name for path in tmp_path.glob("epoch_*.pt"))
    assert kept == ["epoch_000.pt", "epoch_001.pt"]
    weights = read_checkpoint(tmp_path / "epoch_000.pt")
    assert weights["step"] == STEPS_PER_EPOCH
    assert "optim" not in weights
    assert weights["model"]["name"] == "toy"


def test_refuses_another_amount_of_data(tmp_path: Path) -> None:
    run(tmp_path, max_steps=3)
    with pytest.raises(ValueError, match="take another folder"):
        run(tmp_path, steps_per_epoch=2)


def test_metrics_are_json_lines(tmp_path: Path) -> None:
    run(tmp_path, log_every=2)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6, 8]


def test_without_cuda_nothing_is_captured(tmp_path: Path) -> None:
    run(tmp_path / "plain", precision="bf16")
    run(tmp_path / "captured", precision="bf16", compile="cudagraphs")
    plain, captured = (read_checkpoint(tmp_path / name / LAST) for name in ("plain", "captured"))
    assert plain["state"].keys() == captured["state"].keys()
    for name, value in plain["state"].items():
        assert torch.equal(value, captured["state"][name]), name
