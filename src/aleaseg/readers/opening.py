"""From a path to a lazy data set: which layout is it?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aleaseg.case import Dataset
from aleaseg.errors import NotADataset
from aleaseg.readers import dicom, folder, nnunet, structures
from aleaseg.readers.files import list_folder, split_ending
from aleaseg.readers.groups import assign

__all__ = ["open_dataset"]

_LAYOUTS = """expected one of:
  dataset.json with imagesTr/ and labelsTr/ (nnU-Net)
  images/ with labels/ or masks/ (PNG, TIFF, NIfTI, NRRD, MHA), or a folder of images alone
  CASE/ct.nii.gz with CASE/segmentations/STRUCTURE.nii.gz (TotalSegmentator)
  a DICOM series, or a folder of them"""


def open_dataset(
    path: str | Path,
    *,
    classes: str | None = None,
    groups: str | None = None,
    sites: str | None = None,
) -> Dataset:
    """Open a data set; the layout is recognised. No voxel is held, and 10,000 cases take seconds.

    What is already wrong by the names of the files (an image without label, a label
    without image) is in `Dataset.findings`. Where no file says what label values
    mean, at most 24 label files are looked into.

    Args:
        path: the folder of the data set.
        classes: comma-separated names of the classes to keep; or `name=value` pairs
            where nothing in the layout declares them.
        groups: cases of one group (a patient) stay on one side of every split. A
            regular expression searched in the id, whose first group, else whole
            match, is the group; or a CSV with the columns `case,group`. A case to
            which it says nothing is a group of its own.
        sites: where a case comes from; as `groups`, with the columns `case,site`;
            empty where it says nothing.

    Returns:
        The cases, sorted by id.

    Raises:
        NotADataset: the folder has no layout that is known; the message lists them.
        UsageError: `classes`, `groups` or `sites` cannot work.
    """
    root = Path(path)
    if root.name == "dataset.json" and root.is_file():
        root = root.parent
    dataset = _opened(root, classes)
    ids = [case.id for case in dataset.cases]
    group, site = assign(ids, groups, "group"), assign(ids, sites, "site")
    return dataset.with_cases(
        [
            replace(case, group=group.get(case.id) or case.id, site=site.get(case.id, ""))
            for case in dataset.cases
        ]
    )


def _opened(root: Path, classes: str | None) -> Dataset:
    try:
        files, folders = list_folder(root)
    except OSError as error:
        raise NotADataset(f"{root} cannot be listed ({error.strerror}); {_LAYOUTS}") from error
    if "dataset.json" in files:
        return nnunet.open_nnunet(root, classes)
    dataset: Dataset | None = None
    images, labels = folder.image_folder(folders), folder.label_folder(folders)
    if images:
        dataset = folder.open_folder(root, root / images, root / labels if labels else None, classes)
    elif structures.MASKS in folders:
        dataset = structures.open_structures(root, [""], classes)
    elif any((root / name / structures.MASKS).is_dir() for name in folders):
        dataset = structures.open_structures(root, folders, classes)
    elif any(split_ending(name) for name in files) and not dicom.is_export(root, files):
        dataset = folder.open_folder(root, root, None, classes)
    if dataset is None or not (dataset.cases or dataset.findings):
        if not _inner(root, folders) and (series := dicom.find_series(root)):
            return dicom.open_dicom(root, series, classes)
        raise NotADataset(f"{root} is no data set that is known: {_seen(root, files, folders)}; {_LAYOUTS}")
    return dataset


def _inner(root: Path, folders: list[str]) -> list[str]:
    """Folders that are data sets themselves, as in nnUNet_raw."""
    return [name for name in folders if (root / name / "dataset.json").is_file()]


def _seen(root: Path, files: list[str], folders: list[str]) -> str:
    """What is in the folder, in a line."""
    inner = _inner(root, folders)
    if inner:
        return f"it holds {len(inner)} data sets, such as {inner[0]}/; give one of them"
    if not files and not folders:
        return "it is empty"

    def some(names: list[str], what: str) -> str:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        return f"{len(names)} {what}{'' if len(names) == 1 else 's'} ({shown})"

    seen = [some(names, what) for names, what in ((folders, "folder"), (files, "file")) if names]
    return "it holds " + " and ".join(seen)
