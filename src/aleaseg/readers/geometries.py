"""Headers, each opened once: later stages are told where the voxels of a case lie, and do not look again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from aleaseg.case import Case, Dataset, Geometry
from aleaseg.errors import CaseError, Unreadable
from aleaseg.work import in_threads, map_cases

__all__ = ["read_headers"]

# Many small reads, slow ones on a network drive: threads wait for them side by side.
_THREADS = 8


@dataclass(frozen=True)
class _Known:
    """What a header said, or why it could not be read."""

    found: Geometry | CaseError

    def __call__(self) -> Geometry:
        if isinstance(self.found, CaseError):
            raise self.found.with_traceback(None)
        return self.found


def read_headers(
    dataset: Dataset, progress: Callable[[int, int], None] = lambda done, total: None
) -> Dataset:
    """The same data set, the geometry of every case known.

    A header that cannot be read is no error here: its case says so where the geometry is asked for.

    Args:
        dataset: as it was opened.
        progress: called with (cases done, cases in all).
    """
    read = map_cases(
        _read, dataset.cases, workers=_THREADS, executor=in_threads, here=True, progress=progress
    )
    known = {case.id: found for case, found in read}
    return dataset.with_cases([known[case.id] for case in dataset.cases])


def _read(case: Case) -> Case:
    found: Geometry | CaseError
    try:
        found = case.read_geometry()
    except CaseError as error:
        found = error
    except Exception as error:  # whatever one file does, the others go on
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        found = Unreadable(case.id, what, "a header that can be read", "look at the file")
    return replace(case, read_geometry=_Known(found))
