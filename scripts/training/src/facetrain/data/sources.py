"""Opening whatever holds faces or pictures, by its name."""

from collections.abc import Sequence
from pathlib import Path

from facetrain.data.container import read_container
from facetrain.data.face_set import FaceSet
from facetrain.data.image_folder import ImageFolder, picture_files, read_file
from facetrain.data.list_file import ImageList
from facetrain.data.packed import PackedFaces, WebpFaces
from facetrain.data.record_io import RecordFile
from facetrain.data.tar_set import TarBytes, TarSet, tar_pictures

LISTS = frozenset({".lst", ".txt", ".list"})


def open_faces(
    path: Path | str,
    *,
    labels_csv: Sequence[Path | str] = (),
    part: str | None = None,
    by_folder: bool = False,
    skip_broken: bool = False,
) -> FaceSet:
    """Aligned faces from a folder, list, `.rec`, `.tar` or `.pack`.

    Args:
        labels_csv, part, by_folder: For tars, see `TarSet`.
        skip_broken: Leave out and count what cannot be used; packs are whole or refused.

    Raises:
        ValueError: Nothing there, a kind that nobody knows, or damage.
    """
    file = Path(path)
    if file.suffix != ".tar" and (labels_csv or part is not None):
        raise ValueError(f"{file}: label tables and parts are for tars only")
    if file.is_dir():
        return ImageFolder(file, skip_broken=skip_broken)
    match file.suffix:
        case ".tar":
            return TarSet(
                file,
                labels_csv=labels_csv,
                part=part,
                by_folder=by_folder,
                skip_broken=skip_broken,
            )
        case ".rec":
            return RecordFile(file, skip_broken=skip_broken)
        case ".pack":
            about, _ = read_container(file)
            return WebpFaces(file) if about["form"] == "webp" else PackedFaces.load(file)
        case suffix if suffix in LISTS:
            return ImageList(file, skip_broken=skip_broken)
    raise ValueError(f"{file}: no folder, .lst, .txt, .rec, .tar or .pack of faces, or not there")


class Pictures:
    """Pictures of any size in a folder or a tar, by index."""

    def __init__(self, path: Path | str) -> None:
        """Find the pictures.

        Raises:
            ValueError: Neither folder nor tar, cut off, or empty.
        """
        self.path = Path(path)
        if self.path.is_dir():
            self.names: Sequence[str] = picture_files(self.path)
            self._tar = None
            return
        members, cut_off = tar_pictures(self.path)
        if cut_off is not None:
            raise ValueError(f"{cut_off}; copy it again")
        if not members:
            raise ValueError(f"{self.path}: holds no pictures")
        self.names = [member.name for member in members]
        self._members, self._tar = members, TarBytes(self.path)

    def __len__(self) -> int:
        return len(self.names)

    def where(self, index: int) -> str:
        """Folder or tar, and picture, for errors."""
        return f"{self.path}: {self.names[index]}"

    def read(self, index: int) -> bytes:
        """Encoded bytes. Raises PictureError "missing"."""
        if self._tar is None:
            return read_file(self.path / self.names[index], self.where(index))
        return self._tar.read(self._members[index])
