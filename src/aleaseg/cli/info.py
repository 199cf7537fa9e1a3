"""`aleaseg info`: what is installed here, to be pasted into a report of a problem. Names no person and no path."""

from __future__ import annotations

import json
import platform
import sys
from typing import Annotated, Any

import typer

from aleaseg import __version__
from aleaseg.cli.terminal import say

__all__ = ["info"]


def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")] = False,
    devices: Annotated[
        bool, typer.Option("--devices", help="Ask torch for GPUs too, which takes a few seconds.")
    ] = False,
) -> None:
    """Say what is installed: versions, cores, memory, GPUs, weights, extras. Paste it into a bug report."""
    found = _facts(devices)
    if as_json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return
    memory = found.pop("memory_gib")
    found["memory"] = "unknown" if memory is None else f"{memory} GiB"
    for name, value in found.items():
        inner = value if isinstance(value, dict) else {"": value}
        for number, (key, said) in enumerate(inner.items()):
            said = ", ".join(said) if isinstance(said, list) else said
            say(f"{'' if number else name:<9} {f'{key} ' if key else ''}{said}")


def _facts(devices: bool) -> dict[str, Any]:
    from aleaseg import extras, work
    from aleaseg.run.manifest import versions

    memory = work.memory_bytes()
    packages = versions()
    packages.pop("aleaseg", None)  # of an editable installation it may be that of another day
    return {
        "aleaseg": __version__,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": packages,
        "cores": work.cores(),
        "memory_gib": None if memory is None else round(memory / 2**30, 1),
        "devices": _devices() if devices else "not asked; with --devices torch is",
        "weights": _weights(),
        "extras": {
            extra: "installed" if there else f"not installed; pip install 'aleaseg[{extra}]'"
            for extra, there in extras.installed().items()
        },
    }


def _devices() -> str | list[str]:
    import torch

    if not torch.cuda.is_available():
        return "cpu alone"
    cards = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [f"{card.name}, {card.total_memory / 2**30:.1f} GiB" for card in cards]


def _weights() -> str | list[str]:
    """Names of the catalogue that are here. Their hashes are `aleaseg weights verify`'s to check."""
    from aleaseg.errors import WeightsRefused
    from aleaseg.extractors.weights import CATALOGUE, find

    try:
        return [name for name in CATALOGUE if find(name)] or "none"
    except WeightsRefused:
        return "the lock file is damaged; aleaseg weights list says more"
