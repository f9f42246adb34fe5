"""Aligned crops → unit embeddings, by a checkpoint, an ONNX file or a pack.

Pixels take the daemon's way (`src/vision/embedder.ts`): the 8-bit crop is resized by OpenCV's
bilinear filter, then (x − mean) / std in the model's channel order.
"""

# N pictures, B batch, C channels, H height, W width, D embedding.
import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import onnxruntime
import torch
from torch import nn

from facetrain.engine.checkpoint import load_backbone
from facetrain.preprocessing import Preprocessing


class Embedder(Protocol):
    """Attributes:
    description: What it is, in words with a checksum, for reports.
    embedding_dim: D.
    """

    description: str
    embedding_dim: int

    def embed(self, crop_BHWC: np.ndarray) -> np.ndarray:
        """Raw embeddings (B, D), float32, of crops (B, 112, 112, 3), uint8 RGB."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedOptions:
    """Attributes:
    batch_size: Crops per run; a model with a fixed batch is run as it wants.
    flip: Add the embedding of the mirrored crop before normalising.
    threads: Threads of one run.
    device: Where a checkpoint runs; ONNX files run on the CPU.
    """

    batch_size: int = 64
    flip: bool = False
    threads: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, is {self.batch_size}")
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, is {self.threads}")


def model_input(crop_BHWC: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Crops uint8 RGB (B, H, W, 3) → float32 (B, 3, height_px, width_px)."""
    size = (preprocessing.width_px, preprocessing.height_px)
    if crop_BHWC.shape[2:0:-1] != size:
        crop_BHWC = np.stack(
            [cv2.resize(crop, size, interpolation=cv2.INTER_LINEAR) for crop in crop_BHWC]
        )
    if preprocessing.channel_order == "bgr":
        crop_BHWC = crop_BHWC[..., ::-1]
    mean, std = (
        np.array(values, dtype=np.float32) for values in (preprocessing.mean, preprocessing.std)
    )
    x_BHWC = (crop_BHWC.astype(np.float32) - mean) / std
    return np.ascontiguousarray(x_BHWC.transpose(0, 3, 1, 2))


class OnnxEmbedder:
    """An ONNX file with one image input, run by ONNX Runtime on the CPU."""

    def __init__(
        self,
        model: Path | bytes,
        preprocessing: Preprocessing,
        *,
        input_name: str | None = None,
        output_name: str | None = None,
        threads: int = 1,
        description: str | None = None,
    ) -> None:
        """Open the model.

        Args:
            input_name: None: the first input.
            output_name: None: the first output.

        Raises:
            ValueError: It cannot be opened, or gives no embeddings of one length.
        """
        data = model if isinstance(model, bytes) else _read(model)
        name = "an ONNX model" if isinstance(model, bytes) else str(model)
        self._session = _session(data, name, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self.input_name = input_name or inputs[0].name
        self.output_name = output_name or outputs[0].name
        for wanted, there in ((self.input_name, inputs), (self.output_name, outputs)):
            if wanted not in [entry.name for entry in there]:
                raise ValueError(f"{name} has no {wanted!r} but {[e.name for e in there]}")
        declared = next(entry.shape[0] for entry in inputs if entry.name == self.input_name)
        self._batch = declared if isinstance(declared, int) else None
        self.preprocessing = preprocessing
        self.description = description or f"ONNX {name}, sha256 {sha256(data)}"
        probe = self.embed(np.zeros((1, 112, 112, 3), dtype=np.uint8))
        self.embedding_dim = probe.shape[1]

    def embed(self, crop_BHWC: np.ndarray) -> np.ndarray:
        x_BCHW = model_input(crop_BHWC, self.preprocessing)
        if self._batch is None:
            return self._run(x_BCHW)
        parts = []
        for start in range(0, len(x_BCHW), self._batch):
            part = x_BCHW[start : start + self._batch]
            filled = np.resize(part, (self._batch, *part.shape[1:]))
            parts.append(self._run(filled)[: len(part)])
        return np.concatenate(parts)

    def _run(self, x_BCHW: np.ndarray) -> np.ndarray:
        raw = np.asarray(self._session.run([self.output_name], {self.input_name: x_BCHW})[0])
        return raw.reshape(len(x_BCHW), -1).astype(np.float32)


class ModuleEmbedder:
    """A torch network in evaluation mode."""

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        *,
        description: str,
        device: str = "cpu",
    ) -> None:
        self._network = network.eval().to(device)
        self._device = device
        self.preprocessing = preprocessing
        self.description = description
        self.embedding_dim = self.embed(np.zeros((1, 112, 112, 3), dtype=np.uint8)).shape[1]

    def embed(self, crop_BHWC: np.ndarray) -> np.ndarray:
        x_BCHW = torch.from_numpy(model_input(crop_BHWC, self.preprocessing))
        with torch.inference_mode():
            return self._network(x_BCHW.to(self._device)).float().cpu().numpy()


def open_checkpoint(file: Path, options: EmbedOptions | None = None) -> ModuleEmbedder:
    """Embedder of a checkpoint of this package (averaged weights where it has them)."""
    options = options or EmbedOptions()
    backbone = load_backbone(file)
    return ModuleEmbedder(
        backbone,
        backbone.preprocessing,
        description=f"checkpoint {file}, sha256 {sha256(_read(file))}",
        device=options.device,
    )


