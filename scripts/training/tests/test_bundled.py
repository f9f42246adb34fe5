"""The bundled embedder's recipes, and the small checkpoints between its runs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facetrain.cli import main
from facetrain.config import DataOptions, HeldOutOptions, ModelOptions, Run
from facetrain.data.packed import PackedFaces
from facetrain.distill.teacher import CheckpointTeacher
from facetrain.engine.checkpoint import load_backbone, read_checkpoint
from facetrain.engine.metrics import read_metrics
from facetrain.engine.small import keep
from facetrain.held_out import HeldOutCosine
from facetrain.models.create import create_backbone
from facetrain.models.pocketnet import PocketNet
from facetrain.recipes.bundled import SHARES
from facetrain.recipes.find import find_recipe
from facetrain.training import augmentation, build_backbone, train

TOY = ModelOptions(
    name="pocketnet_toy",
    embedding_dim=16,
    options={"cells": 3, "channels": 4, "activation": "relu"},
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise with a source column."""
    path = tmp_path_factory.mktemp("faces") / "faces.pack"
    generator = torch.Generator().manual_seed(3)
    crop_NCHW = torch.randint(0, 256, (32, 3, 112, 112), generator=generator, dtype=torch.uint8)
    source_N = np.array(["fairface", "sfhq"] * 16)
    PackedFaces(
        crop_NCHW, labels=np.full(32, -1), num_identities=0, groups={"source": source_N}
    ).save(path)
    return path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Path:
    """A toy that has seen a few pictures: its statistics are not those it began with."""
    folder = tmp_path_factory.mktemp("teacher")
    run = find_recipe("toy:student", Run)
    run = replace(
        run,
        data=DataOptions(path=str(faces), labels="instance"),
        model=TOY,
        schedule=replace(run.schedule, warmup_epochs=0),
        loop=replace(run.loop, epochs=1, batch_size=8, ema_decay=0.5),
    )
    train(run, folder, device="cpu")
    return folder / "last.pt"


def toy_run(faces: Path, teacher: Path) -> Run:
    """The CPU recipe but for its sizes."""
    run = find_recipe("bundled:cpu", Run)
    return replace(
        run,
        data=replace(run.data, path=str(faces), weights={"fairface": 0.75, "sfhq": 0.25}),
        model=TOY,
        teacher=replace(run.teacher, kind="checkpoint", path=str(teacher), preprocessing={}),
        hints=(),
        loop=replace(run.loop, epochs=1, batch_size=8, log_every=1),
        held_out=HeldOutOptions(kind="cosine", every_steps=2, path=str(faces), pictures=5),
    )


@pytest.mark.parametrize("name", ["gpu", "cpu"])
def test_recipes_build(name: str) -> None:
    run = find_recipe(f"bundled:{name}", Run)
    backbone = build_backbone(run.model)
    assert isinstance(backbone, PocketNet)
    # What the S-256 of the paper has, without its 10,080 slopes.
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 991_424 - 10_080
    view = augmentation(run.data)
    assert view is not None
    crop_BCHW = torch.zeros(2, 3, 112, 112, dtype=torch.uint8)
    assert view(crop_BCHW, torch.Generator()).shape == crop_BCHW.shape
    assert sum(SHARES.values()) == pytest.approx(1)


def test_a_run_is_followed_and_another_starts_from_what_is_kept(
    faces: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = toy_run(faces, teacher)
    assert train(run, tmp_path / "first", device="cpu").complete
    rows = read_metrics(tmp_path / "first" / "metrics.jsonl")
    followed = [row for row in rows if "held_out_cosine" in row]
    assert [row["step"] for row in followed] == [2, 4]

    small = tmp_path / "small.pt"
    assert main(["keep", str(tmp_path / "first" / "last.pt"), "--out", str(small)]) == 0
    assert "MiB" in capsys.readouterr().out
    again = replace(run, model=replace(run.model, init_from=str(small)))
    again = replace(again, optim=replace(run.optim, lr=1e-9, matrix_lr=1e-9))
    train(again, tmp_path / "second", device="cpu")
    rows = read_metrics(tmp_path / "second" / "metrics.jsonl")
    first = next(row for row in rows if "held_out_cosine" in row)
    # The statistics of two batches move a little; a fresh network would be at about 0.
    assert first["held_out_cosine"] == pytest.approx(followed[-1]["held_out_cosine"], abs=0.1)


def test_a_kept_checkpoint_gives_the_averaged_networks_embeddings(
    teacher: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small.pt"
    size = keep(teacher, small)
    stored = read_checkpoint(teacher)
    averaged = load_backbone(teacher)
    x_BCHW = torch.rand(4, 3, 112, 112) * 2 - 1
    with torch.no_grad():
        cosine_B = F.cosine_similarity(averaged(x_BCHW), load_backbone(small)(x_BCHW))
        of_live = F.cosine_similarity(load_backbone(teacher, ema=False)(x_BCHW), averaged(x_BCHW))
    assert cosine_B.min() > 0.9999
    assert of_live.min() < 0.9999
    assert size < 0.2 * teacher.stat().st_size
    assert read_checkpoint(small)["step"] == stored["step"]


def test_the_bundled_embedder_is_kept_in_two_mebibytes(tmp_path: Path) -> None:
    backbone = build_backbone(find_recipe("bundled:cpu", Run).model)
    whole = {
        "schema": 1,
        "model": backbone.spec,
        "state": backbone.state_dict(),
        "step": 0,
        "epoch": 0,
        "run": {},
        "commit": "unknown",
    }
    torch.save(whole, tmp_path / "whole.pt")
    assert keep(tmp_path / "whole.pt", tmp_path / "small.pt") <= 2 * 2**20


def test_what_cannot_be_kept_or_loaded_says_why(teacher: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.pt"
    keep(teacher, small)
    with pytest.raises(ValueError, match="such a small file already"):
        keep(small, tmp_path / "smaller.pt")
    stored = read_checkpoint(small)
    torch.save({**stored, "layout": "another"}, small)
    with pytest.raises(ValueError, match="values are of another network"):
        load_backbone(small)
    whole = read_checkpoint(teacher)
    whole["ema"]["tail.1.weight"].fill_(1e6)
    torch.save(whole, tmp_path / "large.pt")
    with pytest.raises(ValueError, match="beyond ±65504"):
        keep(tmp_path / "large.pt", small)


def test_the_cosine_to_itself_is_one(faces: Path, teacher: Path) -> None:
    pictures = PackedFaces.load(faces)
    held_out = HeldOutCosine(pictures, CheckpointTeacher(teacher), pictures=7, every=1)
    assert held_out.run(load_backbone(teacher))["held_out_cosine"] == pytest.approx(1, abs=1e-5)
    other = create_backbone(TOY.name, embedding_dim=16, **dict(TOY.options)).eval()
    assert held_out.run(other)["held_out_cosine"] < 0.9


def test_comparing_needs_a_teacher_that_looks(teacher: Path) -> None:
    run = find_recipe("bundled:cpu", Run)
    with pytest.raises(ValueError, match="needs a teacher that can look"):
        replace(
            run,
            teacher=replace(run.teacher, kind="precomputed"),
            held_out=HeldOutOptions(kind="cosine", every=1, path="faces.pack"),
        )
