"""Released weights: fetched from a small hub of our own on 127.0.0.1 by the real huggingface_hub."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aleaseg.errors import MissingExtra, UsageError, WeightsRefused
from aleaseg.extractors import weights
from aleaseg.extractors.weights import (
    CATALOGUE,
    UNKNOWN,
    Entry,
    expected,
    fetch,
    find,
    known_sha256,
    locate,
    lock_file,
    placed,
    verify,
)

FIRST, SECOND = "1" * 40, "2" * 40
CONTENT = bytes(range(256)) * 40
OTHER = b"another file"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Hub(ThreadingHTTPServer):
    """Enough of a model hub: `/OWNER/REPO/resolve/REVISION/FILE`, with ranges, cuts, and refusals."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files = {}  # (repository/file, commit) -> content
        self.main = FIRST
        self.cuts = []  # after how many bytes the next answers break off
        self.refuse = None  # (status, X-Error-Code)
        self.asked = []  # (method, path, range)

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def offer(self, name, content, commit=FIRST):
        entry = CATALOGUE[name]
        self.files[f"{entry.repository}/{entry.file}", commit] = content


class _Answer(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        hub = self.server
        hub.asked.append((self.command, self.path, self.headers.get("Range")))
        found = re.fullmatch(r"/(\w[^/]*/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        commit = hub.main if found and found[2] == "main" else found and found[2]
        content = found and hub.files.get((f"{found[1]}/{found[3]}", commit))
        if hub.refuse or content is None:
            status, code = hub.refuse or (404, "EntryNotFound")
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        self.send_response(206 if "Range" in self.headers else 200)
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{sha256(content)}"')
        self.send_header("X-Repo-Commit", commit)
        self.end_headers()
        if body:
            end = hub.cuts.pop(0) if hub.cuts else len(content)
            self.wfile.write(content[start:end])


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user with nothing yet, and no way to the real hub."""
    for variable in os.environ:
        if variable.startswith(("HF_", "HUGGING", "ALEASEG_", "XDG_", "TRANSFORMERS_")):
            monkeypatch.delenv(variable)
    for variable, value in {
        "HOME": str(tmp_path),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(variable, value)
    return tmp_path


@pytest.fixture
def hub(home, monkeypatch):
    """A running hub that HF_ENDPOINT names; the client's connections end with it."""
    client = pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    # Read when it was imported, perhaps by another test.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    client.close_session()
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    yield server
    client.close_session()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def known(monkeypatch):
    """An entry whose revision and hash are in the catalogue, as MedSAM2's are."""
    entry = Entry(
        "known", "medsam2", "owner/repo", "known.pt", "MIT", revision=FIRST, sha256=sha256(CONTENT)
    )
    monkeypatch.setitem(CATALOGUE, "known", entry)
    return entry


@pytest.fixture
def no_network(monkeypatch):
    def refuse(self, address):
        raise AssertionError(f"the network was used: {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def by_hand(name, content=CONTENT):
    path = placed(name)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


# -- the catalogue --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_catalogue_knows_a_thing_or_says_that_it_does_not(name):
    entry = CATALOGUE[name]
    assert entry.name == name
    assert re.fullmatch(r"[\w-]+/[\w-]+", entry.repository)
    assert re.fullmatch(r"[\w.]+\.(pt|pth|bin|safetensors)", entry.file)
    assert entry.revision == UNKNOWN or re.fullmatch(r"[0-9a-f]{40}", entry.revision)
    assert entry.sha256 == UNKNOWN or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    assert entry.licence
    assert entry.needs_acceptance == ("NC" in entry.licence)


def test_every_extractor_with_weights_finds_its_own():
    for name in ("medsam2", "segvol", "universal"):
        assert CATALOGUE[name].extractor == name


def test_an_unknown_name_is_answered_with_the_known_ones(home):
    with pytest.raises(UsageError, match=r"expected one of: medsam2, .*universal"):
        locate("medsam3")


# -- fetching -------------------------------------------------------------------------------------


def test_a_known_file_is_fetched_and_found(hub, known):
    hub.offer("known", CONTENT)
    path = fetch("known")
    assert path.read_bytes() == CONTENT
    assert find("known") == locate("known") == path
    assert verify("known") is True
    lock = json.loads(lock_file().read_text())
    assert lock["pinned"] == {}
    assert list(lock["hashed"]) == [str(path.resolve())]
    assert expected("known").source == "the catalogue"
    # Asked for at the pinned revision, never at `main`; and for nothing else.
    assert {path for _, path, _ in hub.asked} == {f"/owner/repo/resolve/{FIRST}/known.pt"}


def test_fetched_a_second_time_nothing_is_asked(hub, known):
    hub.offer("known", CONTENT)
    fetch("known")
    hub.asked.clear()
    assert fetch("known") == find("known")
    assert hub.asked == []


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub, known, monkeypatch):
    from huggingface_hub import file_download

    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    hub.offer("known", CONTENT)
    hub.cuts = [3000, 5500]
    assert fetch("known").read_bytes() == CONTENT
    assert [span for method, _, span in hub.asked if method == "GET"] == [
        None,
        "bytes=3000-",
        "bytes=5000-",
    ]


def test_a_download_that_never_ends_leaves_nothing_that_could_be_taken_for_it(hub, known, monkeypatch):
    from huggingface_hub import file_download

    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    hub.offer("known", CONTENT)
    hub.cuts = [0] * 50
    with pytest.raises(WeightsRefused, match=r"known\.pt cannot be fetched .*run the same command again"):
        fetch("known")
    assert find("known") is None
    assert not list(weights.hub_cache().rglob("*.incomplete"))
    hub.cuts = []
    assert fetch("known").read_bytes() == CONTENT


def test_another_file_than_the_catalogue_says_is_refused_each_time(hub, known):
    hub.offer("known", OTHER)
    for use in (fetch, locate, verify, fetch):
        with pytest.raises(WeightsRefused) as refused:
            use("known")
        assert f"has sha256 {sha256(OTHER)}; expected {sha256(CONTENT)}" in str(refused.value)
        assert str(refused.value).startswith("known: ")
    assert json.loads(lock_file().read_text())["pinned"] == {}


def test_a_file_that_went_bad_in_the_cache_is_fetched_anew(hub, known, monkeypatch):
    hub.offer("known", CONTENT)
    path = fetch("known")
    path.resolve().write_bytes(OTHER)
    with pytest.raises(WeightsRefused, match="remove it and run `aleaseg weights fetch known`"):
        locate("known")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsRefused, match="damaged, and HF_HUB_OFFLINE is set"):
        fetch("known")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert fetch("known").read_bytes() == CONTENT
    assert verify("known") is True


def test_what_is_unknown_is_pinned_by_the_first_fetch(hub):
    hub.offer("medsam2-2411", CONTENT)
    fetch("medsam2-2411")
    pin = expected("medsam2-2411")
    assert (pin.revision, pin.sha256, pin.source) == (FIRST, sha256(CONTENT), str(lock_file()))
    assert verify("medsam2-2411") is True
    # The hub moves on; the pin stays.
    hub.main = SECOND
    hub.offer("medsam2-2411", OTHER, SECOND)
    assert fetch("medsam2-2411").read_bytes() == locate("medsam2-2411").read_bytes() == CONTENT


def test_what_contradicts_the_lock_is_refused_by_name(hub, home):
    hub.offer("medsam2-2411", CONTENT)
    path = fetch("medsam2-2411")
    path.unlink()
    path.resolve().unlink(missing_ok=True)
    for blob in weights.hub_cache().glob("*/blobs/*"):
        blob.unlink()
    hub.offer("medsam2-2411", OTHER)  # history rewritten under the same revision
    for use in (fetch, locate, verify):
        with pytest.raises(
            WeightsRefused, match=rf"^medsam2-2411: .*expected {sha256(CONTENT)}, as {lock_file()} says"
        ):
            use("medsam2-2411")
    assert expected("medsam2-2411").sha256 == sha256(CONTENT)


def test_a_catalogue_that_learns_another_hash_contradicts_the_lock(hub, monkeypatch):
    from dataclasses import replace

    hub.offer("medsam2-2411", CONTENT)
    fetch("medsam2-2411")
    monkeypatch.setitem(CATALOGUE, "medsam2-2411", replace(CATALOGUE["medsam2-2411"], sha256=sha256(OTHER)))
    for use in (fetch, locate, verify, find):
        with pytest.raises(WeightsRefused, match=r"MedSAM2_2411\.pt out of `pinned`"):
            use("medsam2-2411")
    # A source of another name has a pin of its own.
    monkeypatch.setitem(
        CATALOGUE, "medsam2-2411", replace(CATALOGUE["medsam2-2411"], repository="somebody/else")
    )
    assert expected("medsam2-2411").source == "the catalogue"


def test_a_hub_that_answers_with_another_revision_is_refused(hub, known, monkeypatch):
    monkeypatch.setattr(hub, "files", {("owner/repo/known.pt", FIRST): CONTENT})
    answered = _Answer.send_header
    monkeypatch.setattr(
        _Answer,
        "send_header",
        lambda self, name, value: answered(self, name, SECOND if name == "X-Repo-Commit" else value),
    )
    with pytest.raises(WeightsRefused, match=f"answered with revision {SECOND}; expected {FIRST}"):
        fetch("known")
    assert find("known") is None


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (
            (403, "GatedRepo"),
            r"ask for access at https://huggingface\.co/wanglab/MedSAM2, then run `hf auth login`",
        ),
        ((404, "EntryNotFound"), "cannot be fetched .*EntryNotFoundError"),
        ((404, "RevisionNotFound"), "cannot be fetched .*RevisionNotFoundError"),
        ((401, "RepoNotFound"), "cannot be fetched .*RepositoryNotFoundError"),
        ((403, ""), "cannot be fetched .*403"),
    ],
)
def test_a_hub_that_refuses(hub, refusal, message):
    hub.offer("medsam2-ctlesion", CONTENT)
    hub.refuse = refusal
    with pytest.raises(WeightsRefused, match=rf"^medsam2-ctlesion: .*{message}"):
        fetch("medsam2-ctlesion")
    assert find("medsam2-ctlesion") is None


