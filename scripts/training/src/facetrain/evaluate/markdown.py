"""Reports in Markdown."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from facetrain.evaluate.report import header_markdown, percent, table

if TYPE_CHECKING:
    from facetrain.evaluate.command import Variant, Verification


def verification_markdown(content: Mapping[str, Any], found: "Verification") -> str:
    """Of a verification set: a table per variant, conventions, plots."""
    failures = ", ".join(f"{count} {reason}" for reason, count in found.failures.items())
    report = found.variants[0].report
    parts = [
        f"# {content['set']}: verification\n",
        header_markdown(content["header"], content["embedder"]),
        f"\n{report.same_pairs} pairs of one person, {report.different_pairs} of two; "
        f"{found.pictures} pictures ({content['crops']}), not acquired: {failures or 'none'} "
        f"({report.failed_same} and {report.failed_different} pairs).\n",
    ]
    parts += [_variant(variant) for variant in found.variants]
    parts += ["## Conventions\n"]
    parts += [
        f"- {name.replace('_', ' ')}: {text}\n" for name, text in content["conventions"].items()
    ]
    parts += ["\n![DET](det.png) ![scores](scores.png)\n"]
    return "\n".join(parts[:3]) + "\n" + "\n".join(parts[3:-1]) + parts[-1]


def _variant(variant: "Variant") -> str:
    report = variant.report
    rows = [
        [
            f"accuracy, {len(report.folds)} folds",
            f"{percent(report.mean)} ± {percent(report.std)}",
            _interval(variant, "accuracy"),
            "",
        ]
    ]
    for at in report.tar_at_far:
        support = "" if at.supported else " (too few: rule of 30)"
        rows.append(
            [
                f"TAR at FAR {at.far:g}",
                percent(at.tar),
                _interval(variant, f"tar@{at.far:g}"),
                f"threshold {at.threshold:.4f}, {at.false_accepts} of {at.impostors} "
                f"impostor pairs{support}",
            ]
        )
    rows.append(
        ["equal error rate", percent(variant.equal_error_rate), _interval(variant, "eer"), ""]
    )
    auc = variant.intervals["auc"]
    rows.append(
        [
            "area under the curve",
            f"{variant.area_under_curve:.5f}",
            f"{auc.low:.5f} to {auc.high:.5f}",
            "",
        ]
    )
    identities = variant.intervals["accuracy"].identities
    text = f"## {'With' if variant.flip else 'Without'} the mirrored crop\n\n"
    text += table(["figure", "value", f"interval over {identities} identities", ""], rows)
    for column, groups in variant.groups.items():
        text += f"\n### By {column}, at threshold {groups.threshold:.4f}\n\n"
        text += f"Worst FMR: {groups.worst_fmr}; worst FNMR: {groups.worst_fnmr}.\n\n"
        text += table(
            ["group", "impostor pairs", "FMR", "genuine pairs", "FNMR"],
            [
                [
                    g.group,
                    str(g.impostors),
                    percent(g.fmr, 3) + ("" if g.fmr_supported else " (few)"),
                    str(g.genuine),
                    percent(g.fnmr),
                ]
                for g in groups.groups
            ],
        )
    return text


def _interval(variant: "Variant", figure: str) -> str:
    found = variant.intervals[figure]
    return f"{percent(found.low)} to {percent(found.high)}"
