"""Whether a mask is still the one that was judged."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

from aleaseg.case import Case, file_stamps

__all__ = ["label_stamp", "same_label"]


def label_stamp(case: Case) -> str:
    """Of the files of a mask: size and time, and behind a dot what they hold. Empty without a mask."""
    files = _files(case)
    return f"{_short(files)}.{_content(files)}" if case.label_files else ""


def same_label(case: Case, before: str) -> bool:
    """Whether the mask holds what it held at a stamp. Copied to another place it is the same one."""
    files = _files(case)
    outside, _, inside = before.partition(".")
    if not case.label_files:
        return not before
    return outside == _short(files) or inside == _content(files)


def _files(case: Case) -> str:
    of_label = {str(path) for path in case.label_files}
    return json.dumps({path: stamp for path, stamp in file_stamps(case).items() if path in of_label})


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


@lru_cache(maxsize=20_000)
def _content(files: str) -> str:
    held = hashlib.sha256()
    for path in json.loads(files):
        try:
            with open(path, "rb") as file:
                held.update(hashlib.file_digest(file, "sha256").digest())
        except OSError:
            held.update(b"missing")
    return held.hexdigest()[:20]
