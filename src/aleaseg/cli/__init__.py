"""The command line: a verb per file."""

from aleaseg.cli.program import app, main

__all__ = ["app", "main"]
