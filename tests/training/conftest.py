"""Small data sets and quick trainings."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from aleaseg.training import TrainerSettings, train


class Killed(BaseException):
    """As hard as the end of a process: nothing may catch it."""


@pytest.fixture
def quick(tmp_path, write_small, one_process):
    """quick.settings, quick.train(out, **changes): ten cases, six steps of two patches in three epochs."""
    data = tmp_path / "data"
    write_small(data, 10, faults=False, shape=(8, 12, 12))
    settings = TrainerSettings(str(data), steps=6, epochs=3, batch=2, device="cpu")

    def run(out="model", **changes):
        hooks = {name: changes.pop(name) for name in ("progress", "announce") if name in changes}
        return train(replace(settings, **changes), tmp_path / out, **hooks)

    return SimpleNamespace(data=data, path=tmp_path, settings=settings, train=run)


@pytest.fixture
def kill_at():
    """kill_at(step) -> a `progress` under which a training ends there."""

    def _kill_at(step):
        def progress(stage, done, total):
            if (stage, done) == ("fit", step):
                raise Killed

        return progress

    _kill_at.error = Killed
    return _kill_at
