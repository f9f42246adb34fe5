import json
from pathlib import Path

import numpy as np
import pytest

from facetrain.export.calibrate import (
    CrossPairs,
    calibration_report,
    cross_scores,
    details,
    is_same_photograph,
    thumbnails,
)
from facetrain.export.score_table import ScoreHistogram, extrapolated, score_table

GOLDEN = json.loads((Path(__file__).parent / "golden/verification.json").read_text())["calibration"]


def histogram(scores: list[float]) -> ScoreHistogram:
    counts = ScoreHistogram()
    counts.add(np.array(scores))
    return counts


def unit(random: np.random.Generator, count: int, dim: int = 16) -> np.ndarray:
    e_ND = random.normal(size=(count, dim))
    return (e_ND / np.linalg.norm(e_ND, axis=1, keepdims=True)).astype(np.float32)


def unlike_thumbs(count: int) -> np.ndarray:
    return np.random.default_rng(9).integers(0, 256, (count, 784), dtype=np.uint8)


def test_the_table_is_the_daemons_on_the_same_scores() -> None:
    table = score_table(histogram(GOLDEN["impostor"]), histogram(GOLDEN["genuine"]))
    assert table is not None
    assert table.to_json("drawn") == GOLDEN["table"]
    assert table.smallest_fmr == 30 / 4000


def test_thresholds_by_hand() -> None:
    scores = histogram([0.1, 0.2, 0.3, 0.4])
    assert scores.threshold_for(0.5) == (0.2001, 0.5)
    assert scores.threshold_for(0.1) == (0.4001, 0.0)
    assert scores.share_from(0.3) == 0.5
    assert score_table(histogram([0.1, 0.2]), histogram([])) is None


def test_extrapolation_is_named_and_bounded() -> None:
    table = score_table(histogram(GOLDEN["impostor"]), histogram([]))
    assert table is not None
    last, before = table.points[-1], table.points[-2]
    assert extrapolated(table, last.fmr, 0) == (pytest.approx(last.cosine), "table")
    assert extrapolated(table, 0.9, 0) == (table.points[0].cosine, "table")
    found = extrapolated(table, last.fmr**2 / before.fmr, 1)
    assert found == (pytest.approx(2 * last.cosine - before.cosine), "extrapolated")
    assert extrapolated(table, last.fmr / 20, 1) is None


def test_every_pair_counts_once_in_blocks_of_any_size() -> None:
    random = np.random.default_rng(0)
    e_ND, labels = unit(random, 1500), np.repeat(np.arange(750), 2)
    found = cross_scores(CrossPairs(e_ND=e_ND, label_N=labels, thumb_NP=unlike_thumbs(1500)))
    assert found.genuine.total == 750
    assert found.impostor.total == 1500 * 1499 // 2 - 750
    assert found.near_duplicates == 0
    upper = np.triu_indices(1500, 1)
    different = labels[upper[0]] != labels[upper[1]]
    expected = ScoreHistogram()
    expected.add((e_ND @ e_ND.T)[upper][different])
    # Products of other block shapes round otherwise: a score may fall one bin further.
    assert np.abs(np.cumsum(found.impostor.counts) - np.cumsum(expected.counts)).max() <= 3


def test_unlabelled_pictures_are_different_people_and_failures_take_no_part() -> None:
    e_ND = unit(np.random.default_rng(1), 5)
    e_ND[2] = np.nan
    labels = np.array([-1, -1, -1, 7, 7])
    found = cross_scores(CrossPairs(e_ND=e_ND, label_N=labels, thumb_NP=unlike_thumbs(5)))
    assert (found.impostor.total, found.genuine.total) == (5, 1)


def test_two_copies_of_a_photograph_are_left_out_and_counted() -> None:
    random = np.random.default_rng(2)
    e_ND = unit(random, 4)
    e_ND[1] = e_ND[0]  # alike and the same picture
    e_ND[3] = e_ND[2]  # alike, another picture: a false match that counts
    thumb = unlike_thumbs(4)
    thumb[1] = np.clip(thumb[0].astype(int) + 9, 0, 255)
    found = cross_scores(CrossPairs(e_ND=e_ND, label_N=np.full(4, -1), thumb_NP=thumb))
    assert found.near_duplicates == 1
    assert found.impostor.total == 5
    assert found.impostor.share_from(0.9999) == 1 / 5


def test_a_copy_is_known_in_other_light_and_encoded_again() -> None:
    thumb_NP = unlike_thumbs(2)
    slope = np.tile(2 * np.arange(28), 28)
    brighter = thumb_NP[:1] * 0.7 + slope
    again = np.clip(thumb_NP[:1] + np.random.default_rng(4).integers(-9, 10, (1, 784)), 0, 255)
    first = details(thumb_NP[:1])
    assert is_same_photograph(first, details(np.concatenate([brighter, again]))).all()
    assert not is_same_photograph(first, details(thumb_NP[1:])).any()
    flat = details(np.full((1, 784), 100, dtype=np.uint8))
    assert not is_same_photograph(flat, flat).any()


def test_thumbnails_are_grey() -> None:
    crop = np.full((112, 112, 3), 77, dtype=np.uint8)
    assert (thumbnails([crop, crop]) == 77).all()
    assert thumbnails([]).shape == (0, 784)


def test_the_worst_group_is_named() -> None:
    random = np.random.default_rng(3)
    spread, alike = unit(random, 300), unit(random, 300)
    alike[:, 0] += 0.6  # all share a direction
    alike /= np.linalg.norm(alike, axis=1, keepdims=True)
    pairs = CrossPairs(
        e_ND=np.concatenate([spread, alike]),
        label_N=np.full(600, -1),
        thumb_NP=unlike_thumbs(600),
        group_N=np.array(["spread"] * 290 + [""] * 10 + ["alike"] * 300),
    )
    report = calibration_report(cross_scores(pairs))
    assert [group.group for group in report.groups] == ["alike", "spread"]
    assert report.worst == "alike"
    assert [group.pairs for group in report.groups] == [300 * 299 // 2, 290 * 289 // 2]
    assert report.groups[0].fmr > report.groups[0].at_fmr > report.groups[1].fmr
    assert report.groups[0].table is not None


def test_too_few_pairs_are_said() -> None:
    pairs = CrossPairs(
        e_ND=unit(np.random.default_rng(0), 4), label_N=np.full(4, -1), thumb_NP=unlike_thumbs(4)
    )
    with pytest.raises(ValueError, match="6 pairs of different people are too few"):
        calibration_report(cross_scores(pairs))
    with pytest.raises(ValueError, match="differ in length"):
        CrossPairs(e_ND=np.zeros((2, 3)), label_N=np.zeros(3), thumb_NP=np.zeros((2, 784)))
