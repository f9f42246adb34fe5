"""Feature maps of the teacher as targets, and views that grow as the run goes on."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from facetrain.config import DataOptions, HintOptions, LoopOptions, Run, TeacherOptions, TermOptions
from facetrain.data.batches import Batch
from facetrain.distill.hints import HintAdapters, resized, standardised
from facetrain.distill.task import DistillTask, Term
from facetrain.distill.teacher import OnnxTeacher, TorchGraphTeacher
from facetrain.distill.views import Views
from facetrain.models.create import create_backbone
from facetrain.preprocessing import RETAIL_0095

CROPS = torch.randint(
    0, 256, (4, 3, 112, 112), generator=torch.Generator().manual_seed(4), dtype=torch.uint8
)
BATCH = Batch(CROPS, torch.zeros(4, dtype=torch.long), torch.arange(4))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two strided convolutions ("coarse" is between them) and a mean: 16 dimensions."""
    rng = np.random.default_rng(2)
    values = {
        "a": rng.normal(size=(6, 3, 4, 4)).astype(np.float32) * 1e-2,
        "b": rng.normal(size=(16, 6, 2, 2)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["coarse"], strides=[4, 4]),
        helper.make_node("Conv", ["coarse", "b"], ["coarser"], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["coarser"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 128, 128])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("teacher") / "teacher.onnx"
    onnx.save(model, str(path))
    return path


def test_maps_that_agree_cost_nothing_and_the_mean_alone_costs_one() -> None:
    teacher = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(1)) * 5 + 2
    adapters = HintAdapters([(2, 2)], [(1.0, 1.0)])
    adapter = adapters.adapters[0]
    assert isinstance(adapter, torch.nn.Conv2d)
    with torch.no_grad():
        adapter.bias.zero_()  # pyright: ignore[reportOptionalMemberAccess]
        adapter.weight.copy_(torch.eye(2).view(2, 2, 1, 1))
        assert adapters([standardised(teacher)], [teacher]).item() == pytest.approx(0, abs=1e-6)
        adapter.weight.zero_()
        assert adapters([teacher], [teacher]).item() == pytest.approx(1, abs=1e-4)


def test_weights_go_from_the_first_to_the_last() -> None:
    maps = [torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))]
    adapters = HintAdapters([(4, 4)], [(2.0, 0.5)])
    first = adapters(maps, maps).item()
    adapters.on_share(1.0)
    assert adapters(maps, maps).item() == pytest.approx(first / 4)


def test_maps_are_compared_at_the_smaller_size() -> None:
    checks = torch.ones(1, 1, 8, 8)
    checks[..., ::2, ::2] = -1
    assert resized(checks, 4).unique().tolist() == [0.5]
    assert resized(torch.ones(1, 1, 8, 8), 7).shape[-1] == 7


def test_both_runtimes_show_the_same_maps(file: Path) -> None:
    shown = [
        teacher(file, RETAIL_0095, maps=["coarse", "coarser"]).embed_with_maps(
            CROPS, torch.arange(4)
        )
        for teacher in (OnnxTeacher, TorchGraphTeacher)
    ]
    (one, its), (other, others) = shown
    assert [tuple(map_BCHW.shape) for map_BCHW in its] == [(4, 6, 32, 32), (4, 16, 16, 16)]
    for a, b in zip([one, *its], [other, *others], strict=True):
        assert torch.allclose(a, b, atol=1e-3)
    with pytest.raises(ValueError, match="no tensor 'finest'; it makes coarse, coarser"):
        OnnxTeacher(file, RETAIL_0095, maps=["finest"])


def task(file: Path, hints: list[HintOptions], views: Views | None = None) -> DistillTask:
    torch.manual_seed(3)
    backbone = create_backbone("pocketnet_toy", embedding_dim=16)
    teacher = OnnxTeacher(file, RETAIL_0095, maps=[hint.tensor for hint in hints])
    terms = [Term(options=TermOptions(kind="cosine", weight=1.0))]
    return DistillTask(backbone, teacher, terms, views or Views(None, seed=1), hints=hints)


def test_a_hint_trains_the_student_up_to_its_map_and_no_further(file: Path) -> None:
    hinted = task(file, [HintOptions(map=1, tensor="coarse")])
    assert "hints" in hinted.modules()
    hinted.loss(BATCH, 0)["hints"].backward()
    backbone = hinted.modules()["backbone"]
    touched = {n.split(".")[0] for n, p in backbone.named_parameters() if p.grad is not None}
    assert touched == {"stem", "cells"}
    with pytest.raises(ValueError, match="student has maps 0 to 4"):
        task(file, [HintOptions(map=5, tensor="coarse")])


def test_views_grow_while_the_teacher_sees_them_whole(file: Path) -> None:
    views = Views(None, seed=1, sizes=((0.5, 56), (1.0, 112)))
    hinted = task(file, [HintOptions(map=4, tensor="coarser")], views)
    sides: list[int] = []
    stem = hinted.modules()["backbone"].get_submodule("stem")
    stem.register_forward_pre_hook(lambda _, x: sides.append(x[0].shape[-1]))
    seen: list[Tensor] = []
    for share in (0.0, 0.49, 0.5, 0.99):
        hinted.on_share(share)
        seen.append(hinted.loss(BATCH, 0)["loss"])
    assert sides == [56, 56, 112, 112]
    assert all(loss.isfinite() for loss in seen)


def test_what_a_run_cannot_be() -> None:
    terms = (TermOptions(kind="cosine"),)
    with pytest.raises(ValueError, match="of a teacher of kind onnx or graph"):
        Run(name="x", teacher=TeacherOptions(kind="checkpoint", path="x"), terms=terms,
            hints=(HintOptions(tensor="y"),))  # fmt: skip
    with pytest.raises(ValueError, match=r"set loop\.compile off"):
        Run(name="x", data=DataOptions(sizes=((1.0, 56),)), loop=LoopOptions(compile="cudagraphs"))
    with pytest.raises(ValueError, match="shares must rise from above 0 to 1"):
        DataOptions(sizes=((0.5, 56), (0.4, 112)))
    with pytest.raises(ValueError, match=r"\[32, 112\]"):
        DataOptions(sizes=((1.0, 20),))