def test_a_hub_out_of_reach(hub, monkeypatch):
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsRefused) as refused:
        fetch("medsam2-ctlesion")
    assert "ConnectError" in str(refused.value)
    assert str(placed("medsam2-ctlesion")) in str(refused.value)


def test_offline_names_the_file_and_where_to_put_it(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsRefused) as refused:
        fetch("medsam2")
    assert hub.asked == []
    for part in ("HF_HUB_OFFLINE is set", CATALOGUE["medsam2"].url, str(placed("medsam2"))):
        assert part in str(refused.value)


def test_a_full_disk_is_not_the_hub(hub, known, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "blobs")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(OSError, match="No space left"):
        fetch("known")


def test_without_huggingface_hub_only_fetching_is_impossible(home, known, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"pip install 'aleaseg\[models\]'"):
        fetch("known")
    assert by_hand("known") == locate("known")


# -- finding --------------------------------------------------------------------------------------


def test_a_path_of_ones_own_comes_before_one_placed_by_hand_before_the_cache(hub, known, tmp_path):
    hub.offer("known", CONTENT)
    fetched = fetch("known")
    assert locate("known") == fetched
    assert by_hand("known") == locate("known") == find("known")
    own = tmp_path / "tuned.pt"
    own.write_bytes(OTHER)  # somebody's own training: no hash can be asked of it
    assert locate("known", str(own)) == own
    assert find("known") == placed("known")
    with pytest.raises(WeightsRefused, match=r"nowhere\.pt is not a file; expected known\.pt"):
        locate("known", tmp_path / "nowhere.pt")


