"""Sets of aligned faces by what a path holds."""

from pathlib import Path

from facetrain.data.container import MAGIC
from facetrain.data.face_set import FaceSet
from facetrain.data.image_folder import ImageFolder
from facetrain.data.list_file import ImageList
from facetrain.data.packed import PackedFaces
from facetrain.data.record_io import RecordFile
from facetrain.data.tar_set import TarSet


def open_faces(path: Path) -> FaceSet:
    """A pack, a folder, a ``.rec``, a ``.tar`` (folders in it are identities), or a list file.

    Raises:
        ValueError: There is nothing, or nothing that can be read as one of these.
    """
    if path.is_dir():
        return ImageFolder(path)
    if not path.is_file():
        raise ValueError(f"{path}: there is neither a file nor a folder")
    with path.open("rb") as file:
        packed = file.read(len(MAGIC)) == MAGIC
    if packed:
        return PackedFaces.load(path)
    if path.suffix == ".rec":
        return RecordFile(path)
    if path.suffix == ".tar":
        return TarSet(path, by_folder=True)
    return ImageList(path)
