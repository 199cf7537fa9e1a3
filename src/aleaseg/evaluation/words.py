"""What a reader of a comparison is told, on the page, in Markdown and in the terminal alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aleaseg.evaluation.columns import metrics_in
from aleaseg.metrics.paired import FEWEST_GROUPS
from aleaseg.pages.numbers import interval, number

__all__ = ["READ", "difference_form", "form_of", "overview", "sentence", "title_of", "tolerances_in_words"]

READ = (
    "A difference is the second minus the first, case by case wherever both have a number, averaged over cases "
    "and then over classes. The interval is a bootstrap over groups of cases (a patient's scans are one group), 95% "
    "for each row by itself: of twenty rows without any real difference, one excludes 0 by chance. p is Wilcoxon's "
    "signed-rank test over groups. Where the interval includes 0, nothing is claimed. If each comes from one training, "
    "another seed may reverse a small difference: no interval here accounts for that."
)


def title_of(metric: str) -> str:
    """A metric as tables name it.

    >>> title_of("hd95_mm"), title_of("aurc/doubt")
    ('HD95 (mm)', 'AURC by doubt')
    """
    if metric.startswith("aurc/"):
        return f"AURC by {metric.removeprefix('aurc/')}"
    return metrics_in([metric])[metric].title


def form_of(metric: str) -> str:
    """How a number of a metric is written."""
    found = metrics_in([metric])
    return found[metric].form if found else ".3f"


def difference_form(row: Mapping[str, Any]) -> str:
    """How a difference and its interval are written: in as many decimals as show a claim's interval to leave out 0.

    >>> row = {"metric": "dice", "difference": 0.011, "low": 0.0003, "high": 0.022}
    >>> difference_form({**row, "verdict": "better"}), difference_form({**row, "verdict": "no claim"})
    ('+.4f', '+.3f')
    """
    decimals = int(form_of(row["metric"])[1:-1])
    if row["verdict"] in ("better", "worse"):
        nearest = min(abs(row["low"]), abs(row["high"]))
        while decimals < 9 and round(nearest, decimals) == 0:
            decimals += 1
    return f"+.{decimals}f"


def sentence(row: Mapping[str, Any]) -> str:
    """What one row of comparison.csv lets one say.

    >>> row = {"first": "a", "second": "b", "metric": "dice", "class": "all", "groups": 30}
    >>> sentence({**row, "difference": 0.02, "low": 0.01, "high": 0.03, "verdict": "better"})
    'b is better than a: its Dice is 0.020 higher (95% interval +0.010 to +0.030).'
    >>> sentence({**row, "difference": 0.02, "low": -0.01, "high": 0.03, "verdict": "no claim"})
    'No claim: the Dice of b is 0.020 higher than that of a, but the interval, −0.010 to +0.030, includes 0.'
    """
    first, second = row["first"], row["second"]
    title, form = title_of(row["metric"]), difference_form(row)
    if row["class"] != "all":
        title = f"{title} of {row['class']}"
    how = "higher" if row["difference"] > 0 else "lower"
    by = f"{number(abs(row['difference']), form.lstrip('+'))} {how}"
    spread = interval(row["low"], row["high"], form)
    match row["verdict"]:
        case "same":
            return f"No difference: {first} and {second} have the same {title} in every case."
        case "too few":
            return (
                f"No claim: the {title} of {second} is {by} than that of {first}, but {row['groups']} groups of cases "
                f"are too few for an interval (at least {FEWEST_GROUPS})."
            )
        case "no claim":
            holds = f"but the interval, {spread}, includes 0."
            return f"No claim: the {title} of {second} is {by} than that of {first}, {holds}"
    return f"{second} is {row['verdict']} than {first}: its {title} is {by} (95% interval {spread})."


def overview(rows: Iterable[Mapping[str, Any]]) -> str:
    """Over all classes: in which metrics the second is better, worse, or neither; of rows of one pair."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["class"] == "all":
            found.setdefault(row["verdict"], []).append(title_of(row["metric"]))
    names = {
        "better": "Better",
        "worse": "Worse",
        "no claim": "No claim",
        "same": "The same",
        "too few": "Too few cases for a claim",
    }
    said = [f"{text}: {', '.join(found[key])}" for key, text in names.items() if key in found]
    return f"Over all classes. {'. '.join(said)}."


def tolerances_in_words(by_class: Mapping[str, float]) -> str:
    """NSD's tolerance of each class.

    >>> tolerances_in_words({"liver": 1.0, "tumour": 1.0}), tolerances_in_words({"liver": 1.0, "tumour": 2.0})
    ('1 mm', 'liver 1 mm, tumour 2 mm')
    """
    if len(set(by_class.values())) == 1:
        return f"{next(iter(by_class.values())):g} mm"
    return ", ".join(f"{name} {mm:g} mm" for name, mm in by_class.items())