def test_what_is_placed_by_hand_is_checked(home, known, no_network):
    by_hand("known", OTHER)
    with pytest.raises(WeightsRefused, match="as the catalogue says"):
        locate("known")
    placed("known").write_bytes(CONTENT)
    assert locate("known") == placed("known")


def test_where_no_hash_is_known_there_is_nothing_to_compare(home, no_network):
    path = by_hand("medsam2-ctlesion")
    assert locate("medsam2-ctlesion") == path
    assert verify("medsam2-ctlesion") is False


def test_absent_says_what_to_run_and_where_to_put_it(home, no_network):
    assert find("medsam2") is None
    for use in (locate, verify):
        with pytest.raises(WeightsRefused) as refused:
            use("medsam2")
        for part in ("`aleaseg weights fetch medsam2`", "MedSAM2_latest.pt", str(placed("medsam2"))):
            assert part in str(refused.value)


@pytest.mark.parametrize(
    ("variables", "cache"),
    [
        ({}, ".cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "$HOME/c"}, "c/huggingface/hub"),
        ({"HF_HOME": "~/hf"}, "hf/hub"),
        ({"HF_HOME": "~/hf", "HUGGINGFACE_HUB_CACHE": "$HOME/old"}, "old"),
        ({"HF_HOME": "~/hf", "HF_HUB_CACHE": "$HOME/new", "HUGGINGFACE_HUB_CACHE": "$HOME/old"}, "new"),
    ],
)
def test_the_cache_is_where_huggingface_hub_has_it(home, monkeypatch, variables, cache):
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert weights.hub_cache() == home / cache
    code = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    theirs = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert Path(theirs.strip()) == home / cache


def test_the_places_are_the_users_to_choose(home, monkeypatch):
    assert lock_file() == home / ".config/aleaseg/weights.lock.json"
    assert (
        placed("medsam2-ctlesion")
        == home / ".local/share/aleaseg/weights/medsam2-ctlesion/MedSAM2_CTLesion.pt"
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "c"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "d"))
    assert lock_file() == home / "c/aleaseg/weights.lock.json"
    assert placed("medsam2-ctlesion") == home / "d/aleaseg/weights/medsam2-ctlesion/MedSAM2_CTLesion.pt"
    monkeypatch.setenv("ALEASEG_CONFIG", "~/ours")
    monkeypatch.setenv("ALEASEG_WEIGHTS", "~/shelf")
    assert lock_file() == home / "ours/weights.lock.json"
    assert placed("medsam2-ctlesion") == home / "shelf/medsam2-ctlesion/MedSAM2_CTLesion.pt"


