"""What the page is answered: slices as they hang, decisions of several raters, nothing of others when blind."""

import json
import os
import shutil
import signal
import time
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest

from aleaseg.pages.planes import planes_through
from aleaseg.readers import open_dataset
from aleaseg.report.draw import pictures_file
from aleaseg.review.solid import coarse
from aleaseg.run import Run, file_name
from aleaseg.where.keeping import suspects

CASES = [f"case <{number:02d}>" for number in range(24)]


def volume(server, case, part="prediction"):
    late = time.monotonic() + 180  # a process is started for it, and a machine may be busy
    while time.monotonic() < late:
        found = server.json(f"/api/case/{file_name(case)}/volume")
        if found[part] or found["error"]:
            return found
        time.sleep(0.05)
    raise AssertionError("not decoded in time")


def slice_of(server, case, kind, axis, k):
    path = f"/api/case/{file_name(case)}/slice/{kind}/{axis}/{k}"
    status, headers, body = server.get(path)
    assert status == 200, body
    shape = tuple(map(int, headers["x-shape"].split(",")))
    return np.frombuffer(body, np.dtype(headers["x-kind"])).reshape(shape), headers


def dataset_of(run):
    return open_dataset(run.manifest["settings"]["dataset"])


@contextmanager
def changed(path, content):
    """A file that holds something else for a while, and is then what it was, its time with it."""
    held, stat = path.read_bytes(), path.stat()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(held)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_slices_are_the_files_as_they_hang(server, reviewed):
    case = dataset_of(reviewed)[CASES[3]]
    image, label = case.read_image(), case.read_label().array
    found = volume(server, CASES[3])
    assert found["error"] == ""
    assert found["image"]["shape"] == list(label.shape)
    for axis in range(3):
        k = label.shape[axis] // 2
        plane = next(one for one in planes_through((k, k, k), image.geometry) if one.axis == axis)
        grey, headers = slice_of(server, CASES[3], "image", axis, k)
        np.testing.assert_array_equal(grey, plane.cut(image.array[0]))
        assert headers["cache-control"] == "no-store"  # no browser keeps an image on its disk
        np.testing.assert_array_equal(slice_of(server, CASES[3], "mask", axis, k)[0], plane.cut(label))
        other, _ = slice_of(server, CASES[3], "prediction", axis, k)
        np.testing.assert_array_equal(other, plane.cut(np.roll(label, 1, axis=2)))
    differ = label != np.roll(label, 1, axis=2)
    assert found["prediction"]["profile"] == [
        differ.sum(axis=tuple({0, 1, 2} - {axis})).tolist() for axis in range(3)
    ]


def answered(server, path):
    status, headers, body = server.get(path)
    assert status == 200, body
    return np.frombuffer(body, np.dtype(headers["x-kind"])).reshape(
        [int(n) for n in headers["x-shape"].split(",")]
    )


def test_a_small_volume_is_sent_whole_and_small_enough_to_be_turned(server, reviewed):
    case = dataset_of(reviewed)[CASES[4]]
    label = case.read_label().array
    image = volume(server, CASES[4])["image"]
    assert image["whole"]
    path = f"/api/case/{file_name(CASES[4])}"
    np.testing.assert_array_equal(answered(server, f"{path}/whole/image"), case.read_image().array[0])
    np.testing.assert_array_equal(answered(server, f"{path}/whole/mask"), label)
    moved = np.roll(label, 1, axis=2)
    np.testing.assert_array_equal(answered(server, f"{path}/whole/prediction"), moved)
    np.testing.assert_array_equal(
        answered(server, f"{path}/solid/prediction"), coarse(moved, image["steps"])
    )
    assert server.get(f"{path}/whole/image?channel=1")[0] == 404
    assert server.get(f"{path}/solid/else")[0] == 404


def test_where_to_look_follows_the_reasons(server):
    case = server.json("/api/queue")["case"][0]
    about = server.json(f"/api/case/{file_name(case)}")
    places = volume(server, case)["prediction"]["places"]
    assert about["reasons"]
    assert [one["code"] for one in about["reasons"]] == [place["reason"] for place in places]


