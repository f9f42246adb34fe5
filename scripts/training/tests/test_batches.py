from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from facetrain.data.batches import Batches, source_weights
from facetrain.data.face_set import Concat, PictureError, Relabelled, Subset
from facetrain.data.packed import PackedFaces, WebpFaces, WebpOptions, save_webp


class Tinted:
    """Picture n is filled with the grey level n."""

    def __init__(self, count: int, broken: frozenset[int] = frozenset()) -> None:
        self.labels = np.arange(count, dtype=np.int64) // 2
        self.num_identities = (count + 1) // 2
        self.groups = {"race": np.array([["a", "b", ""][n % 3] for n in range(count)])}
        self.names = [f"{n}.png" for n in range(count)]
        self._broken = broken

    def __len__(self) -> int:
        return len(self.labels)

    def crop(self, index: int) -> np.ndarray:
        if index in self._broken:
            raise PictureError("truncated", f"{index}.png: cut off; copy it again")
        return np.full((112, 112, 3), index, np.uint8)


def indices(batches: Batches, epoch: int, start: int = 0) -> list[list[int]]:
    return [batch.index_B.tolist() for batch in batches.epoch(epoch, start)]


def flat(steps: Iterable[list[int]]) -> list[int]:
    return [index for step in steps for index in step]


def test_a_batch_holds_the_pictures_and_labels_that_its_indices_name() -> None:
    faces = Tinted(20)
    for source in (faces, PackedFaces.of(faces)):
        for batch in Batches(source, batch_size=6, seed=1).epoch(0):
            assert batch.crop_BCHW.shape == (6, 3, 112, 112)
            assert batch.crop_BCHW.dtype == torch.uint8
            assert batch.crop_BCHW[:, 0, 5, 7].tolist() == batch.index_B.tolist()
            assert batch.label_B.tolist() == (batch.index_B // 2).tolist()


def test_the_order_depends_on_seed_and_epoch_only_and_resumes_anywhere() -> None:
    faces = PackedFaces.of(Tinted(50))
    batches = Batches(faces, batch_size=4, seed=3)
    again = Batches(Tinted(50), batch_size=4, seed=3, workers=2)
    assert batches.steps_per_epoch == 12
    assert indices(batches, 5) == indices(again, 5)
    assert indices(batches, 5, 7) == indices(batches, 5)[7:]
    assert indices(batches, 5) != indices(batches, 6)
    assert indices(batches, 5) != indices(Batches(faces, batch_size=4, seed=4), 5)


def test_ranks_share_a_step_without_overlap_as_one_rank_would_take_it() -> None:
    faces = PackedFaces.of(Tinted(50))
    whole = indices(Batches(faces, batch_size=12, seed=0), 2)
    ranks = [indices(Batches(faces, batch_size=4, seed=0, rank=r, world=3), 2) for r in range(3)]
    assert [flat(parts) for parts in zip(*ranks, strict=True)] == whole


def test_the_last_step_is_kept_on_request_in_equal_shares() -> None:
    faces = PackedFaces.of(Tinted(50))
    one = indices(Batches(faces, batch_size=16, seed=0, drop_last=False), 0)
    assert sorted(flat(one)) == list(range(50))
    ranks = [
        indices(Batches(faces, batch_size=8, seed=0, rank=r, world=3, drop_last=False), 0)
        for r in range(3)
    ]
    assert {len(r[-1]) for r in ranks} == {1}
    assert {n for r in ranks for step in r for n in step} == set(range(50))


def test_weights_set_how_often_a_picture_comes() -> None:
    faces = PackedFaces.of(Tinted(40))
    weights = np.where(np.arange(40) < 10, 3.0, 1.0)
    batches = Batches(faces, batch_size=1, seed=0, weights=weights)
    counts = np.zeros(40)
    for epoch in range(60):
        counts += np.bincount(np.concatenate(indices(batches, epoch)), minlength=40)
    assert counts.sum() == 60 * 40
    assert np.allclose(counts / 60, weights * 40 / 60, atol=0.3)
    assert counts[:10].sum() / counts.sum() == pytest.approx(0.5, abs=0.02)


def test_shares_of_sources() -> None:
    sources = np.array(["big"] * 90 + ["small"] * 10)
    weights = source_weights(sources, {"big": 2, "small": 1})
    assert weights[:90].sum() == pytest.approx(2)
    assert weights[90:].sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="no picture of source 'other'; there are big, small"):
        source_weights(sources, {"other": 1})


