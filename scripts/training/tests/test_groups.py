import numpy as np

from facetrain.evaluate.groups import group_report
from facetrain.evaluate.verification import ScoredPairs


def test_rates_by_hand() -> None:
    #         score  same   first second
    rows = [
        (0.9, True, "x", "x"),
        (0.2, True, "x", "x"),
        (0.8, False, "x", "x"),
        (0.1, False, "x", "x"),
        (0.7, True, "y", "y"),
        (0.3, False, "y", "y"),
        (0.9, False, "x", "y"),  # across groups: in nobody's rate
        (np.nan, True, "z", "z"),  # a failure to acquire is a false non-match
        (0.9, True, "", ""),
    ]
    scored = ScoredPairs(
        np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows]),
        np.zeros(len(rows), dtype=np.int64),
    )
    report = group_report(
        scored, np.array([row[2] for row in rows]), np.array([row[3] for row in rows]), 0.5
    )
    assert [(g.group, g.fmr, g.fnmr) for g in report.groups] == [
        ("x", 0.5, 0.5),
        ("y", 0.0, 0.0),
        ("z", None, 1.0),
    ]
    assert (report.worst_fmr, report.worst_fnmr) == ("x", "z")
    assert not report.groups[0].fmr_supported