# -- hashes that are remembered -------------------------------------------------------------------


def test_a_file_is_hashed_once_until_it_changes(home, tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    path.write_bytes(CONTENT)
    hashed = []
    monkeypatch.setattr(weights, "file_sha256", lambda p: hashed.append(p) or sha256(Path(p).read_bytes()))
    link = tmp_path / "link.pt"
    link.symlink_to(path)
    assert known_sha256(path) == known_sha256(link) == known_sha256(str(path)) == sha256(CONTENT)
    assert len(hashed) == 1
    path.write_bytes(CONTENT[:-1])
    assert known_sha256(path) == sha256(CONTENT[:-1])
    os.utime(path, ns=(1, 1))
    known_sha256(path)
    assert len(hashed) == 3
    path.write_bytes(OTHER)
    os.utime(path, ns=(1, 1))
    assert known_sha256(path) == sha256(OTHER)
    # What is no longer there is forgotten.
    other = tmp_path / "b.pt"
    other.write_bytes(OTHER)
    path.unlink()
    known_sha256(other)
    assert list(json.loads(lock_file().read_text())["hashed"]) == [str(other)]


def test_verify_trusts_nothing_that_is_remembered(home, known):
    path = by_hand("known")
    locate("known")
    stat = path.stat()
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert locate("known") == path, "size and time are the same: this is what locate goes by"
    with pytest.raises(WeightsRefused, match="has sha256"):
        verify("known")


def test_where_the_lock_cannot_be_written_a_hash_is_still_told_but_nothing_is_pinned_in_silence(
    hub, monkeypatch, tmp_path
):
    def refuse(path, value):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(weights, "write_json", refuse)
    path = tmp_path / "a.pt"
    path.write_bytes(CONTENT)
    assert known_sha256(path) == sha256(CONTENT)
    hub.offer("medsam2-ctlesion", CONTENT)
    with pytest.raises(PermissionError, match=re.escape("weights.lock.json")):
        fetch("medsam2-ctlesion")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"pinned": 3}', '{"pinned": {"wanglab/MedSAM2/MedSAM2_CTLesion.pt": "abc"}}']
)
def test_a_damaged_lock_is_named(home, text):
    lock_file().parent.mkdir(parents=True)
    lock_file().write_text(text)
    with pytest.raises(WeightsRefused, match=re.escape(f"{lock_file()} is damaged")):
        locate("medsam2-ctlesion")


