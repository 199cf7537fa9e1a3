"""Class maps kept on request: a second look never runs the model again.

One safetensors file per case, named by the hash of everything that decides the maps:
the extractor's identity, the voxels of the image, and those of the label.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from aleaseg.case import Case, usable_image, usable_label
from aleaseg.errors import UsageError
from aleaseg.extractors.base import ClassMap, Cost, Extractor, NoMap
from aleaseg.run import write_aside

__all__ = ["Cached"]

_FORM = 1


class Cached(Extractor):
    """An extractor whose maps are read from a folder where they are there, and put there where not.

    Args:
        inner: the extractor.
        folder: made where it is missing; may be shared by many runs.

    Raises:
        UsageError: the maps depend on more than the image and the label, or the folder is a file.
    """

    def __init__(self, inner: Extractor, folder: str | Path) -> None:
        super().__init__(inner.settings, inner.dataset, inner.predictions)
        if inner.traits.weights is None or inner.settings.prompt == "pseudo":
            raise UsageError(
                f"--cache keeps what depends on the image, the label and a model's weights alone; extractor "
                f"`{inner.settings.name}` with prompt {inner.settings.prompt!r} depends on more; leave "
                "--cache away"
            )
        if Path(folder).exists() and not Path(folder).is_dir():
            raise UsageError(f"--cache {folder} is a file; expected a folder, or where one can be made")
        self.name, self.traits = inner.name, inner.traits  # type: ignore[misc]
        self.inner = inner
        self.folder = Path(folder)

    def identity(self) -> dict[str, Any]:
        """That of the extractor: a kept map is the map."""
        return self.inner.identity()

    def load(self) -> None:
        """Those of the extractor: not every case need be here."""
        self.inner.load()

    def cost(self, shape: tuple[int, ...], classes: int) -> Cost:
        """That of the extractor: nobody knows yet what is there."""
        return self.inner.cost(shape, classes)

    def class_maps(self, case: Case) -> Iterator[ClassMap | NoMap]:
        """As the extractor's; raises what it raises, and keeps nothing then."""
        path = self.folder / f"{self._key(case)}.safetensors"
        if path.exists():
            yield from _read(path)
            return
        found = []
        for one in self.inner.class_maps(case):
            found.append(one)
            yield one
        _write(path, found)

    def _key(self, case: Case) -> str:
        image = usable_image(case)
        label = usable_label(case, image.geometry.shape)
        about = {
            "form": _FORM,
            "identity": self.identity(),
            "classes": {name: list(values) for name, values in self.classes.items()},
            "geometry": [image.geometry.shape, image.geometry.spacing_mm],
            "affine": None if image.geometry.affine is None else image.geometry.affine.tolist(),
        }
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        for array in (image.array, label):
            if array is not None:
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _write(path: Path, found: list[ClassMap | NoMap]) -> None:
    from safetensors.numpy import save

    arrays, about = {}, []
    for number, one in enumerate(found):
        entries: dict[str, Any] = {key: value for key, value in vars(one).items() if key != "values"}
        if isinstance(one, ClassMap):
            arrays[str(number)] = np.ascontiguousarray(one.values)
        about.append(entries)
    write_aside(path, save(arrays or {"none": np.zeros(0, np.float32)}, {"maps": json.dumps(about)}))


def _read(path: Path) -> Iterator[ClassMap | NoMap]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            about = json.loads(file.metadata()["maps"])
            for number, entries in enumerate(about):
                if "why" in entries:
                    yield NoMap(**entries)
                    continue
                presence = entries.pop("presence")
                entries["z_range"] = tuple(entries["z_range"])
                yield ClassMap(
                    values=file.get_tensor(str(number)),
                    presence=None if presence is None else tuple(presence),
                    **entries,
                )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} is damaged ({error}); delete it and run the same command again"
        ) from error
