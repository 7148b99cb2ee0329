"""The stream of flags: that something has changed, in OFREP's words; and to whom rules are open, what.

Who hears only that, asks again. Who holds a server's key is told the change itself, so that a thousand programs need
not all ask at the same moment, of a process that may not have loaded it yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import select

from trackside.runtime import Runtime
from trackside.stream.feed import News
from trackside_modules.flags import ruleset
from trackside_modules.flags.models import FlagsEnvironment

NAME = "flags"
PATH = "/v1/flags/stream"
MOST = 32 * 1024
"""Bytes of a change that is told; a larger one is asked for."""


class Document(msgspec.Struct, frozen=True):
    """A ruleset, its flags as they are written."""

    schema: int
    environment: str
    version: int
    flags: dict[str, msgspec.Raw]
    segments: msgspec.Raw


_DECODER = msgspec.json.Decoder(Document)


@dataclass(frozen=True, slots=True)
class _State:
    """How an environment's ruleset was at the last look."""

    version: int
    etag: str
    present: bytes
    document: Document | None


class FlagFeed:
    """The versions of all environments' rulesets, as the database has them."""

    def __init__(self, runtime: Runtime) -> None:
        self._database = runtime.database
        self._states: dict[int, _State] = {}

    def look(self) -> Mapping[int, News]:
        """Return the event of each environment whose ruleset has changed since the last look."""
        it = FlagsEnvironment
        found: dict[int, _State] = {}
        news: dict[int, News] = {}
        with self._database.session() as session:
            ruleset.settle(session)
            for env_id, version, etag, at in session.execute(select(it.env_id, it.version, it.etag, it.updated_at)):
                told = {"type": "refetchEvaluation", "etag": etag, "lastModified": int(at.timestamp())}
                present, known = _event(told), self._states.get(env_id)
                if known is not None and known.present == present:
                    found[env_id] = known
                    continue
                built = ruleset.build(session, env_id)
                document = _DECODER.decode(built.body) if built.etag == etag else None
                found[env_id] = _State(version, etag, present, document)
                change = _change(known, document)
                news[env_id] = News(present, _event({**told, "change": change}) if change else present)
        self._states = found
        return news

    def state(self, env_id: int) -> int:
        """Return the version of an environment's ruleset; 0 where it is not known."""
        known = self._states.get(env_id)
        return known.version if known else 0

    def present(self, env_id: int) -> bytes:
        """Return the event that tells the present version; empty where it is not known."""
        known = self._states.get(env_id)
        return known.present if known else b""


def _change(known: _State | None, after: Document | None) -> dict[str, Any] | None:
    """Return what turns the ruleset that was known into the one `after`; None where it must be asked for."""
    if known is None or after is None or (before := known.document) is None:
        return None
    if (before.schema, before.environment, bytes(before.segments)) != (
        after.schema,
        after.environment,
        bytes(after.segments),
    ):
        return None
    flags = {key: flag for key, flag in after.flags.items() if flag != before.flags.get(key)}
    if sum(map(len, map(bytes, flags.values()))) > MOST:
        return None
    gone = [key for key in before.flags if key not in after.flags]
    return {"since": known.etag, "version": after.version, "flags": flags, "gone": gone}


def _event(told: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(told)
