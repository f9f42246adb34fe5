"""The face detector: network, labels or a teacher to train it from, evaluation, ONNX export."""
