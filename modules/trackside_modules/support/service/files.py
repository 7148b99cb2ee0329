"""Giving files to the interaction whose message carries them."""

from collections.abc import Collection

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from trackside_modules.support.models import File
from trackside_modules.support.service import fields


def attach(session: Session, number: int, file_ids: Collection[int]) -> None:
    """Give the files `file_ids` to the interaction `number`; raises InputError where one is not there or another's."""
    if not file_ids:
        return
    free = or_(File.interaction_id.is_(None), File.interaction_id == number)
    found = set(session.scalars(select(File.id).where(File.id.in_(file_ids), free)))
    if found != set(file_ids):
        raise fields.wrong("files", "One of the files is not there any more: attach it again.")
    session.execute(update(File).where(File.id.in_(file_ids)).values(interaction_id=number))
