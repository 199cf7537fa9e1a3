"""How well workers are kept busy, and what kills of workers change.

    python benchmarks/cluster.py busy --workers 2 8 32 64 --cases 10000 --seconds 1.0
    python benchmarks/cluster.py local --workers 1 2 4
    python benchmarks/cluster.py kills --dataset DATASET --kills 20

`busy`: workers that sleep for the time of a case, as many as are asked for, in a few processes: the scheduler, the
client and what goes between them are real, the work is not. `local`: workers of this machine that compute, and how much
of the processor's time is theirs. `kills`: an audit by real `dask worker` processes, of which one after the other is
killed by SIGKILL, and the tables beside those of an audit that nobody disturbed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from aleaseg.cluster.task import begin_session
from aleaseg.cluster.workers import Cluster
from aleaseg.work import cores, map_cases, using

BIN = Path(sys.executable).parent


def sleeping(seconds: float, number: int) -> int:
    time.sleep(seconds)
    return number


def computing(seconds: float, number: int) -> float:
    """Seconds of processor, as they were spent."""
    begun = time.process_time()
    while (spent := time.process_time() - begun) < seconds:
        sum(range(1000))
    return spent


def sleepers(address: str, count: int) -> None:
    """So many workers with one thread each in this process: they only sleep."""
    from distributed import Worker

    async def run() -> None:
        started = [await Worker(address, nthreads=1, dashboard=False, memory_limit=0) for _ in range(count)]
        await asyncio.gather(*(one.finished() for one in started))

    asyncio.run(run())


def of_process(pid: int) -> tuple[float, float]:
    """Seconds of processor, and megabytes at its highest."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return ticks, peak / 1024


def start_scheduler(folder: Path) -> tuple[subprocess.Popen, Path]:
    file = folder / "scheduler.json"
    words = [BIN / "dask", "scheduler", "--scheduler-file", file, "--port", "0", "--no-dashboard"]
    log = (folder / "scheduler.log").open("wb")
    process = subprocess.Popen(words, stdout=log, stderr=log)
    while not (file.is_file() and file.read_text().rstrip().endswith("}")):
        time.sleep(0.2)
    return process, file


