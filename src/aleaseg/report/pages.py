"""The HTML of the report, and the files it needs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aleaseg.report.javascript import write_if_changed

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["asset", "copy_assets", "templates", "write_assets", "write_pages"]

_ASSETS = ("report.css", "page.js", "plots.js", "cloud.js", "sheet.js", "figures.js", "group.js", "case.js")


def templates(package: str) -> Environment:
    """The templates of a package, and behind them those that all pages share."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("aleaseg.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def asset(package: str, name: str) -> str:
    """The text of a style sheet or script of a package."""
    return files(package).joinpath("assets", name).read_text("utf-8")


def copy_assets(out: Path, package: str, *names: str) -> None:
    """Put a package's style and scripts, and the style of all pages, beside a page."""
    for owner, name in (("aleaseg.report", "report.css"), *((package, name) for name in names)):
        write_if_changed(out / "assets" / name, asset(owner, name))


def write_assets(report: Path) -> None:
    """Put style, scripts and Plotly into the report folder, unless they are there already."""
    for name in _ASSETS:
        write_if_changed(report / "assets" / name, asset("aleaseg.report", name))
    # Plotly is 5 MB: the package brings it, and each report gets its own copy to stay whole offline.
    bundle = files("plotly").joinpath("package_data", "plotly.min.js").read_text("utf-8")
    write_if_changed(report / "assets" / "plotly.min.js", bundle)


def write_pages(report: Path, context: Mapping[str, Any]) -> Path:
    """Write index.html and case.html; returns the path of the first.

    Args:
        report: the report folder.
        context: what the templates name.
    """
    environment = templates("aleaseg.report")
    environment.filters["number"] = _number
    environment.filters["percent"] = lambda share: "–" if share is None else f"{100 * share:.1f}%"
    environment.filters["initial"] = lambda text: text[:1].upper() + text[1:]
    for name in ("case.html", "index.html"):
        write_if_changed(report / name, environment.get_template(f"{name}.j2").render(context))
    return report / "index.html"


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _in_words(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {_in_words(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        nested = any(isinstance(item, Mapping) for item in value)
        return ("; " if nested else ", ").join(_in_words(item) for item in value[:40])
    return str(value)


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
            rows.append((name.replace("_", " "), _in_words(value)))
    return rows


def select_command(run: Path) -> str:
    """The command that goes on from here, as one would type it."""
    return f"aleaseg select {shlex.quote(str(run.resolve()))} --by doubt --quantile 0.95"
