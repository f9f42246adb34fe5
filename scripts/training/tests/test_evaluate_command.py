import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facetrain.data.pictures import encode_png
from facetrain.evaluate.bootstrap import BootstrapOptions
from facetrain.evaluate.command import VerificationOptions, evaluate_verification
from facetrain.evaluate.source import Source
from facetrain.export.golden import drawn_crop
from facetrain.export.onnx_export import OnnxOptions, save_onnx, to_onnx
from facetrain.models.create import create_backbone
from facetrain.preprocessing import POCKETNET

PEOPLE, EACH = 12, 3


def picture(person: int, number: int) -> np.ndarray:
    """A person is a coarse pattern, a picture of them a little noise on it."""
    pattern = np.random.default_rng(person).integers(-110, 110, (7, 7, 3)).astype(np.int16)
    noise = np.random.default_rng([person, number]).integers(-25, 25, (28, 28, 3)).astype(np.int16)
    rough, fine = (
        cv2.resize(part, (112, 112), interpolation=cv2.INTER_NEAREST) for part in (pattern, noise)
    )
    return np.clip(drawn_crop(0) + rough + fine, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures by person, a list of pairs, groups and a toy embedder."""
    root = tmp_path_factory.mktemp("verification")
    for person in range(PEOPLE):
        for number in range(EACH):
            file = root / f"pictures/{person:02d}/{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode_png(picture(person, number)))
    (root / "pictures/00/1.png").write_bytes(b"damaged")
    same = [f"{p:02d}/0.png {p:02d}/{n}.png 1" for p in range(PEOPLE) for n in (1, 2)]
    other = [f"{p:02d}/0.png {q:02d}/1.png 0" for p in range(PEOPLE) for q in range(1, p)]
    lines = [f"{line} {fold % 4}" for fold, line in enumerate(same + other)]
    (root / "pairs.txt").write_text("\n".join(lines))
    groups = [
        f"{p:02d}/{n}.png,{'even' if p % 2 == 0 else 'odd'}"
        for p in range(PEOPLE)
        for n in range(EACH)
    ]
    (root / "groups.csv").write_text("picture,parity\n" + "\n".join(groups) + "\n")
    torch.manual_seed(0)
    network = create_backbone("pocketnet_toy", embedding_dim=32)
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, 112, 112))
    save_onnx(to_onnx(network.eval(), POCKETNET, OnnxOptions(dynamic_batch=True)), root / "e.onnx")
    return root


def options_of(place: Path, out: Path, **more: object) -> VerificationOptions:
    return VerificationOptions(
        name="Drawn",
        source=Source(onnx=place / "e.onnx", crops=True, batch_size=16),
        pairs=place / "pairs.txt",
        pictures=place / "pictures",
        out=out,
        fars=(0.1, 0.001),
        groups=place / "groups.csv",
        group_far=0.1,
        bootstrap=BootstrapOptions(replicas=50),
        show_progress=False,
        **more,  # pyright: ignore[reportArgumentType]
    )


def test_a_report_of_both_variants_that_can_be_made_again(place: Path, tmp_path: Path) -> None:
    found = evaluate_verification(options_of(place, tmp_path / "a"))
    evaluate_verification(options_of(place, tmp_path / "b"))
    names = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert names == ["det.png", "scores.png", "verification.json", "verification.md"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert [variant.flip for variant in found.variants] == [False, True]
    assert found.failures == {"not_a_picture": 1}
    plain = found.variants[0]
    assert plain.report.failed_same == 1
    assert plain.report.mean > 0.9  # patterns are easy, even for random weights
    for variant in found.variants:
        accuracy = variant.intervals["accuracy"]
        assert accuracy.low < accuracy.high
        assert accuracy.identities == PEOPLE
        assert [group.group for group in variant.groups["parity"].groups] == ["even", "odd"]
    content = json.loads((tmp_path / "a/verification.json").read_text())
    assert content["failures"] == {"not_a_picture": 1}
    assert "sha256" in content["header"]["files"]["pairs"]
    text = (tmp_path / "a/verification.md").read_text()
    assert "With the mirrored crop" in text
    assert "TAR at FAR 0.001" in text
    assert "(too few: rule of 30)" in text


def test_only_some_folds(place: Path, tmp_path: Path) -> None:
    found = evaluate_verification(options_of(place, tmp_path, folds=(1, 3), flips=(False,)))
    assert [fold.fold for fold in found.variants[0].report.folds] == [1, 3]


def test_says_what_is_missing(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give one of checkpoint, onnx and pack, not 0"):
        Source()
    with pytest.raises(ValueError, match="whole pictures need a detector"):
        Source(onnx=place / "e.onnx").open()
    groups = tmp_path / "groups.csv"
    groups.write_text("picture,x\nnobody.png,1\n")
    with pytest.raises(ValueError, match="names none of the pictures"):
        evaluate_verification(
            VerificationOptions(
                name="x",
                source=Source(onnx=place / "e.onnx", crops=True),
                pairs=place / "pairs.txt",
                pictures=place / "pictures",
                out=tmp_path / "out",
                groups=groups,
                show_progress=False,
            )
        )
