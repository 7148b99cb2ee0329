"""Where users were last seen, and which endpoint followed which."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0132"
down_revision = "0131"
branch_labels = None
depends_on = None


def _table(name: str, key: tuple[str, ...], *columns: sa.Column[Any]) -> None:
    op.create_table(
        name,
        sa.Column("env_id", sa.BigInteger(), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("env_id", *key, name=f"pk_{name}"),
        sa.ForeignKeyConstraint(["env_id"], ["environment.id"], name=f"fk_{name}_env_id"),
    )


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def upgrade() -> None:
    """Make the tables."""
    _table("usage_trail_last", ("user_id",), _whole("user_id"), _whole("at"), _whole("endpoint_id"))
    day = sa.Column("day", sa.Date(), nullable=False)
    pair = _whole("from_endpoint"), _whole("to_endpoint")
    _table("usage_follow", ("day", "from_endpoint", "to_endpoint"), day, *pair, _whole("calls"))


def downgrade() -> None:
    """Drop them."""
    op.drop_table("usage_follow")
    op.drop_table("usage_trail_last")
