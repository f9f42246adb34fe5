"""Reference faces, crops and embeddings by OpenCV's and ONNX Runtime's own Python packages.

Reads one JSON request from stdin and writes one JSON answer to stdout:

    {"detector": FILE, "embedder": FILE | null, "crop_px": 128,
     "pictures": [{"file": FILE, "width": W, "height": H}]}

Every picture is resized to W x H (bilinear), padded right and below with black to multiples of 32
by FaceDetectorYN itself, and detected at that size. Boxes and landmarks are in pixels of the
resized picture. Landmarks are carried to the picture's own pixels, aligned by numpy's SVD (Umeyama
1991, not the closed form under test) and warped by OpenCV; the crop comes back as base64 BGR, the
embedding as plain numbers.
"""

# H height, W width, C channels.
import base64
import json
import sys
from typing import Any

import cv2
import numpy as np
import onnxruntime

TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
CROP_PX = 112


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares similarity as a 2x3 matrix, from points (N, 2) to points (N, 2)."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    source_0, target_0 = source - source_mean, target - target_mean
    u, d, vt = np.linalg.svd(target_0.T @ source_0 / len(source))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = (d * signs).sum() / source_0.var(axis=0).sum()
    shift = target_mean - scale * rotation @ source_mean
    return np.hstack([scale * rotation, shift[:, None]])


def detect(model: str, picture_HWC: np.ndarray) -> np.ndarray:
    """Rows of box (4), landmarks (10), score; best first."""
    height, width = picture_HWC.shape[:2]
    detector = cv2.FaceDetectorYN.create(model, "", (width, height), 0.7, 0.3, 5000)
    _, faces = detector.detect(picture_HWC)
    return np.zeros((0, 15)) if faces is None else faces[np.argsort(-faces[:, 14], kind="stable")]


def embed(session: onnxruntime.InferenceSession, crop_HWC: np.ndarray, size_px: int) -> list[float]:
    """Unit embedding of an aligned BGR crop: BGR, 0 to 255, no mean or std."""
    sized = cv2.resize(crop_HWC, (size_px, size_px), interpolation=cv2.INTER_LINEAR)
    blob = sized.transpose(2, 0, 1)[None].astype(np.float32)
    outputs = session.run(None, {session.get_inputs()[0].name: blob})
    raw = np.asarray(outputs[0])[0]
    return [float(value) for value in raw / np.linalg.norm(raw)]


def main() -> None:
    request: dict[str, Any] = json.load(sys.stdin)
    session = onnxruntime.InferenceSession(request["embedder"]) if request["embedder"] else None
    answers = []
    for entry in request["pictures"]:
        picture = cv2.imread(entry["file"])
        if picture is None:
            raise SystemExit(f"reference: cannot read {entry['file']}")
        width, height = entry["width"], entry["height"]
        step = np.array([picture.shape[1] / width, picture.shape[0] / height])
        faces = []
        for row in detect(request["detector"], cv2.resize(picture, (width, height))):
            landmarks = row[4:14].reshape(5, 2).astype(np.float64)
            face: dict[str, Any] = {
                "box": row[:4].tolist(),
                "landmarks": landmarks.tolist(),
                "score": float(row[14]),
            }
            if session is not None:
                own = (landmarks + 0.5) * step - 0.5
                crop = cv2.warpAffine(picture, umeyama(own, TEMPLATE), (CROP_PX, CROP_PX))
                face["crop"] = base64.b64encode(crop.tobytes()).decode()
                face["embedding"] = embed(session, crop, request["crop_px"])
            faces.append(face)
        answers.append({"faces": faces})
    json.dump({"opencv": cv2.__version__, "pictures": answers}, sys.stdout)


if __name__ == "__main__":
    main()
