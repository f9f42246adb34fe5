import json
from pathlib import Path

import numpy as np
import pytest

from facetrain.data.pictures import encode_png
from facetrain.evaluate.acquire import ReadyCrops
from facetrain.evaluate.sets import (
    IdentificationOptions,
    TemplateOptions,
    evaluate_identification,
    evaluate_templates,
)
from facetrain.evaluate.source import Source


class Tone:
    """Colour relative to grey: pictures of one tone are one person."""

    description, embedding_dim = "tones", 3

    def embed(self, crop_BHWC: np.ndarray) -> np.ndarray:
        return crop_BHWC.astype(np.float32).mean(axis=(1, 2)) - 128


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setattr(Source, "open", lambda _: (Tone(), ReadyCrops()))
    return Source(onnx=Path("tones.onnx"))


def write(root: Path, tones: dict[str, tuple[int, int, int]]) -> Path:
    for name, tone in tones.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encode_png(np.full((112, 112, 3), tone, dtype=np.uint8)))
    return root


def test_templates_by_hand(tmp_path: Path, source: Source) -> None:
    red, green = (228, 128, 128), (128, 228, 128)
    pictures = write(tmp_path / "p", {"1.png": red, "2.png": green, "3.png": red, "4.png": green})
    (tmp_path / "media.txt").write_text(
        "1.png 1 1\n2.png 2 1\n3.png 3 1\n4.png 3 1\ngone.png 4 1\n"
    )
    (tmp_path / "pairs.txt").write_text("1 3 1\n2 3 1\n1 4 1\n1 2 0\n")
    rates = evaluate_templates(
        TemplateOptions(
            name="tones",
            source=source,
            media=tmp_path / "media.txt",
            pairs=tmp_path / "pairs.txt",
            pictures=pictures,
            out=tmp_path / "out",
            fars=(0.1,),
            show_progress=False,
        )
    )
    assert [(rate.tar, rate.impostors) for rate in rates] == [(pytest.approx(2 / 3), 1)]
    content = json.loads((tmp_path / "out/templates.json").read_text())
    assert (content["failures"], content["failed_templates"]) == ({"missing": 1}, 1)
    assert "66.67 %" in (tmp_path / "out/templates.md").read_text()


def test_identification_splits_people_and_reports_by_size(tmp_path: Path, source: Source) -> None:
    random = np.random.default_rng(0)
    tones = {}
    for person in range(20):
        tone = random.integers(30, 226, 3)
        for number in range(3):
            tones[f"{person:02d}/{number}.png"] = tuple((tone + number).tolist())
    options = IdentificationOptions(
        name="tones",
        source=source,
        pictures=write(tmp_path / "p", tones),
        out=tmp_path / "out",
        sizes=(5, 10),
        fpirs=(0.1,),
        show_progress=False,
    )
    small, large = evaluate_identification(options)
    # Ten people are enrolled by their first picture; the other 50 pictures are searched for.
    assert (small.identities, small.mated, small.fnir_at_fpir[0].strangers) == (5, 10, 40)
    assert (large.identities, large.mated, large.fnir_at_fpir[0].strangers) == (10, 20, 30)
    assert large.rank_1 > 0.8
    assert "open-set identification" in (tmp_path / "out/identification.md").read_text()
    with pytest.raises(ValueError, match="holds 0 people with more than 3"):
        evaluate_identification(
            IdentificationOptions(
                name="tones",
                source=source,
                pictures=tmp_path / "p",
                out=tmp_path / "o",
                per_person=3,
            )
        )
