"""The server of a review: a large volume looked through, and a queue of many cases; time and memory.

    python benchmarks/review.py [--slices 600] [--cases 10000] [--steps 40] [--commit]

Through the product's own path: `aleaseg review` is started as a user does, and asked over HTTP. The volume is synthetic
(noise, and ellipsoids of seven classes), the prediction a folder of label maps. Memory is the most that a process
ever held (VmHWM); the process that decodes is another one than the server. Beside the time on the clock stands the time
of the processor, which other work on the machine does not lengthen. The run's tables are made up.
What a verdict takes in a browser is measured by `review_verdicts.py`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from aleaseg.case import Geometry
from aleaseg.readers.voxels import write_nifti
from aleaseg.run import Record, Run, file_name, write_json, write_table
from aleaseg.scoring.columns import describe_columns
from aleaseg.training.prediction import Prediction

_TABLE = Path(__file__).parent / "review.md"
_CLASSES = 7
_BIG = "big"


def volume(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    few = rng.integers(-1000, 1500, (16, *shape[1:]), dtype=np.int16)
    image = np.concatenate([few] * (shape[0] // 16 + 1))[: shape[0]]
    label = np.zeros(shape, np.uint8)
    grid = np.ogrid[tuple(slice(-1, 1, complex(0, size)) for size in shape)]
    for value in range(1, _CLASSES + 1):
        squares = [((g - c) / 0.3) ** 2 for g, c in zip(grid, rng.uniform(-0.5, 0.5, 3), strict=True)]
        flat = (squares[1] + squares[2])[0]
        for k, square in enumerate(squares[0].ravel()):
            label[k][flat + square < 1] = value
    return image, label


def made_run(folder: Path, shape: tuple[int, int, int], cases: int) -> Run:
    """A data set of one large case, and a run that knows many more."""
    geometry = Geometry(shape, (1.0, 0.8, 0.8), np.diag([1.0, 0.8, 0.8, 1.0])[[2, 1, 0, 3]])
    image, label = volume(shape)
    data = folder / "data"
    write_nifti(data / "imagesTr" / f"{_BIG}_0000.nii", image, geometry)
    write_nifti(data / "labelsTr" / f"{_BIG}.nii", label, geometry)
    write_nifti(folder / "predictions" / f"{_BIG}.nii", np.roll(label, 2, axis=1), geometry)
    classes = {f"class {value}": [value] for value in range(1, _CLASSES + 1)}
    labels = {"background": 0, **{name: values[0] for name, values in classes.items()}}
    about = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii"}
    write_json(data / "dataset.json", about)
    run, rng, rows = Run(folder / "run"), np.random.default_rng(1), []
    for index, case in enumerate([_BIG, *(f"case_{number:05d}" for number in range(cases - 1))]):
        image_doubt, label_doubt = rng.uniform(0, 1, 2)
        doubt = 1.0 if index == 0 else max(image_doubt, label_doubt) / 1.01
        statistics = {f"img_{name}": rng.normal() for name in "noise contrast dark middle bright".split()}  # noqa: SIM905
        rows.append(
            {"case": case, "status": "ok", "group": case, "doubt": doubt, "image_doubt": image_doubt,
             "label_doubt": label_doubt, "auv": rng.uniform(), "oof_dice": rng.uniform(), "softmin": rng.uniform(),
             "reasons": "oof_dice:class 1=0.31; noise=4.2", "depth": shape[0], **statistics}
        )  # fmt: skip
    run.write_case(Record(_BIG, shape=shape, spacing_mm=(1.0, 0.8, 0.8), status="ok", error=None))
    write_table(run.path / "cases.csv", list(rows[0]), rows)
    write_json(
        run.manifest_file,
        {"dataset": {"name": "large", "path": str(data), "classes": classes, "channels": ["CT"], "cases": cases},
         "settings": {"dataset": str(data)}, "columns": describe_columns(rows[0]),
         "predictions": {"source": "folder", "path": str(folder / "predictions")}},
    )  # fmt: skip
    return run


class Server:
    """The server, as a user starts it."""

    def __init__(self, run: Run) -> None:
        began = time.perf_counter()
        script = Path(sys.executable).with_name("aleaseg")
        self.process = subprocess.Popen(
            [script, "review", str(run.path), "--no-browser"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        address = self.process.stdout.readline().strip()
        self.address = address
        self.seconds = time.perf_counter() - began
        self.host = urlsplit(address).netloc
        self._line = http.client.HTTPConnection(self.host, timeout=600)
        self._line.request("GET", address.removeprefix(f"http://{self.host}"))
        answer = self._line.getresponse()
        answer.read()
        self._cookie = (answer.getheader("set-cookie") or "").partition(";")[0]

    def ask(self, path: str, body: bytes | None = None) -> tuple[float, int, bytes]:
        """(ms, status, content) of one request on a connection that is kept open."""
        headers = {"Cookie": self._cookie}
        if body is not None:
            headers |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        began = time.perf_counter()
        self._line.request("GET" if body is None else "POST", path, body, headers)
        answer = self._line.getresponse()
        content = answer.read()
        return 1000 * (time.perf_counter() - began), answer.status, content

    def rest(self) -> None:
        """Close the connection, which the server would close itself while it waits for long; the next one opens it."""
        self._line.close()

    def _decoders(self) -> list[int]:
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for path in threads for pid in path.read_text().split()]

    def memory(self) -> dict[str, float]:
        """MB that server and decoder ever held, and what the server holds now without the files that are mapped."""
        most = [_status(pid, "VmHWM") for pid in self._decoders()]
        pid = self.process.pid
        return {
            "server": _status(pid, "VmHWM"),
            "own": _status(pid, "RssAnon"),
            "decoder": max(most, default=0.0),
        }

    def cpu(self) -> dict[str, float]:
        """Seconds of the processor that server and decoder have taken so far."""
        return {"server": _cpu(self.process.pid), "decoder": sum(map(_cpu, self._decoders()))}

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def _status(pid: int, what: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    return 0.0


def _cpu(pid: int) -> float:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def decoded(server: Server, part: str) -> float:
    """Seconds until a part of the large case is there."""
    began = time.perf_counter()
    while True:
        found = json.loads(server.ask(f"/api/case/{file_name(_BIG)}/volume")[2])
        if found["error"]:
            raise RuntimeError(found["error"])
        if found[part]:
            return time.perf_counter() - began
        time.sleep(0.1)


def planes(server: Server, at: tuple[int, int, int], kinds: tuple[str, ...]) -> list[float]:
    """ms of each plane through a voxel: all that is drawn in it."""
    times = []
    for axis in range(3):
        total = 0.0
        for kind in kinds:
            ms, status, _ = server.ask(f"/api/case/{file_name(_BIG)}/slice/{kind}/{axis}/{at[axis]}")
            assert status == 200, (kind, axis, status)
            total += ms
        times.append(total)
    return times


def looked_through(server: Server, shape: tuple[int, int, int], steps: int) -> dict[str, object]:
    image, image_cpu = decoded(server, "image"), server.cpu()["decoder"]
    first = planes(server, tuple(size // 3 for size in shape), ("image", "mask"))  # type: ignore[arg-type]
    prediction = image + decoded(server, "prediction")
    prediction_cpu = server.cpu()["decoder"]
    kinds = ("image", "mask", "prediction")
    rng = np.random.default_rng(2)
    before = server.cpu()["server"]
    jumps = [planes(server, tuple(rng.integers(0, shape)), kinds) for _ in range(steps)]
    steady = [planes(server, tuple(size // 2 + k for size in shape), kinds) for k in range(steps)]  # type: ignore[arg-type]
    return {
        "image_s": image,
        "image_cpu_s": image_cpu,
        "prediction_s": prediction,
        "prediction_cpu_s": prediction_cpu,
        "first_ms": sum(first),
        "step_ms": np.median(steady, axis=0).tolist(),
        "slow_step_ms": np.quantile(steady, 0.95, axis=0).tolist(),
        "jump_ms": np.median(jumps, axis=0).tolist(),
        "cpu_ms": 1000 * (server.cpu()["server"] - before) / (2 * 3 * steps),
    }


def queue(server: Server, cases: int, decisions: int) -> dict[str, float]:
    times = {"queue_first_ms": server.ask("/api/queue")[0]}
    times["queue_ms"] = float(np.median([server.ask("/api/queue")[0] for _ in range(5)]))
    names = json.loads(server.ask("/api/queue")[2])["hash"]
    assert len(names) == cases
    events = [
        {"uuid": f"00000000-0000-4000-8000-{number:012x}", "at": "2026-01-01T00:00:00Z", "rater": f"rater {number % 2}",
         "case": names[number // 2 % len(names)], "kind": "verdict", "verdict": "keep", "seconds": 10}
        for number in range(decisions)
    ]  # fmt: skip
    _, status, content = server.ask("/api/events", json.dumps(events).encode())
    assert status == 200, content
    times["one_ms"] = float(
        np.median(
            [
                server.ask(
                    "/api/events",
                    json.dumps({**events[0], "uuid": f"00000000-0000-4000-9000-{number:012x}"}).encode(),
                )[0]
                for number in range(20)
            ]
        )
    )
    times["holding_ms"] = float(np.median([server.ask("/api/holding?since=0")[0] for _ in range(3)]))
    times["news_ms"] = float(
        np.median([server.ask(f"/api/holding?since={decisions}")[0] for _ in range(5)])
    )
    return times


def slice_of_grid() -> list[float]:
    """ms of one slice of a label map of eight channels on a coarse grid, across each axis."""
    maps = np.random.default_rng(0).normal(size=(8, 150, 128, 128)).astype(np.float16)
    found = Prediction(maps, "logit", (600, 512, 512), {str(value): (value,) for value in range(1, 8)})
    times = []
    for axis in range(3):
        taken = []
        for k in range(5):
            began = time.perf_counter()
            found.slice(axis, 100 + k)
            taken.append(1000 * (time.perf_counter() - began))
        times.append(min(taken))
    return times


def table(shape: tuple[int, int, int], cases: int, decisions: int, load: float, found: dict) -> str:
    three = "{:.0f}, {:.0f}, {:.0f}".format
    size = " x ".join(map(str, (*shape[1:], shape[0])))
    rows = [
        (f"start of the server, {cases:,} cases in the run", f"{found['start_s']:.1f} s"),
        (
            "image and mask decoded (plain NIfTI); of the processor",
            f"{found['image_s']:.1f} s; {found['image_cpu_s']:.1f} s",
        ),
        (
            "prediction decoded, places found; of the processor, both",
            f"{found['prediction_s']:.1f} s; {found['prediction_cpu_s']:.1f} s",
        ),
        ("first three planes, image and mask", f"{found['first_ms']:.0f} ms"),
        (
            "next slice across axis 0, 1, 2: image, mask, prediction; median",
            f"{three(*found['step_ms'])} ms",
        ),
        ("the same, 95% quantile", f"{three(*found['slow_step_ms'])} ms"),
        ("any slice across axis 0, 1, 2, median", f"{three(*found['jump_ms'])} ms"),
        (
            "one slice of 8 channels of 150 x 128 x 128 at that size, without the rest",
            f"{three(*found['slice_ms'])} ms",
        ),
        ("of the processor, a slice of all three", f"{found['cpu_ms']:.0f} ms"),
        (
            "most memory of the server; of it, at the end, without mapped files",
            f"{found['server_mb']:.0f} MB; {found['own_mb']:.0f} MB",
        ),
        ("most memory of the process that decodes", f"{found['decoder_mb']:.0f} MB"),
        ("queue, made when first asked for", f"{found['queue_first_ms']:.0f} ms"),
        ("queue, afterwards", f"{found['queue_ms']:.0f} ms"),
        (f"all that holds of {decisions:,} decisions", f"{found['holding_ms']:.0f} ms"),
        ("news alone", f"{found['news_ms']:.0f} ms"),
        ("one decision, on the disk", f"{found['one_ms']:.0f} ms"),
    ]
    about = f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f} from others"
    lines = [
        "# The server of a review",
        "",
        f"`python benchmarks/review.py`, {about}. A synthetic volume of {size} voxels, {_CLASSES} classes; "
        "times as they are met over HTTP. The other cases are rows of the run's tables: their files are not there, so "
        "neither finding them nor reading masks that may have changed is in these times.",
    ]
    lines += ["", "| what | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows), ""]
    return "\n".join(lines)


def main() -> None:
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("--slices", type=int, default=600)
    asked.add_argument("--cases", type=int, default=10_000)
    asked.add_argument("--steps", type=int, default=40)
    asked.add_argument("--commit", action="store_true", help="write the table")
    given = asked.parse_args()
    load = os.getloadavg()[0]  # before anything of this is running
    shape, decisions = (given.slices, 512, 512), 2 * given.cases
    with tempfile.TemporaryDirectory() as folder:
        run = made_run(Path(folder), shape, given.cases)
        server = Server(run)
        try:
            found: dict = {"start_s": server.seconds, **looked_through(server, shape, given.steps)}
            found |= queue(server, given.cases, decisions)
            memory = server.memory()
            found |= {
                "server_mb": memory["server"],
                "own_mb": memory["own"],
                "decoder_mb": memory["decoder"],
                "slice_ms": slice_of_grid(),
            }
        finally:
            server.stop()
    text = table(shape, given.cases, decisions, load, found)
    print(text)
    if given.commit:
        # What another command measured stays.
        rest = _TABLE.read_text("utf-8").partition("\n## ")
        _TABLE.write_text("".join([text, *rest[1:]]), "utf-8")


if __name__ == "__main__":
    main()
