import pytest

from facetrain.export.evaluation import Target, fold_interval, targets_of, wilson


def found(**change: object) -> dict:
    nothing = dict.fromkeys(("cosine", "verification", "with_teacher", "reference"))
    time = {"ratio": 0.3, "ours_ms": 7.0, "pocketnet_s128_ms": 22.0}
    return {**nothing, "detector": [], "time": time, **change}


def verification(accuracy: float, tar: float = 0.96) -> dict:
    return {
        "pairs": {"same": 3000, "different": 3000},
        "folds": [{"accuracy": accuracy + (0.01 if n % 2 else -0.01)} for n in range(10)],
        "tarAtFar": [{"far": 1e-3, "tar": tar}, {"far": 1e-4, "tar": 0.5}],
    }


def detector(found_share: float, extra: float, landmark: float | None) -> dict:
    points = None if landmark is None else {"mean": landmark, "median": landmark, "p95": 0.2}
    part = {
        "pictures": 10,
        "faces": 12,
        "found": found_share,
        "found_interval": [0.9, 1.0],
        "extra_per_100": extra,
        "extra_per_100_interval": [0.0, 2.0],
        "landmark": points,
    }
    return {"sources": {"a.tar": part}, "time": {"ratio": 0.63}}


def named(rows: list[Target], start: str) -> Target:
    return next(row for row in rows if row.what.startswith(start))


def test_what_was_not_given_is_not_measured() -> None:
    rows = targets_of(found())
    assert [row.met for row in rows] == [None, None, None, None, True]
    assert rows[0].reached == "not measured"


@pytest.mark.parametrize(("value", "met"), [(0.85, True), (0.25, False)])
def test_cosine_stands_beside_its_target(value: float, met: bool) -> None:
    row = targets_of(found(cosine={"mean": value, "margin": 0.01}))[0]
    assert row.met is met
    assert row.reached == f"{value:.3f} ± 0.010"


def test_lfw_figures_have_intervals_and_the_detectors_differ_by_little() -> None:
    given = found(
        verification=verification(0.9),
        with_teacher=verification(0.991),
        reference=verification(0.992),
    )
    rows = targets_of(given)
    assert named(rows, "LFW, 10 folds").met is False
    assert named(rows, "LFW, 10 folds").reached.startswith("90.00 % ± 0.75 %")
    assert named(rows, "TAR").met is True
    assert named(rows, "LFW, this detector").met is True
    rows = targets_of({**given, "with_teacher": verification(0.989)})
    assert named(rows, "LFW, this detector").met is False


def test_each_picture_source_is_held_against_the_detector_targets() -> None:
    rows = targets_of(found(detector=[detector(0.995, 0.5, 0.04), detector(0.98, 1.5, 0.06)]))
    assert [row.met for row in rows[4:-1]] == [True, True, True, True, False, False, False, True]
    assert len(targets_of(found(detector=[detector(0.5, 0.0, None)]))) == 8


def test_intervals() -> None:
    mean, margin = fold_interval(verification(0.95))
    assert mean == pytest.approx(0.95)
    assert margin == pytest.approx(2.262 * 0.01 / 3, rel=1e-6)
    low, high = wilson(0.5, 100)
    assert (low, high) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(1.0, 3000)[1] == pytest.approx(1.0)
