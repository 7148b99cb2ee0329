"""What the flags client is told: by arguments first, then by the environment."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from trackside_client._transport import notes
from trackside_client._transport.address import is_plain, may_be_key

Mode = Literal["local", "remote", "offline"]
"""Evaluates by the ruleset in the process; asks the server each time; never speaks to a server."""
_OFF = {"0", "off", "no", "false"}


@dataclass(frozen=True)
class FlagSettings:
    """Where flags come from, and how often they are asked for."""

    mode: Mode
    url: str
    """The server's address without a slash at its end; empty where offline."""
    key: str
    stream_url: str | None
    """Where the stream is; None: where the server says, empty: it is not followed."""
    bootstrap: Path | None
    folder: Path | None
    """Where the last ruleset and unsent exposures are kept."""
    poll_seconds: float
    flush_seconds: float
    exposures: bool


def read(
    url: str | None,
    key: str | None,
    *,
    mode: Mode | None,
    stream_url: str | None,
    bootstrap: str | Path | None,
    folder: str | Path | None,
    poll_seconds: float,
    flush_seconds: float,
    exposures: bool,
    environ: Mapping[str, str] = os.environ,
) -> FlagSettings:
    """Return the settings; those that make no sense are left out, which the log says. Never raises."""
    url = str(url or environ.get("TRACKSIDE_URL", "")).strip().rstrip("/")
    key = str(key or environ.get("TRACKSIDE_FLAGS_KEY", "") or environ.get("TRACKSIDE_API_KEY", "")).strip()
    if mode != "offline" and (reason := _refusal(url, key)):
        if url or key or not (bootstrap or environ.get("TRACKSIDE_FLAGS_BOOTSTRAP")):
            notes.once("flags settings", "flags are not loaded from a server: %s", reason)
        mode = "offline"
    stream = environ.get("TRACKSIDE_STREAM_URL", "") if stream_url is None else stream_url
    return FlagSettings(
        mode or ("remote" if _kind(key) == "client" else "local"),
        url,
        key,
        "" if stream.lower() in _OFF else (stream.rstrip("/") or None),
        _path(bootstrap or environ.get("TRACKSIDE_FLAGS_BOOTSTRAP")),
        _path(folder or environ.get("TRACKSIDE_FLAGS_FOLDER")),
        _between(poll_seconds, 0.05, 3600, 15.0, "poll_seconds"),
        _between(flush_seconds, 0.05, 60, 5.0, "flush_seconds"),
        exposures and mode != "offline",
    )


def _refusal(url: str, key: str) -> str:
    if not url or not key:
        return "set TRACKSIDE_URL and TRACKSIDE_FLAGS_KEY, or give `url` and `key`"
    if not is_plain(url):
        return "the URL must be a plain http:// or https:// address"
    if not may_be_key(key):
        return "the key holds characters that no key has"
    return ""


def _kind(key: str) -> str:
    """Return the kind that a key such as `ts_production_client_...` names; empty where it names none."""
    parts = key.rsplit("_", 4)
    return parts[1] if len(parts) == 5 and key.startswith("ts_") else ""


def stream_beside(url: str) -> str:
    """Return where the stream process of a server is by default: the port after its own, or the same behind a proxy."""
    parts = urlsplit(url)
    if parts.port is None:
        return url
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return urlunsplit((parts.scheme, f"{host}:{parts.port + 1}", parts.path, "", ""))


def _path(given: str | Path | None) -> Path | None:
    return Path(given) if given else None


def _between(given: float, least: float, most: float, default: float, name: str) -> float:
    if isinstance(given, (int, float)) and not math.isnan(given) and least <= given <= most:
        return float(given)
    notes.once(f"flags {name}", "%s must be a number from %s to %s; %s is used", name, least, most, default)
    return default
