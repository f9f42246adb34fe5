import struct
from pathlib import Path

import numpy as np
import pytest

from facetrain.data.face_set import FaceSet, PictureError
from facetrain.data.pictures import encode_png
from facetrain.data.record_io import (
    MAGIC_BYTES,
    RecordFile,
    RecordWriter,
    frame,
    read_record,
)


def drawn(level: int) -> bytes:
    return encode_png(np.full((112, 112, 3), level, np.uint8))


def written(path: Path, labels: list[int]) -> Path:
    with RecordWriter(path) as writer:
        for n, label in enumerate(labels):
            writer.write(label, drawn(n))
    return path


def test_sets_come_back_as_written(tmp_path: Path) -> None:
    faces = RecordFile(written(tmp_path / "train.rec", [0, 0, 1, 2, 2]))
    assert isinstance(faces, FaceSet)
    assert list(faces.names) == ["1", "2", "3", "4", "5"]
    assert faces.labels.tolist() == [0, 0, 1, 2, 2]
    assert faces.num_identities == 3
    assert [faces.crop(n)[50, 50, 1] for n in range(5)] == list(range(5))


def test_the_writer_lays_out_bytes_as_insightface_does(tmp_path: Path) -> None:
    """Hand-assembled from the format's description: record 0 last, keys by the index."""
    rec = written(tmp_path / "train.rec", [4, 4])
    lines = rec.with_suffix(".idx").read_text().splitlines()
    index = {int(key): int(offset) for key, offset in (line.split("\t") for line in lines)}
    data = rec.read_bytes()
    first = struct.pack("<IfQQ", 0, 4.0, 1, 0) + drawn(0)
    expected = struct.pack("<II", 0xCED7230A, len(first)) + first
    assert data[index[1] :][: len(expected)] == expected
    identity = struct.pack("<IIIfQQff", 0xCED7230A, 32, 2, 0.0, 3, 0, 1.0, 3.0)
    assert data[index[3] :][: len(identity)] == identity
    header = struct.pack("<IIIfQQff", 0xCED7230A, 32, 2, 0.0, 0, 0, 3.0, 4.0)
    assert data[index[0] :] == header
    assert sorted(index) == [0, 1, 2, 3]


def test_labels_may_be_arrays(tmp_path: Path) -> None:
    payload = struct.pack("<IfQQ", 3, 0.0, 1, 0) + struct.pack("<3f", 6.0, 1.0, 2.0) + drawn(9)
    (tmp_path / "a.rec").write_bytes(frame(payload))
    (tmp_path / "a.idx").write_text("1\t0\n")
    faces = RecordFile(tmp_path / "a.rec")
    assert faces.labels.tolist() == [6]
    assert faces.crop(0)[0, 0, 0] == 9


def test_files_without_an_index_are_walked(tmp_path: Path) -> None:
    rec = written(tmp_path / "train.rec", [0, 1, 1])
    rec.with_suffix(".idx").unlink()
    faces = RecordFile(rec)
    assert faces.labels.tolist() == [0, 1, 1]
    assert faces.crop(2)[0, 0, 0] == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        MAGIC_BYTES,
        MAGIC_BYTES * 3,
        b"1234" + MAGIC_BYTES + b"56789",
        b"123" + MAGIC_BYTES + b"4",
        b"1234" + MAGIC_BYTES + MAGIC_BYTES + b"1",
        b"1234" + MAGIC_BYTES[:3],
    ],
)
def test_the_magic_inside_a_record_splits_it(data: bytes) -> None:
    framed = frame(data) + b"next"
    assert read_record(framed, 0, "x") == (data, len(framed) - 4)
    assert len(framed) % 4 == 0
    # A reader that looks for the magic at multiples of four finds frames only.
    count = sum(framed[at : at + 4] == MAGIC_BYTES for at in range(0, len(framed) - 4, 4))
    inside = sum(data[at : at + 4] == MAGIC_BYTES for at in range(0, len(data) - 3, 4))
    assert count == inside + 1


def test_a_split_record_has_the_bytes_of_dmlc() -> None:
    assert frame(b"1234" + MAGIC_BYTES + b"56789") == (
        MAGIC_BYTES
        + struct.pack("<I", 1 << 29 | 4)
        + b"1234"
        + MAGIC_BYTES
        + struct.pack("<I", 3 << 29 | 5)
        + b"56789\0\0\0"
    )


def test_a_cut_file_names_record_and_byte(tmp_path: Path) -> None:
    rec = written(tmp_path / "train.rec", [0, 1, 1])
    data = rec.read_bytes()
    third = int(rec.with_suffix(".idx").read_text().split("\n")[3].split("\t")[1])
    rec.write_bytes(data[: third + 60])
    with pytest.raises(ValueError, match=r"train\.rec: record 0 at byte \d+: cut off"):
        RecordFile(rec)
    rec.with_suffix(".idx").unlink()
    with pytest.raises(PictureError, match=rf"record at byte {third}: cut off: \d+ bytes promised"):
        RecordFile(rec)
    faces = RecordFile(rec, skip_broken=True)
    assert faces.labels.tolist() == [0, 1]
    assert faces.skipped == {"truncated": 1}


def test_damage_between_records_is_named_or_skipped(tmp_path: Path) -> None:
    rec = written(tmp_path / "train.rec", [0, 1, 2])
    second = int(rec.with_suffix(".idx").read_text().split("\n")[2].split("\t")[1])
    data = bytearray(rec.read_bytes())
    data[second : second + 4] = b"\0\0\0\0"
    rec.write_bytes(data)
    with pytest.raises(ValueError, match=rf"record 2 at byte {second}: no record there \(1 of 3\)"):
        RecordFile(rec)
    faces = RecordFile(rec, skip_broken=True)
    assert faces.labels.tolist() == [0, 2]
    assert faces.skipped == {"no_record": 1}
    rec.with_suffix(".idx").unlink()
    walked = RecordFile(rec, skip_broken=True)
    assert walked.labels.tolist() == [0, 2]


def test_a_file_of_a_few_bytes_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "a.rec").write_bytes(MAGIC_BYTES + b"12")
    (tmp_path / "a.idx").write_text("1\t0\n")
    with pytest.raises(ValueError, match=r"a\.rec: record 1 at byte 0: no record there"):
        RecordFile(tmp_path / "a.rec")


def test_broken_indexes_are_named_by_line(tmp_path: Path) -> None:
    rec = written(tmp_path / "train.rec", [0])
    rec.with_suffix(".idx").write_text("0\t5\nseven\n")
    with pytest.raises(ValueError, match=r"train\.idx: line 2 is not"):
        RecordFile(rec)
    with pytest.raises(ValueError, match=r"none\.rec: no such file"):
        RecordFile(tmp_path / "none.rec")
