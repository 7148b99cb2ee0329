"""API keys in memory: who is asking, in a few microseconds and without a query.

A ring holds the hash of every live key. It asks PostgreSQL for the version of the keys every few seconds, is told at
once through Redis where that is there, and keeps answering with what it has while the database is away. A key it does
not know makes it look again, at most once a second, so that a key works as soon as it is made.

`trackside web` keeps a snapshot of the hashes on disk (`begin`), so that known keys also work where it was restarted
while the database is away.
"""

import hashlib
import hmac
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

import structlog
from redis import RedisError
from sqlalchemy import select, text, update
from sqlalchemy.exc import SQLAlchemyError

from trackside.auth import keyform, live_keys
from trackside.auth.addresses import client_address
from trackside.auth.keys import CHANNEL, KeysChanged
from trackside.auth.live_keys import LiveKey
from trackside.auth.models import ApiKey, ApiKeyVersion
from trackside.auth.principal import KeyPrincipal
from trackside.errors import NotAuthenticated, TooMany, Unavailable
from trackside.runtime import Runtime

log = structlog.get_logger(__name__)
POLL = 5.0
"""Seconds between two looks at the version: what a revocation takes at most where Redis is away."""
LOOK_AGAIN = 1.0
"""Seconds between two looks that unknown keys may cause."""
FLUSH = 60.0
"""Seconds between two writes of when keys were last used."""
BAD_A_MINUTE = 1000
ADDRESSES = 10_000
"""Addresses whose bad keys are counted at once; over it the count starts anew, so that memory stays flat."""

MISSING = "No API key came with this request: send `Authorization: Bearer KEY` or `X-API-Key: KEY`."
MALFORMED = "This is not an API key of Trackside, or not all of one: copy it again, from ts_ to its end."
WRONG = "This API key is not valid: it is wrong, revoked or expired. Make one under Settings, API keys."
IN_URL = "An API key must not be in the URL, where logs keep it: send it as a header, and rotate this one."
_NOBODY = hashlib.sha256(b"").digest()


def build(runtime: Runtime) -> "KeyRing":
    """Return the ring of this process, made when first asked for."""
    ring = runtime.ports.get(KeyRing)
    if ring is None:
        ring = KeyRing(runtime)
        made = ring
        runtime.ports.provide(KeyRing, lambda: made)
    return ring


