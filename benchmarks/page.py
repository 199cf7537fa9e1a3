"""What the benchmarks' pages share: the machine's name, and tables between two marks."""

from __future__ import annotations

import platform
from pathlib import Path

__all__ = ["processor", "replace_between"]


def processor() -> str:
    """The processor's name, as the system has it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def replace_between(page: Path, mark: str, text: str) -> None:
    """Put text between `<!-- mark -->` and `<!-- end of mark -->`; the rest of the page stays."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
    before, rest = page.read_text().split(begin)
    page.write_text(before + begin + text + end + rest.split(end)[1])
