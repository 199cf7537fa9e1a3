"""Released weights: where their files lie, and how one knows that a file is what it says.

Nothing is shipped, and `fetch` alone uses the network. A hash that nobody has read anywhere is
`unknown` in the catalogue: the first fetch prints it and pins it in the user's own lock file, and
what disagrees with catalogue or lock from then on is refused by name.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from aleaseg import extras
from aleaseg.errors import WeightsRefused
from aleaseg.extractors.checkpoint import file_sha256
from aleaseg.extractors.released_weights import CATALOGUE as CATALOGUE
from aleaseg.extractors.released_weights import UNKNOWN as UNKNOWN
from aleaseg.extractors.released_weights import Entry, entry_of
from aleaseg.run import write_json

__all__ = [
    "CATALOGUE",
    "UNKNOWN",
    "Entry",
    "Pin",
    "expected",
    "fetch",
    "find",
    "hub_cache",
    "known_sha256",
    "locate",
    "lock_file",
    "placed",
    "verify",
]

# -- places ---------------------------------------------------------------------------------------


def _folder(variable: str, xdg: str, default: str) -> Path:
    """The folder that an environment variable names, else `aleaseg` in the XDG base folder."""
    if given := os.environ.get(variable):
        return Path(given).expanduser()
    return Path(os.environ.get(xdg) or Path.home() / default) / "aleaseg"


def lock_file() -> Path:
    """Where revisions and hashes are pinned: in `ALEASEG_CONFIG`, else in the XDG config folder."""
    return _folder("ALEASEG_CONFIG", "XDG_CONFIG_HOME", ".config") / "weights.lock.json"


def placed(name: str) -> Path:
    """Where a file brought by hand belongs: in `ALEASEG_WEIGHTS`, else in the XDG data folder."""
    folder = _folder("ALEASEG_WEIGHTS", "XDG_DATA_HOME", ".local/share")
    if not os.environ.get("ALEASEG_WEIGHTS"):
        folder /= "weights"
    return folder / name / entry_of(name).file


def hub_cache() -> Path:
    """The hub's cache, by the rules of huggingface_hub, which need not be installed for this."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if given := os.environ.get(variable):
            return Path(os.path.expandvars(given)).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def _cached(entry: Entry, revision: str) -> Path | None:
    """The file in the hub's cache at that revision; where it is unknown, at the last one of `main`."""
    folder = hub_cache() / f"models--{entry.repository.replace('/', '--')}"
    if revision == UNKNOWN:
        ref = folder / "refs" / "main"
        if not ref.is_file():
            return None
        revision = ref.read_text(encoding="utf-8").strip()
    path = folder / "snapshots" / revision / entry.file
    return path if path.is_file() else None


# -- the lock -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pin:
    """What a file must be; either may be `unknown`.

    Attributes:
        revision: commit of the hub repository.
        sha256: of the file.
        source: who says so: `the catalogue`, or the path of the lock file.
    """

    revision: str
    sha256: str
    source: str = "the catalogue"


# What the lock holds: repository/file -> its pin; entry -> the licence that was accepted; path -> [size,
# mtime in nanoseconds, sha256], so that two gigabytes are not hashed at every start.
_PARTS = ("pinned", "accepted", "hashed")


def _read_lock() -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(lock_file().read_bytes().decode("utf-8", "surrogatepass"))
        return {part: dict(found.get(part, {})) for part in _PARTS}
    except FileNotFoundError:
        return {part: {} for part in _PARTS}
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(error) from error


def _damaged(why: object) -> WeightsRefused:
    return WeightsRefused(
        f"{lock_file()} is damaged ({why}); expected what `aleaseg weights fetch` wrote: restore it, or delete it "
        "and pin anew"
    )


def _note(part: str, key: str, value: Any) -> None:
    lock = _read_lock()
    lock[part][key] = value
    lock["hashed"] = {name: item for name, item in lock["hashed"].items() if Path(name).exists()}
    write_json(lock_file(), lock)


