"""The detector's parts led to YuNet's maps: each part on its own, then all of them as one network.

On its own a part sees the teacher's map before it and is compared with the teacher's map after it:
short ways for the gradient, a target at every position, and no part waits for those before it to
become good. (Block-wise distillation: Li et al., DNA, CVPR 2020, arXiv 1911.13053.)

Axes: B batch, C channels, H height, W width.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import torch
from torch import Tensor

from facetrain.detector.batches import CanvasBatch
from facetrain.detector.net import DetectorNet, Maps
from facetrain.detector.task import DistilTask, LossOptions
from facetrain.detector.teacher import free_shapes, open_session
from facetrain.distill.onnx_graph import OnnxGraph, with_outputs

STAGE_TENSORS = {4: "197", 8: "214", 16: "223", 32: "232"}
NECK_TENSORS = {8: "256", 16: "246", 32: "236"}
"""Of face_detection_yunet_2023mar.onnx, by stride."""
QUIET = 0.01
"""Share of a map's mean variance that is added to each channel's: quiet channels count little."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageOptions:
    """How the maps enter the loss."""

    alone: bool = True
    """Each part sees the teacher's maps; False: the parts see each other's, as in use."""
    maps: float = 1.0
    """Weight of what a map leaves unexplained, for each of the seven."""
    last_maps: float = 1.0
    """At the run's end, straight from ``maps``."""

    def __post_init__(self) -> None:
        for name in ("maps", "last_maps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed is 0 or more")


class MapTeacher(Protocol):
    """Who shows maps: `YuNetMaps`, or a stand-in."""

    def maps(self, picture_BCHW: Tensor) -> Maps: ...


class YuNetMaps:
    """YuNet 2023mar's maps, by ONNX Runtime on a CPU and by torch's operations elsewhere."""

    def __init__(self, file: Path, *, threads: int = 1) -> None:
        """Opens the model.

        Raises:
            ValueError: It has not the tensors.
        """
        self._names = [*STAGE_TENSORS.values(), *NECK_TENSORS.values()]
        model = with_outputs(free_shapes(onnx.load(str(file))), self._names)
        self._session = open_session(model, threads=threads)
        self._graph = OnnxGraph(model).eval()

    @torch.no_grad()
    def maps(self, picture_BCHW: Tensor) -> Maps:
        """Of BGR pictures, 0 to 255; float32, without gradient."""
        x_BCHW = picture_BCHW.float()
        if picture_BCHW.device.type == "cpu":
            given = {self._session.get_inputs()[0].name: np.ascontiguousarray(x_BCHW.numpy())}
            made = self._session.run(self._names, given)
            found = [torch.from_numpy(np.asarray(map_BCHW)) for map_BCHW in made]
        else:
            by_name = self._graph.to(picture_BCHW.device)(x_BCHW)
            found = [by_name[name] for name in self._names]
        found = [map_BCHW.contiguous(memory_format=torch.channels_last) for map_BCHW in found]
        stages = len(STAGE_TENSORS)
        return Maps(
            dict(zip(STAGE_TENSORS, found[:stages], strict=True)),
            dict(zip(NECK_TENSORS, found[stages:], strict=True)),
        )


class StageTask(DistilTask):
    """`DistilTask`, and the maps on the way there."""

    def __init__(
        self,
        net: DetectorNet,
        teacher: MapTeacher,
        options: StageOptions | None = None,
        loss: LossOptions | None = None,
    ) -> None:
        super().__init__(net, loss)
        self._net, self._teacher = net, teacher
        self._stages = options or StageOptions()
        self._share = 0.0

    def on_share(self, share: float) -> None:
        """Weigh the maps for this share of the run."""
        self._share = share

    def loss(self, batch: CanvasBatch, step: int) -> dict[str, Tensor]:
        """`DistilTask`'s terms and the maps' own; alone, the heads see the teacher's maps too."""
        del step
        options = self._stages
        x_BCHW = self._input(batch.picture_BCHW)
        given = self._teacher.maps(batch.picture_BCHW)
        mine = self._net.maps(x_BCHW, given if options.alone else None)
        dense_BN = torch.cat(self._net.predict(given if options.alone else mine), dim=1).float()
        losses = self._terms(dense_BN, batch)
        left = {f"c{stride}": unexplained(mine.c[stride], its) for stride, its in given.c.items()}
        left |= {f"p{stride}": unexplained(mine.p[stride], its) for stride, its in given.p.items()}
        weight = options.maps + (options.last_maps - options.maps) * self._share
        total = losses["loss"] + weight * torch.stack(list(left.values())).sum()
        return {**losses, "loss": total, **{name: term.detach() for name, term in left.items()}}


def unexplained(mine_BCHW: Tensor, its_BCHW: Tensor) -> Tensor:
    """Mean over channels of the squared error as a share of the channel's variance.

    0 where the maps agree; about 1 where each channel says its mean. Scalar, float32.
    """
    its = its_BCHW.float()
    var_1C11 = its.var(dim=(0, 2, 3), keepdim=True, correction=0)
    error = (mine_BCHW.float() - its).square()
    return (error / (var_1C11 + QUIET * var_1C11.mean() + 1e-6)).mean()
