"""From a path to a lazy data set: which layout is it?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aleaseg.case import Dataset
from aleaseg.errors import NotADataset, UsageError
from aleaseg.readers import arrays, bids, datalist, dicom, folder, nnunet, public, raters, structures
from aleaseg.readers.account import with_account
from aleaseg.readers.alone import masks_of_series
from aleaseg.readers.confidence import with_confidence
from aleaseg.readers.folder_names import role_of_folder
from aleaseg.readers.groups import assign
from aleaseg.readers.roles import Chosen
from aleaseg.readers.tree import Tree

__all__ = ["open_dataset"]

_LAYOUTS = """expected one of:
  dataset.json with imagesTr/ and labelsTr/ (nnU-Net, Decathlon), or a JSON list of images and labels (MONAI)
  images/ with labels/ or masks/ (PNG, TIFF, NIfTI, NRRD, MHA), or a folder of images alone
  scans and masks side by side: a.nii.gz with a_seg.nii.gz, or CASE/imaging.nii.gz with CASE/segmentation.nii.gz
  CASE/ct.nii.gz with CASE/segmentations/STRUCTURE.nii.gz (TotalSegmentator)
  sub-01/anat/sub-01_T1w.nii.gz with derivatives/labels/ (BIDS)
  CASE.npz with the arrays imgs and gts (MedSAM), or npz/CASE.npz with image and raters
  images/ with confidence/ or raters/CASE/, where there are no labels
  a DICOM series, or a folder of them
