import json
from pathlib import Path

import numpy as np
import pytest

from facetrain.evaluate.verification import (
    ScoredPairs,
    accuracy_at,
    best_threshold,
    tar_at_far,
    verification_report,
)

GOLDEN = json.loads((Path(__file__).parent / "golden/verification.json").read_text())


def pairs(*rows: tuple[int, bool, float | None]) -> ScoredPairs:
    return ScoredPairs(
        np.array([np.nan if score is None else score for _, _, score in rows]),
        np.array([same for _, same, _ in rows]),
        np.array([fold for fold, _, _ in rows]),
    )


def test_threshold_lies_in_the_middle_of_the_gap_that_separates_best() -> None:
    score, same = np.array([0.1, 0.3, 0.7, 0.05]), np.array([False, False, True, True])
    assert best_threshold(score, same) == 0.5
    assert accuracy_at(score, same, 0.5) == 0.75


def test_among_equally_good_thresholds_the_lowest_is_taken() -> None:
    # Rejecting nothing and rejecting everything are both right once.
    assert best_threshold(np.array([0.2, 0.6]), np.array([True, False])) == pytest.approx(-0.8)
    # Ties are never split.
    assert best_threshold(np.array([0.4, 0.4, 0.4]), np.array([False, True, False])) == 0.4


def test_no_threshold_does_better() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        score = random.integers(-9, 9, size=30).astype(float)
        same = random.random(30) < 0.5
        best = accuracy_at(score, same, best_threshold(score, same))
        assert best == max(accuracy_at(score, same, other + 0.5) for other in range(-11, 10))


def test_each_fold_is_classified_by_the_threshold_of_the_others() -> None:
    report = verification_report(
        pairs((0, False, 0.55), (0, True, 0.8), (1, False, 0.4), (1, True, 0.6)), []
    )
    assert [(fold.threshold, fold.accuracy) for fold in report.folds] == [
        (0.5, 0.5),
        (pytest.approx(0.675), 0.5),
    ]
    assert (report.mean, report.std) == (0.5, 0.0)


def test_a_failure_to_acquire_is_a_denial() -> None:
    report = verification_report(
        pairs((0, True, 0.9), (0, True, None), (0, False, 0.1), (0, False, None)), [0.5]
    )
    assert (report.failed_same, report.failed_different) == (1, 1)
    assert report.mean == 0.75
    assert report.tar_at_far[0].tar == 0.5


def test_tar_at_far_accepts_at_most_the_false_share_and_says_of_how_many() -> None:
    impostor = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    at_tenth = tar_at_far(np.array([0.85, 0.92, 0.99, 0.5]), impostor, 0.1)
    assert (at_tenth.tar, at_tenth.threshold, at_tenth.false_accepts) == (0.5, 0.9, 1)
    assert (at_tenth.impostors, at_tenth.supported) == (10, False)
    assert tar_at_far(np.array([0.96]), impostor, 0.01).false_accepts == 0
    assert tar_at_far(np.array([-0.5]), impostor, 1.0).tar == 1.0
    with pytest.raises(ValueError, match=r"lies in \[0, 1\]"):
        tar_at_far(impostor, impostor, 2.0)


def test_agrees_with_the_daemons_code_on_a_known_score_file() -> None:
    golden = GOLDEN["verification"]
    score = np.array([np.nan if value is None else value for value in golden["scores"]])
    scored = ScoredPairs(score, np.array(golden["same"]), np.array(golden["folds"]))
    expected = golden["report"]
    report = verification_report(scored, [0.1, 0.01, 0.001])
    assert [fold.threshold for fold in report.folds] == [f["threshold"] for f in expected["folds"]]
    assert [fold.accuracy for fold in report.folds] == [f["accuracy"] for f in expected["folds"]]
    assert report.mean == pytest.approx(expected["accuracy"]["mean"], abs=1e-12)
    assert report.std == pytest.approx(expected["accuracy"]["std"], abs=1e-12)
    assert report.failed_same == expected["failedPairs"]["same"] > 0
    for ours, theirs in zip(report.tar_at_far, expected["tarAtFar"], strict=True):
        assert (ours.tar, ours.threshold, ours.false_accepts, ours.supported) == (
            theirs["tar"],
            theirs["threshold"],
            theirs["falseAccepts"],
            theirs["supported"],
        )
