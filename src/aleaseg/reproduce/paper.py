"""The numbers of arXiv 2604.10963 that our tables stand beside, in percent; and where the paper contradicts itself.

What is not here is printed in the paper as well, but could not be read by us: the table shows a dash.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FOOTNOTES", "PAPER", "POINTS"]

# nnU-Net on all cases: the first row of Table 1 and of Table 2.
_BASE = {"LiTS": 82.96, "TotalSegmentator": 80.34, "WORD": 79.03, "FeTA22": 84.30, "KiTS23": 70.15}
# (table, row, column) -> number. Columns of Tables 1 and 2: "<data set> Dice", "<data set> mIoU", "Mean".
PAPER: Mapping[tuple[str, str, str], float] = {
    **{("table1", "all cases", f"{name} Dice"): value for name, value in _BASE.items()},
    **{
        ("table1", "MedSAM2, 90%", f"{name} Dice"): value
        for name, value in (
            ("LiTS", 85.45),
            ("TotalSegmentator", 81.65),
            ("WORD", 81.74),
            ("FeTA22", 84.59),
            ("KiTS23", 70.57),
        )
    },
    ("table1", "all cases", "Mean"): 75.10,
    ("table1", "variance, 95%", "Mean"): 75.19,
    ("table1", "variance, 90%", "Mean"): 75.39,
    ("table1", "nnU-Net, 95%", "Mean"): 75.33,
    ("table1", "nnU-Net, 90%", "Mean"): 75.17,
    ("table1", "CLIP-Driven, 95%", "Mean"): 75.03,
    ("table1", "CLIP-Driven, 90%", "Mean"): 75.18,
    ("table1", "SegVol, 95%", "Mean"): 75.73,
    ("table1", "SegVol, 90%", "Mean"): 76.11,
    ("table1", "MedSAM2, 95%", "Mean"): 75.73,
    ("table1", "MedSAM2, 90%", "Mean"): 76.45,
    **{("table2", "nnU-Net", f"{name} Dice"): value for name, value in _BASE.items()},
    ("table2", "nnU-Net", "Mean"): 75.10,
    ("table2", "nnU-Net + DUO", "Mean"): 75.69,
    ("table2", "Swin-UNETR", "Mean"): 73.09,
    ("table2", "Swin-UNETR + DUO", "Mean"): 73.64,
    ("table2", "U-Mamba", "Mean"): 74.13,
    ("table2", "U-Mamba + DUO", "Mean"): 74.66,
    ("table3", "baseline", "90% of the data"): 69.31,
    ("table3", "baseline", "+ DUO"): 69.31,
    ("table3", "Fisher", "90% of the data"): 70.17,
    ("table3", "Fisher", "+ DUO"): 70.01,
    ("table3", "MD", "90% of the data"): 69.78,
    ("table3", "MD", "+ DUO"): 69.28,
    ("table3", "EAOA", "90% of the data"): 70.41,
    ("table3", "S", "90% of the data"): 74.28,
    ("table3", "S", "+ DUO"): 71.66,
    ("table5", "baseline", "95%"): 69.31,
    ("table5", "baseline", "90%"): 69.31,
    ("table5", "(a) raw, all classes", "95%"): 69.47,
    ("table5", "(a) raw, all classes", "90%"): 73.35,
    ("table5", "(b) raw, one class", "95%"): 69.76,
    ("table5", "(b) raw, one class", "90%"): 72.38,
    ("table5", "(c) normalised, all classes", "95%"): 70.03,
    ("table5", "(c) normalised, all classes", "90%"): 74.28,
    ("table5", "(d) normalised, one class", "95%"): 70.26,
    ("table5", "(d) normalised, one class", "90%"): 73.74,
    ("table6", "baseline", "target Dice"): 69.31,
    ("table6", "EN", "target Dice"): 69.87,
    ("table6", "RW", "target Dice"): 71.37,
    ("table6", "EN + RW (DUO)", "target Dice"): 71.66,
    ("sweep_ratio", "100%", "target Dice"): 69.31,
    ("sweep_ratio", "95%", "target Dice"): 70.03,
    ("sweep_ratio", "90%", "target Dice"): 74.28,
}

# Table 4: correlations, not percent.
POINTS: Mapping[tuple[str, str], float] = {
    ("S", "Pearson"): 0.6267,
    ("S", "Spearman"): 0.7471,
    ("Fisher", "Pearson"): 0.4402,
    ("Fisher", "Spearman"): 0.6623,
    ("MD", "Pearson"): 0.3620,
    ("MD", "Spearman"): 0.4618,
}

_SEEDS = "The paper reports no seeds and no intervals; gains of 0.3 to 0.6 may be within the variation between seeds."
_MEAN = (
    "The paper's Mean averages all ten columns, Dice and mIoU together (it holds for all its rows to 0.01); so does "
    "ours, over the columns that there are. Of Dice alone its baseline is 79.36."
)
_IOU = (
    "The paper's mIoU is not the Jaccard index of the masks whose Dice it reports: of LiTS it implies about 87.2 for "
    "a liver Dice of 96.6, where the mean over cases must be at least 93.4. Ours is computed from the same masks."
)
FOOTNOTES: Mapping[str, tuple[str, ...]] = {
    "table1": (_MEAN, _IOU, _SEEDS),
    "table2": (_MEAN, _IOU, _SEEDS),
    "table3": (
        _SEEDS,
        "The paper gives the other measures no form for segmentation; ours are described under docs/measures. In "
        "their DUO a measure of the batch's own logits replaces S. EAOA has no score of a class, neither in the paper "
        "nor here.",
    ),
    "table4": (
        "The paper does not say what its points are. All six of its p-values are those of a t-test with n = 16, and "
        "WORD has 16 organs: so a point is a class, its mean S against its mean Dice.",
    ),
    "table5": (
        "In the paper's row (b) the gain at 90% is printed as +2.53; 72.38 minus 69.31 is 3.07.",
        "The paper's mIoU differences imply a baseline of 60.45 at 90% and of 59.31 at 95%; its LiTS totals support "
        "59.31.",
        "Only (c) is certain: 74.28 is the default of Table 3, and (96.61 + 74.28) / 2 is the 85.45 of Table 1. The "
        "order of the others follows the text.",
        _SEEDS,
    ),
    "table6": (
        "The paper's column of parameters adds 0.01 M to RW and nothing to EN, which owns the noise head: its row "
        "labels look swapped there.",
        "The paper's liver Dice is 96.59 to 96.61 in all four rows.",
        _SEEDS,
    ),
    "sweep": (
        "The sweeps are in an appendix that we could not read: numbers next to ours are those of the other tables.",
        _SEEDS,
    ),
}
