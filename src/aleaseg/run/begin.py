"""How every verb starts its folder: new, empty, or begun alike."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aleaseg.errors import SettingsDiffer, UsageError
from aleaseg.run.files import is_aside, read_json
from aleaseg.run.folder import Run
from aleaseg.run.manifest import now, versions

__all__ = ["begin", "kind_of"]

_DIGEST = re.compile(r"[0-9a-f]{20,64}")


def begin(
    folder: str | Path,
    kind: str,
    asked: Mapping[str, Any],
    *,
    free: Collection[str] = (),
    usual: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
) -> bool:
    """Start a folder, or make sure that the one there was begun with the same settings.

    The manifest is the first file of a folder, so that whatever ends a run, the same command goes on with it.

    Args:
        folder: new, empty, or begun by the same command.
        kind: what is made, a noun: `audit`, `training`, `evaluation`, ...
        asked: name -> setting; written into the manifest as JSON has them.
        free: names that may differ from what was asked before; the manifest then says the latest.
        usual: what a setting was before there was one, for folders that are older than it.
        about: further entries of a new manifest.

    Returns:
        Whether the folder is new.

    Raises:
        SettingsDiffer: it was begun with other settings.
        UsageError: it holds something else.
    """
    run, settings = Run(folder), _as_json(asked)
    if run.manifest_file.is_file():
        _go_on(run, kind, settings, free, _as_json(usual or {}))
        return False
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise UsageError(f"{folder} is a file; give a new folder with -o")
    # What a kill left of the first manifest is ours.
    if path.exists() and not all(map(is_aside, path.iterdir())):
        raise UsageError(
            f"{folder} holds other files and is not {_a(kind)}; give an empty or a new folder with -o"
        )
    run.update_manifest(
        kind=kind,
        aleaseg=version("aleaseg"),
        created=now(),
        settings=settings,
        versions=versions(),
        **(about or {}),
    )
    return True


def _go_on(
    run: Run, kind: str, settings: dict[str, Any], free: Collection[str], usual: dict[str, Any]
) -> None:
    """Make sure that the folder was begun alike; what is free is noted anew."""
    made = kind_of(run.path)
    if made != kind:
        raise UsageError(
            f"{run.path} is {_a(made) if made else 'something else'}, not {_a(kind)}; give an empty or a new folder "
            "with -o"
        )
    manifest = run.manifest
    before = {**usual, **(manifest.get("settings") or manifest.get("bench") or {})}
    differing = [name for name in settings if before.get(name) != settings[name]]
    if wrong := [name for name in differing if name not in free]:
        said = "; ".join(_differs(name, before.get(name), settings[name]) for name in wrong)
        raise SettingsDiffer(
            f"{run.path} was made with other settings ({said}); give another folder with -o, or delete it"
        )
    if differing:
        run.update_manifest(settings={**before, **settings})


def kind_of(folder: str | Path) -> str | None:
    """What made a folder; None where it is none of ours."""
    file = Run(folder).manifest_file
    if not file.is_file():
        return None
    manifest: Any = read_json(file)
    if not isinstance(manifest, dict):
        return None
    # Audits and benches had no kind once.
    old = "audit" if "settings" in manifest else _old_bench(manifest.get("bench"))
    return manifest.get("kind") or old


def _old_bench(settings: object) -> str | None:
    return f"{settings.get('kind', 'detection')} bench" if isinstance(settings, dict) else None


def _as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples and no paths."""
    return {name: _listed(value) for name, value in settings.items()}


def _listed(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_listed(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _listed(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def _differs(name: str, then: Any, now_: Any) -> str:
    if any(isinstance(value, str) and _DIGEST.fullmatch(value) for value in (then, now_)):
        return f"{name.replace('_', ' ')}: others than then"  # a checksum tells a person nothing
    return f"{name}: {then!r} then, {now_!r} now"


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
