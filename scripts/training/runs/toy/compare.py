"""The distilled student against the same student alone, over seeds: Markdown and JSON.

    compare.py REPORTS --seeds 1 2 3

Reads `REPORTS/{alone,distilled}-SEED/verification.json` and writes `REPORTS/comparison.md` and
`.json`. Two students of one seed share start and order of pictures, so their difference is taken
seed by seed.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

FIGURES = {"eer": "equal error rate", "auc": "area under the ROC", "tar": "TAR at FAR 1e-2"}
LOWER_IS_BETTER = {"eer"}
KINDS = ("alone", "distilled")
# Two-sided 95 % of Student's t by degrees of freedom: of so few seeds it is far from normal.
T_95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}


def figures_of(report: Path) -> dict[str, float]:
    """The compared figures of one evaluation."""
    variant = json.loads(report.read_text())["variants"][0]
    (at,) = (at for at in variant["report"]["tar_at_far"] if at["far"] == 0.01)
    return {
        "eer": variant["equal_error_rate"],
        "auc": variant["area_under_curve"],
        "tar": at["tar"],
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds; of one seed there is none."""
    return {
        "values": list(values),
        "mean": mean(values),
        "std": stdev(values) if len(values) > 1 else None,
    }


def compare(found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Figure → spread of both kinds, of the differences, and what may be said of them."""
    compared = {}
    for figure in FIGURES:
        values = {kind: [row[figure] for row in found[kind]] for kind in KINDS}
        pairs = zip(values["distilled"], values["alone"], strict=True)
        gained = [d - a for d, a in pairs]
        compared[figure] = {
            **{kind: spread(values[kind]) for kind in KINDS},
            "difference": spread(gained),
            "verdict": verdict(figure, gained),
        }
    return compared


def verdict(figure: str, gained: Sequence[float]) -> str:
    """What the differences distilled − alone allow to say."""
    better = mean(gained) if figure not in LOWER_IS_BETTER else -mean(gained)
    if better == 0:
        return "no difference"
    which = f"the student {'with' if better > 0 else 'without'} distillation is better on average"
    if len(gained) < 2:
        return f"{which}; one seed says nothing about how sure that is"
    error = T_95.get(len(gained) - 1, 1.96) * stdev(gained) / math.sqrt(len(gained))
    if abs(better) <= error:
        return f"{which}, within what seeds alone do (95 %: ± {error:.4f})"
    return f"{which}, by more than seeds alone do (95 %: ± {error:.4f})"


def markdown(compared: Mapping[str, Any], seeds: Sequence[int]) -> str:
    """The comparison as a table and a sentence per figure."""

    def cell(part: Mapping[str, Any], sign: str = "") -> str:
        std = "" if part["std"] is None else f" ± {part['std']:.4f}"
        return f"{part['mean']:{sign}.4f}{std}"

    lines = [
        "# Student with and without distillation",
        "",
        f"Mean ± standard deviation over {len(seeds)} seed(s) ({', '.join(map(str, seeds))}), on "
        "people held out. Teacher and people are the same for all seeds: how the figures would "
        "vary with other people is not in this spread, but in the intervals by identity of each "
        "student's report.",
        "",
        "| figure | alone | distilled | difference |",
        "| --- | --- | --- | --- |",
    ]
    for figure, title in FIGURES.items():
        parts = compared[figure]
        lines.append(
            f"| {title} | {cell(parts['alone'])} | {cell(parts['distilled'])} "
            f"| {cell(parts['difference'], '+')} |"
        )
    lines.append("")
    lines += [f"- {title}: {compared[figure]['verdict']}." for figure, title in FIGURES.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("reports", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    arguments = parser.parse_args()
    found = {
        kind: [
            figures_of(arguments.reports / f"{kind}-{seed}" / "verification.json")
            for seed in arguments.seeds
        ]
        for kind in KINDS
    }
    compared = compare(found)
    content = {"schema": 1, "seeds": arguments.seeds, "figures": compared}
    (arguments.reports / "comparison.json").write_text(json.dumps(content, indent=2) + "\n")
    text = markdown(compared, arguments.seeds)
    (arguments.reports / "comparison.md").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
