from pathlib import Path

import numpy as np
import pytest

from facetrain.evaluate.template_protocol import (
    TemplatePairs,
    media_averaged,
    read_template_media,
    read_template_pairs,
    score_template_pairs,
    template_tar_at_far,
)


def unit(*values: float) -> np.ndarray:
    return np.array(values) / np.linalg.norm(values)


def test_a_long_video_weighs_no_more_than_a_photograph() -> None:
    e_ND = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 2]], dtype=np.float32)
    template, medium = np.array([5, 5, 5, 5, 3]), np.array([1, 1, 1, 2, 1])
    found = media_averaged(e_ND, template, medium)
    assert found.id_T.tolist() == [3, 5]
    np.testing.assert_allclose(found.e_TD, np.stack([unit(0, 1), unit(1, 1)]), atol=1e-7)


def test_length_weighs_only_when_asked() -> None:
    e_ND = np.array([[3, 0], [0, 1]], dtype=np.float32)
    ids, media = np.array([1, 1]), np.array([1, 2])
    np.testing.assert_allclose(media_averaged(e_ND, ids, media).e_TD[0], unit(1, 1), atol=1e-7)
    weighed = media_averaged(e_ND, ids, media, unit_pictures=False)
    np.testing.assert_allclose(weighed.e_TD[0], unit(3, 1), atol=1e-7)


def test_pictures_without_a_face_are_left_out_and_empty_templates_are_never_accepted() -> None:
    e_ND = np.array([[np.nan, np.nan], [0, 1], [np.nan, np.nan]], dtype=np.float32)
    found = media_averaged(e_ND, np.array([1, 1, 2]), np.array([1, 1, 1]))
    assert found.failed == 1
    pairs = TemplatePairs(np.array([1, 1]), np.array([1, 2]), np.array([True, True]))
    scores = score_template_pairs(found, pairs)
    assert scores[0] == 1
    assert np.isnan(scores[1])
    scores, same = np.append(scores, [0.0, 0.5]), np.array([True, True, False, False])
    # Everything that has a score is accepted at FAR 1.
    assert [rate.tar for rate in template_tar_at_far(scores, same, (1.0, 0.5, 1e-6))] == [0.5] * 3


def test_tar_by_hand() -> None:
    score = np.array([0.9, 0.6, 0.3, 0.5, 0.2, 0.1, 0.4])
    same = np.array([True, True, True, False, False, False, False])
    at = template_tar_at_far(score, same, (0.25, 1e-6))
    assert [(rate.threshold, rate.tar, rate.impostors) for rate in at] == [
        (0.4, 2 / 3, 4),
        (0.5, 2 / 3, 4),
    ]


def test_reads_its_files_and_says_what_is_wrong(tmp_path: Path) -> None:
    media, pairs = tmp_path / "media.txt", tmp_path / "pairs.txt"
    media.write_text("1.jpg 1 69544\n2.jpg 1 -1\n")
    pairs.write_text("1 11065 1\n1 11066 0\n")
    names, templates, mediums = read_template_media(media)
    assert (names, templates.tolist(), mediums.tolist()) == (
        ["1.jpg", "2.jpg"],
        [1, 1],
        [69544, -1],
    )
    assert read_template_pairs(pairs).same_P.tolist() == [True, False]
    pairs.write_text("1 2 1\n1 2\n")
    with pytest.raises(ValueError, match="line 2: expected `TEMPLATE TEMPLATE"):
        read_template_pairs(pairs)
    templates = media_averaged(np.eye(2, dtype=np.float32), np.array([1, 2]), np.array([1, 1]))
    with pytest.raises(ValueError, match="names template 9"):
        score_template_pairs(
            templates, TemplatePairs(np.array([1]), np.array([9]), np.array([True]))
        )
