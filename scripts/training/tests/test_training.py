import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facetrain.cli import main
from facetrain.command import STOPPED
from facetrain.config import DataOptions, HeldOutOptions, Run
from facetrain.data.augment import Augment
from facetrain.data.packed import PackedFaces
from facetrain.engine.checkpoint import load_backbone, read_checkpoint
from facetrain.engine.distributed import World
from facetrain.engine.metrics import read_metrics
from facetrain.held_out import HeldOutVerification
from facetrain.models.backbone import Backbone
from facetrain.recipes.find import find_recipe
from facetrain.training import augmentation, split_pictures, train, training_set


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight people whose pictures differ by colour and noise."""
    rng = np.random.default_rng(5)
    label_N = np.repeat(np.arange(8), 6)
    colour_NC = rng.integers(40, 216, (8, 3))[label_N]
    noise = rng.integers(-30, 30, (48, 3, 112, 112))
    crop_NCHW = np.clip(colour_NC[:, :, None, None] + noise, 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("faces") / "people.pack"
    PackedFaces(torch.from_numpy(crop_NCHW), labels=label_N, num_identities=8).save(path)
    return path


def short(name: str, pack: Path, **loop) -> Run:
    run = find_recipe(name, Run)
    options = {"epochs": 2, "batch_size": 16, "log_every": 1, **loop}
    return replace(
        run,
        data=replace(run.data, path=str(pack), augment={"preset": "flip"}),
        model=replace(run.model, options={"cells": 3, "channels": 4}),
        loop=replace(run.loop, **options),
    )


def test_teacher_then_multi_step_student_then_label_free(pack: Path, tmp_path: Path) -> None:
    teacher = train(short("toy:teacher", pack), tmp_path / "teacher", device="cpu")
    assert teacher.complete
    assert len(list((tmp_path / "teacher").glob("epoch_*.pt"))) == 2

    run = short("toy:distilled", pack)
    run = replace(run, teacher=replace(run.teacher, path=str(tmp_path / "teacher")))
    assert train(run, tmp_path / "student", device="cpu").step == 6
    rows = read_metrics(tmp_path / "student" / "metrics.jsonl")
    assert rows[-1]["loss"] == pytest.approx(rows[-1]["margin"] + rows[-1]["template"], rel=1e-5)
    for row in rows:
        cosine_term = 200 / 64 * (1 - row["teacher_cosine"])
        assert row["template"] == pytest.approx(cosine_term, rel=1e-4)

    free = short("toy:label_free", pack)
    last = str(tmp_path / "teacher" / "last.pt")
    free = replace(free, teacher=replace(free.teacher, path=last))
    train(free, tmp_path / "free", device="cpu")
    losses = [row["loss"] for row in read_metrics(tmp_path / "free" / "metrics.jsonl")]
    assert losses[-1] < losses[0]

    student = load_backbone(tmp_path / "student" / "last.pt")
    assert not student.training
    assert student.embedding_dim == 64
    e_BD = student(torch.zeros(2, 3, 112, 112))
    assert e_BD.shape == (2, 64)


def test_embeddings_made_once_teach_like_their_teacher(pack: Path, tmp_path: Path) -> None:
    train(short("toy:teacher", pack, max_steps=1), tmp_path / "teacher", device="cpu")
    last, table = tmp_path / "teacher" / "last.pt", tmp_path / "e.npy"
    assert main(["embed", str(pack), "--checkpoint", str(last), "--out", str(table)]) == 0
    losses = []
    for kind, path in (("checkpoint", last), ("precomputed", table)):
        run = short("toy:label_free", pack, max_steps=1)
        teacher = replace(run.teacher, kind=kind, path=str(path))
        # Part of the identities: rows are found by the pictures' places in the whole set.
        data = replace(run.data, augment={"preset": "none"}, identities=(0.25, 1.0))
        train(replace(run, teacher=teacher, data=data), tmp_path / kind, device="cpu")
        losses.append(read_metrics(tmp_path / kind / "metrics.jsonl")[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_people_held_out_are_verified_on_the_way(pack: Path, tmp_path: Path) -> None:
    run = short("toy:student", pack, epochs=2, batch_size=12)
    run = replace(
        run,
        data=replace(run.data, identities=(0.0, 0.5)),
        held_out=HeldOutOptions(every=1, identities=(0.5, 1.0)),
    )
    train(run, tmp_path, device="cpu")
    rows = [r for r in read_metrics(tmp_path / "metrics.jsonl") if "held_out_eer" in r]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(0 <= row["held_out_eer"] <= 0.6 and 0 <= row["held_out_auc"] <= 1 for row in rows)
    with pytest.raises(ValueError, match="are trained on"):
        replace(run, data=replace(run.data, identities=(0.0, 0.75)))


def test_held_out_figures_are_those_of_the_embeddings(pack: Path) -> None:
    class Colour(Backbone):
        """Embeds the mean colour: the pack's people are told apart by it."""

        def __init__(self) -> None:
            super().__init__(3)
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
            return x_BCHW.mean(dim=(2, 3)) * self.scale

    evaluator = HeldOutVerification(PackedFaces.load(pack), every=1)
    assert evaluator.run(Colour()) == pytest.approx(
        {"held_out_eer": 0.0, "held_out_auc": 1.0}, abs=1e-3
    )
    alone = PackedFaces.load(pack).subset(np.arange(6))
    with pytest.raises(ValueError, match="two people"):
        HeldOutVerification(alone, every=1)


