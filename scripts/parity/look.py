"""Faces of pictures by the training package: blended landmarks, then the mean with a second look.

Reads one JSON request from stdin and writes one JSON answer to stdout:

    {"detector": FILE, "score_min": S, "pictures": [{"file": FILE, "width": W, "height": H}]}

Every picture is resized to W x H, padded and detected at that size; boxes and landmarks are in the
picture's own pixels, as `ostiary inspect` gives them. Both is null where a face is not found again.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from facetrain.detector.decode import faces_of
from facetrain.detector.look import look_again
from facetrain.detector.teacher import YuNetTeacher, pad_to_multiple


def main() -> None:
    request = json.load(sys.stdin)
    detector = YuNetTeacher(Path(request["detector"]))
    answer: list[list[dict[str, object]]] = []
    for wanted in request["pictures"]:
        picture = cv2.imread(wanted["file"])
        if picture is None:
            raise SystemExit(f"{wanted['file']} cannot be read")
        size = (wanted["width"], wanted["height"])
        step = np.array(picture.shape[1::-1]) / size
        padded = pad_to_multiple(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR))
        found = faces_of(
            detector.dense(padded[None])[0],
            *padded.shape[:2],
            score_min=request["score_min"],
            landmarks="blended",
        )
        first = found.scaled(step)
        both, is_found = look_again(detector, picture, first, score_min=request["score_min"])
        answer.append(
            [
                {
                    "box": box.tolist(),
                    "first": one.tolist(),
                    "both": two.tolist() if found_again else None,
                }
                for box, one, two, found_again in zip(
                    first.box_F4, first.landmark_F52, both.landmark_F52, is_found, strict=True
                )
            ]
        )
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
