import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facetrain.config import HeadOptions, Run, TeacherOptions, TermOptions
from facetrain.data.batches import Batch
from facetrain.distill.build import build_task, build_teacher
from facetrain.distill.task import ClassifyTask, DistillTask, Term
from facetrain.distill.teacher import (
    CheckpointTeacher,
    OnnxTeacher,
    PrecomputedTeacher,
    ScheduledTeacher,
    TorchGraphTeacher,
)
from facetrain.distill.views import Views, flip
from facetrain.engine.build import build
from facetrain.engine.checkpoint import About, TrainState, save_weights
from facetrain.engine.distributed import World
from facetrain.heads.margin import Margin, MarginHead
from facetrain.models.backbone import Backbone
from facetrain.models.create import create_backbone
from facetrain.preprocessing import RETAIL_0095

RETAIL = (
    Path(os.environ.get("OSTIARY_SHARED", "../shared"))
    / "data/models/face-reidentification-retail-0095.onnx"
)
CPU = torch.device("cpu")


def toy(seed: int, dim: int = 16) -> Backbone:
    torch.manual_seed(seed)
    return create_backbone("pocketnet_toy", embedding_dim=dim)


def batch(count: int = 6, labels: list[int] | None = None) -> Batch:
    generator = torch.Generator().manual_seed(4)
    shape = (count, 3, 112, 112)
    crop_BCHW = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    label_B = torch.tensor(labels or [0] * count)
    return Batch(crop_BCHW, label_B, torch.arange(count))


def save(path: Path, backbone: Backbone, ema: dict | None = None) -> None:
    modules = nn.ModuleDict({"backbone": backbone})
    state = TrainState(
        modules=modules, optimizer=torch.optim.SGD(modules.parameters(), 1.0), ema=None
    )
    save_weights(path, state, About(model=backbone.spec))


class Spy:
    """A teacher that keeps what it was shown."""

    embedding_dim = 16

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.seen: list[torch.Tensor] = []

    def on_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def embed(self, crop_BCHW: torch.Tensor, index_B: torch.Tensor) -> torch.Tensor:
        self.seen.append(crop_BCHW.clone())
        return F.normalize(torch.ones(len(crop_BCHW), 16))


def test_student_and_teacher_see_the_same_view() -> None:
    student, teacher, shown = toy(0), Spy(), []
    student.register_forward_pre_hook(lambda _module, inputs: shown.append(inputs[0].clone()))
    task = DistillTask(student, teacher, [Term(options=TermOptions())], Views(flip, seed=1))
    task.loss(batch(), 3)
    assert torch.equal(student.preprocessing.apply(teacher.seen[0]), shown[0])
    assert not torch.equal(teacher.seen[0], batch().crop_BCHW)


def test_views_depend_on_seed_step_and_rank_only() -> None:
    crop_BCHW = batch(16).crop_BCHW
    torch.manual_seed(1)
    first = Views(flip, seed=1).of(crop_BCHW, 3)
    torch.manual_seed(2)
    assert torch.equal(Views(flip, seed=1).of(crop_BCHW, 3), first)
    others = [Views(flip, seed=2).of(crop_BCHW, 3), Views(flip, seed=1).of(crop_BCHW, 4)]
    others.append(Views(flip, seed=1, rank=1).of(crop_BCHW, 3))
    assert not any(torch.equal(other, first) for other in others)
    assert torch.equal(Views(None, seed=1).of(crop_BCHW, 0), crop_BCHW)


def test_the_teacher_is_frozen_and_outside_of_everything_trained() -> None:
    teacher = CheckpointTeacher(toy(1).train())
    student = toy(0)
    head = MarginHead(16, 4, Margin.arcface())
    task = DistillTask(
        student, teacher, [Term(options=TermOptions())], Views(None, seed=1), head=head
    )
    run = Run(name="x")
    state, objective = build(task, run.loop, run.optim, World())
    teachers = {id(parameter) for parameter in teacher.backbone.parameters()}
    optimised = {id(p) for group in state.optimizer.param_groups for p in group["params"]}
    wrapped = {id(parameter) for parameter in objective.parameters()}
    assert not teachers & optimised
    assert not teachers & wrapped
    assert optimised == {id(p) for m in (student, head) for p in m.parameters()}
    before = {name: value.clone() for name, value in teacher.backbone.state_dict().items()}
    state.modules.train()
    task.loss(batch(), 0)["loss"].backward()
    assert not teacher.backbone.training
    assert all(p.grad is None and not p.requires_grad for p in teacher.backbone.parameters())
    assert all(torch.equal(v, before[n]) for n, v in teacher.backbone.state_dict().items())


def test_logged_terms_add_up_to_the_loss() -> None:
    terms = [
        Term(options=TermOptions(kind="template")),
        Term(options=TermOptions(kind="similarity", weight=3.0)),
    ]
    head = MarginHead(16, 4, Margin.arcface())
    task = DistillTask(toy(0), CheckpointTeacher(toy(1)), terms, Views(None, seed=1), head=head)
    losses = task.loss(batch(labels=[0, 1, 2, 3, 0, 1]), 0)
    assert set(losses) == {"loss", "margin", "template", "similarity", "teacher_cosine"}
    total = losses["margin"] + losses["template"] + losses["similarity"]
    torch.testing.assert_close(losses["loss"], total)


def test_label_free_mode_never_looks_at_labels() -> None:
    task = DistillTask(
        toy(0), Spy(), [Term(options=TermOptions(kind="cosine"))], Views(None, seed=1)
    )
    losses = task.loss(batch(labels=[-1] * 6), 0)
    assert "margin" not in losses
    assert losses["loss"].isfinite()
    assert list(task.modules()) == ["backbone"]


