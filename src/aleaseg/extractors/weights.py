"""Released weights: which there are, where they come from, and how one knows that a file is what it says.

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
from aleaseg.errors import UsageError, WeightsRefused
from aleaseg.extractors.checkpoint import file_sha256
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

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Entry:
    """One file of released weights.

    Attributes:
        name: as on the command line.
        extractor: which reads it.
        repository: on the Hugging Face hub.
        file: its name there.
        licence: of the weights.
        note: what else one should know before using it.
        revision: the commit it was looked up at, 40 hexadecimal digits, or `unknown`.
        sha256: 64 hexadecimal digits, or `unknown`.
        bytes: its size; None: unknown. Shown, never checked.
        needs_acceptance: the licence is restricted, and the user has to say that it is accepted.
        gated: the hub gives it to those only who asked for access.
        beside: other files of the repository that the extractor reads from the same folder. The
            revision pins them.
    """

    name: str
    extractor: str
    repository: str
    file: str
    licence: str
    note: str = ""
    revision: str = UNKNOWN
    sha256: str = UNKNOWN
    bytes: int | None = None
    needs_acceptance: bool = False
    gated: bool = False
    beside: tuple[str, ...] = ()

    @property
    def page(self) -> str:
        """Where a person can read about it."""
        return f"https://huggingface.co/{self.repository}"

    @property
    def url(self) -> str:
        """Where a person can download it."""
        revision = "main" if self.revision == UNKNOWN else self.revision
        return f"{self.page}/resolve/{revision}/{self.file}"


# Read in public sources, none of it downloaded here:
# - MedSAM2's files: bowang-lab/MedSAM2, checkpoints/download_medsam2_models.py. Revision, hash and
#   size of the recommended one: the pinned table of Project-MONAI/MONAILabel
#   (packages/providers/src/monailabel/providers/sam.py); five more repositories give that hash. The
#   model card's clause: MONAI Label's THIRD_PARTY_NOTICES.md. Sizes of the others: one catalogue that
#   also lists the first, rightly.
# - SegVol: README and LICENSE of BAAI-DCAI/SegVol; stored copies of the hub's pages of BAAI/SegVol for
#   the file's name, the revision and the rounded size.
# - Universal Model: README and LICENSE of ljwztc/CLIP-Driven-Universal-Model.
def _medsam2(name: str, file: str, size: int, revision: str = UNKNOWN, sha256: str = UNKNOWN) -> Entry:
    return Entry(
        name,
        extractor="medsam2",
        repository="wanglab/MedSAM2",
        file=file,
        licence="CC BY-SA 4.0",
        note="the model card adds: for research and education only",
        revision=revision,
        sha256=sha256,
        bytes=size,
    )


CATALOGUE: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        _medsam2(
            "medsam2",
            "MedSAM2_latest.pt",
            156_040_129,
            revision="e4a6f35edd7e091619cbc0750f462f1574e23955",
            sha256="c92743b99f00d078bf32a3afcc38aaa9faf1c1692dffe3eaa7a90938c1991060",
        ),
        _medsam2("medsam2-2411", "MedSAM2_2411.pt", 156_039_179),
        _medsam2("medsam2-ctlesion", "MedSAM2_CTLesion.pt", 156_041_079),
        _medsam2("medsam2-mri-liver", "MedSAM2_MRI_LiverLesion.pt", 156_044_532),
        _medsam2("medsam2-us-heart", "MedSAM2_US_Heart.pt", 156_041_079),
        Entry(
            "segvol",
            extractor="segvol",
            repository="BAAI/SegVol",
            file="pytorch_model.bin",
            licence="none named",
            note="the page names no licence; the code is MIT, and the data it was trained on has terms of its own",
            revision="516701d5bef430604a13f5db7ce896149d075663",
            bytes=724_000_000,
            beside=("vocab.json", "merges.txt"),
        ),
        Entry(
            "universal",
            extractor="universal",
            repository="ljwztc/CLIP-Driven-Universal-Model",
            file="clip_driven_universal_swin_unetr.pth",
            licence="CC BY-NC-ND 4.0",
            note="not for commercial use, and nothing made from it may be passed on; the licence: "
            "https://github.com/ljwztc/CLIP-Driven-Universal-Model/blob/main/LICENSE",
            needs_acceptance=True,
        ),
    )
}


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
    return folder / name / _entry(name).file


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
    entry = _entry(name)
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


def _entry(name: str) -> Entry:
    if name not in CATALOGUE:
        raise UsageError(f"unknown weights {name!r}; expected one of: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def find(name: str) -> Path | None:
    """Where the file lies: placed by hand, else in the hub's cache; None: nowhere. Nothing is checked."""
    by_hand = placed(name)
    return by_hand if by_hand.is_file() else _cached(_entry(name), expected(name).revision)


def locate(name: str, given: str | Path | None = None, accept_licence: bool = False) -> Path:
    """The file to load, made sure of; no network.

    Args:
        name: of the catalogue.
        given: a path of the user's own, which is taken as it is.
        accept_licence: the user accepts a restricted licence; not needed where a fetch recorded it.

    Raises:
        WeightsRefused: it is nowhere, is not what is pinned, or its licence was not accepted.
    """
    entry = _entry(name)
    _check_accepted(entry, accept_licence)
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise WeightsRefused(
                f"--weights {given} is no file; expected {entry.file} or weights of its form"
            )
        return path
    found = find(name)
    if found is None:
        raise WeightsRefused(f"{name}: {entry.file} is not on this machine; {_how_to_get(entry)}")
    pin = expected(name)
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
    entry, pin, found = _entry(name), expected(name), find(name)
    if found is None:
        raise WeightsRefused(f"{name}: {entry.file} is not on this machine; {_how_to_get(entry)}")
    sha256 = _hash(found)
    if pin.sha256 != UNKNOWN:
        _check_hash(entry, found, sha256, pin)
    return pin.sha256 != UNKNOWN


def _check_hash(entry: Entry, path: Path, sha256: str, pin: Pin) -> None:
    if sha256 != pin.sha256:
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
            f"--accept-licence, or say it once: aleaseg weights fetch {entry.name} --accept-licence"
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
    entry = _entry(name)
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
    if pin.sha256 != UNKNOWN:
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
            f"{entry.name}: {entry.repository} is given to those only who asked: ask for access at {entry.page}, "
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
