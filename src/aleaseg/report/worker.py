"""A process that makes pictures: `python -m aleaseg.report.worker`.

Processes of our own and not a `multiprocessing` pool: a script or notebook that
asks for a report needs no `if __name__ == "__main__"`. Work and answers go as
pickles through the pipes; a worker whose parent is gone finds its pipe closed
and stops.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

__all__ = ["in_workers"]


def in_workers(
    function: Callable[[Any, Any], Any], common: Any, items: Sequence[Any], workers: int
) -> Iterator[tuple[int, Any]]:
    """Apply a function to every item in processes side by side, each on one thread.

    Args:
        function: called as `function(common, item)`; importable by name.
        common: what every call needs; sent once to each worker.
        items: what to work on.
        workers: number of processes.

    Yields:
        The place of an item and its result, as they are finished. Items of a
        worker that died (memory, or something that cannot be sent) are missing:
        the caller does those itself.
    """
    try:
        start = pickle.dumps((function, common))
        parts = [pickle.dumps(item) for item in items]
    except (pickle.PicklingError, TypeError, AttributeError):
        return
    waiting: SimpleQueue[int] = SimpleQueue()
    for place in range(len(parts)):
        waiting.put(place)
    results: SimpleQueue[tuple[int, Any] | None] = SimpleQueue()
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "aleaseg.report.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        for _ in range(workers)
    ]

    def feed(process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        # A closed pipe or a cut-off answer: the worker has died, and its item stays undone.
        with suppress(OSError, EOFError, pickle.UnpicklingError), process.stdin, process.stdout:
            process.stdin.write(start)
            while True:
                try:
                    place = waiting.get_nowait()
                except Empty:
                    break
                process.stdin.write(parts[place])
                process.stdin.flush()
                results.put((place, pickle.load(process.stdout)))
        results.put(None)

    try:
        for process in processes:
            threading.Thread(target=feed, args=(process,), daemon=True).start()
        left = workers
        while left:
            result = results.get()
            if result is None:
                left -= 1
            else:
                yield result
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def _serve() -> None:
    """Read a function, then items, from standard input until it closes."""
    incoming = sys.stdin.buffer
    # Libraries that print must not write between the answers.
    outgoing = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    function, common = pickle.load(incoming)
    while True:
        try:
            item = pickle.load(incoming)
        except EOFError:
            return
        pickle.dump(function(common, item), outgoing)
        outgoing.flush()


if __name__ == "__main__":
    _serve()
