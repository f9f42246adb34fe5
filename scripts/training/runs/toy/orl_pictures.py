"""ORL as a folder tree in LFW's layout, with pairs of the people that are held out.

    orl_pictures.py orl_att_faces.tar OUT --people 30 --test-people 10

Writes `OUT/train/NAME/NAME_0001.jpg` of the first people, `OUT/test/…` of the last, and two lists
of the test people's pairs: `pairs.txt` as LFW writes it, each fold two people (all pairs of one
person; of two people those of pictures with different numbers, which makes them as many), and
`all-pairs.txt` with every pair there is.
"""

import argparse
import io
import tarfile
from collections.abc import Sequence
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
from PIL import Image

PEOPLE = 40
PICTURES = 10
# Grey pictures of 92x112 px: at this quality JPEG costs nothing that a detector or embedder sees.
QUALITY = 95


def picture_name(person: int, number: int) -> str:
    """As LFW names them, relative to the folder of all."""
    return f"s{person:02}/s{person:02}_{number:04}.jpg"


def write_pictures(tar: Path, out: Path, people: Sequence[int]) -> None:
    """Write the pictures of some people (from 1) as JPEG."""
    with tarfile.open(tar) as pictures:
        for person in people:
            for number in range(1, PICTURES + 1):
                member = pictures.extractfile(f"att_faces/s{person}/{number}.pgm")
                assert member is not None
                file = out / picture_name(person, number)
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.open(io.BytesIO(member.read())).save(file, quality=QUALITY)


def lfw_pairs(people: Sequence[int]) -> str:
    """`pairs.txt` of folds of two people."""
    numbers = range(1, PICTURES + 1)
    same = list(combinations(numbers, 2))
    different = list(permutations(numbers, 2))
    folds = [people[at : at + 2] for at in range(0, len(people) - 1, 2)]
    lines = [f"{len(folds)}\t{2 * len(same)}"]
    for first, second in folds:
        lines += [f"s{person:02}\t{i}\t{j}" for person in (first, second) for i, j in same]
        lines += [f"s{first:02}\t{i}\ts{second:02}\t{j}" for i, j in different]
    return "\n".join(lines) + "\n"


def all_pairs(people: Sequence[int]) -> str:
    """Every pair of pictures: `PICTURE PICTURE 0|1`, in an order that mixes the kinds."""
    pictures = [(person, number) for person in people for number in range(1, PICTURES + 1)]
    lines = [
        f"{picture_name(*first)} {picture_name(*second)} {int(first[0] == second[0])}"
        for first, second in combinations(pictures, 2)
    ]
    # The list is cut into folds as it stands: each should hold pairs of either kind.
    order = np.random.default_rng(0).permutation(len(lines))
    return "\n".join(lines[at] for at in order) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("tar", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--people", type=int, required=True)
    parser.add_argument("--test-people", type=int, required=True)
    arguments = parser.parse_args()
    if arguments.people + arguments.test_people > PEOPLE:
        parser.error(f"ORL has {PEOPLE} people")
    everyone = range(1, PEOPLE + 1)
    held_out = everyone[-arguments.test_people :]
    write_pictures(arguments.tar, arguments.out / "train", everyone[: arguments.people])
    write_pictures(arguments.tar, arguments.out / "test", held_out)
    (arguments.out / "all-pairs.txt").write_text(all_pairs(held_out))
    (arguments.out / "pairs.txt").write_text(lfw_pairs(held_out))


if __name__ == "__main__":
    main()
