import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facetrain.engine.checkpoint import write_atomically
from facetrain.evaluate.embed import (
    EmbedOptions,
    OnnxEmbedder,
    embed_all,
    model_input,
    normalised,
    open_checkpoint,
    open_onnx,
    open_pack,
)
from facetrain.export.onnx_export import OnnxOptions, save_onnx, to_onnx
from facetrain.models.create import create_backbone
from facetrain.preprocessing import POCKETNET, RETAIL_0095, Preprocessing


def crops(count: int, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (112, 112, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    backbone = create_backbone("pocketnet_toy", embedding_dim=16).eval()
    file = tmp_path_factory.mktemp("embed") / "weights.pt"
    write_atomically(
        file, {"schema": 1, "model": dict(backbone.spec), "state": backbone.state_dict()}
    )
    return file


def test_pixels_take_the_daemons_way() -> None:
    crop = crops(1)[0]
    x_BCHW = model_input(crop[None], RETAIL_0095)
    expected = cv2.resize(crop[..., ::-1], (128, 128), interpolation=cv2.INTER_LINEAR)
    assert (x_BCHW[0] == expected.transpose(2, 0, 1)).all()
    x_BCHW = model_input(crop[None], Preprocessing(mean=(1, 2, 3), std=(2, 4, 8)))
    assert x_BCHW[0, 2, 5, 7] == (np.float32(crop[5, 7, 2]) - 3) / 8


def test_checkpoint_and_onnx_give_the_same_in_batches_of_any_size(
    checkpoint: Path, tmp_path: Path
) -> None:
    from_checkpoint = open_checkpoint(checkpoint)
    backbone = create_backbone("pocketnet_toy", embedding_dim=16).eval()
    backbone.load_state_dict(torch.load(checkpoint, weights_only=True)["state"])
    pictures = crops(5)
    expected = embed_all(pictures, from_checkpoint, EmbedOptions(batch_size=2))
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-6)
    for dynamic in (False, True):
        file = tmp_path / f"{dynamic}.onnx"
        save_onnx(to_onnx(backbone, POCKETNET, OnnxOptions(dynamic_batch=dynamic)), file)
        embedder = open_onnx(file)  # preprocessing from the metadata
        assert embedder.embedding_dim == 16
        found = embed_all(pictures, embedder, EmbedOptions(batch_size=4))
        np.testing.assert_allclose(found, expected, atol=1e-5)


class Mean:
    """Mean of the left and of the right half: knows mirrored crops apart."""

    description, embedding_dim = "means", 2

    def embed(self, crop_BHWC: np.ndarray) -> np.ndarray:
        halves = crop_BHWC.astype(np.float32).reshape(len(crop_BHWC), 112, 2, 56, 3)
        return halves.mean(axis=(1, 3, 4))


def test_flip_adds_both_views_before_normalising() -> None:
    crop = np.zeros((112, 112, 3), dtype=np.uint8)
    crop[:, :56] = 200
    assert embed_all([crop], Mean()).tolist() == [[1, 0]]
    flipped = embed_all([crop], Mean(), EmbedOptions(flip=True))
    np.testing.assert_allclose(flipped, [[np.sqrt(0.5)] * 2])


def test_what_gives_no_vector_stays_in_its_place() -> None:
    black = np.zeros((112, 112, 3), dtype=np.uint8)
    e_ND = embed_all([None, black + 1, black], Mean(), EmbedOptions(batch_size=2))
    assert np.isnan(e_ND[:, 0]).tolist() == [True, False, True]
    assert np.isnan(normalised(np.array([[np.inf, 1]]))).all()


def test_says_what_is_wrong_with_a_model(tmp_path: Path, checkpoint: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"hello")
    with pytest.raises(ValueError, match="cannot open it"):
        open_onnx(broken, POCKETNET)
    with pytest.raises(ValueError, match="no such file"):
        open_onnx(tmp_path / "none.onnx")
    backbone = create_backbone("pocketnet_toy", embedding_dim=16).eval()
    model = to_onnx(backbone, POCKETNET)
    with pytest.raises(ValueError, match="has no 'data'"):
        OnnxEmbedder(model.SerializeToString(), POCKETNET, input_name="data")
    del model.metadata_props[:]
    save_onnx(model, tmp_path / "silent.onnx")
    with pytest.raises(ValueError, match="nothing of its preprocessing"):
        open_onnx(tmp_path / "silent.onnx")


def test_a_pack_with_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e.onnx").write_bytes(b"x")
    (tmp_path / "pack.json").write_text(
        json.dumps(
            {
                "id": "p",
                "files": [{"name": "e.onnx", "sha256": "0" * 64, "bytes": 1}],
                "embedder": {"file": "e.onnx"},
                "detector": {"file": "e.onnx"},
            }
        )
    )
    with pytest.raises(ValueError, match="checksum"):
        open_pack(tmp_path)
