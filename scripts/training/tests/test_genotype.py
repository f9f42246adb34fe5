"""Genotypes: what is published, JSON there and back, and what is refused."""

import json
from pathlib import Path

import pytest

from facetrain.models.genotype import PUBLISHED, Edge, Genotype, load_genotype
from facetrain.models.ops import PRIMITIVES


def test_the_face_genotype_is_the_published_one() -> None:
    genotype = load_genotype("casia")
    assert genotype.normal == (
        (("dw_conv_3x3", 0), ("dw_conv_1x1", 1)),
        (("dw_conv_3x3", 2), ("dw_conv_5x5", 0)),
        (("dw_conv_3x3", 3), ("dw_conv_3x3", 0)),
        (("dw_conv_3x3", 4), ("skip_connect", 0)),
    )
    assert genotype.reduce == (
        (("dw_conv_3x3", 1), ("dw_conv_7x7", 0)),
        (("skip_connect", 2), ("dw_conv_5x5", 1)),
        (("max_pool_3x3", 0), ("skip_connect", 2)),
        (("max_pool_3x3", 0), ("max_pool_3x3", 1)),
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_json_there_and_back(name: str, tmp_path: Path) -> None:
    genotype = load_genotype(name)
    assert Genotype.from_json(json.loads(json.dumps(genotype.to_json()))) == genotype
    path = tmp_path / "genotype.json"
    genotype.save(path)
    assert load_genotype(path) == genotype
    assert load_genotype(str(path)) == genotype
    assert load_genotype(genotype.to_json()) == genotype


def test_unknown_operation_is_refused_with_the_known_ones() -> None:
    node = ((Edge("dw_conv_9x9", 0),),)
    with pytest.raises(ValueError, match="dw_conv_9x9") as refusal:
        Genotype(normal=node, reduce=node)
    assert all(name in str(refusal.value) for name in PRIMITIVES)


@pytest.mark.parametrize("source", [-1, 2])
def test_a_source_must_be_an_earlier_state(source: int) -> None:
    node = ((Edge("skip_connect", source),),)
    with pytest.raises(ValueError, match="it must be 0 to 1"):
        Genotype(normal=node, reduce=node)


@pytest.mark.parametrize(
    "value", [{}, {"schema": 2, "normal": [], "reduce": []}, {"schema": 1, "normal": []}]
)
def test_json_that_is_no_genotype(value: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a genotype is"):
        Genotype.from_json(value)


def test_edges_that_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="the normal cell is not lists"):
        Genotype.from_json({"schema": 1, "normal": [["skip_connect"]], "reduce": []})


def test_a_missing_file_names_the_published_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neither a file nor published \(casia, cifar10\)"):
        load_genotype(tmp_path / "none.json")


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.json"):
        load_genotype(path)
