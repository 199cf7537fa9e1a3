"""What a manifest says of the code that made a run."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from aleaseg.run.folder import Run

__all__ = ["now", "other_versions", "versions"]

_PACKAGES = (
    "aleaseg",
    "torch",
    "monai",
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-image",
    "nibabel",
    "SimpleITK",
    "transformers",
    "nnunetv2",
)


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Of what decides the numbers."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def other_versions(run: Run) -> list[str]:
    """A note where the run was begun with other packages than go on with it."""
    then = run.manifest.get("versions", {})
    other = [
        f"{name} {then.get(name)}, now {found}"
        for name, found in versions().items()
        if then.get(name) != found
    ]
    if not other:
        return []
    return [f"This run was begun with other versions ({'; '.join(other)}): its numbers may mix the two."]
