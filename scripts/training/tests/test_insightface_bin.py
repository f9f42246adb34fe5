import pickle
from pathlib import Path

import numpy as np
import pytest

from facetrain.evaluate.insightface_bin import read_bin


@pytest.mark.parametrize("protocol", [0, 2, 3, 5])
def test_reads_a_set_of_any_protocol(tmp_path: Path, protocol: int) -> None:
    file = tmp_path / "set.bin"
    content = ([b"\xff\xd8a", b"", b"b\x00", b"c"], [True, False])
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    packed = read_bin(file)
    assert [packed.encoded[name] for name in packed.pairs.pictures] == content[0]
    assert packed.pairs.same_P.tolist() == [True, False]
    assert packed.pairs.person_N.tolist() == ["000000", "000000", "000002", "000003"]
    assert packed.pairs.second_P.tolist() == [1, 3]


def test_reads_what_python_2_wrote(tmp_path: Path) -> None:
    file = tmp_path / "set.bin"
    # (['ab', 'c'], [True]) by Python 2's protocol 2: str is SHORT_BINSTRING.
    file.write_bytes(b"\x80\x02]q\x00(U\x02abq\x01U\x01cq\x02e]q\x03\x88a\x86q\x04.")
    assert read_bin(file).encoded == {"000000": b"ab", "000001": b"c"}


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("/tmp/facetrain-evil"),))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((Evil(), [True]), "asks for"),
        (([b"a", b"b"], np.array([True])), "asks for numpy"),
        (([b"a", b"b"], [True, False]), "do not make 2 pairs"),
        (([b"a", 7], [True]), "list of encoded pictures"),
        ({"a": 1}, "holds dict"),
        (([], []), "do not make"),
    ],
)
def test_refuses_everything_else(tmp_path: Path, content: object, message: str) -> None:
    file = tmp_path / "set.bin"
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_bin(file)
    assert not Path("/tmp/facetrain-evil").exists()


def test_refuses_what_is_no_pickle(tmp_path: Path) -> None:
    file = tmp_path / "set.bin"
    file.write_bytes(b"PK\x03\x04 something")
    with pytest.raises(ValueError, match="no InsightFace verification set"):
        read_bin(file)
