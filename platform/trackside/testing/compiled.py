"""What an app compiles, templates, routes and SQL, kept for all apps of one process.

Each test has an app of its own, and most of what its first page took were these.
"""

from collections.abc import Callable
from types import CodeType
from typing import Any, ClassVar

from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule


class TemplateCache(BytecodeCache):
    """Keeps what Jinja compiles by name and by content, so that a template changed meanwhile is compiled again."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give what was compiled of the same text, if anything was."""
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what has just been compiled."""
        if bucket.code is not None:
            self._codes[bucket.key, bucket.checksum] = bucket.code


class CompiledRule(Rule):
    """A route whose patterns, and builders of addresses, are those of an equal one before it."""

    _kept: ClassVar[dict[object, dict[str, Any]]] = {}
    _builders: ClassVar[dict[object, Callable[..., tuple[str, str]]]] = {}

    def compile(self) -> None:
        """Take what was made of the same text on a map with the same converters, if anything was."""
        assert self.map
        converters = tuple(self.map.converters.items())
        key = (self.rule, self.subdomain, self.host, self.map.host_matching, self.merge_slashes, converters)
        if self.defaults or key not in self._kept:
            super().compile()
            made = {name: getattr(self, name) for name in ("_parts", "_trace", "_converters", "arguments")}
            self._kept[key] = {} if self.defaults else made
            return
        vars(self).update(self._kept[key])
        self._build = self._compile_builder(False).__get__(self, None)
        self._build_unknown = self._compile_builder(True).__get__(self, None)

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        if self.defaults:  # they are made part of the code, by this route's converters
            return super()._compile_builder(append_unknown)
        key = (self.rule, tuple(self._trace), append_unknown)
        if key not in self._builders:
            self._builders[key] = super()._compile_builder(append_unknown)
        return self._builders[key]


class OneDialect(PGDialect_psycopg):
    """PostgreSQL as all engines of a run speak it: to one server, so that SQL made for one of them serves all."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


STATEMENTS: LRUCache[Any, Any] = LRUCache(2_000)
"""The SQL made of statements, for `compiled_cache` of engines that speak `OneDialect`."""
