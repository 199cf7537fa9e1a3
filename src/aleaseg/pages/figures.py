"""The data behind the paper's figures (arXiv 2604.10963)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from aleaseg.run import Run, file_name

__all__ = ["auv_histograms", "spectra"]

_BINS = 25
_ENTIRE = ""  # stands for the whole case among class names


def auv_histograms(cases: pd.DataFrame, scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Counts of AUV in 25 bins over [0, 1], entire and per class (Figure 6).

    Returns:
        One entry for each with any AUV: `class` (empty: entire), `counts`, `n`, `median`.
    """
    groups: list[tuple[str, Any]] = [(_ENTIRE, cases["auv"])] if "auv" in cases else []
    if "auv" in scores:
        groups += [(str(name), group["auv"]) for name, group in scores.groupby("class", sort=False)]
    result = []
    for name, column in groups:
        known = pd.to_numeric(column, errors="coerce").dropna().to_numpy(dtype=np.float64)
        if known.size:
            counts, _ = np.histogram(known, bins=_BINS, range=(0, 1))
            median = float(np.median(known))
            result.append(
                {"class": name, "counts": counts.tolist(), "n": int(known.size), "median": median}
            )
    return result


def spectra(run: Run, scores: pd.DataFrame) -> list[dict[str, Any]]:
    """The fastest, second fastest, second slowest and slowest decaying spectrum of each class (Figure 2).

    Decay is ordered by S, the normalised entropy of the spectrum (Eq. 5): the
    lower, the faster the energies fall. Only these four records are read.

    Returns:
        One entry per class with at least four cases: `class`, and `curves` of
        `case`, `which`, `s` (S) and `energies` (p_1 >= p_2 >= ..., sum 1).
    """
    if "perception_scale" not in scores:
        return []
    known = scores.dropna(subset=["perception_scale"])
    known = known[known["perception_scale"] > 0]
    result = []
    for name, group in known.groupby("class", sort=False):
        ranked = group.sort_values("perception_scale", kind="stable")
        if len(ranked) < 4:
            continue
        curves = []
        places = {"fastest": 0, "second fastest": 1, "second slowest": -2, "slowest": -1}
        for which, place in places.items():
            case = str(ranked["case"].iloc[place])
            energies = run.spectra(case).get(str(name))
            if energies:
                s = float(ranked["perception_scale"].iloc[place])
                curves.append(
                    {"case": case, "hash": file_name(case), "which": which, "s": s, "energies": energies}
                )
        if curves:
            result.append({"class": str(name), "curves": curves})
    return result