def test_what_is_not_decoded_yet_is_told_and_comes(server):
    path = f"/api/case/{file_name(CASES[20])}/slice/image/0/1"
    status, headers, _ = server.get(path)
    assert (status, headers["retry-after"]) == (202, "1")
    volume(server, CASES[20], "image")
    assert server.get(path)[0] == 200


def test_what_is_likely_next_is_decoded_before_it_is_asked_for(server, reviewed):
    assert server.post("/api/prefetch", [file_name(CASES[21])])[0] == 200
    for _ in range(600):
        if any(path.name == "prediction.json" for path in (reviewed.path / "review").rglob("*.json")):
            break
        time.sleep(0.05)
    volume(server, CASES[21])


def test_the_queue_is_the_table_of_the_page(server, reviewed):
    queue = server.json("/api/queue")
    assert sorted(queue["case"]) == CASES
    frame = reviewed.cases.set_index("case")["doubt"]
    for case, doubt in zip(queue["case"], queue["numbers"]["doubt"], strict=True):
        assert doubt == pytest.approx(float(frame[case]), abs=1e-6)
    status, headers, body = server.get(f"/api/case/{queue['hash'][0]}/picture/thumb")
    assert (status, headers["content-type"], body[:4]) == (200, "image/webp", b"RIFF")


def test_a_decision_is_there_for_all_who_ask(server, event):
    sent = event(CASES[5], verdict="re-scan", seconds=4.2)
    before = server.json("/api/holding")["last"]
    status, _, body = server.post("/api/events", [sent])
    assert (status, json.loads(body)["saved"]) == (200, [sent["uuid"]])
    assert server.post("/api/events", sent)[0] == 200  # again: it is there once
    found = server.json(f"/api/holding?since={before}&rater=bob")
    assert found["last"] == before + 1
    assert found["cases"] == [
        {
            "hash": file_name(CASES[5]),
            "verdicts": [{"class": "", "rater": "ann", "verdict": "re-scan", "stale": False}],
        }
    ]
    (row,) = server.json(f"/api/events?case={file_name(CASES[5])}")["events"]
    assert (row["seconds"], row["blind"], bool(row["label_stamp"]), bool(row["image_stamp"])) == (
        4.2,
        0,
        True,
        True,
    )
    conflict = server.post("/api/events", {**sent, "verdict": "keep"})
    assert conflict[0] == 409
    wrong = server.post("/api/events", event(CASES[5], **{"class": "no such class"}))
    assert wrong[0] == 422


def test_decisions_go_out_and_come_in_and_are_of_the_mask_as_it_is(server):
    rows = f"case,rater,verdict\n{CASES[16]},tab,keep\n"
    status, _, body = server.post("/api/import", {"name": "theirs.csv", "text": rows})
    assert status == 200, body
    (row,) = server.json(f"/api/events?case={file_name(CASES[16])}")["events"]
    assert row["label_stamp"]
    held = {one["hash"]: one["verdicts"] for one in server.json("/api/holding")["cases"]}
    assert held[file_name(CASES[16])] == [{"class": "", "rater": "tab", "verdict": "keep", "stale": False}]
    before = server.json("/api/holding")["last"]
    for form in ("json", "csv"):  # what is there already is not there twice
        _, _, text = server.get(f"/api/export.{form}")
        sent = {"name": f"decisions.{form}", "text": text.decode()}
        status, _, body = server.post("/api/import", sent)
        assert status == 200, body
        if form == "json":
            assert server.json("/api/holding")["last"] == before


def test_agreement_of_two(server, event):
    for number, (ann, bob) in enumerate(
        [("keep", "keep"), ("drop", "drop"), ("keep", "drop"), ("drop", "drop")]
    ):
        for rater, verdict in (("ann", ann), ("bob", bob)):
            assert (
                server.post("/api/events", event(CASES[8 + number], rater=rater, verdict=verdict))[0] == 200
            )
    found = server.json("/api/agreement")
    (pair,) = [one for one in found["cohen"] if one["raters"] == ["ann", "bob"]]
    # p_o = 3/4, p_e = 1/2 * 1/4 + 1/2 * 3/4
    assert pair["value"] == pytest.approx(0.5)
    assert pair["low"] <= pair["value"] <= pair["high"]
    assert CASES[10] in found["disputed"]