class KeyRing:
    """Every live key, by the part of its text that is no secret."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._live: dict[str, LiveKey] = {}
        self._ids: dict[tuple[int, int], datetime | None] = {}
        self._passes: dict[str, KeyPrincipal] = {}
        """Keys that were found right, by their text: nobody can search a dictionary of texts by its timing."""
        self._keeps = False
        self._version = 0
        self._checked = float("-inf")
        self._stale = True
        self._away = False
        """Whether the last look at the database failed."""
        self._lock = threading.Lock()
        self._watcher: threading.Thread | None = None
        self._closed = False
        self._used: set[tuple[int, int]] = set()
        self._bad: dict[str, int] = {}
        self._bad_minute = 0
        runtime.events.subscribe(KeysChanged, self._on_change)
        runtime.closers.append(self.close)

    def authenticate(self, environ: Mapping[str, Any]) -> KeyPrincipal:
        """Return the key that a WSGI request carries.

        Raises NotAuthenticated (missing, malformed, wrong, revoked, expired, or in the URL), TooMany where an address
        sends bad keys all the time, Unavailable for a key that is not known while the database is away.
        """
        query = environ.get("QUERY_STRING")
        if query and keyform.holds_key(unquote_plus(query)):
            raise NotAuthenticated(IN_URL)
        given = environ.get("HTTP_AUTHORIZATION")
        is_bearer = given and given[:7].lower() == "bearer "
        key = given[7:].strip() if given and is_bearer else environ.get("HTTP_X_API_KEY", "")
        return self._passes.get(key) or self._find(key) or self._refuse(environ, key)

    def begin(self) -> None:
        """Load the keys now, from the snapshot where the database is away, and keep one from here on."""
        self._keeps = True
        try:
            self.refresh()
        except SQLAlchemyError as error:
            self._live = live_keys.restore(self._runtime.settings)
            self._ids = _ids(self._live)
            self._version = -1  # so that whatever the database says is news
            log.warning("keys.database_away", reason=type(error).__name__, keys=len(self._live))
        self._watch()

    def knows(self, env_id: int, key_id: int) -> bool:
        """Whether a key lives, looking again where it does not seem to: it may just have been made."""
        if self.lives(env_id, key_id):
            return True
        with suppress(Unavailable):
            self._look_again()
        return self.lives(env_id, key_id)

    def lives(self, env_id: int, key_id: int) -> bool:
        """Whether a key is known, not revoked and not expired."""
        if (env_id, key_id) not in self._ids:
            return False
        expires_at = self._ids[env_id, key_id]
        return expires_at is None or self._runtime.clock.now() < expires_at

    def refresh(self, *, force: bool = False) -> None:
        """Load the keys where they have changed; raises SQLAlchemyError where the database is away."""
        asked = self._runtime.clock.monotonic()
        with self._lock:
            if self._checked > asked and not (self._stale or self._away or force):
                return  # somebody else has looked while we waited for them
            self._stale = False
            try:
                self._load(force=force)
                self._away = False
            except SQLAlchemyError:
                self._away = True
                raise
            finally:
                # not before the end: who comes meanwhile has to wait, or a good key would seem to be a wrong one
                self._checked = self._runtime.clock.monotonic()

    def _load(self, *, force: bool) -> None:
        with self._runtime.database.session() as session:
            version = session.scalar(select(ApiKeyVersion.version)) or 0
            if version == self._version and not force:
                return
            live = live_keys.load(session)
        # one assignment: whoever reads sees the old keys or the new ones, never half
        self._live, self._version = live, version
        self._ids = _ids(live)
        # a new one, since a check that goes on may still write into the old one
        self._passes = {}
        if self._keeps:
            live_keys.keep(self._runtime.settings, live)

    def close(self) -> None:
        """Write what is not written yet, and look no more; the thread ends when it wakes."""
        self._closed = True
        self.flush()

    def flush(self) -> None:
        """Write when keys were last used, right to a minute."""
        used, self._used = self._used, set()
        self._passes = {}  # so that a key which is used from now on is noted again
        if not used:
            return
        now = self._runtime.clock.now()
        try:
            with self._runtime.database.session() as session:
                session.execute(text("set local synchronous_commit = off"))
                for env_id, key_id in sorted(used):
                    mine = update(ApiKey).where(ApiKey.env_id == env_id, ApiKey.id == key_id)
                    session.execute(mine.values(last_used_at=now))
        except SQLAlchemyError:
            self._used |= used

    def _find(self, key: str) -> KeyPrincipal | None:
        passes = self._passes
        live = self._live.get(keyform.head_of(key))
        given = hashlib.sha256(key.encode("utf-8", "replace")).digest()
        # compared also where there is nothing to compare with: the time tells nothing
        if not hmac.compare_digest(given, live.hash if live else _NOBODY) or live is None:
            return None
        if live.expires_at is not None and self._runtime.clock.now() >= live.expires_at:
            return None
        principal = live.principal
        self._used.add((principal.env_id, principal.key_id))
        if live.expires_at is None:
            passes[key] = principal
        return principal

    def _refuse(self, environ: Mapping[str, Any], key: str) -> KeyPrincipal:
        """Look again for a key that is not known, or say what is wrong with it."""
        if not key:
            raise NotAuthenticated(MISSING)
        address = client_address(environ, self._runtime.settings.trusted_proxies)
        self._check_rate(address)
        if keyform.is_well_formed(key):
            self._look_again()
            found = self._find(key)
            if found is not None:
                return found
            problem = WRONG
        else:
            problem = MALFORMED
        self._bad[address] = self._bad.get(address, 0) + 1
        raise NotAuthenticated(problem)

    def _check_rate(self, address: str) -> None:
        now = self._runtime.clock.now()
        minute = int(now.timestamp() // 60)
        if minute != self._bad_minute or len(self._bad) > ADDRESSES:
            self._bad_minute = minute
            self._bad = {}
        if self._bad.get(address, 0) >= BAD_A_MINUTE:
            raise TooMany("Too many requests with a wrong API key came from your address.", 60 - now.second)

    def _look_again(self) -> None:
        self._watch()
        due = self._runtime.clock.monotonic() - self._checked >= LOOK_AGAIN
        if self._stale or due:
            with suppress(SQLAlchemyError):
                self.refresh()
        if self._away:
            # a client that is told 401 gives its batch up; told 503, it comes again
            raise Unavailable("This API key cannot be checked: the database is away. Try again shortly.")

    def _on_change(self, _event: KeysChanged) -> None:
        self._stale = True
        # what is revoked in this process is refused by it at once
        try:
            self.refresh()
        except SQLAlchemyError:
            log.warning("keys.refresh_failed")

    def _watch(self) -> None:
        """Start the thread that keeps the ring fresh; not before there is a key to look up, and so after every fork."""
        if self._watcher is None or not self._watcher.is_alive():
            with self._lock:
                if self._watcher is None or not self._watcher.is_alive():
                    self._watcher = threading.Thread(
                        target=_keep_fresh, args=(weakref.ref(self),), name="keyring", daemon=True
                    )
                    self._watcher.start()


def _ids(live: Mapping[str, LiveKey]) -> dict[tuple[int, int], datetime | None]:
    """Return when each key ends, by environment and number."""
    return {(it.principal.env_id, it.principal.key_id): it.expires_at for it in live.values()}


def _keep_fresh(ref: "weakref.ref[KeyRing]") -> None:
    """Refresh the ring every few seconds, and when Redis says so, for as long as somebody holds it."""
    news: Any = None
    flushed = time.monotonic()
    while (ring := ref()) is not None and not ring._closed:
        try:
            ring.refresh()
        except SQLAlchemyError:
            if not ring._closed:  # else the connection was taken away on purpose
                log.warning("keys.refresh_failed")
        if time.monotonic() - flushed >= FLUSH:
            ring.flush()
            flushed = time.monotonic()
        redis = ring._runtime.redis
        del ring  # while waiting nothing is held, so that a ring nobody uses goes away
        news = _wait(redis, news)


def _wait(redis: Any, news: Any) -> Any:
    """Wait until the keys have changed, at most `POLL` seconds; return the subscription, None where Redis is away."""
    begun = time.monotonic()
    try:
        if news is None:
            news = redis.pubsub.pubsub(ignore_subscribe_messages=True)
            news.subscribe(CHANNEL)
        while (left := POLL - (time.monotonic() - begun)) > 0:
            if news.get_message(timeout=left) is not None:
                break
    except (RedisError, OSError, ValueError):
        time.sleep(max(0.0, POLL - (time.monotonic() - begun)))
        return None
    return news
