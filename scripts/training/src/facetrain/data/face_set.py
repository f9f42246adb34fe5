"""What every set of aligned faces offers, and views on such sets that copy no pixels.

Everywhere between modules a crop is uint8 RGB, 112 x 112, aligned to the ArcFace template.
"""

# N pictures, H height, W width, C channels.
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

CROP_PX = 112
UNLABELLED = -1


class PictureError(ValueError):
    """A picture or record that cannot be used: the message names file, record and fix.

    Attributes:
        reason: A short code for counting ("truncated", "not_a_picture", "wrong_size", ...).
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@runtime_checkable
class FaceSet(Protocol):
    """Aligned faces by index. Safe to read from several threads."""

    def __len__(self) -> int: ...

    def crop(self, index: int) -> np.ndarray:
        """Crop (112, 112, 3), uint8 RGB, the caller's own.

        Raises:
            PictureError: The picture is missing, damaged or of another size.
        """
        ...

    @property
    def labels(self) -> np.ndarray:
        """Identities (N,), int64 in [0, num_identities); -1 marks unlabelled pictures."""
        ...

    @property
    def num_identities(self) -> int: ...

    @property
    def groups(self) -> Mapping[str, np.ndarray]:
        """Attribute columns (N,) of str, for example "race", "source"; "" where unknown."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """One stable name per picture: a path inside the set or a record's key."""
        ...


class Subset:
    """Some pictures of a set, in the given order, without copying."""

    def __init__(self, faces: FaceSet, indices: np.ndarray, *, relabel: bool = False) -> None:
        """View of `faces` at `indices` (M,).

        Args:
            relabel: Number the identities that are left from 0, in the order of their old numbers.
        """
        self.indices = np.asarray(indices, dtype=np.int64)
        if self.indices.size and not (self.indices.min() >= 0 and self.indices.max() < len(faces)):
            raise ValueError(f"indices must lie in [0, {len(faces)}), the set's pictures")
        self._faces = faces
        labels = np.asarray(faces.labels)[self.indices]
        self.labels, self.num_identities = (
            compact_labels(labels) if relabel else (labels, faces.num_identities)
        )
        self.groups = {key: column[self.indices] for key, column in faces.groups.items()}
        self.names: Sequence[str] = [faces.names[int(n)] for n in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def crop(self, index: int) -> np.ndarray:
        return self._faces.crop(int(self.indices[index]))

    def origin(self, index: int) -> tuple[FaceSet, int]:
        """Set and index that picture `index` comes from."""
        return self._faces, int(self.indices[index])


class Concat:
    """Several sets as one. Identities of different sets are different people."""

    def __init__(self, sets: Mapping[str, FaceSet]) -> None:
        """Join `sets` in order; their keys prefix the names and are the group column "source"."""
        if not sets:
            raise ValueError("give at least one set to join")
        self._sets = list(sets.values())
        self._starts = np.cumsum([0, *(len(faces) for faces in self._sets)])
        parts, self.num_identities = [], 0
        for faces in self._sets:
            labels = np.asarray(faces.labels)
            parts.append(np.where(labels < 0, UNLABELLED, labels + self.num_identities))
            self.num_identities += faces.num_identities
        self.labels = np.concatenate(parts).astype(np.int64)
        self.groups = _joined_groups(sets)
        self.names: Sequence[str] = [
            f"{key}/{name}" for key, faces in sets.items() for name in faces.names
        ]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def crop(self, index: int) -> np.ndarray:
        faces, at = self.origin(index)
        return faces.crop(at)

    def origin(self, index: int) -> tuple[FaceSet, int]:
        """Set and index that picture `index` comes from."""
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._sets[part], index - int(self._starts[part])


class Relabelled:
    """A set with other identities, for example pseudo-identities (one class per picture)."""

    def __init__(self, faces: FaceSet, labels: np.ndarray | None = None) -> None:
        """View of `faces` under `labels` (N,); None: every picture is an identity of its own."""
        self._faces = faces
        given = np.arange(len(faces)) if labels is None else np.asarray(labels)
        self.labels = given.astype(np.int64)
        if self.labels.shape != (len(faces),):
            raise ValueError(f"labels have shape {given.shape}; the set needs ({len(faces)},)")
        self.num_identities = int(self.labels.max(initial=UNLABELLED)) + 1
        self.groups = faces.groups
        self.names = faces.names

    def __len__(self) -> int:
        return len(self._faces)

    def crop(self, index: int) -> np.ndarray:
        return self._faces.crop(index)


def compact_labels(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the identities that occur from 0 on; -1 stays. Returns labels (N,) and how many."""
    known = np.unique(labels[labels >= 0])
    compact = np.searchsorted(known, labels)
    return np.where(labels < 0, UNLABELLED, compact).astype(np.int64), len(known)


def _joined_groups(sets: Mapping[str, FaceSet]) -> dict[str, np.ndarray]:
    keys = sorted({key for faces in sets.values() for key in faces.groups})
    joined = {
        key: np.concatenate(
            [np.asarray(f.groups.get(key, np.full(len(f), "")), dtype=str) for f in sets.values()]
        )
        for key in keys
    }
    if "source" not in joined:
        joined["source"] = np.concatenate([np.full(len(f), name) for name, f in sets.items()])
    return joined
