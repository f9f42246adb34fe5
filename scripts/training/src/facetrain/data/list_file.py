"""Crops named in a list: InsightFace's `.lst` lines, `path label`, or plain paths.

InsightFace (MXNet) separates by tabs: `aligned path label ...` or `number label path`. Plain lists
have a path, and perhaps an identity behind it: a number, or any word.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facetrain.data.face_set import UNLABELLED
from facetrain.data.image_folder import read_file
from facetrain.data.pictures import EncodedFaces, is_picture_name


class ImageList(EncodedFaces):
    """The pictures of a list, in its order.

    Attributes:
        identities: Identity of every label as the list spells it. Numbers are kept as labels when
            they run from 0 to the largest without a great gap; otherwise they are numbered anew.
    """

    def __init__(
        self, file: Path | str, root: Path | str | None = None, *, skip_broken: bool = False
    ) -> None:
        """Read the list; no picture is opened yet.

        Args:
            root: What relative paths start from; None: the list's folder.
            skip_broken: Decode everything once and leave out (and count) what cannot be used.

        Raises:
            ValueError: No such file, an unreadable line (named by number), or no line.
        """
        super().__init__()
        self.file = Path(file)
        self.root = self.file.parent if root is None else Path(root)
        entries = list(_entries(self.file))
        if not entries:
            raise ValueError(f"{self.file}: names no pictures")
        self.names = self._paths = [path for path, _ in entries]
        self.labels, self.identities = _numbered([identity for _, identity in entries])
        self.num_identities = len(self.identities)
        if skip_broken:
            self.drop_broken()

    def read(self, entry: int) -> bytes:
        return read_file(self.root / self._paths[entry], self.where(entry))

    def where(self, entry: int) -> str:
        return f"{self.root / self._paths[entry]} (picture {entry + 1} of {self.file})"


def _entries(file: Path) -> Iterator[tuple[str, str | None]]:
    """Path and identity of every line that is neither empty nor a comment."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: cannot be read as UTF-8 text: {error}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            entry = _entry(line)
            if entry is None:
                raise ValueError(
                    f"{file}: line {number} names no picture: {line.strip()[:80]!r}; "
                    "lines are `path`, `path label`, or tab-separated `number label path`"
                )
            yield entry


def _entry(line: str) -> tuple[str, str | None] | None:
    line = line.strip()
    tabs = line.split("\t")
    if len(tabs) > 1:
        at = next((n for n, word in enumerate(tabs) if is_picture_name(word)), None)
        if at is None:
            return None
        # `aligned path label` has the label behind the path, `number label path` before it.
        if at == len(tabs) - 1:
            return tabs[at], (tabs[at - 1] if at > 1 else None)
        return tabs[at], tabs[at + 1]
    if is_picture_name(line):
        return line, None
    # Paths may hold spaces: the label is the last word.
    path, _, identity = line.rpartition(" ")
    return (path.strip(), identity) if is_picture_name(path.strip()) else None


def _numbered(identities: list[str | None]) -> tuple[np.ndarray, list[str]]:
    known = {identity for identity in identities if identity is not None}
    numbers = {identity: number for identity in known if (number := _whole(identity)) is not None}
    if len(numbers) == len(known):
        unlabelled = {identity for identity, number in numbers.items() if number < 0}
        largest = max(numbers.values(), default=-1)
        if largest < 2 * len(known):
            spelled = [str(n) for n in range(largest + 1)]
            label = {i: (UNLABELLED if i in unlabelled else n) for i, n in numbers.items()}
            return _labels(identities, label), spelled
        ordered = sorted(known - unlabelled, key=lambda identity: numbers[identity])
    else:
        ordered = sorted(known)
    return _labels(identities, {identity: n for n, identity in enumerate(ordered)}), ordered


def _labels(identities: list[str | None], label: dict[str, int]) -> np.ndarray:
    values = (UNLABELLED if i is None else label.get(i, UNLABELLED) for i in identities)
    return np.fromiter(values, dtype=np.int64, count=len(identities))


def _whole(text: str) -> int | None:
    """The number that `text` spells, also as MXNet writes it ("17.000000")."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None