def open_onnx(
    file: Path, preprocessing: Preprocessing | None = None, options: EmbedOptions | None = None
) -> OnnxEmbedder:
    """Embedder of an ONNX file; without `preprocessing` what the file's metadata says.

    Raises:
        ValueError: The file says nothing of its preprocessing and none is given.
    """
    data = _read(file)
    options = options or EmbedOptions()
    if preprocessing is None:
        preprocessing = _stored_preprocessing(data, file)
    return OnnxEmbedder(
        data,
        preprocessing,
        threads=options.threads,
        description=f"ONNX {file}, sha256 {sha256(data)}",
    )


@dataclass(frozen=True, slots=True)
class OpenedPack:
    """A pack's embedder, and its detector's file with the scores it is used with."""

    embedder: OnnxEmbedder
    detector: bytes
    score_min: float
    overlap_max: float
    id: str


def open_pack(directory: Path, options: EmbedOptions | None = None) -> OpenedPack:
    """The models of a pack directory, checked against its checksums as the daemon does.

    Raises:
        ValueError: `pack.json` is missing, or a file is not the one that it names.
    """
    options = options or EmbedOptions()
    about = _read_json(directory / "pack.json")
    files = {entry["name"]: entry["sha256"] for entry in about["files"]}

    def file(name: str) -> bytes:
        data = _read(directory / name)
        if sha256(data) != files.get(name):
            raise ValueError(
                f"{directory / name} is not the file that pack.json names (checksum); "
                "install the pack again"
            )
        return data

    spec, detector = about["embedder"], about["detector"]
    embedder = OnnxEmbedder(
        file(spec["file"]),
        preprocessing_of(spec["preprocessing"]),
        input_name=spec["input"],
        output_name=spec["output"],
        threads=options.threads,
        description=f"pack {about['id']}, embedder sha256 {files[spec['file']]}",
    )
    return OpenedPack(
        embedder=embedder,
        detector=file(detector["file"]),
        score_min=detector.get("scoreMin", 0.7),
        overlap_max=detector.get("overlapMax", 0.3),
        id=about["id"],
    )


def preprocessing_of(words: dict) -> Preprocessing:
    """From pack.json's words."""
    return Preprocessing(
        width_px=words["widthPx"],
        height_px=words["heightPx"],
        channel_order=words["channelOrder"],
        mean=tuple(words["mean"]),
        std=tuple(words["std"]),
    )


def embed_all(
    crops: Iterable[np.ndarray | None], embedder: Embedder, options: EmbedOptions | None = None
) -> np.ndarray:
    """Unit embeddings (N, D), float32, in order.

    Args:
        crops: uint8 RGB (112, 112, 3); None (a failure to acquire) gives a row of NaN.

    A crop for which the model gives no finite vector gets a row of NaN too.
    """
    options = options or EmbedOptions()
    rows: list[np.ndarray] = []
    for batch in batches_of(crops, options.batch_size):
        e_BD = np.full((len(batch), embedder.embedding_dim), np.nan, dtype=np.float32)
        places = [n for n, crop in enumerate(batch) if crop is not None]
        if places:
            crop_BHWC = np.stack([crop for crop in batch if crop is not None])
            raw_BD = embedder.embed(crop_BHWC)
            if options.flip:
                raw_BD = raw_BD + embedder.embed(np.ascontiguousarray(crop_BHWC[:, :, ::-1]))
            e_BD[places] = normalised(raw_BD)
        rows.append(e_BD)
    return np.concatenate(rows) if rows else np.zeros((0, embedder.embedding_dim), np.float32)


def normalised(e_BD: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32; NaN where the length is 0 or not finite."""
    e_BD = e_BD.astype(np.float64)
    length_B1 = np.linalg.norm(e_BD, axis=1, keepdims=True)
    length_B1[~(np.isfinite(length_B1) & (length_B1 > 0))] = math.nan
    return (e_BD / length_B1).astype(np.float32)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def batches_of(
    crops: Iterable[np.ndarray | None], batch_size: int
) -> Iterator[list[np.ndarray | None]]:
    """Runs of at most `batch_size`, in order."""
    batch: list[np.ndarray | None] = []
    for crop in crops:
        batch.append(crop)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _read(file: Path) -> bytes:
    if not file.is_file():
        raise ValueError(f"{file}: no such file")
    return file.read_bytes()


def _session(model: bytes, name: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as fault:
        raise ValueError(f"{name}: ONNX Runtime cannot open it: {fault}") from fault


def _read_json(file: Path) -> dict:
    try:
        return json.loads(_read(file))
    except json.JSONDecodeError as fault:
        raise ValueError(f"{file} is no JSON: {fault}") from fault


def _stored_preprocessing(model: bytes, file: Path) -> Preprocessing:
    session = _session(model, str(file), threads=1)
    stored = session.get_modelmeta().custom_metadata_map.get("preprocessing")
    if stored is None:
        raise ValueError(
            f"{file} says nothing of its preprocessing: give size, channel order, mean and std"
        )
    words = json.loads(stored)
    return Preprocessing(**{**words, "mean": tuple(words["mean"]), "std": tuple(words["std"])})
