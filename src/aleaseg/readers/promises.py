"""Labels that are promised, by a declaration or by a folder of their name, and not found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aleaseg.case import Finding
from aleaseg.readers.folder_names import role_of_folder
from aleaseg.readers.tree import Tree

__all__ = ["no_labels", "promised_labels"]


def promised_labels(tree: Tree, images: Mapping[str, Sequence[str]]) -> list[Finding]:
    """An error for each folder of labels beside the images in which no label was found."""
    findings = []
    parents = {where.rpartition("/")[0] for where in images}
    for parent in sorted(parents):
        found = tree.list(parent)
        for name in (*found.folders, *found.dead):
            where = f"{parent}/{name}".lstrip("/")
            if role_of_folder(name) in ("label", "perhaps"):
                findings.append(no_labels(tree, where))
    return findings


def no_labels(tree: Tree, where: str) -> Finding:
    """The error of a folder that should hold labels, and what lies in it."""
    path = tree.path(where)
    files: list[str] = []
    if path.is_symlink() and not path.exists():
        found = f"{where} is a link to {path.readlink()}, which is not there"
    elif not path.exists():
        found = f"there is no {where}"
    elif (listing := tree.list(where)).refused:
        found = f"{where}/ cannot be listed ({listing.refused})"
    else:
        files = [f"{here}/{name}" for here, below in tree.walk(where) for name in below.files]
        names = ", ".join(name.removeprefix(f"{where}/") for name in files[:3]) + ", ..." * (len(files) > 3)
        count = (
            "1 file, which is no label"
            if len(files) == 1
            else f"{len(files)} files, none of which is a label"
        )
        found = f"{where}/ holds {count} that is read ({names})"
        if not files:
            found = f"{where}/ is empty"
    return Finding(
        "", "error", "labels_not_found", f"a label for each image, in {where}/", found,
        "put the labels there, as .nii.gz, .nrrd, .mha or .png, under the names of their images; for images alone, "
        "give the folder of images",
        tuple(tree.path(name) for name in files),
    )  # fmt: skip
