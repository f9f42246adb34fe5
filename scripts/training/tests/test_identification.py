import numpy as np
import pytest

from facetrain.evaluate.identification import Searches, by_gallery_size, fnir_at_fpir, search


def angle(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


GALLERY, PEOPLE = angle(0, 10, 90), np.array([1, 1, 2])


def test_search_takes_the_best_template_of_each_person() -> None:
    found = search(GALLERY, PEOPLE, angle(12, 60, 45), np.array([1, 1, 9]))
    np.testing.assert_allclose(found.best_Q, np.cos(np.radians([2, 30, 35])), atol=1e-6)
    assert found.hit_Q.tolist() == [True, False, False]
    assert found.mated_Q.tolist() == [True, True, False]


def test_rates_by_hand() -> None:
    best = np.array([0.9, 0.8, 0.3, 0.95, 0.7, 0.5, 0.4, 0.2], dtype=np.float32)
    hit = np.array([True, True, True, False, False, False, False, False])
    mated = np.array([True, True, True, True, False, False, False, False])
    searches = Searches(best, hit, mated)
    none = fnir_at_fpir(searches, 0.0)  # just above 0.7: two of four found
    assert none.threshold == pytest.approx(0.7)
    assert (none.fnir, none.false_positives, none.strangers) == (0.5, 0, 4)
    half = fnir_at_fpir(searches, 0.5)  # just above 0.4; the fourth is somebody else's at any score
    assert (half.fnir, half.false_positives) == (0.5, 2)
    assert fnir_at_fpir(searches, 1.0).fnir == 0.25
    assert not none.supported


def test_failures_to_acquire_are_misses_and_no_false_positives() -> None:
    probe = np.concatenate([angle(1), np.full((2, 2), np.nan, dtype=np.float32), angle(45)])
    found = search(GALLERY, PEOPLE, probe, np.array([1, 1, 9, 9]))
    rate = fnir_at_fpir(found, 0.0)
    assert (rate.fnir, rate.strangers, rate.false_positives) == (0.5, 2, 0)


def test_people_who_are_not_drawn_into_a_gallery_are_strangers_to_it() -> None:
    random = np.random.default_rng(0)
    centres = random.normal(size=(60, 8))
    people = np.repeat(np.arange(60), 2)
    templates = centres[people] + 0.8 * random.normal(size=(120, 8))
    templates = (templates / np.linalg.norm(templates, axis=1, keepdims=True)).astype(np.float32)
    gallery, probes = np.arange(0, 100, 2), np.arange(1, 120, 2)  # people 50 to 59 never enrolled
    sizes = by_gallery_size(
        templates[gallery],
        people[gallery],
        templates[probes],
        people[probes],
        sizes=[50, 10],
        fpirs=[0.1],
    )
    assert [(size.identities, size.mated) for size in sizes] == [(10, 10), (50, 50)]
    small, large = (size.fnir_at_fpir[0] for size in sizes)
    assert (small.strangers, large.strangers) == (50, 10)
    with pytest.raises(ValueError, match="1 to 50 people"):
        by_gallery_size(
            templates[gallery],
            people[gallery],
            templates[probes],
            people[probes],
            sizes=[51],
            fpirs=[],
        )


def test_needs_both_kinds_of_probes() -> None:
    with pytest.raises(ValueError, match="there are 1 and 0"):
        fnir_at_fpir(search(GALLERY, PEOPLE, angle(0), np.array([1])), 0.1)