def test_what_to_look_at_first_and_what_a_sample_says(server, event):
    before = server.json("/api/looking")
    queue = server.json("/api/queue")
    assert sorted(before["drawn"].values()) == list(range(1, 25))
    doubt = dict(zip(queue["hash"], queue["numbers"]["doubt"], strict=True))
    ranked = sorted(before["rates"], key=lambda name: -before["rates"][name])
    rates = [before["rates"][name] for name in sorted(doubt, key=lambda name: -doubt[name])]
    assert set(ranked) == set(queue["hash"])
    assert (np.diff(rates) <= 1e-9).all()
    by_hash = dict(zip(queue["hash"], queue["case"], strict=True))
    for name in sorted(before["drawn"], key=before["drawn"].get)[:5]:
        sent = event(by_hash[name], rater="sam", verdict="re-scan", seconds=10)
        assert server.post("/api/events", sent)[0] == 200
    after = server.json("/api/looking")
    assert after["sample"]["size"] >= 5
    assert after["sample"]["bad"] >= 1
    assert after["drawn"] == before["drawn"]


def test_a_verdict_on_a_mask_that_has_changed_is_stale(server, event, reviewed):
    case = dataset_of(reviewed)[CASES[7]]
    path = case.label_files[0]
    assert server.post("/api/events", event(CASES[7], verdict="keep"))[0] == 200

    def stale():
        found = server.json("/api/holding")["cases"]
        (mine,) = [one for one in found if one["hash"] == file_name(CASES[7])]
        return mine["verdicts"][0]["stale"]

    assert not stale()
    with changed(path, path.read_bytes()):  # written anew, the same
        assert not stale()
    with changed(path, dataset_of(reviewed)[CASES[6]].label_files[0].read_bytes()):
        assert stale()
    assert not stale()


def test_a_map_of_doubt_is_shown_as_long_as_its_mask_is_the_same(server, reviewed):
    suspect = suspects(reviewed.cases)[0]
    assert volume(server, suspect)["prediction"]["doubt"] is not None
    path = dataset_of(reviewed)[suspect].label_files[0]
    with changed(path, dataset_of(reviewed)["case <06>"].label_files[0].read_bytes()):
        found = volume(server, suspect)["prediction"]
        assert found["doubt"] is None
        assert any("before the files of this case changed" in note for note in found["notes"])
    assert volume(server, suspect)["prediction"]["doubt"] is not None


def test_the_blind_see_pictures_of_pictures(reviewed, start_server, asking, tmp_path):
    """What has no slices has none that would tell a reason."""
    run = Run(shutil.copytree(reviewed.path, tmp_path / "run"))
    file = pictures_file(run.path / "report", CASES[3])
    first, _, rest = file.read_text().partition("\n")
    about = json.loads(first.removeprefix("// "))
    assert about["plane"]
    file.write_text(f"// {json.dumps({**about, 'plane': ''})}\n{rest}")
    blind = asking(start_server(run, "--blind")[1])
    queue = blind.json("/api/queue")
    shown = [case for case, small in zip(queue["case"], queue["thumb"], strict=True) if small]
    assert shown == [CASES[3]]
    assert blind.get(f"/api/case/{file_name(CASES[3])}/picture/thumb")[0] == 200
    assert blind.get(f"/api/case/{file_name(CASES[4])}/picture/thumb")[0] == 404


