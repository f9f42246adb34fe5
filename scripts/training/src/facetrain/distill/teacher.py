"""Teachers: frozen sources of unit embeddings for the very view that the student sees.

A teacher is in evaluation mode, wants no gradient, and is no part of a task's modules: neither the
optimiser nor DDP nor a checkpoint knows it.
"""

# B batch, C channels, H height, W width, D embedding, N pictures

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrain.distill.onnx_graph import OnnxGraph, load_model, shape_of, with_outputs
from facetrain.engine.checkpoint import load_backbone
from facetrain.models.backbone import Backbone
from facetrain.preprocessing import Preprocessing

Precision = Literal["fp32", "bf16"]
M = TypeVar("M", bound=nn.Module)
CPU = torch.device("cpu")


class Teacher(Protocol):
    """What a distillation term compares with."""

    embedding_dim: int

    def on_epoch(self, epoch: int) -> None:
        """Called before the first step of each student epoch, and after a resume within it."""
        ...

    def embed(self, crop_BCHW: Tensor, index_B: Tensor) -> Tensor:
        """Targets for a batch.

        Args:
            crop_BCHW: The student's view, RGB 0..255, uint8 or float.
            index_B: Where the pictures stand in the set.

        Returns:
            Unit embeddings (B, D), float32, without gradient.
        """
        ...


class HintingTeacher(Teacher, Protocol):
    """A teacher that also shows feature maps of its own."""

    map_channels: list[int]
    """Of each of them."""

    def embed_with_maps(self, crop_BCHW: Tensor, index_B: Tensor) -> tuple[Tensor, list[Tensor]]:
        """``embed``, and the maps (B, C, H, W) that were asked for, without gradient."""
        ...


def frozen(module: M) -> M:
    """The module in evaluation mode, wanting no gradient."""
    return module.eval().requires_grad_(False)


class CheckpointTeacher:
    """A backbone of this package."""

    def __init__(
        self,
        backbone: Backbone | Path | str,
        *,
        device: torch.device = CPU,
        precision: Precision = "fp32",
    ) -> None:
        """Take a backbone, or the one in a checkpoint (averaged weights where there are any)."""
        loaded = backbone if isinstance(backbone, Backbone) else load_backbone(backbone)
        self.backbone = frozen(loaded.to(device))
        self.embedding_dim = loaded.embedding_dim
        self._precision: Precision = precision

    def on_epoch(self, epoch: int) -> None: ...

    @torch.no_grad()
    def embed(self, crop_BCHW: Tensor, index_B: Tensor) -> Tensor:
        x_BCHW = self.backbone.preprocessing.apply(crop_BCHW)
        with _autocast(x_BCHW.device, self._precision):
            e_BD = self.backbone(x_BCHW)
        return F.normalize(e_BD.float())


class ScheduledTeacher(CheckpointTeacher):
    """Multi-step distillation: each student epoch has its own teacher checkpoint.

    PocketNet (Boutros et al., 2021): student epoch e learns from the teacher at the end of its own
    epoch e, so that targets grow with the student.
    """

    def __init__(
        self,
        checkpoints: Sequence[Path | str],
        *,
        epochs: Sequence[int] = (),
        device: torch.device = CPU,
        precision: Precision = "fp32",
    ) -> None:
        """Name the teacher's checkpoints.

        Args:
            checkpoints: By teacher epoch, counted from 0.
            epochs: Teacher epoch for each student epoch; empty for the same. Student epochs beyond
                keep the last.
        """
        if not checkpoints:
            raise ValueError("a scheduled teacher needs at least one checkpoint")
        for epoch in epochs:
            if not 0 <= epoch < len(checkpoints):
                raise ValueError(
                    f"teacher epoch {epoch} is asked for; there are 0 to {len(checkpoints) - 1}"
                )
        self._checkpoints = [Path(path) for path in checkpoints]
        self._epochs = list(epochs) or list(range(len(checkpoints)))
        self._device = device
        self.loaded = self.checkpoint_for(0)
        super().__init__(self.loaded, device=device, precision=precision)

    @classmethod
    def of_run(cls, folder: Path | str, **options) -> "ScheduledTeacher":
        """The teachers that a run with ``loop.keep_epochs`` has left in its folder."""
        checkpoints = sorted(Path(folder).glob("epoch_*.pt"))
        if not checkpoints:
            raise ValueError(
                f"{folder}: holds no epoch_*.pt; train the teacher with loop.keep_epochs"
            )
        return cls(checkpoints, **options)

    def checkpoint_for(self, epoch: int) -> Path:
        """The file that teaches a student epoch."""
        return self._checkpoints[self._epochs[min(epoch, len(self._epochs) - 1)]]

    def on_epoch(self, epoch: int) -> None:
        wanted = self.checkpoint_for(epoch)
        if wanted != self.loaded:
            self.backbone.load_state_dict(load_backbone(wanted).state_dict())
            self.loaded = wanted


