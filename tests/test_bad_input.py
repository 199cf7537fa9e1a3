"""Bad input from the command line: one clear line each, the other cases are scored, nothing is lost."""

import contextlib
import gzip
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from aleaseg.case import Geometry
from aleaseg.readers.voxels import write_nifti
from aleaseg.run import Run

SHAPE = (12, 16, 16)
GEOMETRY = Geometry(SHAPE, (2.0, 1.0, 1.0), None)
OPTIONS = ("--extractor", "variance")


def spoil(folder, what, case):
    """Spoil one case in the way that is named."""
    image = folder / "imagesTr" / f"{case}_0000.nii.gz"
    label = folder / "labelsTr" / f"{case}.nii.gz"
    match what:
        case "truncated":
            content = image.read_bytes()
            image.write_bytes(content[: len(content) // 2])
        case "zero bytes":
            image.write_bytes(b"")
        case "text":
            image.write_text("this is not an image\n" * 100)
        case "5D":
            nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 2, 3), np.float32), np.eye(4)), image)
        case "header":
            plain = image.with_suffix("")
            nibabel.save(nibabel.load(image), plain)
            content = bytearray(plain.read_bytes())
            content[40:56] = struct.pack("<8h", 3, -5, 16, 12, 1, 1, 1, 1)
            plain.unlink()
            image.write_bytes(gzip.compress(bytes(content)))
        case "NaN":
            array = np.ones(SHAPE, np.float32)
            array[2, 3, 4:9] = np.nan
            write_nifti(image, array, GEOMETRY)
        case "constant":
            write_nifti(image, np.full(SHAPE, 7, np.float32), GEOMETRY)
        case "label shape":
            array = np.ones((12, 16, 15), np.uint8)
            write_nifti(label, array, Geometry((12, 16, 15), (2.0, 1.0, 1.0), None))
        case "undeclared value":
            array = np.ones(SHAPE, np.uint8)
            array[3] = 9
            write_nifti(label, array, GEOMETRY)
        case "fractions":
            write_nifti(label, np.full(SHAPE, 0.5, np.float32), GEOMETRY)
        case "no label":
            label.unlink()


# what is wrong -> what the line has to say
FAULTS = {
    "truncated": "cut off",
    "zero bytes": "0 bytes",
    "text": "this is not an image",
    "5D": "(4, 4, 4, 2, 3)",
    "header": "",
    "NaN": "NaN",
    "constant": "7",
    "label shape": "12x16x15",
    "undeclared value": "9",
    "fractions": "0.5",
    "no label": "",
}


@pytest.fixture(scope="module")
def audited(tmp_path_factory, type_aleaseg, write_small):
    """22 sound cases and one of every fault, audited from the command line."""
    folder = tmp_path_factory.mktemp("bad")
    ids = [f"ok{i:02d}" for i in range(22)] + [what.replace(" ", "_") for what in FAULTS]
    write_small(folder / "data", ids=ids, faults=False)
    shutil.copytree(folder / "data" / "labelsTr", folder / "oof")
    for what in FAULTS:
        spoil(folder / "data", what, what.replace(" ", "_"))
    words = ("audit", folder / "data", "-o", folder / "run", "--predictions", folder / "oof", *OPTIONS)
    return folder, words, type_aleaseg(*words, env={"COLUMNS": "200"})


def test_it_ends_with_1_without_a_traceback_and_the_others_are_scored(audited):
    folder, _, done = audited
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "most doubtful" in done.stdout
    assert (folder / "run" / "report" / "index.html").exists()
    cases = Run(folder / "run").cases.set_index("case")
    sound = cases[cases.index.str.startswith("ok")]
    assert len(sound) == 22
    assert (sound["status"] == "ok").all()
    assert sound[["doubt", "image_doubt", "label_doubt", "auv"]].notna().all().all()
    assert (sound["error"] == "").all()


@pytest.mark.parametrize("what", FAULTS)
def test_each_is_one_clear_line(audited, what):
    folder, _, done = audited
    case = what.replace(" ", "_")
    findings = [
        found
        for found in json.loads((folder / "run" / "check.json").read_text())["findings"]
        if found["case"] == case and found["severity"] == "error"
    ]
    assert len(findings) == 1, findings
    (finding,) = findings
    assert case in done.stdout, "the user sees it"
    for part in ("found", "expected", "advice"):
        assert finding[part]
        assert "\n" not in finding[part]
    assert FAULTS[what] in finding["found"]


@pytest.mark.parametrize("what", [w for w in FAULTS if w not in ("no label", "undeclared value")])
def test_the_tables_say_what_could_not_be_used(audited, what):
    folder, _, _ = audited
    row = Run(folder / "run").cases.set_index("case").loc[what.replace(" ", "_")]
    of_label = what in ("label shape", "fractions")
    assert row["status"] == ("partly" if of_label else "failed")
    assert row["error"].startswith(f"{what.replace(' ', '_')}: found ")
    assert "; expected " in row["error"]
    assert np.isnan(row["label_doubt"])
    assert np.isnan(row["image_doubt"]) != of_label, "a sound image of a bad mask still has its image doubt"
    assert np.isnan(row["doubt"]) != of_label