or say which files are what: --image '*_t1.nii.gz' --label '*_mask.nii.gz'"""


def open_dataset(
    path: str | Path,
    *,
    classes: str | None = None,
    groups: str | None = None,
    sites: str | None = None,
    image: str | None = None,
    label: str | None = None,
    scale: float | None = None,
    fuse: str | None = None,
) -> Dataset:
    """Open a data set; the layout is recognised. No voxel is held, and 10,000 cases take seconds.

    Confidences that lie beside the labels (`confidencesTr/`, `raters/CASE/`, BIDS `probseg`) are given to the
    cases. Where nothing declares their scale, each of these files is read once for it.

    What is already wrong by the names of the files (an image without label, a label
    without image) is in `Dataset.findings`, and what became of every file below the
    folder in `Dataset.account`. Where no file says what label values mean, at most 24
    label files are looked into.

    Args:
        path: the folder of the data set; or a JSON file that lists images and labels.
        classes: comma-separated names of the classes to keep; or `name=value` pairs
            where nothing in the layout declares them.
        groups: cases of one group (a patient) stay on one side of every split. A
            regular expression searched in the id, whose first group, else whole
            match, is the group; or a CSV with the columns `case,group`. A case to
            which it says nothing is a group of its own (BIDS: of its subject).
        sites: where a case comes from; as `groups`, with the columns `case,site`;
            empty where it says nothing.
        image: which files are images, a shell pattern such as `*_t1.nii.gz` or
            `scans/*.png`; of the name or, with a slash, of the path below the folder.
        label: which files are labels, likewise, such as `*_rater1.nii.gz`.
        scale: the confidence that is certain, such as 1, 10 or 100; None: as declared, else as all numbers tell.
        fuse: how several raters become one confidence: `mean` (None), `majority` or `staple`.

    Returns:
        The cases, sorted by id.

    Raises:
        NotADataset: the folder has no layout that is known; the message lists them.
        UsageError: the other arguments cannot work, or there are several answers to what
            the files are; the message says what to type.
    """
    chosen, fuse = Chosen(image, label), fuse or "mean"
    listed = Path(path)
    if listed.suffix.lower() == ".json" and listed.is_file():
        tree = Tree(listed.parent)
        dataset = _by_json(tree, listed, classes, chosen)
    else:
        tree = Tree(listed)
        dataset = _opened(tree, classes, chosen, fuse)
    if dataset.confidence is None:  # the layout's own reader may have seen to it
        dataset = with_confidence(dataset, tree, scale=scale, fuse=fuse)
    return _assigned(with_account(dataset, tree), groups, sites)


def _assigned(dataset: Dataset, groups: str | None, sites: str | None) -> Dataset:
    """Each case with its group and site, see `open_dataset`."""
    ids = [case.id for case in dataset.cases]
    group, site = assign(ids, groups, "group"), assign(ids, sites, "site")
    return dataset.with_cases(
        [
            replace(case, group=group.get(case.id) or case.group or case.id, site=site.get(case.id, ""))
            for case in dataset.cases
        ]
    )


def _by_json(tree: Tree, path: Path, classes: str | None, chosen: Chosen) -> Dataset:
    """What a JSON file declares."""
    if chosen:
        if not nnunet.declares_classes(path):
            raise UsageError(
                f"{path} names the files; --image and --label have no place there; give its folder"
            )
        return folder.open_folder(tree, classes, chosen, nnunet.read_declared(path))
    if datalist.is_datalist(path, tree):
        return datalist.open_datalist(path, classes)
    if path.name != "dataset.json":
        raise NotADataset(f"{path} lists no images and labels; {datalist.EXPECTED}")
    return nnunet.open_nnunet(tree, classes)


def _opened(tree: Tree, classes: str | None, chosen: Chosen, fuse: str) -> Dataset:
    root, listed = tree.root, tree.list()
    if listed.refused:
        why = f"cannot be listed ({listed.refused})" if root.exists() else "does not exist"
        raise NotADataset(f"{root} {why}; {_LAYOUTS}")
    if declaring := datalist.find(tree):
        return _by_json(tree, root / declaring, classes, chosen)
    dataset = None if _inner(tree) and not chosen else _recognised(tree, classes, chosen, fuse)
    if dataset is None or not (dataset.cases or dataset.findings):
        raise NotADataset(
            f"{root} is not a data set in any known layout: {_seen(tree)}{tree.others()}; {_LAYOUTS}"
        )
    return dataset


def _recognised(tree: Tree, classes: str | None, chosen: Chosen, fuse: str) -> Dataset | None:
    """The first layout that fits, from the most to the least telling one."""
    listed = tree.list()
    if not chosen and (known := public.recognise(tree)):
        return public.open_public(tree, known, classes)
    if bids.is_bids(tree):
        return bids.open_bids(tree, classes, chosen)
    folders = tree.folders()
    if not any(role_of_folder(name) == "image" for name in folders):
        if structures.MASKS in listed.folders and any(map(structures.is_image, listed.files)):
            return structures.open_structures(tree, [""], classes, chosen)
        cases = [name for name in folders if structures.MASKS in tree.list(name).folders]
        if cases:
            # Others among them are cases without masks, if they hold an image.
            return structures.open_structures(tree, folders, classes, chosen)
        if not chosen and raters.is_raters(tree):
            return raters.open_raters(tree.root, fuse=fuse)
        if not chosen and arrays.has_arrays(tree):
            return arrays.open_arrays(tree, classes)
    readable = sum(1 for _ in tree.images())
    others = sum(len(found.files) for _, found in tree.walk()) - readable
    # Slices of DICOM may end in .img, as the voxels of NIfTI pairs do.
    unsure = others > 0 or any(name.lower().endswith(".img") for name in listed.files)
    export = unsure and dicom.is_export(tree.root, listed.files)
    if export or others >= readable:
        series = dicom.find_series(tree.root, lambda path: _is_ours(tree, path))
        slices = sum(len(files) for found in series.folders for _, files in found.series)
        if series and (export or slices >= readable):
            dataset = dicom.open_dicom(tree.root, series, classes, image=chosen.image, label=chosen.label)
            masks = (
                []
                if dataset.has_labels
                else masks_of_series(tree.root, list(map(tree.path, tree.images())))
            )
            return replace(dataset, findings=(*dataset.findings, *masks))
    return folder.open_folder(tree, classes, chosen) if readable else None


def _is_ours(tree: Tree, folder: Path) -> bool:
    """Whether this package wrote a folder."""
    return tree.is_ours(folder.relative_to(tree.root).as_posix())


def _inner(tree: Tree) -> list[str]:
    """Folders that are data sets themselves, as in nnUNet_raw."""
    return [name for name in tree.folders() if "dataset.json" in tree.list(name).files]


def _seen(tree: Tree) -> str:
    """What is in the folder, in a line."""
    inner = _inner(tree)
    if inner:
        return (
            f"the data set is in {inner[0]}/: give that folder"
            if len(inner) == 1
            else (f"it holds {len(inner)} data sets, such as {inner[0]}/; give one of them")
        )
    files, folders = list(tree.list().files), list(tree.list().folders)
    if not files and not folders:
        return "it is empty"

    def some(names: list[str], what: str) -> str:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        return f"{len(names)} {what}{'' if len(names) == 1 else 's'} ({shown})"

    seen = [some(names, what) for names, what in ((folders, "folder"), (files, "file")) if names]
    return "it holds " + " and ".join(seen)
