"""Files of elsewhere that members bring in, and what became of them."""

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, false
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base


class Import(Base):
    """A file that was uploaded to be brought in; its bytes are below the data directory until they are not needed."""

    __tablename__ = "support_import"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    member_id: Mapped[int | None]
    who: Mapped[str]
    """As they are called."""
    name: Mapped[str]
    """As the file was called."""
    bytes: Mapped[int]
    form: Mapped[str]
    """`csv` or `zendesk`, as the next three by the file's own content."""
    encoding: Mapped[str]
    delimiter: Mapped[str] = mapped_column(server_default="")
    columns: Mapped[list[str]]
    fields: Mapped[list[str]]
    """What each column is; empty: nothing."""
    dates: Mapped[str] = mapped_column(server_default="")
    """Whether `day` or `month` comes first in its dates; empty: they are written in no such way, or do not tell."""
    zone: Mapped[str] = mapped_column(server_default="UTC")
    """Of times that tell none."""
    source: Mapped[str]
    """Where it comes from: ids are known by it."""
    state: Mapped[str] = mapped_column(server_default="new")
    """`new`, `tried` (a dry run told what would become of it), `running`, `done`, or `failed`."""
    dry: Mapped[bool] = mapped_column(server_default=false())
    """Whether what runs, or ran, only tries."""
    task_id: Mapped[int | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    read_bytes: Mapped[int] = mapped_column(server_default="0")
    made: Mapped[int] = mapped_column(server_default="0")
    known: Mapped[int] = mapped_column(server_default="0")
    broken: Mapped[int] = mapped_column(server_default="0")
    problem: Mapped[str] = mapped_column(server_default="")
    """Why it failed."""
    removed_at: Mapped[datetime | None]
    """Since when its bytes are gone."""


class LeftOut(Base):
    """A row that an import left out, and why."""

    __tablename__ = "support_import_row"

    import_id: Mapped[int] = mapped_column(ForeignKey("support_import.id", ondelete="CASCADE"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    problem: Mapped[str]