def test_the_folder_says_what_it_holds_and_keeps_to_it(pack: Path, tmp_path: Path) -> None:
    run = short("toy:student", pack, max_steps=2)
    train(run, tmp_path, device="cpu")
    told = json.loads((tmp_path / "run.json").read_text())
    assert told["run"]["optim"]["lr"] == 0.1
    assert told["model"]["name"] == "pocketnet_toy"
    assert told["data"]["pictures"] == 48
    assert told["data"]["identities"] == 8
    assert read_checkpoint(tmp_path / "last.pt")["run"] == told["run"]
    other = replace(run, optim=replace(run.optim, lr=0.2))
    with pytest.raises(ValueError, match=r"differs in optim\.lr"):
        train(other, tmp_path, device="cpu")
    # A time budget is no other run.
    train(replace(run, loop=replace(run.loop, max_minutes=5.0)), tmp_path, device="cpu")


def test_command_line_stops_and_continues_to_the_same_end(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["train", "toy:student", "--data", str(pack), "--device", "cpu"]
    common += ["--set", "loop.epochs=1", "--set", "loop.batch_size=16", "--set", "loop.log_every=1"]
    common += ["--set", "schedule.warmup_epochs=0"]
    assert main([*common, "--out", str(tmp_path / "whole")]) == 0
    assert "step 3, epoch 1, complete" in capsys.readouterr().out
    parts = [*common, "--out", str(tmp_path / "parts"), "--max-minutes", "1e-9"]
    assert [main(parts) for _ in range(3)] == [STOPPED, STOPPED, 0]
    out = capsys.readouterr().out
    assert "stopped: the time budget" in out
    assert "complete" in out
    losses = [
        [row["loss"] for row in read_metrics(tmp_path / name / "metrics.jsonl")]
        for name in ("whole", "parts")
    ]
    assert losses[0] == losses[1]


def test_instances_and_shares_of_identities(pack: Path) -> None:
    world = World()
    instances = training_set(DataOptions(path=str(pack), labels="instance"), world)
    assert instances.faces.num_identities == 48
    parts = [
        training_set(DataOptions(path=str(pack), identities=share), world)
        for share in ((0.0, 0.75), (0.75, 1.0))
    ]
    assert [part.faces.num_identities for part in parts] == [6, 2]
    assert sorted(np.concatenate([part.pictures for part in parts])) == list(range(48))
    assert set(parts[0].faces.labels) == set(range(6))


def test_split_takes_whole_identities() -> None:
    label_N = np.repeat(np.arange(10), 3)
    low = split_pictures(label_N, DataOptions(identities=(0.0, 0.3)))
    middle = split_pictures(label_N, DataOptions(identities=(0.3, 0.8)))
    assert len(low) == 9
    assert len(middle) == 15
    assert not set(label_N[low]) & set(label_N[middle])


def test_augmentation_by_preset_and_field() -> None:
    assert augmentation(DataOptions(augment={"preset": "none"})) is None
    changed = augmentation(DataOptions(augment={"preset": "light", "zoom": [1.0, 1.1]}))
    assert isinstance(changed, Augment)
    assert changed.options.zoom == (1.0, 1.1)
    assert changed.options.occlude == 0
    for wrong in ({"preset": "heavy"}, {"preset": "light", "zooom": 1}):
        with pytest.raises(ValueError, match="presets are none, flip"):
            augmentation(DataOptions(augment=wrong))


@pytest.mark.parametrize(
    ("options", "says"),
    [(DataOptions(), "give --data"), (DataOptions(path="/nowhere"), "or not there")],
)
def test_refuses_data_that_is_not_there(options: DataOptions, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        training_set(options, World())


def test_search_by_recipe_makes_a_genotype_that_train_takes(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched = ["search", "search:toy", "--data", str(pack), "--device", "cpu"]
    searched += ["--out", str(tmp_path / "search"), "--set", "search.epochs=1"]
    searched += ["--set", "search.batch_size=8", "--set", "search.evaluate_steps=1"]
    assert main(searched) == 0
    assert "genotype.json" in capsys.readouterr().out
    genotype = tmp_path / "search" / "genotype.json"
    trained = ["train", "toy:student", "--data", str(pack), "--device", "cpu"]
    trained += ["--out", str(tmp_path / "run"), "--set", "loop.max_steps=1"]
    assert main([*trained, "--set", f"model.options.genotype={genotype}"]) == 0
    genotype.unlink()
    assert load_backbone(tmp_path / "run" / "last.pt").spec["options"]["genotype"]["schema"] == 1
