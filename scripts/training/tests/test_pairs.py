from pathlib import Path

import numpy as np
import pytest

from facetrain.evaluate.pairs import (
    contiguous_folds,
    read_cfp_pairs,
    read_lfw_pairs,
    read_pair_list,
)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_reads_the_lfw_list(tmp_path: Path) -> None:
    pairs = read_lfw_pairs(
        write(tmp_path / "p", "2 1\nAnn_Lee 1 4\nAnn_Lee 1 Bob 2\nCy 1 2\nCy 3 Di 1\n")
    )
    assert pairs.pictures[:3] == (
        "Ann_Lee/Ann_Lee_0001.jpg",
        "Ann_Lee/Ann_Lee_0004.jpg",
        "Bob/Bob_0002.jpg",
    )
    assert pairs.same_P.tolist() == [True, False, True, False]
    assert pairs.fold_P.tolist() == [0, 0, 1, 1]
    assert pairs.person_N[pairs.second_P].tolist() == ["Ann_Lee", "Bob", "Cy", "Di"]
    second = pairs.of_folds([1])
    assert second.pictures == (
        "Cy/Cy_0001.jpg",
        "Cy/Cy_0002.jpg",
        "Cy/Cy_0003.jpg",
        "Di/Di_0001.jpg",
    )
    assert second.person_N.tolist() == ["Cy", "Cy", "Cy", "Di"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 1\nA 1 2\n", "announces 4 pairs and holds 1"),
        ("1 1\nA one two\nA 1 B 1\n", "line 2: expected"),
        ("hello\n", "line 1: expected"),
        ("", "line 1: expected"),
    ],
)
def test_says_what_is_wrong_with_an_lfw_list(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_lfw_pairs(write(tmp_path / "p", text))


def test_reads_plain_lists_of_both_orders(tmp_path: Path) -> None:
    rows = [("a/1.jpg", "a/2.jpg", 1), ("a/1.jpg", "b/1.jpg", 0)] * 10
    last = "\n".join(f"{a} {b} {label}" for a, b, label in rows)
    first = "# a comment\n" + "\n".join(f"{label} {a} {b}" for a, b, label in rows)
    one, other = (
        read_pair_list(write(tmp_path / name, text)) for name, text in (("l", last), ("f", first))
    )
    for pairs in (one, other):
        assert pairs.same_P.tolist() == [True, False] * 10
        assert pairs.fold_P.tolist() == np.repeat(np.arange(10), 2).tolist()
        assert pairs.person_N.tolist() == ["a", "a", "b"]
    folds = read_pair_list(write(tmp_path / "n", "x.jpg y.jpg 1 7\nx.jpg z.jpg 0 3\n"))
    assert folds.fold_P.tolist() == [7, 3]


def test_identities_of_a_flat_list_are_what_its_pairs_say(tmp_path: Path) -> None:
    pairs = read_pair_list(write(tmp_path / "l", "a.png b.png 1\nb.png c.png 1\na.png d.png 0\n"))
    assert len(set(pairs.person_N.tolist())) == 2


@pytest.mark.parametrize(
    "text", ["a b\n", "a b 2\n", "1 b 1\n", "a b 1 x\n", "a b 1 0\na c 0\n", "# nothing\n"]
)
def test_refuses_what_is_no_list(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|fold|no pairs"):
        read_pair_list(write(tmp_path / "l", text))


def test_reads_cfps_own_layout(tmp_path: Path) -> None:
    protocol = tmp_path / "Protocol"
    write(
        protocol / "Pair_list_F.txt",
        "1 ../Data/Images/001/frontal/01.jpg\n2 ../Data/Images/002/frontal/01.jpg\n",
    )
    write(protocol / "Pair_list_P.txt", "1 ../Data/Images/001/profile/01.jpg\n")
    for split in range(1, 11):
        folder = protocol / "Split" / "FP" / f"{split:02d}"
        write(folder / "same.txt", "1,1\n")
        write(folder / "diff.txt", "2,1\n")
    pairs = read_cfp_pairs(tmp_path)
    assert len(pairs) == 20
    assert pairs.pictures == (
        "Data/Images/001/frontal/01.jpg",
        "Data/Images/001/profile/01.jpg",
        "Data/Images/002/frontal/01.jpg",
    )
    people = pairs.person_N
    assert ((people[pairs.first_P] == people[pairs.second_P]) == pairs.same_P).all()


def test_folds_of_any_number_differ_by_at_most_one() -> None:
    assert np.bincount(contiguous_folds(23)).tolist() == [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
