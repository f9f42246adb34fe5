"""Lists of picture pairs, as verification sets ship them.

LFW (`pairs.txt`): a head line `FOLDS PAIRS` (or only `PAIRS`: one fold), then per fold that many
same-person lines `NAME N1 N2` and as many different-person lines `NAME1 N1 NAME2 N2`; the pictures
are `NAME/NAME_0001.jpg`.

Plain list (CFP, AgeDB, CALFW, CPLFW as they are often repackaged): lines `PICTURE PICTURE 0|1` or
`0|1 PICTURE PICTURE`, optionally with the fold as a fourth word; `#` begins a comment. Without
folds the pairs are cut into ten runs of equal length in the order of the file.

CFP's own layout: `Protocol/Split/FP/01/same.txt` … `10/diff.txt` with lines `I,J`, numbers into
`Protocol/Pair_list_F.txt` and `Pair_list_P.txt` (`NUMBER PATH`, relative to `Protocol`).
"""

# N pictures, P pairs.
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

FOLDS = 10


@dataclass(frozen=True, slots=True)
class PicturePairs:
    """Pairs by index into the pictures.

    Attributes:
        pictures: Distinct names, paths within the set's root, in order of first use.
        person_N: Identity of each picture, str; from the list, or the folder it lies in.
        first_P: Index of each pair's first picture, int64.
        second_P: Of its second.
        same_P: True where both show one person.
        fold_P: Fold of each pair from 0, int64.
    """

    pictures: tuple[str, ...]
    person_N: np.ndarray
    first_P: np.ndarray
    second_P: np.ndarray
    same_P: np.ndarray
    fold_P: np.ndarray

    def __len__(self) -> int:
        return len(self.first_P)

    def of_folds(self, folds: Sequence[int]) -> "PicturePairs":
        """Only the pairs of some folds; pictures that none of them uses are left out."""
        rows = np.flatnonzero(np.isin(self.fold_P, folds))
        names = np.array(self.pictures)
        return _indexed(
            list(zip(names[self.first_P[rows]], names[self.second_P[rows]], strict=True)),
            self.same_P[rows].tolist(),
            self.fold_P[rows].tolist(),
            dict(zip(self.pictures, self.person_N.tolist(), strict=True)),
        )


