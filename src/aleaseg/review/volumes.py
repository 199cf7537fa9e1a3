"""Which cases are ready to be looked at: decoded in the background, the asked one first, the oldest forgotten."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aleaseg.case import Case, Dataset, Stored, file_stamps
from aleaseg.errors import AleasegError, one_line
from aleaseg.pages.places import Sought
from aleaseg.pages.planes import Plane
from aleaseg.predictions import Predictions
from aleaseg.review.bricks import read_slice, read_volume
from aleaseg.review.decoding import decode_image, decode_prediction
from aleaseg.run import Run, read_json
from aleaseg.where.keeping import Mapper

__all__ = ["PARTS", "Kind", "Part", "Slice", "Volumes"]

Part = Literal["image", "prediction"]
Kind = Literal["image", "mask", "prediction", "doubt"]
PART_OF: Mapping[str, Part] = {
    "image": "image",
    "mask": "image",
    "prediction": "prediction",
    "doubt": "prediction",
}
"""With which part each kind of slice is decoded."""

# Raise it when the files themselves change, so that older ones are made anew.
_VERSION = 3
_MOST_WAITING = 8
_TRY_AGAIN = 10.0  # seconds after which what failed is tried again where somebody asks for it
PARTS: tuple[Part, ...] = ("image", "prediction")


@dataclass(frozen=True)
class Slice:
    """A slice as the page draws it, or a volume of which it draws slices.

    Attributes:
        content: (rows, columns) or (D, H, W), little-endian, row by row from the top.
        size: its shape.
        kind: of the numbers, as NumPy writes it, such as `<i2`.
    """

    content: bytes
    size: tuple[int, ...]
    kind: str


class Volumes:
    """The decoded cases of a run.

    Args:
        run: with predictions.
        dataset: its data set.
        predictions: out-of-fold; None without.
        sought: case id -> the reasons of its doubt.
        folder: where decoded cases lie; what is there of an earlier time is used where it still holds.
        most_bytes: how much they may take on disk; the case that is looked at stays whatever it takes.
    """

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        predictions: Predictions | None,
        sought: Callable[[str], Sequence[Sought]],
        folder: Path,
        most_bytes: int,
    ) -> None:
        self._run, self._predictions, self._sought = run, predictions, sought
        self._dataset = dataset.with_cases(())
        self._made_by = run.manifest.get("predictions")
        self._folder, self._most_bytes = folder, most_bytes
        self._changed = threading.Condition()
        self._waiting: list[tuple[Case, str, Part]] = []
        self._errors: dict[tuple[str, Part], tuple[float, str]] = {}
        self._looked_at: dict[str, float] = {}
        self._about: dict[tuple[str, Part], Mapping[str, Any]] = {}
        self._now = ""  # what is being decoded
        self._over = False
        self._pool: ProcessPoolExecutor | None = None
        self._thread = threading.Thread(target=self._work, name="decoding", daemon=True)
        self._thread.start()

    # -- what is asked ------------------------------------------------------------------------------

    def stamp(self, case: Case) -> str:
        """What a case is decoded from: its files and its prediction, by size and time."""
        files: dict[str, Any] = dict(file_stamps(case))
        of_run = {"prediction": self._run.prediction_file(case.id), "doubt": self._run.map_file(case.id)}
        for name, path in of_run.items():
            with suppress(OSError):  # there is none
                found = os.stat(path)
                files[name] = [found.st_size, found.st_mtime_ns]
        about = [_VERSION, case.id, files, self._made_by]
        return hashlib.sha256(json.dumps(about).encode("utf-8", "replace")).hexdigest()[:20]

    def ask(self, case: Case, stamp: str, *, soon: bool = True) -> None:
        """Have a case decoded: before all others, or (not `soon`) when nothing else is to be done."""
        with self._changed:
            if soon:  # a disk may have room again
                late = time.monotonic() - _TRY_AGAIN
                self._errors = {
                    key: one for key, one in self._errors.items() if key[0] != stamp or one[0] > late
                }
            wanted = [
                (case, stamp, part)
                for part in PARTS
                if self.about(stamp, part) is None and (stamp, part) not in self._errors
            ]
            rest = [one for one in self._waiting if one[1] != stamp]
            if soon:
                self._looked_at[stamp] = time.monotonic()
                self._waiting = [*wanted, *rest]
            else:
                mine = [one for one in self._waiting if one[1] == stamp]
                self._waiting = [*self._waiting, *(one for one in wanted if one not in mine)]
            del self._waiting[2 * _MOST_WAITING :]
            self._changed.notify_all()

    def about(self, stamp: str, part: Part) -> Mapping[str, Any] | None:
        """What is known of a decoded case; None while it is not decoded."""
        if (stamp, part) not in self._about:
            path = self._folder / stamp / f"{part}.json"
            if not path.exists():
                return None
            self._about[stamp, part] = read_json(path)
        return self._about[stamp, part]

    def error(self, stamp: str, part: Part) -> str:
        """Why a case could not be decoded; empty where it could, or is yet to be."""
        return self._errors.get((stamp, part), (0.0, ""))[1]

    def slice(self, stamp: str, kind: Kind, axis: int, k: int, channel: int = 0) -> Slice | None:
        """A slice of a decoded case as it hangs; None where that is not decoded, or there is none.

        Raises:
            IndexError: there is no such axis, slice or channel.
        """
        image = self.about(stamp, "image")
        if image is not None and (
            axis not in range(len(image["planes"])) or k not in range(image["shape"][axis])
        ):
            raise IndexError(f"no slice {k} across axis {axis} of a volume of {tuple(image['shape'])}")

        def read(path: Path, dtype: np.dtype) -> NDArray:
            assert image is not None
            flat = read_slice(path, image["shape"], dtype, axis, k)
            return replace(_plane(image["planes"][axis]), index=k).hang(flat)

        return self._read(stamp, kind, channel, read)

    def whole(self, stamp: str, kind: Kind, channel: int = 0) -> Slice | None:
        """All of a small volume as it is stored, axis 0 the slowest; None as for a slice.

        Raises:
            IndexError: it is too large to be sent whole, or there is no such channel.
        """
        image = self.about(stamp, "image")
        if image is None:
            return None
        if not image["whole"]:
            raise IndexError(f"a volume of {tuple(image['shape'])} is sent slice by slice")
        return self._read(
            stamp, kind, channel, lambda path, dtype: read_volume(path, image["shape"], dtype)
        )

    def solid(self, stamp: str, kind: Kind) -> Slice | None:
        """A label map small enough to be turned round, axis 0 the slowest; None as for a slice.

        Raises:
            IndexError: it is not a label map.
        """
        image = self.about(stamp, "image")
        if kind not in ("mask", "prediction"):
            raise IndexError(f"the {kind} is not a label map")
        if image is None:
            return None
        shape = [-(-size // step) for size, step in zip(image["shape"], image["steps"], strict=True)]
        return self._read(
            stamp,
            kind,
            0,
            lambda path, dtype: np.fromfile(path.with_suffix(".solid"), dtype).reshape(shape),
        )

    def _read(
        self, stamp: str, kind: Kind, channel: int, read: Callable[[Path, np.dtype], NDArray]
    ) -> Slice | None:
        image = self.about(stamp, "image")
        about = self.about(stamp, PART_OF[kind])
        if image is None or about is None or about[kind] is None:
            return None
        if channel not in range(image["channels"]):
            raise IndexError(f"no channel {channel} of {image['channels']}")
        self._looked_at[stamp] = time.monotonic()
        is_image = kind == "image"
        path = self._folder / stamp / (f"image.{channel}.raw" if is_image else f"{kind}.raw")
        dtype = about[kind][channel] if is_image else about[kind]
        try:
            found = read(path, np.dtype(dtype))
        except FileNotFoundError:  # forgotten, or deleted by somebody: it is decoded again
            for part in PARTS:
                self._about.pop((stamp, part), None)
            shutil.rmtree(self._folder / stamp, ignore_errors=True)
            return None
        if is_image and about["scales"][channel] is not None:
            found, dtype = Stored.scaled(found, about["scales"][channel]).astype("<f4"), "<f4"
        return Slice(np.ascontiguousarray(found).tobytes(), found.shape, dtype)

    def close(self) -> None:
        """Stop decoding; what is half done is taken away."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        if self._pool is not None:
            for process in list(getattr(self._pool, "_processes", {}).values()):
                process.terminate()
            self._pool.shutdown(wait=False, cancel_futures=True)

    # -- what is done in the background ---------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                self._now = ""
                self._changed.wait_for(lambda: self._waiting or self._over)
                if self._over:
                    return
                case, stamp, part = self._waiting.pop(0)
                self._now = stamp
            try:
                self._decode(case, stamp, part)
                self._forget()
            # Whatever one damaged case raises, the page says it and the others are shown.
            except Exception as error:
                self._errors[stamp, part] = time.monotonic(), one_line(case.id, error)

    def _decode(self, case: Case, stamp: str, part: Part) -> None:
        if self.about(stamp, part) is not None:
            return
        folder = self._folder / stamp
        try:
            if part == "image":
                self._call(decode_image, folder, case, self._dataset)
            else:
                notes: list[str] = []
                there = self._run.map_file(case.id).exists()
                doubt = Mapper.of(self._run, self._dataset).shown(case, notes) if there else None
                more = self._predictions, self._sought(case.id), doubt, notes
                self._call(decode_prediction, folder, case, self._dataset, *more)
        except BrokenProcessPool as error:
            self._pool = None
            raise AleasegError("the process that decoded it was killed; it may need more memory") from error

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        if self._pool is None:
            # Spawned: a fork of a server with threads may hang.
            self._pool = ProcessPoolExecutor(1, get_context("spawn"), _end_with_parent)
        self._pool.submit(function, *arguments).result()

    def _forget(self) -> None:
        """Take away what was looked at longest ago, until the rest has room; the last one stays."""
        folders = (
            [path for path in self._folder.iterdir() if path.is_dir()] if self._folder.exists() else []
        )
        sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in folders}
        order = sorted(
            folders, key=lambda path: (self._looked_at.get(path.name, 0.0), path.stat().st_mtime)
        )
        for path in order[:-1]:
            if sum(sizes.values()) <= self._most_bytes:
                return
            if path.name != self._now:
                for part in PARTS:
                    self._about.pop((path.name, part), None)
                shutil.rmtree(path, ignore_errors=True)
                del sizes[path]


def _end_with_parent() -> None:
    """Have this process end when the server does, however that ends: nobody else would stop it."""
    parent = parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _plane(about: Mapping[str, Any]) -> Plane:
    return Plane(**{**about, "letters": tuple(about["letters"]), "spacing_mm": tuple(about["spacing_mm"])})
