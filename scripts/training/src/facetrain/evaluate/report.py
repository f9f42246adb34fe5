"""Reports that can be made again: Markdown and JSON with what they were made from.

There is no date in them: the same files, versions and seed give the same report.
"""

import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from facetrain.engine.checkpoint import current_commit

PACKAGES = ("facetrain", "torch", "onnxruntime", "numpy", "opencv-python-headless")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Header:
    """What a report was made from.

    Attributes:
        files: Role → name and sha256 of every file that was read as a whole.
        versions: Package → version.
        commit: Of this package's checkout.
    """

    files: dict[str, str]
    versions: dict[str, str]
    commit: str


def header_of(files: Mapping[str, Path | None]) -> Header:
    """Header over some files; folders are named without a checksum, None is left out."""
    named = {}
    for role, file in files.items():
        if file is None:
            continue
        named[role] = f"{file.name} sha256 {file_sha256(file)}" if file.is_file() else str(file)
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return Header(named, versions, current_commit())


def file_sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """Dataclasses, arrays' numbers and NaN as JSON has them (NaN and infinities become null)."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_report(out: Path, name: str, content: Mapping[str, Any], markdown: str) -> None:
    """Writes `NAME.json` and `NAME.md` into a directory, each at once."""
    from facetrain.export.onnx_export import write_whole

    text = json.dumps(plain(content), indent=2, ensure_ascii=False)
    write_whole(out / f"{name}.json", f"{text}\n".encode())
    write_whole(out / f"{name}.md", markdown.encode())


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def header_markdown(header: Header, embedder: str) -> str:
    """What a report was made from, as a list."""
    lines = [f"- embedder: {embedder}"]
    lines += [f"- {role}: {what}" for role, what in header.files.items()]
    versions = ", ".join(f"{package} {number}" for package, number in header.versions.items())
    return "\n".join([*lines, f"- versions: {versions}", f"- commit: {header.commit}"]) + "\n"


def percent(share: float | None, digits: int = 2) -> str:
    if share is None or not math.isfinite(share):
        return "–"
    return f"{100 * share:.{digits}f} %"
