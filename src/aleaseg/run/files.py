"""Files that are whole or not there: written aside, then renamed.

A kill at any moment loses no finished file. Nothing needs locking, so that a run may lie on a network
file system.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from aleaseg.errors import UsageError

__all__ = [
    "aside",
    "file_name",
    "is_aside",
    "naming",
    "read_json",
    "sha256_of",
    "write_aside",
    "write_json",
]

_PART = ".part"

# Windows' editors write it before UTF-8.
_BOM = b"\xef\xbb\xbf"


def file_name(case_id: str) -> str:
    """A safe file name for any case id: 20 hexadecimal digits, the same on every machine."""
    return hashlib.sha256(case_id.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def sha256_of(path: Path) -> str | None:
    """SHA-256 of what a file holds; None where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


@contextmanager
def aside(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which becomes `path` when the block ends well and vanishes when it does not.

    Raises:
        OSError: it cannot be written; the error names the file.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PART)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)  # mkstemp makes it private; a run is shared like any file
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give the name of a file to an error of writing it: a full disk says by itself that it is full, not for what."""
    try:
        yield
    except OSError as error:
        if error.errno is None or not (error.filename is None or str(error.filename).endswith(_PART)):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def is_aside(path: Path) -> bool:
    """Whether this is what a kill left of a file that was being written."""
    return path.name.startswith(".") and (
        path.name.endswith(_PART) or path.name.startswith(".manifest.json.")
    )


def write_aside(path: Path, content: bytes) -> None:
    """Write a whole file or nothing."""
    with aside(path) as file:
        file.write(content)


def _plain(value: Any) -> Any:
    """Numbers as JSON knows them: NaN and infinity become null."""
    if isinstance(value, str | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist") and not isinstance(value, bytes):
        return _plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    return value


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write JSON aside and rename; NaN becomes null."""
    text = json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    write_aside(path, (text + "\n").encode("utf-8", "surrogatepass"))


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        UsageError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_bytes().removeprefix(_BOM).decode("utf-8", "surrogatepass"))
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist; expected a folder written by `aleaseg audit`") from error
    except ValueError as error:
        raise UsageError(
            f"{path} is damaged, no JSON ({error}); put a sound copy in its place, or, if aleaseg wrote it, run the "
            "same command into a new folder"
        ) from error
