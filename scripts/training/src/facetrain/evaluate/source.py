"""Which embedder an evaluation looks at, and which detector finds its faces."""

from dataclasses import dataclass
from pathlib import Path

from facetrain.data.detect import DetectOptions, Detector
from facetrain.evaluate.acquire import Cropper, DetectedCrops, ReadyCrops
from facetrain.evaluate.embed import (
    Embedder,
    EmbedOptions,
    OpenedPack,
    open_checkpoint,
    open_onnx,
    open_pack,
)
from facetrain.preprocessing import Preprocessing


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Exactly one of checkpoint, onnx and pack, and how faces are found.

    Attributes:
        preprocessing: For an ONNX file without metadata.
        detector: YuNet-layout ONNX file for whole pictures; a pack brings its own.
        crops: The pictures are aligned 112×112 crops already.
    """

    checkpoint: Path | None = None
    onnx: Path | None = None
    pack: Path | None = None
    preprocessing: Preprocessing | None = None
    detector: Path | None = None
    crops: bool = False
    threads: int = 1
    batch_size: int = 64
    device: str = "cpu"

    def __post_init__(self) -> None:
        given = [path for path in (self.checkpoint, self.onnx, self.pack) if path is not None]
        if len(given) != 1:
            raise ValueError(f"give one of checkpoint, onnx and pack, not {len(given)}")

    def open(self) -> tuple[Embedder, Cropper]:
        """The embedder, and what makes crops.

        Raises:
            ValueError: Whole pictures, and no detector.
        """
        embedder, of_pack = self._open()
        if self.crops:
            return embedder, ReadyCrops()
        if self.detector is not None:
            detector = Detector(self.detector, DetectOptions(threads=self.threads))
            return embedder, DetectedCrops(detector)
        if of_pack is None:
            raise ValueError("whole pictures need a detector: give one, or say that they are crops")
        options = DetectOptions(
            threads=self.threads, score_min=of_pack.score_min, overlap_max=of_pack.overlap_max
        )
        return embedder, DetectedCrops(Detector(of_pack.detector, options))

    def open_embedder(self) -> Embedder:
        """The embedder alone, for sets of aligned crops."""
        return self._open()[0]

    def _open(self) -> tuple[Embedder, OpenedPack | None]:
        options = EmbedOptions(threads=self.threads, device=self.device)
        if self.pack is not None:
            opened = open_pack(self.pack, options)
            return opened.embedder, opened
        if self.onnx is not None:
            return open_onnx(self.onnx, self.preprocessing, options), None
        assert self.checkpoint is not None
        return open_checkpoint(self.checkpoint, options), None

    def files(self) -> dict[str, Path | None]:
        """For a report's header."""
        return {
            "checkpoint": self.checkpoint,
            "onnx": self.onnx,
            "pack": None if self.pack is None else self.pack / "pack.json",
            "detector": self.detector,
        }
