"""A new nnU-Net data set that refers to the files of another one: the `"dataset"` key of dataset.json."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from aleaseg.errors import UsageError
from aleaseg.run import Run, read_json

__all__ = ["dataset_json"]


def dataset_json(run: Run, kept: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """What stands in dataset.json of the kept cases of a run, whose records name their files; and notes on it.

    The files are named by absolute path, none is copied.

    Raises:
        UsageError: nnU-Net cannot read these files or labels as one data set.
    """
    source = run.manifest["dataset"]
    root = Path(source["path"])
    files: dict[str, dict[str, Any]] = {}
    wanted = set(kept)
    for record in run.records():
        images, labels = record.image_files, record.label_files
        if record.case in wanted and images and labels:
            _check_files(record.case, images, labels, source["channels"])
            files[record.case] = {
                "images": [_absolute(root, path) for path in images],
                "label": _absolute(root, labels[0]),
            }
    if not files:
        raise UsageError(
            "no kept case has an image and a label; expected at least one; nothing was written"
        )
    about = _description(root, source)
    about["file_ending"] = _file_ending(files, about.get("file_ending"))
    notes = [
        "to use it, copy dataset.json into nnUNet_raw/DatasetXXX_NAME and plan; "
        "splits_final.json goes into nnUNet_preprocessed/DatasetXXX_NAME after that",
        "dropped cases are in no list of this data set, validation included; to compare models on the same "
        "validation cases take the splits instead",
    ]
    missing = sorted(wanted - set(files))
    if missing:
        notes.append(
            f"{len(missing)} kept cases have no image or no label and are not listed: {missing[0]!r} ..."
        )
    return {**about, "numTraining": len(files), "dataset": files}, notes


def _description(root: Path, source: Mapping[str, Any]) -> dict[str, Any]:
    """The data set's own dataset.json where it has one; else made from what the run knows."""
    if source["layout"] == "nnunet" and (root / "dataset.json").is_file():
        about: dict[str, Any] = read_json(root / "dataset.json")
        return about
    values = sorted(value for values in source["classes"].values() for value in values)
    if values != list(range(1, len(source["classes"]) + 1)):
        raise UsageError(
            f"the label values are {values}; nnU-Net expects 1, 2, 3, ... without gaps; "
            "write splits or a CSV instead"
        )
    if source.get("ignore") is not None:
        raise UsageError("a data set with an ignore label is only translated from nnU-Net's own layout")
    return {
        "name": source["name"],
        "channel_names": {str(i): name for i, name in enumerate(source["channels"])},
        "labels": {"background": 0, **{name: values[0] for name, values in source["classes"].items()}},
    }


def _check_files(case: str, images: Sequence[str], labels: Sequence[str], channels: Sequence[str]) -> None:
    if len(images) != len(channels) or len(labels) != 1:
        raise UsageError(
            f"{case}: found {len(images)} image files and {len(labels)} label files; nnU-Net expects one "
            f"file per channel ({len(channels)}) and one label map; write splits or a CSV instead"
        )


def _file_ending(files: Mapping[str, Mapping[str, Any]], declared: str | None) -> str:
    """The ending that all files share: nnU-Net reads a data set with one reader."""
    names = [path for entry in files.values() for path in (*entry["images"], entry["label"])]
    if declared and all(name.endswith(declared) for name in names):
        return declared
    endings = {".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix for name in names}
    if len(endings) != 1:
        raise UsageError(
            f"the files end in {', '.join(sorted(endings))}; nnU-Net expects one ending in a data set; "
            "write splits or a CSV instead"
        )
    return endings.pop()


def _absolute(root: Path, path: str) -> str:
    # Not resolved: a link stays the link that the user made.
    return str(Path(path) if Path(path).is_absolute() else (root / path).absolute())
