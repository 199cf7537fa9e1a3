"""What a review decided goes before the score, and `select` says so."""

import json
import shutil
import uuid

import pytest

from aleaseg.readers import open_dataset
from aleaseg.review.decisions import Decisions
from aleaseg.review.event import Event
from aleaseg.review.judging import judged
from aleaseg.review.session import DECISIONS
from aleaseg.review.stamps import label_stamp


@pytest.fixture
def decide(fresh):
    dataset = open_dataset(fresh.manifest["settings"]["dataset"])
    opened = Decisions(fresh.path / DECISIONS)

    def add(number, verdict, rater="ann", stamp=None, **more):
        case = f"case <{number:02d}>"
        at = "2026-01-01T00:00:00.000+00:00"
        stamp = label_stamp(dataset[case]) if stamp is None else stamp
        event = Event(
            str(uuid.uuid4()), at, rater, case, "verdict", verdict=verdict, label_stamp=stamp, **more
        )
        opened.add([event])

    yield add
    opened.close()


def test_only_what_all_say_of_the_mask_as_it_is_holds(decide, fresh):
    decide(0, "drop")
    decide(1, "keep")
    decide(1, "unsure", "bob")
    decide(2, "drop")
    decide(2, "keep", "bob")
    decide(3, "re-annotate")
    decide(4, "unsure")
    decide(5, "drop", stamp="another.mask")
    decide(6, "drop", class_name="left")
    found = judged(fresh)
    assert (found.drop, found.keep) == (("case <00>",), ("case <01>",))
    assert found.mend == (("case <03>", "re-annotate"),)
    assert (found.disputed, found.unsure, found.stale) == (("case <02>",), ("case <04>",), ("case <05>",))


def test_select_goes_by_it_whatever_the_score(decide, fresh, type_aleaseg, type_here):
    cases = fresh.cases.sort_values("doubt")
    sound, doubtful = cases["case"].iloc[0], cases["case"].iloc[-1]
    assert cases["doubt"].iloc[-1] > 0.5
    decide(int(sound[6:8]), "drop")
    decide(int(doubtful[6:8]), "keep")
    done = type_aleaseg("select", fresh.path, "--use-review", "--as", "csv")
    assert done.returncode == 0, done.stderr
    assert "review: 1 dropped and 1 kept, whatever the score" in done.stdout
    assert "by hand" in done.stdout
    manifest = json.loads((fresh.path / "selection" / "manifest.json").read_text())
    dropped = {row["case"]: row["by_hand"] for row in manifest["dropped"]}
    assert dropped[sound] == "dropped"
    assert doubtful not in dropped
    # What is typed has the last word.
    done = type_here("select", fresh.path, "--use-review", "--keep", sound, "--dry-run")
    assert (
        f"kept by hand: {sound}, {doubtful}" in done.stdout
        or f"kept by hand: {doubtful}, {sound}" in done.stdout
    )
    shutil.rmtree(fresh.path / "selection")


def test_without_a_review_it_says_what_to_do(fresh, type_here):
    done = type_here("select", fresh.path, "--use-review")
    assert done.returncode == 2
    assert "aleaseg review" in done.stderr
