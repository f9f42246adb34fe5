"""InsightFace's verification sets: `lfw.bin`, `cfp_fp.bin`, `agedb_30.bin`, ….

Such a file is a pickle of `(pictures, issame)`: encoded pictures, two for each pair, and one bool
for each pair. Unpickling a file from elsewhere can run any code, so only what the format needs is
let through: lists, tuples, bytes and bools; every class or function is refused.
"""

# P pairs; pictures 2p and 2p + 1 are pair p.
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facetrain.evaluate.pairs import PicturePairs, contiguous_folds


@dataclass(frozen=True, slots=True)
class PackedPairs:
    """Attributes:
    pairs: Names are `000000`, `000001`, …; nothing is known of who is on them.
    encoded: Picture bytes by name.
    """

    pairs: PicturePairs
    encoded: dict[str, bytes]


def read_bin(file: Path) -> PackedPairs:
    """Reads a set.

    Raises:
        ValueError: The file is no such pickle, or holds anything but lists, bytes and bools.
    """
    try:
        content = _Plain(io.BytesIO(file.read_bytes()), encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, IndexError, KeyError, AttributeError) as fault:
        raise ValueError(f"{file} is no InsightFace verification set: {fault}") from fault
    if not isinstance(content, list | tuple) or len(content) != 2:
        raise ValueError(f"{file} holds {type(content).__name__}, expected (pictures, issame)")
    pictures, same = content
    if not _is_list_of(pictures, bytes) or not _is_list_of(same, bool | int):
        raise ValueError(f"{file}: expected a list of encoded pictures and a list of bools")
    if len(pictures) != 2 * len(same) or not same:
        raise ValueError(f"{file}: {len(pictures)} pictures do not make {len(same)} pairs")
    names = tuple(f"{n:06d}" for n in range(len(pictures)))
    first = np.arange(0, len(pictures), 2)
    same_P = np.array(same, dtype=bool)
    pairs = PicturePairs(
        pictures=names,
        # A same-person pair is one person; beyond that the file tells nobody apart.
        person_N=np.array(
            [f"{n - n % 2 if same_P[n // 2] else n:06d}" for n in range(len(pictures))]
        ),
        first_P=first,
        second_P=first + 1,
        same_P=same_P,
        fold_P=contiguous_folds(len(same)),
    )
    return PackedPairs(pairs, dict(zip(names, pictures, strict=True)))


def _is_list_of(value: Any, kind: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(entry, kind) for entry in value)


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


class _Plain(pickle.Unpickler):
    """Python 3 writes bytes of protocol 2 as a call of `_codecs.encode`, which has a stand-in."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        if (module, name) in (("__builtin__", "bytes"), ("builtins", "bytes")):
            return _empty
        raise pickle.UnpicklingError(
            f"it asks for {module}.{name}; only lists, bytes and bools are allowed. "
            "Write the set again without arrays or objects"
        )


def _empty() -> bytes:
    return b""
