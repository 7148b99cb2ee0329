"""Doing one thing to many interactions: each for itself, so that one that refuses holds up none of the others."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy.orm import Session

from trackside.errors import TracksideError
from trackside_modules.support.service import fields

MOST = 500


@dataclass(frozen=True, slots=True)
class Done:
    """What became of it."""

    done: list[int]
    refused: dict[int, str]
    """Why, by number."""


def bulk(session: Session, numbers: Collection[int], act: Callable[[int], object]) -> Done:
    """Call `act` with each of `numbers`, each in a savepoint.

        bulk(session, numbers, lambda number: assign(session, number, member_id, who=who, now=now))

    Raises InputError for more than `MOST`.
    """
    if len(numbers) > MOST:
        raise fields.wrong("ids", f"Choose {MOST} interactions or fewer at a time.")
    done: list[int] = []
    refused: dict[int, str] = {}
    # always in the same order, so that two of these never wait for each other
    for number in sorted(set(numbers)):
        try:
            with session.begin_nested():
                act(number)
            done.append(number)
        except TracksideError as error:
            refused[number] = error.message
    return Done(done, refused)
