"""Print docs/command_line.md: what every `--help` says in 80 columns.

python docs/command_line.py > docs/command_line.md
"""

import os
import sys
from collections.abc import Iterator

for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TERMINAL_WIDTH"):
    os.environ.pop(name, None)
os.environ |= {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}

import typer  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from aleaseg.cli import app  # noqa: E402

INTRODUCTION = """\
# The command line

What `aleaseg --help` and the help of every verb say. This page is made: `python docs/command_line.py` prints it.
"""


def words(command: object, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The program, every verb and every verb within a verb, as they are typed."""
    yield before
    for name, inner in getattr(command, "commands", {}).items():
        yield from words(inner, (*before, name))


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for typed in words(typer.main.get_command(app)):
        done = CliRunner().invoke(app, [*typed, "--help"], prog_name="aleaseg")
        if done.exit_code:
            raise SystemExit(f"aleaseg {' '.join(typed)} --help: {done.output}")
        lines = "\n".join(line.rstrip() for line in done.output.strip("\n").splitlines())
        parts.append(f"## {' '.join(('aleaseg', *typed))}\n\n```text\n{lines}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(page())
