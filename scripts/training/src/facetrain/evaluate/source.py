"""Which embedder an evaluation looks at, and which detector finds its faces."""

from dataclasses import dataclass
from pathlib import Path

from facetrain.data.detect import DetectOptions, Detector
from facetrain.evaluate.acquire import Cropper, DetectedCrops, ReadyCrops
from facetrain.evaluate.embed import Embedder, EmbedOptions, open_checkpoint, open_onnx, open_pack
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
        """The embedder, and what makes crops."""
        options = EmbedOptions(threads=self.threads, device=self.device)
        detect = DetectOptions(threads=self.threads)
        detector = self.detector.read_bytes() if self.detector is not None else None
        if self.pack is not None:
            opened = open_pack(self.pack, options)
            embedder: Embedder = opened.embedder
            if detector is None:
                detector = opened.detector
                detect = DetectOptions(
                    threads=self.threads,
                    score_min=opened.score_min,
                    overlap_max=opened.overlap_max,
                )
        elif self.onnx is not None:
            embedder = open_onnx(self.onnx, self.preprocessing, options)
        else:
            assert self.checkpoint is not None
            embedder = open_checkpoint(self.checkpoint, options)
        if self.crops:
            return embedder, ReadyCrops()
        if detector is None:
            raise ValueError("whole pictures need a detector: give one, or say that they are crops")
        return embedder, DetectedCrops(Detector(detector, detect))

    def files(self) -> dict[str, Path | None]:
        """For a report's header."""
        return {
            "checkpoint": self.checkpoint,
            "onnx": self.onnx,
            "pack": None if self.pack is None else self.pack / "pack.json",
            "detector": self.detector,
        }
