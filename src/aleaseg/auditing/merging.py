"""What the parts of an audit came to, put together: the audit gone on with, when every case is scored."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from aleaseg.auditing.beginning import KIND
from aleaseg.auditing.running import Outcome, run_audit
from aleaseg.auditing.settings import AuditOfFolder
from aleaseg.errors import UsageError
from aleaseg.readers import open_dataset
from aleaseg.run import Run, kind_of
from aleaseg.work import Progress

__all__ = ["merge_parts"]


def merge_parts(
    folder: str | Path,
    *,
    progress: Progress = lambda stage, done, total: None,
    announce: Callable[[str], None] = lambda text: None,
    page: bool = True,
) -> Outcome:
    """Compare the cases of an audit that was done in parts, and write its tables and its page.

    Args:
        folder: of the run.
        progress: as of `run_audit`.
        announce: likewise.
        page: likewise.

    Raises:
        UsageError: the folder is not an audit, or a part is not through.
    """
    run = Run(folder)
    if kind_of(run.path) != KIND:
        raise UsageError(
            f"{folder} is not an audit; expected the folder that `aleaseg audit --part` filled"
        )
    settings = run.manifest["settings"]
    known = {field.name for field in fields(AuditOfFolder)}
    asked = AuditOfFolder(
        **{name: value for name, value in settings.items() if name in known}, out=str(folder)
    )
    cases = open_dataset(asked.dataset, **asked.reading).cases
    left = [case.id for case in cases if not run.case_file(case.id).is_file()]
    if left:
        raise UsageError(
            f"{len(left)} of {len(cases)} cases are not scored yet, such as {left[0]}; run the parts that are missing, "
            "with the same --part as before, or the same audit without --part, which does here what is left"
        )
    outcome = run_audit(asked, run, progress=progress, announce=announce, page=page)
    # Of cases that come in later nobody has done a share yet.
    shutil.rmtree(run.path / "parts", ignore_errors=True)
    return outcome
