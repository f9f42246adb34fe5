"""A teacher's maps, and the detector's parts that are led to them, each alone or all together."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from detector_toy import OPTIONS, BrightSpot, drawn_materials

from facetrain.detector.batches import CanvasBatch, collate_canvases
from facetrain.detector.net import DetectorNet, Maps, NetOptions
from facetrain.detector.recipe import distil, toy
from facetrain.detector.shards import SHARD_FILE, TEACHER_FILE, make_shard, save_shard
from facetrain.detector.stages import StageOptions, StageTask, YuNetMaps, unexplained

SHARED = Path(os.environ.get("OSTIARY_SHARED", Path(__file__).parents[4] / "shared"))
TOY = NetOptions(width=0.25, depth=(0, 0, 0, 0))


class Copy:
    """A teacher that shows a network's own maps."""

    def __init__(self, net: DetectorNet) -> None:
        self.net = net

    @torch.no_grad()
    def maps(self, picture_BCHW: torch.Tensor) -> Maps:
        return self.net.maps(picture_BCHW.float())


@pytest.fixture(scope="module")
def batch() -> CanvasBatch:
    shard = make_shard(0, drawn_materials(), BrightSpot(), OPTIONS)
    return collate_canvases([(shard, 1), (shard, 2)])


def toy_net(seed: int) -> DetectorNet:
    torch.manual_seed(seed)
    return DetectorNet(TOY).eval()


def test_unexplained_is_a_share_of_the_variance() -> None:
    torch.manual_seed(1)
    map_BCHW = torch.randn(4, 8, 16, 16) * torch.arange(1, 9)[:, None, None]
    mean = map_BCHW.mean(dim=(0, 2, 3), keepdim=True).expand_as(map_BCHW)
    assert unexplained(map_BCHW, map_BCHW) == 0
    assert unexplained(mean, map_BCHW) == pytest.approx(1, abs=0.05)
    silent = torch.zeros(4, 8, 16, 16)
    assert unexplained(silent, silent) == 0


@pytest.mark.parametrize("alone", [True, False])
def test_nothing_is_left_where_the_student_is_the_teacher(batch: CanvasBatch, alone: bool) -> None:
    net = toy_net(1)
    losses = StageTask(net, Copy(net), StageOptions(alone=alone)).loss(batch, 0)
    maps = [name for name in losses if name[0] in "cp" and name[1:].isdigit()]
    assert sorted(maps) == ["c16", "c32", "c4", "c8", "p16", "p32", "p8"]
    assert all(losses[name].item() == pytest.approx(0, abs=1e-6) for name in maps)


def test_alone_a_part_answers_for_itself(batch: CanvasBatch) -> None:
    net, teacher = toy_net(1), Copy(toy_net(2))
    losses = {}
    for alone in (True, False):
        before = StageTask(net, teacher, StageOptions(alone=alone)).loss(batch, 0)
        broken = toy_net(1)
        torch.nn.init.zeros_(broken.stem.get_submodule("0").weight)  # pyright: ignore[reportArgumentType]
        after = StageTask(broken, teacher, StageOptions(alone=alone)).loss(batch, 0)
        losses[alone] = {name for name in before if after[name] != before[name]}
    assert losses[True] == {"loss", "c4"}
    assert losses[False] >= {"c4", "c8", "c16", "c32", "p8", "p16", "p32", "objectness"}


def test_the_maps_fade(batch: CanvasBatch) -> None:
    net, teacher = toy_net(1), Copy(toy_net(2))
    task = StageTask(net, teacher, StageOptions(alone=False, maps=1, last_maps=0))
    weighed = []
    for share in (0.0, 0.5, 1.0):
        task.on_share(share)
        weighed.append(task.loss(batch, 0)["loss"].item())
    word = task.loss(batch, 0)
    assert weighed[1] == pytest.approx((weighed[0] + weighed[2]) / 2, rel=1e-4)
    assert weighed[2] == pytest.approx(
        (word["objectness"] + word["cls"] + 2 * word["box"] + 20 * word["landmark"]).item()
    )


def test_gradient_reaches_every_parameter_of_every_part(batch: CanvasBatch) -> None:
    net = toy_net(1).train()
    StageTask(net, Copy(toy_net(2))).loss(batch, 0)["loss"].backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.skipif(
    not (SHARED / TEACHER_FILE).exists(),
    reason=f"SKIPPED: no {TEACHER_FILE} in {SHARED}; set OSTIARY_SHARED",
)
def test_yunets_maps_fit_the_whole_network() -> None:
    torch.manual_seed(0)
    picture_BCHW = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    given = YuNetMaps(SHARED / TEACHER_FILE).maps(picture_BCHW)
    net = DetectorNet().eval()
    mine = net.maps(picture_BCHW.float(), given)
    for ours, its in ((mine.c, given.c), (mine.p, given.p)):
        assert {s: tuple(m.shape) for s, m in ours.items()} == {
            s: tuple(m.shape) for s, m in its.items()
        }
    # What the neck says follows from what the stages say: the names are those of the right tensors.
    assert all((its >= 0).all() for its in [*given.c.values(), *given.p.values()])


def test_a_run_that_follows_maps_needs_a_teacher(tmp_path: Path) -> None:
    shard = make_shard(0, drawn_materials(), BrightSpot(), OPTIONS)
    save_shard(tmp_path / SHARD_FILE.format(0), shard, OPTIONS)
    run = replace(toy(), workers=0, stages=StageOptions())
    with pytest.raises(ValueError, match=r"give the teacher's file"):
        distil(run, [tmp_path], tmp_path / "run", device="cpu")


def test_refuses_negative_weights() -> None:
    with pytest.raises(ValueError, match="last_maps is -1"):
        StageOptions(last_maps=-1)
