"""Templates, and settings as the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.pages.files import write_if_changed
from aleaseg.pages.numbers import in_words, number

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["flat", "templates", "write_html"]


def templates(package: str) -> Environment:
    """The templates of a package, and behind them those that all pages share."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("aleaseg.pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number}
    return environment


def write_html(path: Path, package: str, **named: Any) -> Path:
    """Write a page from a package's template, what it names given, and return the path.

    `index.html` is made from `index.html.j2`; `template` among the names is another one.
    """
    template = named.pop("template", f"{path.name}.j2")
    write_if_changed(path, templates(package).get_template(template).render(named))
    return path


def flat(settings: Mapping[str, Any] | None, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows of a table.

    >>> flat({"a": 1, "b": {"c": [2, 3]}, "d": [{"e": None, "f": True}]})
    [('a', '1'), ('b · c', '2, 3'), ('d', 'e –, f yes')]
    """
    rows: list[tuple[str, str]] = []
    for key, value in (settings or {}).items():
        name = f"{prefix} · {key}" if prefix else str(key)
        if isinstance(value, Mapping):
            rows += flat(value, name)
        else:
            rows.append((name.replace("_", " "), in_words(value)))
    return rows