def read_lfw_pairs(file: Path) -> PicturePairs:
    """Reads LFW's list.

    Raises:
        ValueError: A line is not one of the format, or their number is not what the head says.
    """
    lines = [line.split() for line in file.read_text().splitlines() if line.strip()]
    head = lines[0] if lines else []
    if not 1 <= len(head) <= 2 or not all(_is_positive(word) for word in head):
        raise ValueError(f"{file}, line 1: expected `FOLDS PAIRS` or `PAIRS`")
    per_fold = int(head[-1])
    folds = int(head[0]) if len(head) == 2 else 1
    if len(lines) - 1 != 2 * per_fold * folds:
        raise ValueError(
            f"{file} announces {2 * per_fold * folds} pairs and holds {len(lines) - 1}"
        )
    names, same, fold, people = [], [], [], {}
    for number, words in enumerate(lines[1:], start=2):
        if len(words) == 3:
            words = [words[0], words[1], words[0], words[2]]
        if len(words) != 4 or not _is_positive(words[1]) or not _is_positive(words[3]):
            raise ValueError(f"{file}, line {number}: expected `NAME N1 N2` or `NAME1 N1 NAME2 N2`")
        pair = [f"{name}/{name}_{int(n):04d}.jpg" for name, n in (words[:2], words[2:])]
        people.update(zip(pair, (words[0], words[2]), strict=True))
        names.append((pair[0], pair[1]))
        same.append(len(lines[number - 1]) == 3)
        fold.append((number - 2) // (2 * per_fold))
    return _indexed(names, same, fold, people)


def read_pair_list(file: Path) -> PicturePairs:
    """Reads a plain list; identities are the pictures' folders, joined where pairs say "same".

    Raises:
        ValueError: A line is not one of the format, or only some lines name a fold.
    """
    names, same, fold = [], [], []
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        label_first = words[0] in ("0", "1")
        label_last = len(words) >= 3 and words[2] in ("0", "1")
        if len(words) not in (3, 4) or label_first == label_last:
            raise ValueError(
                f"{file}, line {number}: expected `PICTURE PICTURE 0|1 [FOLD]` or "
                f"`0|1 PICTURE PICTURE [FOLD]`, found {line.strip()!r}"
            )
        if len(words) == 4 and not words[3].isdigit():
            raise ValueError(f"{file}, line {number}: the fold must be a number, is {words[3]!r}")
        names.append((words[1], words[2]) if label_first else (words[0], words[1]))
        same.append((words[0] if label_first else words[2]) == "1")
        fold.append(int(words[3]) if len(words) == 4 else -1)
    if not names:
        raise ValueError(f"{file} holds no pairs")
    if -1 in fold and max(fold) >= 0:
        raise ValueError(f"{file}: every line names a fold, or none does")
    if -1 in fold:
        fold = contiguous_folds(len(names)).tolist()
    return _indexed(names, same, fold, people_of(names, same))


def read_cfp_pairs(root: Path, protocol: str = "FP") -> PicturePairs:
    """Reads CFP's own protocol folder.

    Args:
        root: The data set's folder, which holds `Protocol`.
        protocol: "FP" (frontal and profile) or "FF".
    """
    if protocol not in ("FP", "FF"):
        raise ValueError(f'protocol must be "FP" or "FF", is {protocol!r}')
    base = root / "Protocol"
    frontal = _numbered(base / "Pair_list_F.txt", base, root)
    other = frontal if protocol == "FF" else _numbered(base / "Pair_list_P.txt", base, root)
    names, same, fold = [], [], []
    for split in range(1, FOLDS + 1):
        for kind, label in (("same", True), ("diff", False)):
            file = base / "Split" / protocol / f"{split:02d}" / f"{kind}.txt"
            for number, line in enumerate(file.read_text().split(), start=1):
                first, _, second = line.partition(",")
                if first not in frontal or second not in other:
                    raise ValueError(f"{file}, line {number}: expected `I,J` of the pair lists")
                names.append((frontal[first], other[second]))
                same.append(label)
                fold.append(split - 1)
    # Data/Images/001/frontal/01.jpg: the person is two folders up.
    people = {name: str(PurePosixPath(name).parent.parent) for pair in names for name in pair}
    return _indexed(names, same, fold, people)


def contiguous_folds(count: int, folds: int = FOLDS) -> np.ndarray:
    """Fold of each of `count` pairs (count,): `folds` runs whose lengths differ by at most one."""
    return np.repeat(np.arange(folds), [count // folds + (n < count % folds) for n in range(folds)])


def people_of(names: Sequence[tuple[str, str]], same: Sequence[bool]) -> dict[str, str]:
    """Identity of each picture where a list names none.

    A picture's folder, unless the list contradicts it (a "different" pair within one folder): then
    only what "same" pairs join is one person.
    """
    folders = {name: str(PurePosixPath(name).parent) for pair in names for name in pair}
    by_folder = all(
        (folders[a] == folders[b]) == label for (a, b), label in zip(names, same, strict=True)
    )
    if by_folder:
        return folders
    parent = {name: name for name in folders}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for (a, b), label in zip(names, same, strict=True):
        if label:
            parent[root(a)] = root(b)
    return {name: root(name) for name in folders}


def _indexed(
    names: Sequence[tuple[str, str]],
    same: Sequence[bool],
    fold: Sequence[int],
    people: dict[str, str],
) -> PicturePairs:
    index = {name: n for n, name in enumerate(dict.fromkeys(n for pair in names for n in pair))}
    return PicturePairs(
        pictures=tuple(index),
        person_N=np.array([people[name] for name in index]),
        first_P=np.array([index[a] for a, _ in names], dtype=np.int64),
        second_P=np.array([index[b] for _, b in names], dtype=np.int64),
        same_P=np.array(same, dtype=bool),
        fold_P=np.array(fold, dtype=np.int64),
    )


def _numbered(file: Path, base: Path, root: Path) -> dict[str, str]:
    pictures = {}
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        words = line.split()
        if len(words) != 2:
            raise ValueError(f"{file}, line {number}: expected `NUMBER PATH`")
        path = (base / words[1]).resolve()
        pictures[words[0]] = path.relative_to(root.resolve()).as_posix()
    return pictures


def _is_positive(word: str) -> bool:
    return word.isdigit() and int(word) > 0