class TorchGraphTeacher:
    """An ONNX network run by torch: on a GPU, in bf16 if wanted, without a copy to the host."""

    def __init__(
        self,
        file: Path | str,
        preprocessing: Preprocessing,
        *,
        device: torch.device = CPU,
        precision: Precision = "fp32",
        maps: Sequence[str] = (),
    ) -> None:
        """Open the file; ``maps`` are tensors inside it that ``embed_with_maps`` shows."""
        self.graph = frozen(OnnxGraph(with_outputs(load_model(file), maps)).to(device))
        self._maps = list(maps)
        self.preprocessing = preprocessing
        self._precision: Precision = precision
        blank = torch.zeros(1, 3, 112, 112, dtype=torch.uint8, device=device)
        e_BD, shown = self.embed_with_maps(blank, torch.zeros(1, dtype=torch.long))
        self.embedding_dim, self.map_channels = e_BD.shape[1], [its.shape[1] for its in shown]

    def on_epoch(self, epoch: int) -> None: ...

    @torch.no_grad()
    def embed(self, crop_BCHW: Tensor, index_B: Tensor) -> Tensor:
        return self.embed_with_maps(crop_BCHW, index_B)[0]

    @torch.no_grad()
    def embed_with_maps(self, crop_BCHW: Tensor, index_B: Tensor) -> tuple[Tensor, list[Tensor]]:
        x_BCHW = self.preprocessing.apply(crop_BCHW)
        with _autocast(x_BCHW.device, self._precision):
            shown = self.graph(x_BCHW)
        e_BD = shown[self.graph.output_names[0]]
        return F.normalize(e_BD.float().flatten(1)), [shown[name] for name in self._maps]


class OnnxTeacher:
    """Any ONNX network, run by ONNX Runtime on the CPU."""

    def __init__(
        self,
        file: Path | str,
        preprocessing: Preprocessing,
        *,
        threads: int = 0,
        maps: Sequence[str] = (),
    ) -> None:
        """Open the file.

        Args:
            threads: 0 leaves the number to the runtime.
            maps: Tensors inside the file that ``embed_with_maps`` shows.
        """
        model = with_outputs(load_model(file), maps)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self._output, self._maps = self._session.get_outputs()[0].name, list(maps)
        self._one_by_one = shape_of(model.graph.input[0])[0] == 1
        self.preprocessing = preprocessing
        blank = torch.zeros(1, 3, 112, 112, dtype=torch.uint8)
        e_BD, shown = self.embed_with_maps(blank, torch.zeros(1, dtype=torch.long))
        self.embedding_dim, self.map_channels = e_BD.shape[1], [its.shape[1] for its in shown]

    def on_epoch(self, epoch: int) -> None: ...

    @torch.no_grad()
    def embed(self, crop_BCHW: Tensor, index_B: Tensor) -> Tensor:
        (e_BD,) = self._run(crop_BCHW, [self._output])
        return F.normalize(e_BD.float().flatten(1))

    @torch.no_grad()
    def embed_with_maps(self, crop_BCHW: Tensor, index_B: Tensor) -> tuple[Tensor, list[Tensor]]:
        e_BD, *maps = self._run(crop_BCHW, [self._output, *self._maps])
        return F.normalize(e_BD.float().flatten(1)), maps

    def _run(self, crop_BCHW: Tensor, names: list[str]) -> list[Tensor]:
        x_BCHW = self.preprocessing.apply(crop_BCHW).cpu().numpy()
        parts = np.split(x_BCHW, len(x_BCHW)) if self._one_by_one else [x_BCHW]
        outputs = [self._session.run(names, {self._input: part}) for part in parts]
        whole = [
            np.concatenate([np.asarray(p) for p in shown]) for shown in zip(*outputs, strict=True)
        ]
        return [torch.from_numpy(tensor).to(crop_BCHW.device) for tensor in whole]


class PrecomputedTeacher:
    """Embeddings made once, looked up by picture.

    They belong to the clean picture, not to the student's view: augmentation then also asks the
    student for invariance.
    """

    def __init__(self, e_ND: Tensor | np.ndarray, *, device: torch.device = CPU) -> None:
        embeddings = torch.as_tensor(e_ND)
        if embeddings.ndim != 2:
            raise ValueError(f"embeddings are (N, D), not {tuple(embeddings.shape)}")
        self._e_ND = F.normalize(embeddings.float()).to(device)
        self.embedding_dim = embeddings.shape[1]

    @classmethod
    def load(cls, path: Path | str, *, device: torch.device = CPU) -> "PrecomputedTeacher":
        """From a ``.npy`` file of (N, D), in the order of the set."""
        try:
            return cls(np.load(path, allow_pickle=False), device=device)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: holds no embeddings ({error})") from error

    def of_pictures(self, indices: np.ndarray) -> "PrecomputedTeacher":
        """For a set made of these pictures (M,) of the whole one."""
        if len(indices) and indices.max() >= len(self._e_ND):
            raise ValueError(
                f"there are embeddings of {len(self._e_ND)} pictures, the set has more: "
                "compute them for this set"
            )
        chosen = torch.from_numpy(np.asarray(indices)).to(self._e_ND.device)
        return PrecomputedTeacher(self._e_ND[chosen], device=self._e_ND.device)

    def on_epoch(self, epoch: int) -> None: ...

    @torch.no_grad()
    def embed(self, crop_BCHW: Tensor, index_B: Tensor) -> Tensor:
        return self._e_ND[index_B.to(self._e_ND.device)].to(crop_BCHW.device)


def _autocast(device: torch.device, precision: Precision) -> torch.autocast:
    # Says both: the loop's own autocast must not leak into a float32 teacher.
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
