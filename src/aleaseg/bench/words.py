"""What a reader of a bench is told, on the page and in Markdown alike: its head, captions and definitions."""

from __future__ import annotations

from collections.abc import Mapping

from aleaseg.bench.charts import SERIES
from aleaseg.bench.result import BenchResult
from aleaseg.bench.shown import counts
from aleaseg.corruption import FAULTS, Corruption
from aleaseg.pages.numbers import in_words, number
from aleaseg.scoring.catalogue import MEASURES

__all__ = [
    "CAPTIONS",
    "CONFOUND_TITLES",
    "MEASURED",
    "ON_THE_PAGE",
    "READ",
    "definition",
    "eyes",
    "fault_words",
    "head",
]

MEASURED = (
    "Known faults were put into masks and images in memory, networks were fitted to the faulty data, and every "
    "measure said how doubtful each case is. AUROC is how often it puts a faulty case above a clean one: 0.5 is "
    "chance, 1 finds them all, and well below 0.5 it points the wrong way."
)
READ = (
    "A measure that sees the image alone cannot find a fault of the mask: it is at chance there by construction "
    "(column “sees”), with one exception: maps are averaged over the classes that the mask has, so a dropped "
    "class changes the average. A measure that is computed from another network gives other numbers."
)
CAPTIONS: Mapping[str, str] = {
    "measures": (
        "The highest AUROC for both first. Every measure is oriented so that high = doubtful. AUROC, AP, "
        "precision and lift: high = better; FPR95: low = better. precision@k (P@k) and lift look at the first "
        "k, the number of faulty cases. AP, P@k, lift and FPR95 are for both. With every AUROC its 95% interval over "
        "groups of cases and draws. Bold: ours. “–”: no number for more than half of the cases; fewer without one "
        "stand in the middle."
    ),
    "best": (
        "AUROC of doubt minus that of the best published measure, on the same resamples. It was "
        "picked with the result at hand, which favours it. Above 0: doubt finds more. An interval that includes 0 "
        "decides nothing."
    ),
    "faults": (
        "AUROC of the cases with one fault against the clean ones. Look along a row for what a measure misses, "
        "down a column for faults that nobody finds. 1: finds them all; 0.5: chance; well below: such cases look "
        "better than clean ones. One fault has few cases (n): differences of 0.1 may be chance."
    ),
    "swap_in": (
        "Each fault at each strength, put into clean cases of a fitted draw. AUROC from 0 to 1, high = found, "
        "0.5 is chance. How far a fault went: mean Dice of the clean and the faulty mask, or PSNR of the image. "
        "Look for measures that leave 0.5 at the weakest strength."
    ),
    "ranks": (
        "Spearman's correlation of the measures, mean over the draws; measures with similar ranks are side by side. "
        "Near 100: nearly the same measure, and nothing is gained by having both. Below 0: they point in opposite "
        "directions. Numbers are times 100."
    ),
    "dice": (
        "Each measure against the Dice of the out-of-fold prediction and the clean mask. Below 0 = good: doubt "
        "is high where the prediction fails. The strongest first; 95% intervals over groups of cases."
    ),
    "confounds": (
        "Spearman's correlation with what a measure should not follow, clean cases only. 0 = does not follow "
        "it; 0.3 or more in either direction is bold: read such a measure with size in mind. “–”: it does not vary."
    ),
}
ON_THE_PAGE: Mapping[str, str] = {
    "measures": "Grey bar: the interval of both.",
    "faults": "Blue: above 0.5; red: below.",
    "swap_in": "Right: stronger. Up: higher AUROC; dashed: 0.5. Under each strength how far the fault went.",
    "ranks": "Blue: above 0, red: below.",
    "confounds": "Blue: above 0; red: below.",
}
"""What only colour and drawing need to have said."""
CONFOUND_TITLES: Mapping[str, str] = {
    "volume_mm3": "mask volume",
    "fov_mm3": "field of view",
    "depth": "slices",
    "spacing_mm": "slice distance",
    "n_classes": "classes",
}


def head(result: BenchResult) -> list[tuple[str, str]]:
    """What was measured, on what, and how: a title and a text each."""
    about, found = result.about, counts(result.cases)
    missing = {name: share for name, share in (about.get("missing") or {}).items() if share > 0}
    gone = ", ".join(f"{name} {number(100 * share, '.0f')}%" for name, share in sorted(missing.items()))
    draws, steps, share = about.get("draws"), about.get("steps"), about.get("share")
    rows = [
        ("data set", str(about.get("dataset", ""))),
        ("cases", str(about.get("cases", ""))),
        ("classes", in_words(about.get("classes", ""))),
        ("draws (seeds)", in_words("" if draws is None else draws)),
        ("share faulty", "" if share is None else f"{number(100 * share, '.3g')}%"),
        (
            "of all draws together",
            f"{found.get('clean', 0)} clean cases, {found.get('mask', 0)} with a fault of the mask, "
            f"{found.get('image', 0)} with one of the image",
        ),
        ("folds", str(about.get("folds", ""))),
        ("steps of each fold", "by a rule on the data" if steps is None else in_words(steps)),
        ("not possible on this data", in_words(about.get("impossible") or "no fault")),
        ("cases without a number", gone or "none"),
        ("command", str(about.get("command", ""))),
        ("machine", in_words(about.get("machine", ""))),
        ("date", str(about.get("date", ""))),
        ("versions", in_words(about.get("versions", ""))),
    ]
    return [(title, text) for title, text in rows if text]


def eyes() -> str:
    """Through which eye the measures look that are followed over the strengths."""
    return "Computed from: " + "; ".join(f"{name}: {MEASURES[name].eye}" for name in SERIES) + "."


def definition(name: str) -> tuple[str, ...]:
    """A measure, what it is, its direction, what it sees, its eye, its source, and its page in the docs."""
    measure = MEASURES[name]
    direction, page = measure.direction.value, f"{measure.page}.md"
    return name, measure.text, direction, measure.sight, measure.eye, measure.source, page


def fault_words(name: str, result: BenchResult) -> tuple[str, ...]:
    """A fault, of what, what it is, its strengths, and how often it was dealt."""
    fault, found = FAULTS[name], counts(result.cases)
    impossible = name in (result.about.get("impossible") or ()) and name not in found
    dealt = "not possible" if impossible else str(found.get(name, 0))
    return name, fault.axis, fault.text, _strengths(fault), dealt


def _strengths(fault: Corruption) -> str:
    if set(fault.strengths) == {"medium"}:
        return "not graded"
    levels = ", ".join(f"{level} {strength:g}" for level, strength in fault.strengths.items())
    return f"{levels}: {fault.unit}"