def test_mended_and_run_again_the_sound_are_not_scored_again(audited, write_small, type_here, tmp_path):
    folder, words, _ = audited
    write_small(
        tmp_path / "sound",
        35,
        ids=[p.name.removesuffix(".nii.gz") for p in sorted((folder / "oof").iterdir())],
        faults=False,
    )
    run = Run(folder / "run")
    sound = {run.case_file(record.case) for record in run.records() if record.status == "ok"}
    kept = {p: p.stat().st_mtime_ns for p in sound}
    mended = folder / "data" / "imagesTr" / "NaN_0000.nii.gz"
    before = mended.read_bytes()
    shutil.copy(tmp_path / "sound" / "imagesTr" / mended.name, mended)
    try:
        done = type_here(*words)
    finally:
        mended.write_bytes(before)
    assert done.returncode == 1
    row = Run(folder / "run").cases.set_index("case").loc["NaN"]
    assert row["status"] == "ok"
    assert len(kept) >= 20
    assert {p: p.stat().st_mtime_ns for p in sound} == kept


# -- no permission, no room --------------------------------------------------------------------------


def limited(size):
    """The most bytes that a file may have: what a full disk is to whoever writes."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def test_a_full_disk_is_one_line_and_nothing_is_lost(finished, tmp_path, type_aleaseg):
    """A real one where this user may mount, else a limit on the size of files."""
    room = tmp_path / "room"
    room.mkdir()
    mounted = (
        sys.platform.startswith("linux")
        and shutil.which("mount")
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", room], capture_output=True
        ).returncode
    )
    words = (
        "score",
        finished.dataset,
        "-o",
        room / "run",
        "--predictions",
        finished.dataset / "labelsTr",
        *OPTIONS,
    )
    try:
        script = Path(sys.executable).with_name("aleaseg")
        full = subprocess.run(
            [script, *map(str, words)],
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "80", "JOBLIB_TEMP_FOLDER": str(tmp_path)},
            preexec_fn=None if mounted else limited(3_000),
        )
        assert full.returncode == 1, full.stdout + full.stderr
        assert "Traceback" not in full.stdout + full.stderr
        said = [line for line in full.stderr.splitlines() if line.startswith("aleaseg: ")]
        assert len(said) == 1
        assert "run it again" in said[0]
        assert ("No space left" if mounted else "too large") in said[0]
        for path in (room / "run" / "cases").glob("*.json"):
            assert json.loads(path.read_text())["case"]
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=16m", room], check=True)
        again = type_aleaseg(*words)
        assert again.returncode == 0, again.stderr
        assert len(Run(room / "run").cases) == 24
        assert not list((room / "run").rglob(".*")), "nothing half-written is left"
    finally:
        if mounted:
            subprocess.run(["umount", "-l", room], check=True)


def test_an_image_that_may_not_be_read(tmp_path, monkeypatch, write_small, one_process):
    """As root everything may be read: there the refusal is simulated."""
    from aleaseg.auditing.running import run_audit
    from aleaseg.auditing.settings import AuditSettings

    write_small(tmp_path / "data", 5)
    locked = tmp_path / "data" / "imagesTr" / "g0_02_0000.nii.gz"
    if os.geteuid():
        locked.chmod(0)
    else:
        import builtins
        import io

        plain = io.open

        def refuse(file, *given, **named):
            if str(file) == str(locked):
                raise PermissionError(13, "Permission denied", str(file))
            return plain(file, *given, **named)

        monkeypatch.setattr(io, "open", refuse)
        monkeypatch.setattr(builtins, "open", refuse)
    settings = AuditSettings(str(tmp_path / "data"), predictions=str(tmp_path / "data" / "labelsTr"))
    done = run_audit(settings, Run(tmp_path / "run"), page=False)
    assert set(done.troubles) == {"g0_02"}
    assert "no permission to read" in done.troubles["g0_02"]
    assert str(locked) in done.troubles["g0_02"]
    assert [found.case for found in done.findings] == ["g0_02"]
    assert len(done.run.cases) == 5


def test_a_folder_that_may_not_be_written_into(tmp_path, finished, type_aleaseg):
    if not os.geteuid():
        pytest.skip("root may write everywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    done = type_aleaseg("audit", finished.dataset, "-o", tmp_path / "locked" / "run", *OPTIONS)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "ermission" in done.stderr


def test_ctrl_c_is_one_line(finished, tmp_path):
    import signal
    import time

    script = Path(sys.executable).with_name("aleaseg")
    process = subprocess.Popen(
        [script, "score", finished.dataset, "-o", tmp_path / "run", *finished.options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that runs the tests in the background lets its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until = time.monotonic() + 60
    while not (tmp_path / "run" / "models" / "plan.json").exists() and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everyone in the group
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in out + err
    assert "the same command resumes" in err
