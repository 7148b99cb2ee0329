"""Rulesets on disk: one that the application brings (bootstrap), and the last one the server gave (cache)."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from trackside_client._transport import notes

_CACHED = "trackside-ruleset"


class Kept(NamedTuple):
    """A ruleset's JSON, and the ETag it came with; empty where it came from a file of the application's own."""

    document: dict[str, Any]
    etag: str


def load(path: Path, owner: str = "") -> Kept | None:
    """Return the ruleset of a file: as the server hands it out, or as `save` wrote it for the same `owner`.

    None, with the reason in the log, for a file that cannot be read, holds something else or is another owner's.
    """
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        if not owner:
            notes.once(f"flags {path}", "there is no bootstrap file %s", path)
        return None
    except (OSError, ValueError, RecursionError) as error:
        notes.once(f"flags {path}", "the flags in %s cannot be read, it is ignored: %s", path, error)
        return None
    if isinstance(found, dict) and _CACHED in found:
        etag, of, found = found.get("etag"), found.get(_CACHED), found.get("ruleset")
        if owner and of != _name(owner):
            return None
        return Kept(found, str(etag or "")) if isinstance(found, dict) else None
    return Kept(found, "") if isinstance(found, dict) else None


def save(path: Path, body: bytes, etag: str, owner: str) -> None:
    """Keep a ruleset for the next start; a failure is one line of the log."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    head = json.dumps({_CACHED: _name(owner), "etag": etag})
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(head[:-1].encode() + b', "ruleset": ' + body + b"}")
        part.replace(path)
    except OSError as error:
        notes.once("flags cache", "the last flags cannot be kept on disk: %s", error)


def _name(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()[:16]
