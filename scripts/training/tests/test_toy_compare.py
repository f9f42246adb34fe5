"""The toy run's comparison says no more than its seeds allow, and its pairs are what they claim."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from facetrain.evaluate.pairs import read_lfw_pairs, read_pair_list

TOY = Path(__file__).parents[1] / "runs/toy"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"toy_{name}", TOY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("figure", "gained", "said"),
    [
        ("auc", [0.02, 0.021, 0.019], "with distillation is better on average, by more than"),
        ("auc", [0.02, -0.05, 0.06], "with distillation is better on average, within"),
        ("eer", [0.02, 0.021, 0.019], "without distillation is better on average, by more than"),
        ("eer", [-0.01], "with distillation is better on average; one seed says nothing"),
        ("tar", [0.0, 0.0, 0.0], "no difference"),
    ],
)
def test_verdict(figure: str, gained: list[float], said: str) -> None:
    assert said in script("compare").verdict(figure, gained)


def test_students_are_compared_seed_by_seed() -> None:
    rows = {
        "alone": [{"eer": 0.2, "auc": 0.8, "tar": 0.1}, {"eer": 0.4, "auc": 0.6, "tar": 0.3}],
        "distilled": [{"eer": 0.1, "auc": 0.9, "tar": 0.2}, {"eer": 0.3, "auc": 0.7, "tar": 0.4}],
    }
    compared = script("compare").compare(rows)["eer"]
    assert compared["alone"]["mean"] == pytest.approx(0.3)
    assert compared["alone"]["std"] == pytest.approx(0.1414, abs=1e-4)
    assert compared["difference"]["mean"] == pytest.approx(-0.1)
    assert compared["difference"]["std"] == pytest.approx(0, abs=1e-12)


def test_pairs_of_the_people_held_out(tmp_path: Path) -> None:
    pictures = script("orl_pictures")
    lists = {"pairs": pictures.lfw_pairs(range(31, 41)), "all": pictures.all_pairs(range(31, 41))}
    for name, text in lists.items():
        (tmp_path / f"{name}.txt").write_text(text)
    pairs = read_lfw_pairs(tmp_path / "pairs.txt")
    assert (len(pairs), int(pairs.same_P.sum())) == (900, 450)
    for fold in range(5):
        one = pairs.of_folds([fold])
        assert len(set(one.person_N)) == 2, "nobody is in two folds"
        assert int(one.same_P.sum()) == 90
    everything = read_pair_list(tmp_path / "all.txt")
    assert (len(everything), int(everything.same_P.sum())) == (4950, 450)