def test_a_part_of_the_set_keeps_its_numbers() -> None:
    chosen = np.arange(3, 50, 5)
    batches = Batches(PackedFaces.of(Tinted(50)), batch_size=5, seed=0, indices=chosen)
    assert sorted(flat(indices(batches, 0))) == chosen.tolist()
    plain = Batches(Tinted(50), batch_size=5, seed=0, indices=chosen, shuffle=False)
    assert flat(indices(plain, 0)) == chosen.tolist()


def test_too_large_a_batch_is_refused_with_the_fix() -> None:
    with pytest.raises(ValueError, match="3 pictures fill no step of 2 x 4; take a smaller"):
        Batches(Tinted(3), batch_size=4, seed=0, world=2)


def test_pixel_packs_come_back_as_they_were(tmp_path: Path) -> None:
    faces = Tinted(7)
    PackedFaces.of(faces).save(tmp_path / "faces.pack")
    loaded = PackedFaces.load(tmp_path / "faces.pack")
    assert [loaded.crop(n)[0, 0, 0] for n in range(7)] == list(range(7))
    assert loaded.labels.tolist() == faces.labels.tolist()
    assert loaded.num_identities == 4
    assert list(loaded.names) == faces.names
    assert loaded.groups["race"].tolist() == faces.groups["race"].tolist()


def test_travelling_packs_keep_columns_and_nearly_the_pixels(tmp_path: Path) -> None:
    path = tmp_path / "faces.webp.pack"
    assert save_webp(Tinted(7), path, WebpOptions(quality=90)) == 7
    loaded = PackedFaces.load(path)
    assert loaded.groups["race"].tolist() == ["a", "b", "", "a", "b", "", "a"]
    assert np.abs(loaded.crop_NCHW[6].numpy().astype(int) - 6).max() <= 3
    again = tmp_path / "again.pack"
    save_webp(Subset(WebpFaces(path), np.arange(7)), again, WebpOptions(keep_webp=True))
    assert WebpFaces(again).encoded(3) == WebpFaces(path).encoded(3)


def test_broken_pictures_stop_a_pack_or_are_left_out(tmp_path: Path) -> None:
    faces = Tinted(6, broken=frozenset({2}))
    with pytest.raises(PictureError, match=r"2.png: cut off"):
        PackedFaces.of(faces)
    packed = PackedFaces.of(faces, skip_broken=True)
    assert list(packed.names) == ["0.png", "1.png", "3.png", "4.png", "5.png"]
    assert packed.labels.tolist() == [0, 0, 1, 2, 2]
    assert packed.crop(2)[0, 0, 0] == 3
    assert save_webp(faces, tmp_path / "some.pack", skip_broken=True) == 5


@pytest.mark.parametrize("keep", [4, 30, 200_000])
def test_cut_packs_are_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "faces.pack"
    PackedFaces.of(Tinted(9)).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"faces\.pack: .*(not a pack|cut off)"):
        PackedFaces.load(path)


def test_views() -> None:
    faces = Tinted(10)
    part = Subset(faces, np.array([9, 2, 3]), relabel=True)
    assert (part.labels.tolist(), part.num_identities) == ([1, 0, 0], 2)
    assert part.crop(0)[0, 0, 0] == 9
    both = Concat({"x": faces, "y": part})
    assert both.labels.tolist()[-3:] == [6, 5, 5]
    assert both.crop(10)[0, 0, 0] == 9
    assert both.groups["source"].tolist()[9:11] == ["x", "y"]
    assert both.names[10] == "y/9.png"
    assert Relabelled(faces).num_identities == 10
    with pytest.raises(ValueError, match=r"\[0, 10\)"):
        Subset(faces, np.array([10]))


def test_subsets_of_packs() -> None:
    part = PackedFaces.of(Tinted(10)).subset(np.array([4, 5]), relabel=True)
    assert part.num_identities == 1
    assert part.crop(1)[0, 0, 0] == 5