def expected(name: str) -> Pin:
    """What catalogue and lock say a file must be.

    Raises:
        WeightsRefused: they contradict each other.
    """
    entry = entry_of(name)
    match _read_lock()["pinned"].get(f"{entry.repository}/{entry.file}"):
        case None:
            return Pin(entry.revision, entry.sha256)
        case {"revision": str(revision), "sha256": str(sha256)}:
            pass
        case other:
            raise _damaged(f"{name} is pinned as {other}")
    if entry.sha256 not in (UNKNOWN, sha256):
        raise WeightsRefused(
            f"{name}: {lock_file()} pins sha256 {sha256}, and the catalogue says {entry.sha256}: what was fetched "
            f"first is not what was released; take {entry.file} out of `pinned` there and fetch again"
        )
    return Pin(revision if entry.revision == UNKNOWN else entry.revision, sha256, str(lock_file()))


def known_sha256(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal; remembered in the lock as long as its size and time stay."""
    path = Path(path).resolve()
    stat = path.stat()
    match _read_lock()["hashed"].get(str(path)):
        case [stat.st_size, stat.st_mtime_ns, str(sha256)]:
            return sha256
    return _hash(path)


def _hash(path: Path) -> str:
    path = path.resolve()
    before = path.stat()
    sha256 = file_sha256(path)
    # Where the configuration cannot be written, the next start hashes again.
    with contextlib.suppress(OSError):
        _note("hashed", str(path), [before.st_size, before.st_mtime_ns, sha256])
    return sha256


# -- finding --------------------------------------------------------------------------------------


def find(name: str) -> Path | None:
    """Where the file lies: placed by hand, else in the hub's cache; None: nowhere. Nothing is checked."""
    by_hand = placed(name)
    return by_hand if by_hand.is_file() else _cached(entry_of(name), expected(name).revision)


def locate(name: str, given: str | Path | None = None, accept_licence: bool = False) -> Path:
    """The file to load, made sure of; no network.

    Args:
        name: of the catalogue.
        given: a path of the user's own, which is taken as it is.
        accept_licence: the user accepts a restricted licence; not needed where a fetch recorded it.

    Raises:
        WeightsRefused: it is nowhere, is not what is pinned, or its licence was not accepted.
    """
    entry = entry_of(name)
    _check_accepted(entry, accept_licence)
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise WeightsRefused(
                f"--weights {given} is not a file; expected {entry.file} or weights of its form"
            )
        return path
    found, pin = _found(entry), expected(name)
    if pin.sha256 != UNKNOWN:
        _check_hash(entry, found, known_sha256(found), pin)
    return found


def verify(name: str) -> bool:
    """Hash the file that lies here, whatever is remembered of it.

    Returns:
        True: it is what catalogue or lock say; False: neither knows a hash.

    Raises:
        WeightsRefused: it is another file, or there is none.
    """
    entry, pin = entry_of(name), expected(name)
    found = _found(entry)
    _check_hash(entry, found, _hash(found), pin)
    return pin.sha256 != UNKNOWN


def _found(entry: Entry) -> Path:
    found = find(entry.name)
    if found is None:
        raise WeightsRefused(f"{entry.name}: {entry.file} is not on this machine; {_how_to_get(entry)}")
    return found


def _check_hash(entry: Entry, path: Path, sha256: str, pin: Pin) -> None:
    if pin.sha256 not in (UNKNOWN, sha256):
        raise WeightsRefused(
            f"{entry.name}: {path} has sha256 {sha256}; expected {pin.sha256}, as {pin.source} says; do not use "
            f"it: remove it and run `aleaseg weights fetch {entry.name}`"
        )


def _check_accepted(entry: Entry, accept_licence: bool) -> None:
    if not entry.needs_acceptance or accept_licence:
        return
    if _read_lock()["accepted"].get(entry.name) != entry.licence:
        raise WeightsRefused(
            f"{entry.name}: its weights are under {entry.licence} ({entry.note}); if you accept that, give "
            f"--accept-licence, or once: aleaseg weights fetch {entry.name} --accept-licence"
        )


def _how_to_get(entry: Entry) -> str:
    flag = " --accept-licence" if entry.needs_acceptance else ""
    others = f", and {' and '.join(entry.beside)} of that page beside it" if entry.beside else ""
    return f"run `aleaseg weights fetch {entry.name}{flag}`, or put {entry.url} at {placed(entry.name)}{others}"


# -- fetching -------------------------------------------------------------------------------------


def fetch(name: str, accept_licence: bool = False) -> Path:
    """Download one file into the hub's cache, make sure of it, and pin what was unknown.

    A connection that breaks is taken up where it broke. `HF_HOME`, `HF_HUB_OFFLINE`,
    `HF_ENDPOINT` and the hub's own login are honoured.

    Args:
        name: of the catalogue.
        accept_licence: the user accepts a restricted licence; this is recorded.

    Raises:
        WeightsRefused: it cannot be had, or is not what catalogue or lock say.
        MissingExtra: huggingface_hub is not installed.
    """
    entry = entry_of(name)
    _check_accepted(entry, accept_licence)
    if entry.needs_acceptance:
        _note("accepted", name, entry.licence)
    pin = expected(name)
    # Asking for the file is all that the hub needs to hear.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    hub = extras.need("huggingface_hub")
    held = _cached(entry, pin.revision)
    damaged = held is not None and pin.sha256 not in (UNKNOWN, _hash(held))
    path = _download(hub, entry, pin.revision, anew=damaged)
    revision = path.parents[entry.file.count("/")].name
    if pin.revision not in (UNKNOWN, revision):
        raise WeightsRefused(f"{name}: the hub answered with revision {revision}; expected {pin.revision}")
    sha256 = known_sha256(path)
    _check_hash(entry, path, sha256, pin)
    for other in entry.beside:
        _download(hub, replace(entry, file=other), revision, anew=False)
    if UNKNOWN in (entry.revision, entry.sha256):
        _note("pinned", f"{entry.repository}/{entry.file}", {"revision": revision, "sha256": sha256})
    return path


def _download(hub: ModuleType, entry: Entry, revision: str, anew: bool) -> Path:
    """The file's path in the hub's cache, `snapshots/COMMIT/FILE`.

    The environment is read here, at the call: huggingface_hub reads it once, when it is imported.
    """
    words = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    offline = words.upper() in ("1", "ON", "YES", "TRUE")
    if anew and offline:
        raise _refused(entry, "the file in the hub's cache is damaged, and HF_HUB_OFFLINE is set")
    errors = extras.need("huggingface_hub.errors")
    try:
        found: str = hub.hf_hub_download(
            entry.repository,
            entry.file,
            revision="main" if revision == UNKNOWN else revision,
            cache_dir=hub_cache(),
            endpoint=os.environ.get("HF_ENDPOINT", "").rstrip("/") or None,
            local_files_only=offline,
            force_download=anew,
        )
    except errors.GatedRepoError as error:
        raise WeightsRefused(
            f"{entry.name}: {entry.repository} is available on request only: ask for access at {entry.page}, "
            "then run `hf auth login` (or set HF_TOKEN), then this again"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        why = "HF_HUB_OFFLINE is set" if offline else _reason(error.__cause__ or error)
        raise _refused(entry, why) from error
    except errors.HfHubHTTPError as error:
        at = "" if revision == UNKNOWN else f" at revision {revision}"
        raise _refused(entry, f"{entry.repository}{at}: {_reason(error)}") from error
    except (errors.HTTPError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of this machine's disk, not of the network
        raise _refused(entry, _reason(error)) from error
    return Path(found)


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def _refused(entry: Entry, why: str) -> WeightsRefused:
    return WeightsRefused(
        f"{entry.name}: {entry.file} cannot be fetched ({why}); run the same command again where the hub can be "
        f"reached, or put {entry.url} at {placed(entry.name)}"
    )
