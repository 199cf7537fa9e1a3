"""Plans are read as they were written, in every version there was, or refused in words."""

from dataclasses import FrozenInstanceError, replace

import pytest

from aleaseg.errors import NewerVersion, UsageError
from aleaseg.run import Run, read_json, write_json
from aleaseg.training.foldplan import FoldPlan, plan_file
from aleaseg.training.grid import WorkingGrid
from aleaseg.training.plan import NetworkPlan, TrainingPlan
from aleaseg.training.preprocessing import Preprocessing
from aleaseg.training.schedule import Schedule

SEEN = Preprocessing(
    WorkingGrid((1.5, 0.1 + 0.2), (16, 32), (1, 2)),
    [{"low": -1.0, "high": 2.5, "mean": 0.1, "std": 1.0}, None],
    (1, 2, 7),
    ignore=9,
    usual_voxels=4096.0,
)
ABOUT = {"channels": ("CT", "PET"), "classes": {"a": (1,), "b": (2, 7)}}
TRAINING = TrainingPlan(
    SEEN,
    NetworkPlan("umamba", "paper", True),
    **ABOUT,
    objective="duo:alpha=1",
    schedule=Schedule(25, 2, seed=3, optimizer="sgd", epoch_steps=5, augmentation="strong"),
    train=("c0", "\udcff"),
    held_out=("c2",),
    notes=("a note",),
    failed={"c3": "c3: found nothing"},
)
FOLDS = FoldPlan(
    SEEN,
    NetworkPlan("unet"),
    **ABOUT,
    folds=(("c0",), ("c1", "c2")),
    groups={"c0": "p0", "c1": "p1", "c2": "p1"},
    files={"c0": {"c0.nii.gz": [12, 34]}},
    steps=25,
    batch=2,
    seed=4,
    device="cuda",
    inside=True,
    failed={"c3": "c3: found nothing"},
)


def kept(folder, plan):
    """Write a plan; its file, and how it is read."""
    if isinstance(plan, FoldPlan):
        plan.write(Run(folder))
        return plan_file(Run(folder)), lambda: FoldPlan.read(Run(folder))
    plan.write(folder / "plan.json")
    return folder / "plan.json", lambda: TrainingPlan.read(folder / "plan.json")


@pytest.mark.parametrize("plan", [TRAINING, FOLDS])
def test_what_was_written_is_read(tmp_path, plan):
    file, read = kept(tmp_path, plan)
    assert read() == plan
    about = read_json(file)
    assert about["version"] == 2
    assert about["kind"] == ("fold plan" if plan is FOLDS else "training plan")
    with pytest.raises(FrozenInstanceError):
        plan.network = None


def test_a_training_plan_from_before_there_were_versions(tmp_path):
    file, read = kept(tmp_path, TRAINING)
    now = read_json(file)
    older = {
        name: now[name] for name in now if name not in ("kind", "version", "preprocessing", "schedule")
    }
    write_json(file, {**older, **now["preprocessing"], "training": now["schedule"]})
    assert read() == TRAINING


def test_a_fold_plan_from_before_there_were_versions(tmp_path):
    """It knew one network, counted the channels, and named no class; the oldest knew neither groups nor files."""
    file, read = kept(tmp_path, FOLDS)
    now = read_json(file)
    older = {name: now[name] for name in ("folds", "groups", "files", "steps", "batch", "seed", "device")}
    older |= {name: now["preprocessing"][name] for name in ("grid", "normalisation", "values")}
    older |= {"channels": 2, "failed": now["failed"], "inside": True}
    write_json(file, older)
    wanted = replace(
        FOLDS,
        preprocessing=replace(SEEN, ignore=None, usual_voxels=None),
        network=NetworkPlan("small"),
        channels=("channel 0", "channel 1"),
        classes={"label 1": (1,), "label 2": (2,), "label 7": (7,)},
    )
    assert read() == wanted
    write_json(file, {name: older[name] for name in older if name not in ("groups", "files", "inside")})
    oldest = replace(wanted, groups={"c0": "c0", "c1": "c1", "c2": "c2"}, files=None, inside=False)
    assert read() == oldest


@pytest.mark.parametrize("plan", [TRAINING, FOLDS])
def test_what_is_no_such_plan_is_refused_in_words(tmp_path, plan):
    file, read = kept(tmp_path, plan)
    now = read_json(file)
    write_json(file, {**now, "version": 3})
    with pytest.raises(NewerVersion, match="of version 3, and this aleaseg reads up to 2"):
        read()
    for wrong in ({**now, "kind": "shopping list"}, [1, 2], {"version": 2}, {**now, "network": 5}):
        write_json(file, wrong)
        with pytest.raises(UsageError, match=f"is not a (complete )?{now['kind']}"):
            read()
    other = TRAINING if plan is FOLDS else FOLDS
    theirs, _ = kept(tmp_path / "other", other)
    file.write_bytes(theirs.read_bytes())
    with pytest.raises(UsageError, match=f"is not a (complete )?{now['kind']}"):
        read()
    file.write_text("{")
    with pytest.raises(UsageError, match="is damaged"):
        read()


def test_a_fold_is_trained_on_the_others_from_a_seed_of_its_own():
    trainings = [FOLDS.training(fold) for fold in range(2)]
    assert [one.train for one in trainings] == [("c1", "c2"), ("c0",)]
    assert [one.held_out for one in trainings] == [("c0",), ("c1", "c2")]
    assert [one.schedule.seed for one in trainings] == [4000, 4001]
    assert all(one.preprocessing == SEEN and one.network == FOLDS.network for one in trainings)
