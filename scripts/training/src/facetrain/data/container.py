"""One file for many arrays: a compressed JSON header, then the arrays, each mapped where it lies.

Layout: magic (8 bytes), header length (uint64, little endian), header (zlib, JSON), padding to 64
bytes, arrays. The header holds whatever the caller wants to say and, per array, dtype, shape and
offset. A file appears under its name only when it is complete.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = b"FACEPAK1"
ALIGN = 64


def write_container(path: Path, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write `about` (JSON) and `arrays` to `path`, replacing it at once."""
    described, offset = {}, 0
    for name, array in arrays.items():
        described[name] = {"dtype": array.dtype.str, "shape": array.shape, "offset": offset}
        offset += _padded(array.nbytes)
    text = json.dumps({"about": about, "arrays": described}, ensure_ascii=False)
    header = zlib.compress(text.encode(), 9)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(MAGIC + struct.pack("<Q", len(header)) + header)
        _pad(file)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).data)
            _pad(file)
    part.replace(path)


def read_container(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What was written, arrays mapped copy-on-write: read when touched, never written back.

    Raises:
        ValueError: No such file, another format, or cut off.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; make it with `data pack`")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(len(MAGIC) + 8)
        if len(start) < len(MAGIC) + 8 or not start.startswith(MAGIC):
            raise ValueError(f"{path}: not a pack of faces; make one with `data pack`")
        (length,) = struct.unpack("<Q", start[len(MAGIC) :])
        packed = file.read(min(length, size))
    try:
        header = json.loads(zlib.decompress(packed))
    except (zlib.error, ValueError) as error:
        raise ValueError(f"{path}: damaged or cut off in its header; copy it again") from error
    base = _padded(len(MAGIC) + 8 + length)
    arrays = {}
    for name, entry in header["arrays"].items():
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        begin = base + entry["offset"]
        nbytes = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        if begin + nbytes > size:
            raise ValueError(
                f"{path}: cut off: {size} bytes, array {name!r} ends at {begin + nbytes}; "
                "copy it again"
            )
        arrays[name] = (
            np.memmap(path, dtype=dtype, mode="c", offset=begin, shape=shape)
            if nbytes
            else np.zeros(shape, dtype)
        )
    return header["about"], arrays


def _padded(nbytes: int) -> int:
    return -(-nbytes // ALIGN) * ALIGN


def _pad(file) -> None:
    file.write(b"\0" * (_padded(file.tell()) - file.tell()))
