"""Faces as the daemon finds them: a YuNet-layout ONNX detector, letterboxed, decoded, suppressed.

The TypeScript is the truth: `src/vision/detector.ts`, `src/frame/letterbox.ts`,
`src/face/decode.ts`, `suppress.ts` and `sanity.ts`.
"""

# H height, W width, C channels, N faces; box_N4: x, y, width, height; landmark_N52: (x, y) each.
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import onnx
import onnxruntime

STRIDES = (8, 16, 32)
INPUT_MULTIPLE = 32
UPSCALE_MAX = 2.0
CANDIDATES_MAX = 5000
SMALL_SQUARE_PX = 320
LINEAR_MAX = 2.0
"""Shrinking by more than this would skip pixels with linear interpolation."""


@dataclass(frozen=True, slots=True)
class Face:
    """A face in picture pixels; whole numbers are pixel centres.

    Attributes:
        box: x, y, width, height; may reach beyond the picture.
        landmark_52: YuNet's order, float64.
        score: sqrt(class x objectness), in [0, 1].
    """

    box: tuple[float, float, float, float]
    landmark_52: np.ndarray
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectOptions:
    """The daemon's defaults."""

    size_px: int = 640
    """Longer side of the scaled picture."""
    score_min: float = 0.7
    overlap_max: float = 0.3
    faces_max: int = 64
    form: Literal["fitted", "square"] = "fitted"
    """How the input is padded: as little as possible (cameras), or square (`ostiary inspect`)."""
    threads: int = 1

    def __post_init__(self) -> None:
        if not 160 <= self.size_px <= 1920 or self.size_px % INPUT_MULTIPLE:
            raise ValueError(f"size_px is {self.size_px}; allowed are multiples of 32, 160 to 1920")
        for name in ("score_min", "overlap_max"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in [0, 1]")
        if not 1 <= self.faces_max <= CANDIDATES_MAX:
            raise ValueError(f"faces_max is {self.faces_max}; allowed are 1 to {CANDIDATES_MAX}")


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture lies in the detector's input: in its top left corner, scaled."""

    scaled_width: int
    scaled_height: int
    input_width: int
    input_height: int
    step_x: float
    """Picture pixels per scaled pixel."""
    step_y: float


class Detector:
    """A detector file, opened. Takes BGR 0 to 255 itself; callers give RGB."""

    def __init__(self, model: Path | str | bytes, options: DetectOptions | None = None) -> None:
        """Open `model` on the CPU.

        Raises:
            ValueError: No such file, or not a model with YuNet's twelve outputs.
        """
        self.options = options or DetectOptions()
        self._names = [f"{what}_{s}" for s in STRIDES for what in ("cls", "obj", "bbox", "kps")]
        data = model if isinstance(model, bytes) else _read(Path(model))
        what = "the detector" if isinstance(model, bytes) else str(model)
        session_options = onnxruntime.SessionOptions()
        session_options.intra_op_num_threads = self.options.threads
        session_options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                with_free_size(data), session_options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ValueError(f"{what}: ONNX Runtime cannot open it: {error}") from error
        outputs = {output.name for output in self._session.get_outputs()}
        missing = [name for name in self._names if name not in outputs]
        if missing:
            raise ValueError(f"{what}: lacks YuNet's outputs {', '.join(missing)}")
        self._input = self._session.get_inputs()[0].name

    def detect(self, picture_HWC: np.ndarray) -> list[Face]:
        """Faces of an RGB picture, best first; also such that `is_plausible` would drop."""
        options = self.options
        height, width = picture_HWC.shape[:2]
        letter = even_letterbox(width, height, options.size_px)
        input_width, input_height = letter.input_width, letter.input_height
        if options.form == "square":
            large = math.ceil(options.size_px / INPUT_MULTIPLE) * INPUT_MULTIPLE
            small = min(large, SMALL_SQUARE_PX)
            input_width = input_height = small if max(input_width, input_height) <= small else large
        scaled = scaled_picture(picture_HWC, letter.scaled_width, letter.scaled_height)
        x_1CHW = np.zeros((1, 3, input_height, input_width), dtype=np.float32)
        x_1CHW[0, :, : scaled.shape[0], : scaled.shape[1]] = scaled[..., ::-1].transpose(2, 0, 1)
        results = self._session.run(self._names, {self._input: x_1CHW})
        outputs = {n: np.asarray(r) for n, r in zip(self._names, results, strict=True)}
        found = decode_faces(outputs, input_width, options.score_min)
        kept = suppress(found, options.overlap_max, options.faces_max)
        return [in_picture(letter, face) for face in kept]


def letterbox(
    width: int, height: int, longer_side: int, upscale_max: float = UPSCALE_MAX
) -> Letterbox:
    """Scale to fit, pad right and below to a multiple of 32."""
    scale = min(upscale_max, longer_side / max(width, height))
    scaled_width, scaled_height = max(1, _round(width * scale)), max(1, _round(height * scale))
    return Letterbox(
        scaled_width,
        scaled_height,
        math.ceil(scaled_width / INPUT_MULTIPLE) * INPUT_MULTIPLE,
        math.ceil(scaled_height / INPUT_MULTIPLE) * INPUT_MULTIPLE,
        width / scaled_width,
        height / scaled_height,
    )


def even_letterbox(width: int, height: int, longer_side: int) -> Letterbox:
    """As `letterbox`, with even scaled sides: NV12 scales in no others."""
    letter = letterbox(width, height, longer_side)
    scaled_width = max(2, letter.scaled_width - letter.scaled_width % 2)
    scaled_height = max(2, letter.scaled_height - letter.scaled_height % 2)
    return Letterbox(
        scaled_width,
        scaled_height,
        letter.input_width,
        letter.input_height,
        width / scaled_width,
        height / scaled_height,
    )


def scaled_picture(picture_HWC: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture at another size, uint8, by the daemon's choice of filter."""
    if picture_HWC.shape[:2] == (height, width):
        return picture_HWC
    is_coarse = picture_HWC.shape[1] / width > LINEAR_MAX
    interpolation = cv2.INTER_AREA if is_coarse else cv2.INTER_LINEAR
    return cv2.resize(picture_HWC, (width, height), interpolation=interpolation)


def in_picture(letter: Letterbox, face: Face) -> Face:
    """A face of the input's pixels in the picture's."""
    step = np.array([letter.step_x, letter.step_y])
    x, y = (np.array(face.box[:2]) + 0.5) * step - 0.5
    width, height = np.array(face.box[2:]) * step
    landmark_52 = (face.landmark_52 + 0.5) * step - 0.5
    return Face((float(x), float(y), float(width), float(height)), landmark_52, face.score)


def decode_faces(
    outputs: Mapping[str, np.ndarray], input_width: int, score_min: float
) -> list[Face]:
    """YuNet's twelve outputs -> every cell with a score of at least `score_min`.

    Args:
        outputs: "cls_8", "obj_8", "bbox_8", "kps_8", ... of any shape whose cells run by rows.
        input_width: Multiple of 32.

    Returns:
        Faces in input pixels, unsuppressed, strides and rows in order.
    """
    faces: list[Face] = []
    for stride in STRIDES:
        cls, obj = (outputs[f"{n}_{stride}"].reshape(-1).astype(np.float64) for n in ("cls", "obj"))
        score2 = np.clip(cls, 0, 1) * np.clip(obj, 0, 1)
        # NaN fails the comparison, so a broken cell is no face.
        cells = np.flatnonzero((score2 >= score_min * score_min) & (score2 > 0))
        box_N4 = outputs[f"bbox_{stride}"].reshape(-1, 4)[cells].astype(np.float64)
        landmark_N52 = outputs[f"kps_{stride}"].reshape(-1, 5, 2)[cells].astype(np.float64)
        col_row_N2 = np.stack(
            [cells % (input_width // stride), cells // (input_width // stride)], 1
        )
        with np.errstate(over="ignore"):
            size_N2 = np.exp(box_N4[:, 2:]) * stride
        corner_N2 = (col_row_N2 + box_N4[:, :2]) * stride - size_N2 / 2
        landmark_N52 = (landmark_N52 + col_row_N2[:, None]) * stride
        for n, cell in enumerate(cells):
            box = (*corner_N2[n].tolist(), *size_N2[n].tolist())
            if np.isfinite(box).all() and np.isfinite(landmark_N52[n]).all():
                faces.append(Face(box, landmark_N52[n], math.sqrt(score2[cell])))
    return faces


def suppress(faces: Sequence[Face], overlap_max: float, faces_max: int) -> list[Face]:
    """Greedy non-maximum suppression as OpenCV's FaceDetectorYN does it: boxes cut to whole pixels.

    Best first; faces of equal score keep their order.
    """
    best = sorted(faces, key=lambda face: -face.score)[:CANDIDATES_MAX]
    kept: list[Face] = []
    boxes: list[tuple[int, int, int, int]] = []
    for face in best:
        if len(kept) >= faces_max:
            break
        x, y, width, height = (math.trunc(value) for value in face.box)
        box = (x, y, width, height)
        if all(_overlap(box, other) <= overlap_max for other in boxes):
            kept.append(face)
            boxes.append(box)
    return kept


def is_plausible(face: Face) -> bool:
    """False for landmark geometry that cannot be a face; turned and tilted faces pass."""
    x, y, width, height = face.box
    points = face.landmark_52
    if not (np.isfinite(face.box).all() and np.isfinite(points).all()):
        return False
    if width < 4 or height < 4:
        return False
    right_eye, left_eye, nose, right_mouth, left_mouth = points
    eyes, mouth = (right_eye + left_eye) / 2, (right_mouth + left_mouth) / 2
    down = mouth - eyes
    length = math.hypot(*down)
    if length < 0.15 * height or length > 0.95 * max(width, height):
        return False
    line = left_eye - right_eye
    if (line[0] * down[1] - line[1] * down[0]) / (length * width) < -0.05:
        return False
    if not -0.3 <= float((nose - eyes) @ down) / (length * length) <= 1.2:
        return False
    margin, origin, size = 0.25, np.array([x, y]), np.array([width, height])
    low, high = origin - margin * size, origin + (1 + margin) * size
    return bool(((points >= low) & (points <= high)).all())


def central_face(faces: Sequence[Face], width: int, height: int) -> Face | None:
    """The face whose centre lies nearest to the picture's: whom a labelled picture is about."""

    def distance(face: Face) -> float:
        x, y, w, h = face.box
        return math.hypot(x + w / 2 - width / 2, y + h / 2 - height / 2)

    return min(faces, key=distance, default=None)


def largest_face(faces: Sequence[Face]) -> Face | None:
    """The face with the largest box, as `ostiary inspect --crop-out` takes it."""
    return max(faces, key=lambda face: face.box[2] * face.box[3], default=None)


def with_free_size(model: bytes) -> bytes:
    """A copy whose image input has free height and width (YuNet 2023mar declares 640 x 640)."""
    proto = onnx.load_from_string(model)
    # Inferred shapes of inner values contradict the free size; the runtime infers them again.
    del proto.graph.value_info[:]
    for value in proto.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if axis >= 2:
                dim.dim_param = f"{value.name}_{axis}"
    for value in proto.graph.output:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if axis > 0:
                dim.dim_param = f"{value.name}_{axis}"
    return proto.SerializeToString()


def _read(model: Path) -> bytes:
    if not model.is_file():
        raise ValueError(f"{model}: no such file; give a YuNet-layout ONNX detector")
    return model.read_bytes()


def _round(value: float) -> int:
    """JavaScript's rounding: halves go up."""
    return math.floor(value + 0.5)


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Intersection over union of whole boxes; two empty ones count as the same."""
    if a[2] * a[3] + b[2] * b[3] <= 0:
        return 1.0
    shared_width = max(0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    shared_height = max(0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    shared = shared_width * shared_height
    union = max(0, a[2]) * max(0, a[3]) + max(0, b[2]) * max(0, b[3]) - shared
    return shared / union if union > 0 else 0.0
