"""The summary of several benches side by side, from what `aleaseg bench` wrote.

    python benchmarks/detection.py BENCH [BENCH ...] [--commit]

Prints the tables of detection.md; with --commit copies each BENCH/bench.md beside this
file as detection_NAME.md. The conclusions in detection.md are a reader's.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pandas as pd

from aleaseg.pages.markdown import table_markdown
from aleaseg.pages.tables import frame_table
from aleaseg.run import read_table

HERE = Path(__file__).parent
SHOWN = (
    "doubt",
    "image_doubt",
    "label_doubt",
    "oof_dice",
    "softmin",
    "el2n",
    "mahalanobis",
    "tta_dice",
    "own_dice/foreground",
)
AUV = ("auv", "auv/official", "auv/foreground", "auv/two_sided", "auv/own", "auv/own_foreground")


def cell(row: pd.Series) -> str:
    return f"{row['auroc']:.3f} ({row['auroc_low']:.2f}-{row['auroc_high']:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("benches", nargs="+", type=Path)
    parser.add_argument("--commit", action="store_true")
    given = parser.parse_args()
    goal, every, weak, alarms = [], [], [], []
    for bench in given.benches:
        name = bench.name
        detection, differences = read_table(bench / "detection.csv"), read_table(bench / "differences.csv")
        cases = read_table(bench / "cases.csv")
        found = detection.set_index(["measure", "target"])
        draws = ", ".join(map(str, sorted(cases["draw"].unique())))
        published = detection[~detection["measure"].str.contains("doubt|adjusted|two_sided|own_dice")]
        for target in ("both", "masks", "images"):
            best = (
                published[published["target"] == target]
                .dropna(subset="auroc")
                .sort_values("auroc")
                .iloc[-1]["measure"]
            )
            between = differences[(differences["baseline"] == best) & (differences["target"] == target)]
            row = between.iloc[0]
            goal.append(
                {
                    "data": name,
                    "draws": draws,
                    "faults": target,
                    "doubt": cell(found.loc[("doubt", target)]),
                    "best published": f"{best} {found.loc[(best, target)]['auroc']:.3f}",
                    "difference": f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})",
                }
            )
        every += [
            {
                "data": name,
                "measure": measure,
                **{t: cell(found.loc[(measure, t)]) for t in ("masks", "images", "both")},
                "AP": f"{found.loc[(measure, 'both')]['ap']:.3f}",
            }
            for measure in (*SHOWN, *AUV)
        ]
        faults = detection[(detection["measure"] == "doubt") & (detection["auroc"] < 0.95)]
        weak += [
            {"data": name, "fault": row["target"], "n": row["n_faulty"], "AUROC": f"{row['auroc']:.3f}"}
            for row in faults.sort_values("auroc").to_dict("records")
            if row["target"] not in ("both", "masks", "images")
        ]
        clean = cases["axis"] == "clean"
        high = cases["doubt"] > 0.5
        alarms.append(
            {
                "data": name,
                "clean above 0.5": f"{high[clean].mean():.1%}",
                "faulty above 0.5": f"{high[~clean].mean():.1%}",
            }
        )
        if given.commit:
            shutil.copy(bench / "bench.md", HERE / f"detection_{name}.md")
    for title, rows in (("goal", goal), ("measures", every), ("weak", weak), ("alarms", alarms)):
        print(f"\n## {title}\n")
        print("\n".join(table_markdown(frame_table(pd.DataFrame(rows)))))


if __name__ == "__main__":
    main()