def test_the_blind_see_no_scores_and_no_others(reviewed, start_server, asking, event):
    _, address = start_server(reviewed, "--blind", "--rater", "cleo")
    blind = asking(address)
    about = blind.json("/api/run")
    assert (about["blind"], about["rater"]) == (True, "cleo")
    queue = blind.json("/api/queue")
    assert sorted(queue["case"]) == CASES
    assert queue["numbers"] == {}
    assert queue["case"] != CASES
    assert queue["shuffled"] is True
    assert not any(queue["reasons"]["rows"])
    case = blind.json(f"/api/case/{file_name(CASES[3])}")
    assert (case["reasons"], case["statistics"], case["classes"]) == ([], [], [])
    assert volume(blind, CASES[3])["prediction"]["places"] == []
    assert volume(blind, CASES[3])["prediction"]["doubt"] is None
    assert blind.get(f"/api/case/{file_name(CASES[3])}/slice/doubt/0/3")[0] == 404
    # A small picture of a volume shows the slice of the first reason, and only doubtful cases have all slices drawn.
    assert not any(queue["thumb"] + queue["mosaic"])
    for kind in ("thumb", "mosaic", "background"):
        assert blind.get(f"/api/case/{file_name(CASES[3])}/picture/{kind}")[0] == 404
    blind.post("/api/events", event(CASES[1], rater="cleo", verdict="keep"))
    blind.post("/api/events", event(CASES[1], rater="dora", verdict="drop"))
    said = json.dumps(blind.json("/api/holding?rater=cleo")) + json.dumps(
        blind.json("/api/events?rater=cleo")
    )
    assert "cleo" in said
    assert "dora" not in said
    assert all(one["blind"] for one in blind.json("/api/events?rater=cleo")["events"])
    # What a sample says is of one's own decisions.
    drawn = blind.json("/api/looking?rater=cleo")["drawn"]
    order = sorted(drawn, key=drawn.get)
    case = next(case for case in CASES if file_name(case) == order[0])
    blind.post("/api/events", event(case, rater="dora", verdict="drop"))
    assert blind.json("/api/looking?rater=cleo")["sample"]["size"] == (case == CASES[1])
    dropped = {order[0], file_name(CASES[1])}  # a sample is what was decided of the order's beginning
    bad = len([*takewhile(dropped.__contains__, order)])
    assert blind.json("/api/looking?rater=dora")["sample"]["bad"] == bad
    assert "rates" not in blind.json("/api/looking")
    assert blind.get("/api/export.csv")[0] == 404
    assert blind.json("/api/agreement") == {"blind": True}


def test_a_server_that_was_killed_has_kept_what_it_acknowledged(reviewed, start_server, asking, event):
    process, address = start_server(reviewed)
    first = asking(address)
    sent = [event(CASES[number], rater="eve") for number in range(12, 16)]
    assert first.post("/api/events", sent)[0] == 200
    process.kill()
    process.wait()
    _, address = start_server(reviewed)
    again = asking(address)
    assert again.post("/api/events", sent)[0] == 200
    found = [one for one in again.json("/api/events")["events"] if one["rater"] == "eve"]
    assert [one["uuid"] for one in found] == [one["uuid"] for one in sent]


def lives(pid):
    """Whether a process runs; one that has ended and that nobody has asked after does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc here")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_decodes_ends_with_the_server(reviewed, start_server, asking, end):
    # Nothing is decoded yet, by whichever test, so that there is something to do.
    shutil.rmtree(reviewed.path / "review" / "volumes", ignore_errors=True)
    process, address = start_server(reviewed)
    volume(asking(address), CASES[8], "image")
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    workers = [int(pid) for path in tasks for pid in path.read_text().split()]
    assert workers
    process.send_signal(end)
    process.wait(60)
    late = time.monotonic() + 60
    while left := [pid for pid in workers if lives(pid)]:
        assert time.monotonic() < late, left
        time.sleep(0.1)


def test_a_port_that_is_taken_is_named(server, reviewed, type_aleaseg):
    done = type_aleaseg("review", reviewed.path, "--no-browser", "--port", server.port)
    assert done.returncode == 2
    assert f"port {server.port}" in done.stderr
    assert done.stdout == ""


def test_no_run_no_review(tmp_path, type_aleaseg):
    done = type_aleaseg("review", tmp_path, "--no-browser")
    assert done.returncode == 2
    assert "manifest.json does not exist" in done.stderr or "does not exist" in done.stderr
