"""A run folder made of tables alone, and an nnU-Net preprocessed folder."""

import hashlib
import json

import pytest

from aleaseg.run import Run, write_json, write_table

HIGH = {"role": "score", "direction": "high = bad", "range": [0, 1]}
COLUMNS = {
    "doubt": HIGH,
    "label_doubt": HIGH,
    "image_doubt": HIGH,
    "auv": HIGH,
    "oof_dice": {"role": "measure", "direction": "low = bad"},
    "depth": {"role": "confound", "direction": "none"},
}
CASE_COLUMNS = (
    "case", "status", "group", "site", "doubt", "image_doubt", "label_doubt", "auv", "oof_dice",
    "reasons", "depth",
)  # fmt: skip
SCORE_COLUMNS = ("case", "class", "present", "auv", "oof_dice", "status")


@pytest.fixture
def make_run(tmp_path):
    """make_run(rows, scores=None, settings=..., files=...) -> Run. A row needs only its case."""

    def make(rows, scores=None, settings=None, layout="nnunet", classes=None):
        run = Run(tmp_path / "run")
        rows = [
            {"status": "ok", "group": "", "site": "", "reasons": "", "depth": 30, **row} for row in rows
        ]
        classes = classes or {"liver": [1], "lesion": [2]}
        if scores is None:
            scores = [
                {"case": row["case"], "class": name, "present": True, "auv": row.get("auv"), "status": "ok"}
                for row in rows
                for name in classes
                if row["status"] == "ok"
            ]
        write_table(run.path / "cases.csv", CASE_COLUMNS, rows)
        write_table(run.path / "scores.csv", SCORE_COLUMNS, scores)
        root = tmp_path / "raw" / "Dataset009_Thing"
        (run.path / "cases").mkdir()
        for row in rows:
            record = {
                "case": row["case"],
                "status": row["status"],
                "image_files": [str(root / "imagesTr" / f"{row['case']}_0000.nii.gz")],
                "label_files": [str(root / "labelsTr" / f"{row['case']}.nii.gz")],
            }
            # As `Run.write_case`, without waiting for the disk a hundred times.
            run.case_file(row["case"]).write_text(json.dumps(record))
        run.update_manifest(
            dataset={
                "path": str(root),
                "name": "Thing",
                "layout": layout,
                "classes": classes,
                "ignore": None,
                "channels": ["CT"],
                "cases": len(rows),
            },
            settings=settings or {},
            columns=COLUMNS,
        )
        return run

    return make


@pytest.fixture
def hundred(make_run):
    """100 cases, doubt 0.00 .. 0.99, two sites; lesion in every second case."""
    rows = [
        {
            "case": f"case_{i:03d}",
            "doubt": i / 100,
            "label_doubt": 0.1,
            "auv": i / 100,
            "oof_dice": 1 - i / 100,
            "site": "AB"[i % 2],
            "reasons": f"noise={i}" if i > 90 else "",
        }
        for i in range(100)
    ]
    scores = [
        {"case": row["case"], "class": name, "present": name == "liver" or i % 2 == 0, "auv": row["auv"]}
        for i, row in enumerate(rows)
        for name in ("liver", "lesion")
    ]
    for row in scores:
        if not row["present"]:
            row["auv"] = None
    return make_run(rows, scores)


@pytest.fixture
def make_preprocessed(tmp_path):
    """make_preprocessed(ids, splits=bytes or None) -> the folder."""

    def make(ids, splits=None):
        folder = tmp_path / "preprocessed" / "Dataset009_Thing"
        (folder / "gt_segmentations").mkdir(parents=True)
        write_json(folder / "dataset.json", {"file_ending": ".nii.gz"})
        write_json(folder / "nnUNetPlans.json", {})
        for case in ids:
            (folder / "gt_segmentations" / f"{case}.nii.gz").write_bytes(b"truth")
        if splits is not None:
            (folder / "splits_final.json").write_bytes(splits)
        return folder

    return make


@pytest.fixture
def tree():
    """tree(folder) -> every file below it with the hash of its bytes."""

    def read(folder):
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return read
