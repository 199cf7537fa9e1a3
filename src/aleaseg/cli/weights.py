"""`aleaseg weights list | fetch | verify | where`."""

from __future__ import annotations

from typing import Annotated

import typer

from aleaseg.cli.options import Group, Verb
from aleaseg.cli.terminal import say, show_table

__all__ = ["weights"]

weights = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    help="Released weights of the extractors: list and fetch them. Only fetch uses the network.",
)
WeightsName = Annotated[str, typer.Argument(help="A name that list shows.", metavar="NAME")]


@weights.command("list", cls=Verb)
def list_weights() -> None:
    """List every file of released weights, its licence, and whether it is present."""
    from aleaseg.extractors.weights import CATALOGUE, find, lock_file, placed

    rows = []
    for name, entry in CATALOGUE.items():
        found = find(name)
        here = "absent" if found is None else "by hand" if found == placed(name) else "fetched"
        size = "unknown" if entry.bytes is None else f"{entry.bytes / 1e6:.0f} MB"
        rows.append(
            [name, entry.extractor, f"{entry.licence}{' (gated)' if entry.gated else ''}", size, here]
        )
    show_table("Released weights", ["name", "extractor", "licence", "size", "here"], rows)
    for note, extractor in {entry.note: entry.extractor for entry in CATALOGUE.values()}.items():
        say(f"- {extractor}: {note}", wrap=True)
    say(f"By hand: {placed('medsam2').parents[1]}/NAME/FILE\nPinned in: {lock_file()}")


@weights.command("fetch", cls=Verb)
def fetch_weights(
    name: WeightsName,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You have read the restricted licence and accept it.")
    ] = False,
) -> None:
    """Download one file, verify it, and pin its revision and hash."""
    from aleaseg.extractors.weights import CATALOGUE, expected, fetch, known_sha256

    path = fetch(name, accept_licence)
    entry, pin = CATALOGUE[name], expected(name)
    say(f"{path}\nrevision {pin.revision}\nsha256   {known_sha256(path)} (pinned by {pin.source})")
    say(f"licence  {entry.licence}; {entry.note}; {entry.page}")


@weights.command("verify", cls=Verb)
def verify_weights(
    name: Annotated[
        str | None,
        typer.Argument(help="A name that list shows; default: all that are present.", metavar="NAME"),
    ] = None,
) -> None:
    """Hash local files again and compare them with catalogue and lock."""
    from aleaseg.errors import WeightsRefused
    from aleaseg.extractors.weights import CATALOGUE, find, known_sha256, lock_file, verify

    names = [name] if name else [each for each in CATALOGUE if find(each)]
    if not names:
        say("No weights are present; `aleaseg weights fetch NAME` downloads some.")
    refused = []
    for each in names:
        try:
            known = verify(each)
        except WeightsRefused as error:
            refused.append(str(error))
            continue
        words = (
            "as pinned"
            if known
            else f"neither the catalogue nor {lock_file()} has a hash to compare it with"
        )
        say(f"{each}: {words}\n  sha256 {known_sha256(find(each) or '')}")
    if refused:
        raise WeightsRefused("; ".join(refused))


@weights.command("where", cls=Verb)
def where_weights(name: WeightsName) -> None:
    """Print the path of the file that would be used."""
    from aleaseg.extractors.weights import locate

    say(str(locate(name, accept_licence=True)))