# -- restricted licences --------------------------------------------------------------------------


def test_a_restricted_licence_must_be_accepted(hub, tmp_path):
    hub.offer("universal", CONTENT)
    own = tmp_path / "own.pth"
    own.write_bytes(CONTENT)
    for use in (fetch, locate, lambda name: locate(name, own)):
        with pytest.raises(WeightsRefused, match=r"CC BY-NC-ND 4\.0 .*--accept-licence"):
            use("universal")
    assert hub.asked == []
    assert locate("universal", own, accept_licence=True) == own
    with pytest.raises(WeightsRefused, match="CC BY-NC-ND"):
        locate("universal", own)  # only fetch records it
    path = fetch("universal", accept_licence=True)
    assert locate("universal") == path
    assert locate("universal", own) == own


def test_an_acceptance_stays_where_the_hub_is_out_of_reach(home, monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsRefused, match="cannot be fetched"):
        fetch("universal", accept_licence=True)
    assert by_hand("universal") == locate("universal")


def test_an_acceptance_is_of_that_licence(home, monkeypatch):
    from dataclasses import replace

    lock_file().parent.mkdir(parents=True)
    lock_file().write_text(json.dumps({"accepted": {"universal": "CC BY-NC-ND 4.0"}}))
    by_hand("universal")
    locate("universal")
    monkeypatch.setitem(CATALOGUE, "universal", replace(CATALOGUE["universal"], licence="CC BY-NC-ND 5.0"))
    with pytest.raises(WeightsRefused, match=r"CC BY-NC-ND 5\.0"):
        locate("universal")


# -- as typed -------------------------------------------------------------------------------------


def said(done, status, *parts):
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    text = " ".join((done.stdout + done.stderr).split())
    for part in parts:
        assert part in text, text


def test_list_shows_each_in_80_columns_and_asks_nobody(hub, type_aleaseg):
    by_hand("medsam2-ctlesion")
    done = type_aleaseg("weights", "list")
    said(done, 0, "Released weights", "research and education only", f"Pinned in: {lock_file()}")
    lines = done.stdout.splitlines()
    ruled = next(number for number, line in enumerate(lines) if line.startswith(" ───"))
    table = lines[ruled + 1 : ruled + 1 + len(CATALOGUE)]
    cells = [re.split(r"  +", line.strip()) for line in table]
    assert [(row[0], row[-1]) for row in cells] == [
        (name, "by hand" if name == "medsam2-ctlesion" else "absent") for name in CATALOGUE
    ]
    assert max(map(len, table)) <= 80
    assert hub.asked == []


def test_fetch_verify_where_as_typed(hub, type_aleaseg):
    hub.offer("medsam2-ctlesion", CONTENT)
    said(
        type_aleaseg("weights", "where", "medsam2-ctlesion"),
        2,
        "aleaseg: medsam2-ctlesion: MedSAM2_CTLesion.pt is not on this machine",
    )
    said(type_aleaseg("weights", "verify"), 0, "No weights are present")
    done = type_aleaseg("weights", "fetch", "medsam2-ctlesion")
    said(
        done,
        0,
        f"revision {FIRST}",
        f"sha256 {sha256(CONTENT)}",
        f"pinned by {lock_file()}",
        "licence CC BY-SA 4.0",
    )
    path = find("medsam2-ctlesion")
    assert done.stdout.splitlines()[0] == str(path)
    asked = list(hub.asked)
    assert {path for _, path, _ in asked} == {"/wanglab/MedSAM2/resolve/main/MedSAM2_CTLesion.pt"}
    where = type_aleaseg("weights", "where", "medsam2-ctlesion")
    assert where.stdout == f"{path}\n"
    said(type_aleaseg("weights", "verify"), 0, f"medsam2-ctlesion: as pinned sha256 {sha256(CONTENT)}")
    said(type_aleaseg("weights", "list"), 0, "fetched")
    path.resolve().write_bytes(OTHER)
    by_hand("medsam2-2411")
    done = type_aleaseg("weights", "verify")
    said(done, 2, "medsam2-2411: neither the catalogue nor", "aleaseg: medsam2-ctlesion: ", "do not use it")
    assert hub.asked == asked


