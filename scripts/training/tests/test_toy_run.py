"""`runs/toy.sh` in its short form: pictures to a pack that the daemon evaluates.

Needs OSTIARY_SHARED (default ../shared beside the checkout) and the daemon's packages.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHARED = (ROOT / os.environ.get("OSTIARY_SHARED", "../shared")).resolve()
NEEDED = (
    SHARED / "data/orl_att_faces.tar",
    SHARED / "data/train/interfaces_aligned112.tar",
    SHARED / "data/models/face_detection_yunet_2023mar.onnx",
    SHARED / "data/models/face-reidentification-retail-0095.onnx",
    ROOT / "node_modules",
)
RUN = ROOT / "scripts/training/runs/toy.sh"

pytestmark = pytest.mark.skipif(
    not all(file.exists() for file in NEEDED),
    reason=f"SKIPPED: no models or pictures in {SHARED}; set OSTIARY_SHARED",
)


def test_from_pictures_to_a_pack_that_the_daemon_runs(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "SHORT": "1",
        "OSTIARY_SHARED": str(SHARED),
        "PYTHON": sys.executable,
    }
    done = subprocess.run(
        [RUN, tmp_path], env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    for search in ("search", "search-label-free"):
        genotype = json.loads((tmp_path / search / "genotype.json").read_text())
        assert [len(genotype[cell]) for cell in ("normal", "reduce")] == [4, 4]
        assert (tmp_path / search / "genotype.png").stat().st_size > 0
    # Four people held out: 4 x 45 pairs of one, and 10 x 10 of each of the six couples.
    report = json.loads((tmp_path / "report/distilled-1/verification.json").read_text())
    (variant,) = report["variants"]
    assert (variant["report"]["same_pairs"], variant["report"]["different_pairs"]) == (180, 600)
    assert variant["intervals"]["auc"]["identities"] == 4
    comparison = json.loads((tmp_path / "report/comparison.json").read_text())
    assert set(comparison["figures"]) == {"eer", "auc", "tar"}
    assert comparison["figures"]["auc"]["difference"]["mean"] != 0, "the teacher teaches nothing"
    about = json.loads((tmp_path / "toy-pack/pack.json").read_text())
    assert about["calibration"]["pairs"] == 600
    said = (tmp_path / "report/daemon.txt").read_text()
    assert re.search(r"not acquired +0 of 40 pictures", said), said
    assert re.search(r"pairs +180 same, 180 different", said), said
