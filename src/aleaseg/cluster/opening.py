"""From what is typed to a cluster: workers made here, a scheduler that runs, or jobs of SLURM."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.cluster.task import begin_session
from aleaseg.cluster.workers import Cluster
from aleaseg.errors import AleasegError, UsageError
from aleaseg.extras import need
from aleaseg.work import cores, deaf_children, using

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

__all__ = ["connected", "slurm_options"]

FORMS = "local:4, tcp://HOST:PORT, a scheduler file, or slurm:FILE"
_CONNECT_SECONDS = 20


@contextmanager
def connected(
    asked: str,
    *,
    reads: Sequence[str | PathLike[str]] = (),
    writes: str | PathLike[str],
    announce: Callable[[str], None] = lambda text: None,
) -> Iterator[Cluster]:
    """Within the block, the work of every map is done by the workers of a cluster.

    Args:
        asked: `local:4` (so many processes of this machine), an address such as `tcp://HOST:PORT`, a scheduler
            file, or `slurm:FILE`.
        reads: what workers have to see.
        writes: the folder of the run, which they write to.
        announce: called with a line that a person should read.

    Raises:
        UsageError: what is asked for has no such form, or its file cannot be used.
        MissingExtra: Dask is not installed.
        AleasegError: no scheduler answers, no worker comes, or one does not see the folders.
    """
    kind, _, rest = asked.partition(":")
    if not (kind in ("local", "slurm") or "://" in asked or Path(asked).is_file()):
        raise UsageError(f"unknown scheduler {asked!r}; expected {FORMS}")
    need("distributed")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    writes = Path(writes).resolve()
    with ExitStack() as stack:
        folder = stack.enter_context(_session(writes, [Path(path).resolve() for path in reads]))
        if kind == "local":
            cluster = stack.enter_context(_local(rest, folder, announce))
        elif kind == "slurm":
            cluster = stack.enter_context(_slurm(Path(rest), folder, announce))
        else:
            client = stack.enter_context(_client(asked))
            cluster = Cluster(client, folder, announce=announce)
        cluster.admit()
        stack.enter_context(using(cluster))
        yield cluster


@contextmanager
def _session(writes: Path, reads: Sequence[Path]) -> Iterator[Path]:
    """A folder for what this process and the workers tell one another; gone when the block ends."""
    writes.mkdir(parents=True, exist_ok=True)
    # Its name says that nothing in it is of the run, whatever a kill leaves of it.
    folder = Path(tempfile.mkdtemp(dir=writes, prefix=".workers.", suffix=".part"))
    try:
        begin_session(folder, reads)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _client(asked: str) -> Iterator[Client]:
    from distributed import Client

    try:
        where = {"address": asked} if "://" in asked else {"scheduler_file": asked}
        client = Client(**where, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        said = " ".join(str(error).split())[:160]
        raise AleasegError(
            f"no scheduler answers at {asked} ({said}); start one with `dask scheduler`"
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=5)


@contextmanager
def _local(count: str, folder: Path, announce: Callable[[str], None]) -> Iterator[Cluster]:
    if count and not (count.isdecimal() and int(count)):
        raise UsageError(
            f"unknown scheduler 'local:{count}'; expected a number of workers, such as local:4"
        )
    import dask
    from distributed import Client, LocalCluster

    workers = int(count or cores())
    with ExitStack() as stack:
        # A worker that was killed comes back by itself; on a busy machine that takes its time.
        stack.enter_context(dask.config.set({"distributed.deploy.lost-worker-timeout": "5 minutes"}))
        spare = stack.enter_context(tempfile.TemporaryDirectory(prefix="aleaseg-workers-"))
        with deaf_children():
            made = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                # The largest case decides how many work at a time; no worker has a limit of its own.
                memory_limit=None,
                dashboard_address=None,
                worker_dashboard_address=None,
                local_directory=spare,
                silence_logs=logging.CRITICAL,
            )
        stack.enter_context(made)
        client = stack.enter_context(Client(made, set_as_default=False))
        stack.callback(_end_workers, made)
        yield Cluster(client, folder, local=workers, announce=announce)


def _end_workers(made: LocalCluster) -> None:
    """At once: asked to close, a worker would finish its case first. What it writes is whole or not there."""
    for nanny in made.workers.values():
        pid = nanny.pid
        nanny.close_gracefully()  # it does not start another one
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def slurm_options(file: Path) -> tuple[int, dict[str, Any]]:
    """How many jobs, and what `dask_jobqueue.SLURMCluster` is told of each.

    Raises:
        UsageError: the file cannot be read, or its options cannot work.
    """
    import yaml

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(
            f"slurm:{file} cannot be read ({error}); expected a YAML of job options"
        ) from error
    if not isinstance(found, dict) or not isinstance(jobs := found.pop("jobs", None), int) or jobs < 1:
        raise UsageError(
            f"slurm:{file} does not say how many jobs to start; expected `jobs: 10` beside the options of "
            "dask_jobqueue.SLURMCluster (queue, cores, processes, memory, walltime)"
        )
    if missing := [name for name in ("cores", "memory") if not found.get(name)]:
        raise UsageError(f"slurm:{file} does not say {' and '.join(missing)} of a job")
    # A process holds one case at a time, on one thread.
    options = {"processes": found["cores"], "scheduler_options": {"dashboard_address": ":0"}, **found}
    if options["processes"] != options["cores"]:
        raise UsageError(
            f"slurm:{file} asks for {options['processes']} processes on {options['cores']} cores; expected as "
            "many of one as of the other: a worker has one thread. Where a case needs more memory than a core's "
            "share, ask for fewer cores, or for more memory"
        )
    return jobs, options


@contextmanager
def _slurm(file: Path, folder: Path, announce: Callable[[str], None]) -> Iterator[Cluster]:
    jobs, options = slurm_options(file)
    need("dask_jobqueue")
    from dask_jobqueue import SLURMCluster
    from distributed import Client

    wanted = jobs * options["processes"]
    with ExitStack() as stack:
        made = stack.enter_context(SLURMCluster(**options))
        client = stack.enter_context(Client(made, set_as_default=False))

        def revive() -> bool:
            """A job that has ended is asked for anew; the queue may take its time."""
            made.scale(wanted)
            return True

        revive()
        announce(f"{jobs} SLURM jobs are asked for; the work begins with the first worker.")
        yield Cluster(client, folder, revive=revive, announce=announce)
