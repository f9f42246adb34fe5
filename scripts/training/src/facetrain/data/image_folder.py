"""Crops in a folder, one folder per identity: `root/identity/anything.jpg`."""

import os
from pathlib import Path

import numpy as np

from facetrain.data.face_set import UNLABELLED, PictureError
from facetrain.data.pictures import EncodedFaces, is_picture_name


class ImageFolder(EncodedFaces):
    """All pictures below `root`, identities and pictures in the order of their names.

    The first folder below `root` is the identity; pictures in `root` itself are unlabelled.

    Attributes:
        identities: Folder name of every identity.
    """

    def __init__(self, root: Path | str, *, skip_broken: bool = False) -> None:
        """Find the pictures; none is opened yet.

        Args:
            skip_broken: Decode everything once and leave out (and count) what cannot be used.

        Raises:
            ValueError: No folder, or no picture in it.
        """
        super().__init__()
        self.root = Path(root)
        files = picture_files(self.root)
        folders = [name.split("/", 1)[0] if "/" in name else "" for name in files]
        self.identities = sorted(set(folders) - {""})
        number = {folder: n for n, folder in enumerate(self.identities)} | {"": UNLABELLED}
        self.names = self._files = files
        self.labels = np.array([number[folder] for folder in folders], dtype=np.int64)
        self.num_identities = len(self.identities)
        if skip_broken:
            self.drop_broken()

    def read(self, entry: int) -> bytes:
        return read_file(self.root / self._files[entry], self.where(entry))

    def where(self, entry: int) -> str:
        return str(self.root / self._files[entry])


def picture_files(root: Path) -> list[str]:
    """Paths of all pictures below `root`, relative, sorted. Raises ValueError where none is."""
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    found: list[str] = []
    for folder, _, files in os.walk(root):
        base = Path(folder).relative_to(root).as_posix()
        prefix = "" if base == "." else f"{base}/"
        found.extend(prefix + name for name in files if is_picture_name(name))
    if not found:
        raise ValueError(f"{root}: holds no pictures (JPEG, PNG, WebP, BMP, PGM, TIFF)")
    return sorted(found)


def read_file(path: Path, what: str) -> bytes:
    """Bytes of a picture file. Raises PictureError "missing" where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise PictureError(
            "missing", f"{what}: cannot be read ({error.strerror}); restore it or leave it out"
        ) from error
