"""What interactions are found by: caches of their events' words."""

from sqlalchemy import Index
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from trackside.db import Base


class SearchRow(Base):
    """The words of an interaction: subject (A), messages (B), notes (C), of those merged into it too."""

    __tablename__ = "support_search"
    __table_args__ = (
        Index("ix_support_search_document", "document", postgresql_using="gin"),
        # by which the newest alone are read of what many hold: see `queries.newest`
        Index(
            "ix_support_search_interaction_id",
            "interaction_id",
            postgresql_using="brin",
            postgresql_with={"autosummarize": "on", "pages_per_range": 16},
        ),
    )

    interaction_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[str] = mapped_column(TSVECTOR)


class Word(Base):
    """A word that interactions hold: what a misspelt one of a search is compared with."""

    __tablename__ = "support_word"
    __table_args__ = (
        Index("ix_support_word_word", "word", postgresql_using="gin", postgresql_ops={"word": "gin_trgm_ops"}),
    )

    word: Mapped[str] = mapped_column(primary_key=True)
