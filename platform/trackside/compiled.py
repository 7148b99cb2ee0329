"""Statements that every page asks, composed and compiled once.

SQLAlchemy finds a composed statement's text again by a key that it makes of all its parts, each time; where the parts
never change, that and the ORM around it cost more than the answer.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import BindParameter, Dialect, Row, Select
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.orm import Session
from sqlalchemy.sql import visitors

_DIALECT: Dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]


class Compiled:
    """A statement whose values are `bindparam`s, given by name when it is asked; rows are of plain columns.

    What it reads is not converted by SQLAlchemy: for text, numbers, booleans and times, as psycopg gives them.
    """

    def __init__(self, statement: Select[*tuple[Any, ...]]) -> None:
        self._statement = statement

    def __call__(self, session: Session, **values: Any) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return the rows, read in the session's transaction; what the session has not flushed is not in them."""
        text, fixed = self._text
        return session.connection().exec_driver_sql(text, fixed | values).all()

    @cached_property
    def _text(self) -> tuple[str, dict[str, Any]]:
        parts = visitors.iterate(self._statement)
        given = [each.key for each in parts if isinstance(each, BindParameter) and each.required]
        state = self._statement.compile(dialect=_DIALECT).construct_expanded_state(dict.fromkeys(given))
        # without those to be given: one that is forgotten is an error then, not NULL
        return state.statement, {name: value for name, value in state.parameters.items() if name not in given}
