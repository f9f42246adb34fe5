"""Any detector of YuNet's layout as ONNX, run by ONNX Runtime: the teacher, and what is evaluated.

The published YuNet file names one input size and one picture, although its operators take any; its
shapes are freed in memory, the file stays as it is.

Axes: B batch, H height, W width, C channels (BGR), N cells of all strides.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from facetrain.detector.decode import Faces, faces_of, stack_outputs
from facetrain.detector.net import INPUT_MULTIPLE, OUTPUT_NAMES


def free_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, changed in place, for any number of pictures of any height and width."""
    (given,) = model.graph.input
    for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
        given.type.tensor_type.shape.dim[axis].dim_param = name
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[0].dim_param = "batch"
        output.type.tensor_type.shape.dim[1].dim_param = f"cells_{output.name.split('_')[-1]}"
    del model.graph.value_info[:]
    reshapes = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    for weight in model.graph.initializer:
        if weight.name in reshapes:
            shape = numpy_helper.to_array(weight).copy()
            shape[:2] = [0, -1]  # keep the batch, count the cells
            weight.CopyFrom(numpy_helper.from_array(shape, weight.name))
    return model


def open_session(model: onnx.ModelProto, *, threads: int) -> onnxruntime.InferenceSession:
    """The model on the CPU, without the runtime's remarks on it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


class YuNetTeacher:
    """A detector with YuNet's input and outputs."""

    def __init__(self, file: Path | onnx.ModelProto, *, threads: int = 1) -> None:
        """Opens the model on the CPU.

        Raises:
            ValueError: It has not the twelve outputs.
        """
        model = onnx.load(str(file)) if isinstance(file, Path) else file
        names = {output.name for output in model.graph.output}
        if not names.issuperset(OUTPUT_NAMES):
            missing = ", ".join(sorted(set(OUTPUT_NAMES) - names))
            raise ValueError(f"{file} is no detector of YuNet's layout: it lacks {missing}")
        self._session = open_session(free_shapes(model), threads=threads)
        self._input = self._session.get_inputs()[0].name

    def run(self, input_BCHW: np.ndarray) -> list[np.ndarray]:
        """The twelve outputs in `OUTPUT_NAMES`' order."""
        outputs = self._session.run(list(OUTPUT_NAMES), {self._input: input_BCHW})
        return [np.asarray(output) for output in outputs]

    def dense(self, picture_BHWC: np.ndarray) -> np.ndarray:
        """Cells of BGR pictures, uint8, sides multiples of 32: (B, N, 16), scores in [0, 1]."""
        input_BCHW = np.ascontiguousarray(picture_BHWC.transpose(0, 3, 1, 2), np.float32)
        return stack_outputs(dict(zip(OUTPUT_NAMES, self.run(input_BCHW), strict=True)))

    def faces(
        self, picture_HWC: np.ndarray, *, score_min: float = 0.7, overlap_max: float = 0.3
    ) -> Faces:
        """Faces of a BGR picture of any size, padded right and below as the daemon does."""
        padded = pad_to_multiple(picture_HWC)
        height, width = padded.shape[:2]
        dense = self.dense(padded[None])[0]
        return faces_of(dense, height, width, score_min=score_min, overlap_max=overlap_max)


def pad_to_multiple(picture_HWC: np.ndarray) -> np.ndarray:
    """Black right and below, up to multiples of 32."""
    height, width = picture_HWC.shape[:2]
    pad = [(0, -height % INPUT_MULTIPLE), (0, -width % INPUT_MULTIPLE), (0, 0)]
    return np.pad(picture_HWC, pad)
