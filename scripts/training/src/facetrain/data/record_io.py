"""MXNet RecordIO (`.rec` + `.idx`) as InsightFace writes its training sets.

A record is a magic number, a word with the length (29 bits) and a continuation flag (3 bits), the
bytes, and padding to four. Where the magic occurs inside the bytes at a multiple of four, the
record is split there into parts and the magic left out (dmlc-core's recordio.h). The bytes begin
with an `IRHeader` (flag, label, id, id2); a flag above 0 says that so many float32 labels follow
it. Record 0 of an InsightFace set holds no picture but a label pair: pictures have the keys 1 to
the first, identities those up to the second. The `.idx` has lines `key<TAB>offset`.
"""

# N pictures.
import io
import logging
import mmap
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from facetrain.data.face_set import UNLABELLED, PictureError
from facetrain.data.pictures import EncodedFaces
from facetrain.progress import ProgressBar, progress

logger = logging.getLogger(__name__)

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
FRAME = struct.Struct("<II")
IR_HEADER = struct.Struct("<IfQQ")
LENGTH_BITS = 29
LENGTH_MAX = (1 << LENGTH_BITS) - 1
LABELS_AT_ONCE = 65536
WHOLE, START, MIDDLE, END = 0, 1, 2, 3


class RecordFile(EncodedFaces):
    """The pictures of a RecordIO file, in the order of their keys; names are the keys.

    A file without an index is walked once to find its records.
    """

    def __init__(
        self, rec: Path | str, idx: Path | str | None = None, *, skip_broken: bool = False
    ) -> None:
        """Index the file and read every label; no picture is decoded yet.

        Args:
            idx: Index file; None: the `.idx` beside it, or none.
            skip_broken: Decode everything once and leave out (and count) what cannot be used.

        Raises:
            ValueError: No such file, an index that does not fit, or damage (record and offset are
                named), unless `skip_broken`.
        """
        super().__init__()
        self.file = Path(rec)
        if not self.file.is_file() or self.file.stat().st_size == 0:
            raise ValueError(f"{self.file}: no such file, or empty")
        with self.file.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        index = self.file.with_suffix(".idx") if idx is None else Path(idx)
        if index.is_file():
            keys, offsets = read_index(index)
            keys, offsets = self._pictures(keys, offsets)
        elif idx is not None:
            raise ValueError(f"{index}: no such file; without idx the records are found anew")
        else:
            keys, offsets = self._found(skip_broken)
        self._offsets = offsets
        self.names: Sequence[str] = [str(key) for key in keys]
        self.labels = self._labels(keys, skip_broken)
        self.num_identities = int(self.labels.max(initial=UNLABELLED)) + 1
        if skip_broken:
            self.drop_broken()

    def read(self, entry: int) -> bytes:
        data, _ = read_record(self._map, int(self._offsets[entry]), self.where(entry))
        return split_header(data, self.where(entry))[1]

    def where(self, entry: int) -> str:
        return f"{self.file}: record {self.names[entry]} at byte {self._offsets[entry]}"

    def _pictures(self, keys: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Those records that hold a picture: by record 0, or all."""
        if not len(keys):
            raise ValueError(f"{self.file}: its index is empty; delete it to have it made anew")
        first = np.flatnonzero(keys == 0)
        if len(first):
            what = f"{self.file}: record 0 at byte {offsets[first[0]]}"
            data, _ = read_record(self._map, int(offsets[first[0]]), what)
            labels, picture = split_header(data, what)
            if len(labels) >= 2 and not picture:
                chosen = (keys >= 1) & (keys < int(labels[0]))
                if not chosen.any():
                    raise ValueError(
                        f"{what}: promises keys below {int(labels[0])}, index has none"
                    )
                return keys[chosen], offsets[chosen]
        return keys, offsets

    def _found(self, skip_broken: bool) -> tuple[np.ndarray, np.ndarray]:
        """Walk the file; records without bytes behind their header are no pictures."""
        logger.info("%s has no index: walking the file", self.file)
        keys, offsets = [], []
        with ProgressBar("finding records", len(self._map)) as bar:
            for number, (offset, end, data) in enumerate(self._walk(skip_broken)):
                bar.advance(end - bar.done)
                what = f"{self.file}: record at byte {offset}"
                if split_header(data, what)[1]:
                    keys.append(number)
                    offsets.append(offset)
        if not keys:
            raise ValueError(f"{self.file}: holds no pictures")
        return np.array(keys, dtype=np.int64), np.array(offsets, dtype=np.int64)

    def _walk(self, skip_broken: bool) -> Iterator[tuple[int, int, bytes]]:
        offset = 0
        while offset < len(self._map):
            try:
                data, end = read_record(self._map, offset, f"{self.file}: record at byte {offset}")
            except PictureError as error:
                if not skip_broken:
                    raise
                logger.warning("%s", error)
                self.skipped[error.reason] += 1
                offset = _next_magic(self._map, offset + 4)
                if offset < 0:
                    return
                continue
            yield offset, end, data
            offset = end

    def _labels(self, keys: np.ndarray, skip_broken: bool) -> np.ndarray:
        """First label of every record, read from the mapped headers many at a time."""
        chunks = range(0, len(keys), LABELS_AT_ONCE)
        parts = [
            self._labels_of(self._offsets[start : start + LABELS_AT_ONCE])
            for start in progress(chunks, len(chunks), "reading labels")
        ]
        label, broken = (np.concatenate(column) for column in zip(*parts, strict=True))
        if broken.any():
            entry = int(np.argmax(broken))
            if not skip_broken:
                raise ValueError(
                    f"{self.where(entry)}: no record there ({int(broken.sum())} of {len(keys)}); "
                    "the index does not fit or the file is cut off: copy both again"
                )
            label[broken] = UNLABELLED
        return label.astype(np.int64)

    def _labels_of(self, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels (M,), float32, and which of them cannot be read (M,)."""
        head = FRAME.size + IR_HEADER.size + 4
        raw = np.frombuffer(self._map, dtype=np.uint8)
        fits = offsets + head <= len(raw)
        at = np.where(fits, offsets, 0)[:, None] + np.arange(head)
        words = raw[np.minimum(at, len(raw) - 1)].view("<u4")
        label = words[:, 3].copy().view("<f4")
        in_array = words[:, 2] > 0
        label[in_array] = words[in_array, 8].copy().view("<f4")
        return label, ~fits | (words[:, 0] != MAGIC) | ~np.isfinite(label)


class RecordWriter:
    """Writes an InsightFace set: pictures, one record per identity, record 0, and the index.

    Used in a `with`; the files are complete when it ends without an error. Pictures of one
    identity should follow each other, since readers take them as a range.
    """

    def __init__(self, rec: Path) -> None:
        self.rec, self.idx = rec, rec.with_suffix(".idx")
        self._file = rec.open("wb")
        self._index: list[tuple[int, int]] = []
        self._ranges: dict[int, list[int]] = {}
        self._next_key = 1

    def write(self, label: int, picture: bytes) -> int:
        """Append an encoded picture; returns its key."""
        key, self._next_key = self._next_key, self._next_key + 1
        self._append(key, IR_HEADER.pack(0, float(label), key, 0) + picture)
        span = self._ranges.setdefault(label, [key, key])
        span[1] = key + 1
        return key

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            first = self._next_key
            for n, label in enumerate(sorted(self._ranges)):
                self._append(first + n, _label_pair(first + n, *self._ranges[label]))
            self._append(0, _label_pair(0, first, first + len(self._ranges)))
            lines = (f"{key}\t{offset}\n" for key, offset in sorted(self._index))
            self.idx.write_text("".join(lines))
        self._file.close()

    def _append(self, key: int, data: bytes) -> None:
        self._index.append((key, self._file.tell()))
        self._file.write(frame(data))


def frame(data: bytes) -> bytes:
    """One record as it lies in the file, split where the magic number occurs in it."""
    if len(data) > LENGTH_MAX:
        raise ValueError(f"a record holds at most {LENGTH_MAX} bytes, not {len(data)}")
    cuts = _aligned_magics(data)
    begins, ends = [0, *(cut + 4 for cut in cuts)], [*cuts, len(data)]
    out = io.BytesIO()
    for n, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        last = n == len(cuts)
        flag = (WHOLE if last else START) if n == 0 else (END if last else MIDDLE)
        part = data[begin:end]
        out.write(FRAME.pack(MAGIC, flag << LENGTH_BITS | len(part)) + part)
        out.write(b"\0" * (-len(part) % 4))
    return out.getvalue()


def read_record(data: mmap.mmap | bytes, offset: int, what: str) -> tuple[bytes, int]:
    """Bytes of the record at `offset`, its parts joined, and where the next one begins.

    Args:
        what: Names file and record in errors.

    Raises:
        PictureError: "no_record" (another thing lies there), "truncated".
    """
    parts: list[bytes] = []
    while True:
        if offset + FRAME.size > len(data):
            raise PictureError("truncated", f"{what}: cut off in its frame; copy the file again")
        magic, word = FRAME.unpack_from(data, offset)
        flag, length = word >> LENGTH_BITS, word & LENGTH_MAX
        expected = (MIDDLE, END) if parts else (WHOLE, START)
        if magic != MAGIC or flag not in expected:
            raise PictureError(
                "no_record",
                f"{what}: no record begins there (magic {magic:#010x}, flag {flag}); the index "
                "does not fit or the file is damaged: delete the index or copy both again",
            )
        begin = offset + FRAME.size
        if begin + length > len(data):
            raise PictureError(
                "truncated",
                f"{what}: cut off: {length} bytes promised, {len(data) - begin} there; "
                "copy the file again",
            )
        parts.append(data[begin : begin + length])
        offset = begin + length + -length % 4
        if flag in (WHOLE, END):
            return MAGIC_BYTES.join(parts), offset


def split_header(data: bytes, what: str) -> tuple[Sequence[float], bytes]:
    """Labels and picture of a record. Raises PictureError "truncated"."""
    if len(data) < IR_HEADER.size:
        raise PictureError("truncated", f"{what}: too short for its header; copy the file again")
    flag, label, _, _ = IR_HEADER.unpack_from(data)
    begin = IR_HEADER.size + 4 * flag
    if begin > len(data):
        raise PictureError("truncated", f"{what}: {flag} labels promised, cut off before the last")
    labels = struct.unpack_from(f"<{flag}f", data, IR_HEADER.size) if flag else (label,)
    return labels, data[begin:]


def read_index(idx: Path) -> tuple[np.ndarray, np.ndarray]:
    """Keys and offsets (N,) of an index, by key. Raises ValueError naming the line."""
    entries: dict[int, int] = {}
    for number, line in enumerate(idx.read_text().splitlines(), start=1):
        try:
            key, offset = (int(word) for word in line.split())
        except ValueError as error:
            raise ValueError(
                f"{idx}: line {number} is not `key<TAB>offset`: {line[:60]!r}; "
                "delete the index to have it made anew"
            ) from error
        entries[key] = offset
    keys = sorted(entries)
    return np.array(keys, dtype=np.int64), np.array([entries[k] for k in keys], dtype=np.int64)


def _label_pair(key: int, first: int, second: int) -> bytes:
    return IR_HEADER.pack(2, 0.0, key, 0) + struct.pack("<2f", first, second)


def _aligned_magics(data: bytes) -> list[int]:
    found, at = [], _next_magic(data, 0)
    while at >= 0:
        found.append(at)
        at = _next_magic(data, at + 4)
    return found


def _next_magic(data: mmap.mmap | bytes, begin: int) -> int:
    """Where the magic number lies next at a multiple of four; -1 for nowhere."""
    at = data.find(MAGIC_BYTES, begin)
    while at >= 0 and at % 4:
        at = data.find(MAGIC_BYTES, at + 1)
    return at
