"""Keep what pages read of the last minutes, for processes that have just begun."""

import sqlalchemy as sa
from alembic import op

revision = "0219"
down_revision = "0218"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; a job fills it."""
    op.create_table(
        "usage_piece",
        sa.Column("env_id", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("hashed", sa.BigInteger(), nullable=False),
        sa.Column("piece", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("env_id", "what", "at", name="pk_usage_piece"),
        sa.ForeignKeyConstraint(["env_id"], ["environment.id"], name="fk_usage_piece_env_id"),
    )
    op.execute("alter table usage_piece alter column piece set storage external")


def downgrade() -> None:
    """Drop it."""
    op.drop_table("usage_piece")