def test_wrong_bytes_for_the_default_model_are_refused_as_typed(hub, type_aleaseg):
    entry = CATALOGUE["medsam2"]
    hub.offer("medsam2", CONTENT, entry.revision)
    done = type_aleaseg("weights", "fetch", "medsam2")
    said(done, 2, f"has sha256 {sha256(CONTENT)}; expected {entry.sha256}, as the catalogue says")
    assert done.stdout == ""


def test_a_licence_is_accepted_as_typed(hub, type_aleaseg):
    hub.offer("universal", CONTENT)
    said(type_aleaseg("weights", "fetch", "universal"), 2, "--accept-licence")
    said(type_aleaseg("weights", "fetch", "universal", "--accept-licence"), 0, "CC BY-NC-ND 4.0")
    assert locate("universal").read_bytes() == CONTENT


def test_wrong_words_as_typed(home, type_aleaseg):
    said(
        type_aleaseg("weights", "fetch", "medsam3"),
        2,
        "unknown weights 'medsam3'; expected one of: medsam2,",
    )
    said(type_aleaseg("weights", "sell"), 2, "No such command")


# -- the page -------------------------------------------------------------------------------------

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")


def test_what_the_page_types_parses_and_nothing_is_left_out():
    from typer.main import get_command

    from aleaseg.cli import app

    commands = get_command(app).commands["weights"].commands
    typed = [line.split()[2:] for line in re.findall(r"^\$ (aleaseg weights .+)$", PAGE, re.M)]
    assert {words[0] for words in typed} == set(commands)
    for verb, *rest in typed:
        commands[verb].make_context(verb, rest)
    for command in commands.values():
        for parameter in command.params:
            assert all(option in PAGE for option in parameter.opts if option.startswith("--"))


def test_the_page_has_every_entry_with_its_licence():
    for entry in CATALOGUE.values():
        row = next(
            line for line in PAGE.splitlines() if line.startswith("| `") and f"`{entry.name}`" in line
        )
        assert entry.page in PAGE
        assert entry.licence in row or "the same" in row
        known = [
            word
            for word, value in (("revision", entry.revision), ("hash", entry.sha256), ("size", entry.bytes))
            if value not in (UNKNOWN, None)
        ]
        assert row.endswith(f"| {', '.join(known) or 'nothing'} |")


def test_the_command_line_starts_without_any_of_it():
    heavy = ("huggingface_hub", "aleaseg.extractors", "numpy")
    code = f"import sys, aleaseg.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_belongs_beside_the_file_comes_with_it(hub, monkeypatch):
    from dataclasses import replace

    entry = replace(CATALOGUE["medsam2-2411"], beside=("vocab.json", "merges.txt"))
    monkeypatch.setitem(CATALOGUE, "medsam2-2411", entry)
    hub.offer("medsam2-2411", CONTENT)
    with pytest.raises(WeightsRefused, match=r"vocab\.json cannot be fetched"):
        fetch("medsam2-2411")
    assert expected("medsam2-2411").sha256 == UNKNOWN  # nothing is pinned before all of it is here
    for name in entry.beside:
        hub.files[f"{entry.repository}/{name}", hub.main] = name.encode()
    path = fetch("medsam2-2411")
    assert [path.with_name(name).read_text() for name in entry.beside] == list(entry.beside)
    for found in weights.hub_cache().rglob("*"):
        if found.is_symlink() or found.is_file():
            found.unlink()
    with pytest.raises(WeightsRefused, match=r"and vocab\.json and merges\.txt of that page beside it"):
        locate("medsam2-2411")
