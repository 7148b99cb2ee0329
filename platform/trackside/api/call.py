"""What an API handler has at hand: runtime, session, the key behind the call, pages and versions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar

import msgspec
from sqlalchemy.orm import Session

from trackside.api import cursors
from trackside.api.types import Page, Paged
from trackside.auth.principal import KeyPrincipal
from trackside.errors import StaleVersion
from trackside.runtime import Runtime

Row = TypeVar("Row")
T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """One call of one operation. `session` is committed once the handler has returned, and rolled back if it raises."""

    runtime: Runtime
    session: Session
    key: KeyPrincipal
    operation: str
    """The operation's id: cursors belong to it."""
    request_headers: Mapping[str, str]
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with the answer."""

    @property
    def env_id(self) -> int:
        """The environment of the key; whatever else there is does not exist for it."""
        return self.key.env_id

    def after(self, query: Paged) -> list[Any] | None:
        """Return the key where the page before ended, or None for the first; raises InputError for a forged cursor."""
        if not query.cursor:
            return None
        return cursors.unseal(self.runtime.settings.secret_key, self._purpose(query), query.cursor)

    def page(
        self, query: Paged, rows: Sequence[Row], shape: Callable[[Row], T], *, key: Callable[[Row], cursors.Key]
    ) -> Page[T]:
        """Return a page of `rows`, of which `limit + 1` were read; `key` is what the list is sorted by."""
        shown = [shape(row) for row in rows[: query.limit]]
        return self.following(query, shown, key(rows[query.limit - 1]) if len(rows) > query.limit else None)

    def following(self, query: Paged, items: list[T], after: cursors.Key | None) -> Page[T]:
        """Return a page of `items`; `after` is the key where it ends, None on the last."""
        secret = self.runtime.settings.secret_key
        return Page(items, None if after is None else cursors.seal(secret, self._purpose(query), after))

    def _purpose(self, query: Paged) -> str:
        filters = {name: value for name, value in msgspec.to_builtins(query).items() if name not in {"cursor", "limit"}}
        return f"{self.operation} {self.env_id} {msgspec.json.encode(filters, order='sorted').decode()}"

    def tagged(self, value: T, version: object) -> T:
        """Return `value`, answered with the ETag of `version` (a number, a time, a text)."""
        self.headers["ETag"] = etag(version)
        return value

    def if_match(self, version: object) -> None:
        """Raise StaleVersion where the caller names (`If-Match`) another version than `version`; none named passes."""
        wanted = self.request_headers.get("If-Match", "").strip()
        if wanted not in {"", "*"} and etag(version) not in {each.strip() for each in wanted.split(",")}:
            raise StaleVersion


def etag(version: object) -> str:
    """Return the ETag of `version`, made of content, so that it survives a restart."""
    return f'"{sha256(str(version).encode()).hexdigest()[:24]}"'
