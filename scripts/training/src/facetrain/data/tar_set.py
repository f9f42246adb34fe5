"""Crops in a tar, read where they lie: an index of offsets, no unpacking.

FairFace's label tables (`file,age,gender,race,service_test`) become group columns; its published
copies went through a spreadsheet, which turned the ages "3-9" and "10-19" into dates.
"""

# N pictures.
import csv
import os
import tarfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from facetrain.data.face_set import UNLABELLED
from facetrain.data.pictures import EncodedFaces, is_picture_name

AGE_AS_DATE = {"03-Sep": "3-9", "Oct-19": "10-19", "3-Sep": "3-9", "19-Oct": "10-19"}
END_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Member:
    """A picture inside a tar: its name and where its bytes lie."""

    name: str
    offset: int
    size: int


class TarSet(EncodedFaces):
    """The pictures of a tar, in its order; unlabelled unless `by_folder`."""

    def __init__(
        self,
        tar: Path | str,
        *,
        labels_csv: Path | str | Sequence[Path | str] = (),
        part: str | None = None,
        by_folder: bool = False,
        skip_broken: bool = False,
    ) -> None:
        """Index the tar; no picture is decoded yet.

        Args:
            labels_csv: Label tables; their columns become groups of the same names ("" where a
                picture is not in them). Adds "part": "train" or "val" by the file's folder.
            part: Only pictures with this folder in their path, for example "train" or "val".
            by_folder: Take the folder that a picture lies in as its identity.
            skip_broken: Decode everything once and leave out (and count) what cannot be used; also
                use what a cut-off tar still holds.

        Raises:
            ValueError: No tar, cut off, no picture left, or a table that fits no picture.
        """
        super().__init__()
        self.file = Path(tar)
        members, cut_off = tar_pictures(self.file)
        if cut_off is not None:
            if not skip_broken:
                raise ValueError(f"{cut_off}; copy it again, or pass skip_broken to use the rest")
            self.skipped["cut_off_tar"] += 1
        if part is not None:
            members = [m for m in members if part in PurePosixPath(m.name).parts[:-1]]
        if not members:
            raise ValueError(
                f"{self.file}: holds no pictures{f' of part {part!r}' if part else ''}"
            )
        self._members = members
        self._file = TarBytes(self.file)
        self.names = [member.name for member in members]
        self.labels, self.num_identities = (
            _by_folder(self.names)
            if by_folder
            else (
                np.full(len(members), UNLABELLED, dtype=np.int64),
                0,
            )
        )
        tables = [labels_csv] if isinstance(labels_csv, str | Path) else labels_csv
        if tables:
            self.groups = _groups(self.names, [Path(table) for table in tables])
        if skip_broken:
            self.drop_broken()

    def read(self, entry: int) -> bytes:
        return self._file.read(self._members[entry])

    def where(self, entry: int) -> str:
        return f"{self.file}: {self._members[entry].name}"


class TarBytes:
    """Reads members of a tar from any thread or forked process; opened when first used."""

    def __init__(self, file: Path) -> None:
        self._path = file
        self._fd: int | None = None
        self._lock = threading.Lock()

    def read(self, member: Member) -> bytes:
        """The member's bytes; fewer when the file was cut off since it was indexed."""
        if self._fd is None:
            with self._lock:
                if self._fd is None:
                    self._fd = os.open(self._path, os.O_RDONLY)
        return os.pread(self._fd, member.size, member.offset)

    def __del__(self) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def __getstate__(self) -> Path:
        return self._path

    def __setstate__(self, path: Path) -> None:
        TarBytes.__init__(self, path)


def tar_pictures(file: Path) -> tuple[list[Member], str | None]:
    """Pictures of an uncompressed tar in its order.

    Returns:
        The pictures, and None, or what says that the tar was cut off.

    Raises:
        ValueError: No such file, or not an uncompressed tar.
    """
    if not file.is_file():
        raise ValueError(f"{file}: no such file")
    members: list[Member] = []
    try:
        with tarfile.open(file, mode="r:") as tar:
            try:
                # What was found before the damage is kept, so no comprehension.
                for info in tar:
                    if info.isreg() and is_picture_name(info.name):
                        members.append(  # noqa: PERF401
                            Member(info.name, info.offset_data, info.size)
                        )
            except tarfile.TarError as error:
                return (
                    members,
                    f"{file}: cut off or damaged behind picture {len(members)} ({error})",
                )
    except tarfile.TarError as error:
        raise ValueError(
            f"{file}: not an uncompressed tar ({error}); a compressed one must be unpacked first"
        ) from error
    size = file.stat().st_size
    whole = [member for member in members if member.offset + member.size <= size]
    if len(whole) < len(members) or not _ends_properly(file, size):
        return whole, f"{file}: cut off behind picture {len(whole)}"
    return members, None


def _ends_properly(file: Path, size: int) -> bool:
    """Two blocks of zeros close a tar (POSIX ustar)."""
    with file.open("rb") as tar:
        tar.seek(max(0, size - 2 * END_BLOCK))
        return size >= 2 * END_BLOCK and not any(tar.read())


def _by_folder(names: Iterable[str]) -> tuple[np.ndarray, int]:
    folders = [str(PurePosixPath(name).parent) for name in names]
    identities, labels = np.unique(folders, return_inverse=True)
    return labels.astype(np.int64), len(identities)


def _groups(names: Sequence[str], tables: Sequence[Path]) -> dict[str, np.ndarray]:
    rows: dict[str, Mapping[str, str]] = {}
    columns: dict[str, None] = {}
    for table in tables:
        for key, row in _rows(table):
            rows[key] = row
            columns |= dict.fromkeys(row)
    # FairFace's rows say "train/1.jpg"; the picture may be ".../train/1.webp".
    paths = [PurePosixPath(name) for name in names]
    found = [rows.get(f"{path.parent.name}/{path.stem}", {}) for path in paths]
    if not any(found):
        raise ValueError(f"{', '.join(map(str, tables))}: names none of the pictures")
    groups = {column: np.array([row.get(column, "") for row in found]) for column in columns}
    groups["part"] = np.array([path.parent.name for path in paths])
    return groups


def _rows(table: Path) -> Iterable[tuple[str, Mapping[str, str]]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if "file" not in (reader.fieldnames or ()):
                raise ValueError(f"{table}: has no column 'file'; its first line must name columns")
            for row in reader:
                path = PurePosixPath(row.pop("file"))
                groups = {column: value or "" for column, value in row.items() if column}
                if "age" in groups:
                    groups["age"] = AGE_AS_DATE.get(groups["age"], groups["age"])
                yield f"{path.parent.name}/{path.stem}", groups
    except OSError as error:
        raise ValueError(f"{table}: cannot be read ({error.strerror})") from error