def test_dimensions_that_differ_are_refused_with_the_way_out() -> None:
    student, teacher, views = toy(0, dim=8), Spy(), Views(None, seed=1)
    with pytest.raises(ValueError, match=r"model\.embedding_dim to 16"):
        DistillTask(student, teacher, [Term(options=TermOptions())], views)
    similar = DistillTask(student, teacher, [Term(options=TermOptions(kind="similarity"))], views)
    assert "teacher_cosine" not in similar.loss(batch(), 0)


def test_classification_is_the_heads_loss() -> None:
    head, student = MarginHead(16, 6, Margin.cosface()), toy(0).eval()
    shown = batch(labels=[0, 1, 2, 3, 4, 5])
    expected = head(student(student.preprocessing.apply(shown.crop_BCHW)), shown.label_B)
    loss = ClassifyTask(student, head, Views(None, seed=1)).loss(shown, 0)
    torch.testing.assert_close(loss, {"loss": expected})


def test_scheduled_teacher_follows_the_students_epoch(tmp_path: Path) -> None:
    for epoch in range(3):
        save(tmp_path / f"epoch_{epoch:03}.pt", toy(10 + epoch))
    teacher = ScheduledTeacher.of_run(tmp_path)
    crop_BCHW, index_B = batch().crop_BCHW, batch().index_B
    for epoch, seed in ((0, 10), (1, 11), (2, 12), (7, 12), (1, 11)):
        teacher.on_epoch(epoch)
        expected = CheckpointTeacher(toy(seed)).embed(crop_BCHW, index_B)
        torch.testing.assert_close(teacher.embed(crop_BCHW, index_B), expected)
        assert not teacher.backbone.training
    sparse = ScheduledTeacher.of_run(tmp_path, epochs=(0, 0, 2))
    names = [sparse.checkpoint_for(epoch).name for epoch in range(5)]
    assert names == [f"epoch_00{n}.pt" for n in (0, 0, 2, 2, 2)]
    with pytest.raises(ValueError, match="there are 0 to 2"):
        ScheduledTeacher.of_run(tmp_path, epochs=(3,))
    with pytest.raises(ValueError, match="keep_epochs"):
        ScheduledTeacher.of_run(tmp_path / "none")


def test_precomputed_rows_are_found_by_index(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", np.array([[3, 0], [0, 2], [1, 1]], dtype=np.float32))
    teacher = PrecomputedTeacher.load(tmp_path / "e.npy")
    embedded = teacher.embed(batch(2).crop_BCHW, torch.tensor([2, 0]))
    torch.testing.assert_close(embedded, torch.tensor([[0.5**0.5, 0.5**0.5], [1.0, 0.0]]))
    part = teacher.of_pictures(np.array([1, 2]))
    torch.testing.assert_close(part.embed(batch(1).crop_BCHW, torch.tensor([1])), embedded[:1])
    with pytest.raises(ValueError, match="compute them for this set"):
        teacher.of_pictures(np.array([3]))
    with pytest.raises(ValueError, match="holds no embeddings"):
        PrecomputedTeacher.load(tmp_path / "none.npy")


def test_onnx_teachers_agree() -> None:
    if not RETAIL.exists():
        pytest.skip(f"{RETAIL} is not here: set OSTIARY_SHARED")
    runtime = OnnxTeacher(RETAIL, RETAIL_0095, threads=1)
    graph = TorchGraphTeacher(RETAIL, RETAIL_0095)
    assert runtime.embedding_dim == graph.embedding_dim == 256
    crop_BCHW, index_B = batch(2).crop_BCHW, torch.arange(2)
    expected = runtime.embed(crop_BCHW, index_B)
    assert (graph.embed(crop_BCHW, index_B) - expected).abs().max() <= 1e-4
    torch.testing.assert_close(expected.norm(dim=1), torch.ones(2))
    # The loop's autocast does not reach a float32 teacher; a bf16 one stays close.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (graph.embed(crop_BCHW, index_B) - expected).abs().max() <= 1e-4
    rough = TorchGraphTeacher(RETAIL, RETAIL_0095, precision="bf16").embed(crop_BCHW, index_B)
    assert (rough * expected).sum(dim=1).min() > 0.99


def test_a_run_builds_its_task(tmp_path: Path) -> None:
    save(tmp_path / "teacher.pt", toy(1))
    views, world = Views(None, seed=1), World()
    size = {"num_identities": 4, "world": world}
    plain = build_task(Run(name="plain"), toy(0), views, **size)
    assert isinstance(plain, ClassifyTask)
    assert plain.modules()["head"].weight.shape == (4, 16)
    run = Run(
        name="all",
        head=HeadOptions(kind="none"),
        teacher=TeacherOptions(kind="checkpoint", path=str(tmp_path / "teacher.pt")),
        terms=(TermOptions(), TermOptions(kind="adaptive", weight=1.0)),
    )
    distill = build_task(run, toy(0), views, **size)
    assert isinstance(distill, DistillTask)
    assert list(distill.modules()) == ["backbone", "centres_1"]
    assert distill.modules()["centres_1"].centre_KD.shape == (4, 16)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (TeacherOptions(kind="checkpoint"), "teacher.path"),
        (TeacherOptions(kind="checkpoint", path="none.pt"), "no such checkpoint"),
        (TeacherOptions(kind="onnx", path="none.onnx"), "teacher.preprocessing is empty"),
        (
            TeacherOptions(kind="graph", path="x.onnx", preprocessing={"width": 3}),
            "width_px",
        ),
    ],
)
def test_refuses_a_teacher_that_cannot_be_made(options: TeacherOptions, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        build_teacher(options, CPU)
