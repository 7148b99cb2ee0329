"""The stream of flags: that something has changed, in OFREP's words; who hears it asks again."""

from collections.abc import Mapping

import msgspec
from sqlalchemy import select

from trackside.runtime import Runtime
from trackside_modules.flags.models import FlagsEnvironment

NAME = "flags"
PATH = "/v1/flags/stream"


class FlagFeed:
    """The versions of all environments' rulesets, as the database has them."""

    def __init__(self, runtime: Runtime) -> None:
        self._database = runtime.database
        self._events: dict[int, tuple[int, bytes]] = {}

    def look(self) -> Mapping[int, bytes]:
        """Return the event of each environment whose ruleset has changed since the last look."""
        it = FlagsEnvironment
        with self._database.session() as session:
            rows = session.execute(select(it.env_id, it.version, it.etag, it.updated_at)).all()
        found = {env_id: (version, _event(etag, int(at.timestamp()))) for env_id, version, etag, at in rows}
        news = {env_id: event for env_id, (_, event) in found.items() if self._events.get(env_id, (0, b""))[1] != event}
        self._events = found
        return news

    def state(self, env_id: int) -> int:
        """Return the version of an environment's ruleset; 0 where it is not known."""
        return self._events.get(env_id, (0, b""))[0]

    def present(self, env_id: int) -> bytes:
        """Return the event that tells the present version; empty where it is not known."""
        return self._events.get(env_id, (0, b""))[1]


def _event(etag: str, changed: int) -> bytes:
    told = msgspec.json.encode({"type": "refetchEvaluation", "etag": etag, "lastModified": changed})
    return b"data: %b\n\n" % told
