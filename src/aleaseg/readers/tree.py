"""The files below a folder: listed once, folder by folder, when somebody asks; none is touched."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aleaseg.errors import NotADataset
from aleaseg.readers.files import split_ending

__all__ = ["Listing", "Tree", "join"]

# Hidden, and what macOS, Synology and Windows put beside files: thumbnails, shadows, bins.
_SYSTEM = (".", "@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN")
# A data set is not so deep; a folder linked into itself is.
_DEEPEST = 12


@dataclass(frozen=True)
class Listing:
    """The names in a folder, sorted.

    Attributes:
        files: visible files, and links that lead nowhere.
        folders: visible folders.
        hidden: what begins with a dot, and folders of systems such as `__MACOSX`; folders end in a slash.
        dead: those of `files` that are links to nothing. A link with an image's ending is not
            followed, as a data set of links would cost a call per file; reading it tells.
        special: what is neither a file nor a folder, such as a pipe.
        refused: why the folder could not be listed; empty if it could.
    """

    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    special: tuple[str, ...] = ()
    refused: str = ""


def join(folder: str, name: str) -> str:
    """A path below the root, with slashes.

    >>> join("", "a"), join("b", "a")
    ('a', 'b/a')
    """
    return f"{folder}/{name}" if folder else name


class Tree:
    """A folder and what lies below it. Paths are relative to the root, with slashes; the root is `""`.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[str, Listing] = {}

    def path(self, relative: str) -> Path:
        """The file or folder itself."""
        return self.root / relative if relative else self.root

    def list(self, folder: str = "") -> Listing:
        """What is in one folder. A folder that cannot be listed has `refused`."""
        if folder not in self._listed:
            try:
                self._listed[folder] = self._scan(folder)
            except OSError as error:
                self._listed[folder] = Listing(refused=error.strerror or str(error))
        return self._listed[folder]

    def listed(self, folder: str = "") -> Listing:
        """The same for a folder that has to be there.

        Raises:
            NotADataset: it cannot be listed.
        """
        found = self.list(folder)
        if found.refused:
            raise NotADataset(f"{self.path(folder)} cannot be listed ({found.refused})")
        return found

    def is_ours(self, folder: str) -> bool:
        """Whether this package wrote a folder: a run with its manifest, or what a check found."""
        files = self.list(folder).files
        if "manifest.json" in files:
            try:
                with open(self.path(folder) / "manifest.json", "rb") as file:
                    return b'"aleaseg"' in file.read(1 << 16)
            except OSError:
                return False
        return {"check.csv", "check.json"} <= set(files)

    def folders(self, folder: str = "") -> tuple[str, ...]:
        """The names of the visible folders in a folder, without those that this package wrote."""
        return tuple(name for name in self.list(folder).folders if not self.is_ours(join(folder, name)))

    def walk(self, folder: str = "") -> Iterator[tuple[str, Listing]]:
        """Every visible folder at and below one, parents first, each real folder once; none of ours."""
        seen = {_real(self.path(folder))}
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            found = self.list(here)
            yield here, found
            if here.count("/") >= _DEEPEST:
                continue
            for name in reversed(self.folders(here)):
                below = join(here, name)
                if os.path.islink(self.path(below)):
                    real = _real(self.path(below))
                    if real in seen:
                        continue
                    seen.add(real)
                waiting.append(below)

    def images(self, folder: str = "") -> Iterator[str]:
        """Every file at and below a folder whose ending `voxels.py` can read."""
        for here, found in self.walk(folder):
            yield from (join(here, name) for name in found.files if split_ending(name))

    def others(self) -> str:
        """` (below it: 12 .npy, 3 .dcm)`: files whose endings `voxels.py` cannot read; nothing where there are none."""
        endings = Counter(
            os.path.splitext(name)[1].lower() or "without an ending"
            for _, found in self.walk()
            for name in found.files
            if not split_ending(name)
        )
        told = ", ".join(f"{count} {what}" for what, count in endings.most_common(3))
        return f" (below it: {told})" if told else ""

    def _scan(self, folder: str) -> Listing:
        files: list[str] = []
        folders: list[str] = []
        hidden: list[str] = []
        dead: list[str] = []
        special: list[str] = []
        with os.scandir(self.path(folder)) as entries:
            for entry in entries:
                # The type comes with the listing; only a link, or a file system that
                # does not say, costs a call.
                if entry.is_symlink() and split_ending(entry.name):
                    files.append(entry.name)
                elif entry.name.startswith(_SYSTEM):
                    hidden.append(entry.name + "/" * entry.is_dir())
                elif entry.is_dir():
                    folders.append(entry.name)
                elif not (entry.is_file() or entry.is_symlink()):
                    special.append(entry.name)  # a pipe or a socket: to open it is to wait for ever
                else:
                    files.append(entry.name)
                    if entry.is_symlink() and not os.path.exists(entry.path):
                        dead.append(entry.name)
        return Listing(
            tuple(sorted(files)), tuple(sorted(folders)), tuple(sorted(hidden)), tuple(sorted(dead)),
            tuple(sorted(special)),
        )  # fmt: skip


def _real(path: Path) -> str:
    return os.path.realpath(path)
