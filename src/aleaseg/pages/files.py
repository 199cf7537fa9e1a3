"""The files of a page: written where they changed, and the styles and scripts that stand beside it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from aleaseg.run.files import naming

__all__ = ["asset", "copy_assets", "write_if_changed"]

_SHARED = "aleaseg.pages"


def asset(name: str, package: str = _SHARED) -> str:
    """The text of a style sheet or script of a package."""
    return files(package).joinpath("assets", name).read_text("utf-8")


def copy_assets(out: Path, package: str, *names: str, shared: tuple[str, ...] = ()) -> None:
    """Put what a page of a package loads into `assets/` beside it.

    `shared` are those of this package; the style of all pages is always among them.
    """
    for owner, those in ((_SHARED, ("page.css", *shared)), (package, names)):
        for name in those:
            write_if_changed(out / "assets" / name, asset(name, owner))


def write_if_changed(path: Path, text: str | bytes) -> bool:
    """Write a file unless it holds the same already; True if it was written."""
    content = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    if path.exists() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renamed, so that a page never loads half a file; not flushed to the disk one by one as
    # a run's records are: there are thousands, and all of them can be made again.
    part = path.with_name(f".{path.name}.part")
    with naming(path):
        part.write_bytes(content)
        part.replace(path)
    return True