def busy(counts: list[int], cases: int, seconds: float, most: float) -> None:
    from distributed import Client

    print(
        "| workers | cases | s a case | cases/s | efficiency | scheduler: CPU s, MB | client: CPU s, MB | load |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            scheduler, file = start_scheduler(folder)
            shares = [len(range(k, count, 4)) for k in range(min(4, count))]
            with Client(scheduler_file=str(file), set_as_default=False) as client:
                words = [
                    sys.executable,
                    __file__,
                    "sleepers",
                    "--address",
                    client.scheduler.address,
                    "--count",
                ]
                workers = [
                    subprocess.Popen([*words, str(share)], stderr=subprocess.DEVNULL) for share in shares
                ]
                client.wait_for_workers(count)
                session = folder / "session"
                session.mkdir()
                begin_session(session, [])
                cluster = Cluster(client, session)
                cluster._workers(fresh=True)
                # As many cases as end in the time that there is.
                number = min(cases, int(most * count / seconds))
                with using(cluster):
                    list(map_cases(partial(sleeping, 0.01), range(2 * count)))  # everybody has imported
                    before, begun, own = of_process(scheduler.pid), time.monotonic(), time.process_time()
                    done = sum(1 for _ in map_cases(partial(sleeping, seconds), range(number)))
                took, after = time.monotonic() - begun, of_process(scheduler.pid)
                own, peak = time.process_time() - own, of_process(os.getpid())[1]
            for process in [*workers, scheduler]:
                process.kill()
                process.wait()
        rate = done / took
        print(
            f"| {count} | {done} | {seconds:g} | {rate:.1f} | {rate * seconds / count:.3f} | "
            f"{after[0] - before[0]:.1f}, {after[1]:.0f} | {own:.1f}, {peak:.0f} | {os.getloadavg()[0]:.1f} |",
            flush=True,
        )


def local(counts: list[int], cases: int, seconds: float) -> None:
    """Workers of this machine that compute: what of the processor's time goes to the work itself."""
    from aleaseg.cluster import connected

    print("| workers | cases | s a case | cases/s | efficiency | processor: work, all, share | load |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for count in counts:
        with (
            tempfile.TemporaryDirectory() as name,
            connected(f"local:{count}", writes=Path(name) / "run") as cluster,
        ):
            cluster.client.wait_for_workers(count)
            list(map_cases(partial(computing, 0.01), range(4 * count)))
            pids = [os.getpid(), *cluster.client.run(os.getpid).values()]
            before, begun = sum(of_process(pid)[0] for pid in pids), time.monotonic()
            work = sum(spent for _, spent in map_cases(partial(computing, seconds), range(cases)))
            took, spent = time.monotonic() - begun, sum(of_process(pid)[0] for pid in pids) - before
        share = f"{work:.1f} s, {spent:.1f} s, {work / spent:.3f}"
        rate, load = cases / took, os.getloadavg()[0]
        good = rate * seconds / min(count, cores())
        print(
            f"| {count} | {cases} | {seconds:g} | {rate:.1f} | {good:.3f} | {share} | {load:.1f} |",
            flush=True,
        )


def children(pid: int) -> list[int]:
    """The worker processes of a nanny."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    workers = []
    for child in map(int, found.stdout.split()):
        with suppress(OSError):
            if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
                workers.append(child)
    return workers


def kill_now_and_then(verb: subprocess.Popen, nanny: int, run: Path, number: int) -> int:
    """Kill a worker, whichever, each time that something was finished since the last kill; how many were killed."""
    killed = before = 0
    while verb.poll() is None:
        time.sleep(random.uniform(0.1, 1.5))
        done = sum(1 for _ in run.glob("*/*"))
        workers = children(nanny)
        if killed < number and done > before and workers:
            os.kill(random.choice(workers), signal.SIGKILL)
            killed, before = killed + 1, done
    return killed


def kills(dataset: Path, number: int, options: list[str]) -> None:
    from distributed import Client

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        audit = [BIN / "aleaseg", "audit", dataset, *options]
        subprocess.run([*audit, "-o", folder / "undisturbed"], check=True, stdout=subprocess.DEVNULL)
        scheduler, file = start_scheduler(folder)
        log = (folder / "worker.log").open("wb")
        words = ["--scheduler-file", file, "--no-dashboard", "--nthreads", "1", "--nworkers", "2"]
        nanny = subprocess.Popen([BIN / "dask", "worker", *words], stdout=log, stderr=log)
        # A nanny whose first worker is killed as it starts ends with it.
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(2)
        begun, run = time.monotonic(), folder / "disturbed"
        verb = subprocess.Popen([*audit, "-o", run, "--scheduler", file], stdout=subprocess.DEVNULL)
        killed = kill_now_and_then(verb, nanny.pid, run, number)
        print(f"{killed} workers killed in {time.monotonic() - begun:.0f} s; load {os.getloadavg()[0]:.1f}")
        print(f"exit status {verb.returncode}")
        for table in ("cases.csv", "scores.csv", "measures.csv"):
            whole, found = folder / "undisturbed" / table, run / table
            same = found.is_file() and whole.read_bytes() == found.read_bytes()
            print(f"{table}: {'the same' if same else 'DIFFERS' if found.is_file() else 'IS NOT THERE'}")
        aside = [line for line in (run / "cases.csv").read_text().splitlines() if ",killed," in line]
        print(f"{len(aside)} cases set aside")
        for process in (nanny, scheduler):
            process.terminate()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="what", required=True)
    one = parts.add_parser("busy")
    one.add_argument("--workers", type=int, nargs="+", default=[2, 4, 8, 16, 32, 64])
    one.add_argument("--cases", type=int, default=10000)
    one.add_argument("--seconds", type=float, default=1.0, help="of a case")
    one.add_argument(
        "--most", type=float, default=1e9, help="seconds for each row; fewer cases where they end it"
    )
    one = parts.add_parser("local")
    one.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    one.add_argument("--cases", type=int, default=400)
    one.add_argument("--seconds", type=float, default=0.05, help="of processor, of a case")
    one = parts.add_parser("kills")
    one.add_argument("--dataset", type=Path, required=True)
    one.add_argument("--kills", type=int, default=20)
    one.add_argument("options", nargs="*", help="of the audit, after --")
    one = parts.add_parser("sleepers")
    one.add_argument("--address", required=True)
    one.add_argument("--count", type=int, required=True)
    asked = parser.parse_args()
    if asked.what == "busy":
        busy(asked.workers, asked.cases, asked.seconds, asked.most)
    elif asked.what == "local":
        local(asked.workers, asked.cases, asked.seconds)
    elif asked.what == "kills":
        kills(asked.dataset, asked.kills, asked.options)
    else:
        sleepers(asked.address, asked.count)


if __name__ == "__main__":
    main()
