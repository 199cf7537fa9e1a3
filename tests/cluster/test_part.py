"""An audit in parts, as the jobs of an array do it: every case once, and in the end what one process would say."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg import work
from aleaseg.auditing.merging import merge_parts
from aleaseg.auditing.running import run_audit
from aleaseg.auditing.settings import AuditOfFolder
from aleaseg.cluster.part import NotYet, Part, part_of
from aleaseg.errors import UsageError
from aleaseg.run import Run, SharedRun
from aleaseg.work import map_cases

PARTS = 3


@pytest.fixture(autouse=True)
def _one_core(monkeypatch):
    """A part's own cases one after the other in this process: the parts are what is tested."""
    monkeypatch.setattr(work, "cores", lambda: 1)


def rounds(asked, most=8):
    """Every part again and again, until all say that only merging is left; how often each was called."""
    for count in range(1, most + 1):
        last = []
        for number in range(1, PARTS + 1):
            try:
                with part_of(f"{number}/{PARTS}", Run(asked.out).path, "_score"):
                    run_audit(asked, SharedRun(asked.out), tables=False)
            except NotYet as end:
                last.append(end.last)
            else:
                last.append(True)
        if all(last):
            return count
    raise AssertionError("no end")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.lists(st.text(), max_size=40), st.integers(0, 30))
def test_every_item_belongs_to_one_part(tmp_path_factory, parts, names, numbers):
    folder = tmp_path_factory.getbasetemp()
    shares = [Part(number, parts, folder, "") for number in range(1, parts + 1)]
    for item in (*names, *range(numbers)):
        owners = {share.owner(item) for share in shares}
        assert len(owners) == 1
        assert owners <= set(range(1, parts + 1))
    # Folds are dealt in turn: as many work at a time as there are parts.
    assert len({shares[0].owner(fold) for fold in range(numbers)}) == min(parts, numbers)


@pytest.mark.parametrize("asked", ["0/3", "4/3", "3", "a/b", "-1/3", "1/0"])
def test_what_is_no_part_is_refused(asked, tmp_path):
    with pytest.raises(UsageError, match="expected which of how many, such as 3/20"):
        part_of(asked, tmp_path, "")


def test_what_all_need_waits_for_all(tmp_path):
    done = []
    with part_of("1/2", tmp_path, "last"), pytest.raises(NotYet) as end:
        dict(map_cases(done.append, list("abcdef")))
    assert (end.value.waiting, end.value.last) == ((2,), False)
    with part_of("2/2", tmp_path, "last"):
        found = dict(map_cases(done.append, list("abcdef")))
    # The second has come last: it has them all, those of the first once more (of a run, they are found done).
    assert found == dict.fromkeys("abcdef")
    assert set(done[:6]) == set("abcdef")


@pytest.mark.parametrize(
    "options",
    [{"extractor": "variance", "predictions": "labels"}, {"extractor": "variance", "steps": 2}],
    ids=["given", "crossfit"],
)
def test_in_parts_and_merged_is_as_undisturbed(tmp_path, write_small, options, one_process, monkeypatch):
    data = tmp_path / "data"
    write_small(data, 10)
    if options.get("predictions") == "labels":
        options = {**options, "predictions": data / "labelsTr"}
    asked = AuditOfFolder(data, out=tmp_path / "whole", groups=r"^(g\d)", **options)
    run_audit(asked, Run(tmp_path / "whole"), page=False)
    monkeypatch.undo()
    monkeypatch.setattr(work, "cores", lambda: 1)
    shared = replace(asked, out=tmp_path / "parts")
    trained = "predictions" not in options
    with pytest.raises(UsageError, match="is not an audit"):
        merge_parts(tmp_path)
    with pytest.raises(NotYet), part_of(f"1/{PARTS}", tmp_path / "parts", "_score"):
        run_audit(shared, SharedRun(shared.out), tables=False)
    with pytest.raises(UsageError, match="10 of 10 cases are not scored yet, such as g0_00; run the parts"):
        merge_parts(shared.out)
    assert rounds(shared) <= (5 if trained else 3)
    assert not (tmp_path / "parts" / "cases.csv").exists()
    merge_parts(shared.out, page=False)
    for table in ("cases.csv", "scores.csv", "measures.csv", "check.csv"):
        whole = (tmp_path / "whole" / table).read_bytes()
        assert (tmp_path / "parts" / table).read_bytes() == whole, table
    assert (Run(shared.out).manifest["crossfit"] is not None) == trained
