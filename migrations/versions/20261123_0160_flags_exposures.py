"""Who was given which variant first, how often each was evaluated a day, and batches on their way there."""

import sqlalchemy as sa
from alembic import op

revision = "0160"
down_revision = "0151"
branch_labels = None
depends_on = None

WHEN = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "flags_exposure",
        sa.Column("env_id", sa.BigInteger(), nullable=False),
        sa.Column("flag_id", sa.BigInteger(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("of_account", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("first_seen", WHEN, nullable=False),
        sa.PrimaryKeyConstraint("env_id", "flag_id", "variant", "user_id", "of_account", name="pk_flags_exposure"),
        *_owners("flags_exposure"),
    )
    op.create_index("ix_flags_exposure_user_id", "flags_exposure", ["user_id"])
    op.create_index("ix_flags_exposure_account_id", "flags_exposure", ["account_id"])
    op.create_index("ix_flags_exposure_first_seen", "flags_exposure", ["env_id", "flag_id", "first_seen"])
    op.create_table(
        "flags_exposure_day",
        sa.Column("env_id", sa.BigInteger(), nullable=False),
        sa.Column("flag_id", sa.BigInteger(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("evaluations", sa.BigInteger(), nullable=False),
        sa.Column("last_at", WHEN, nullable=False),
        sa.PrimaryKeyConstraint("env_id", "flag_id", "variant", "day", name="pk_flags_exposure_day"),
        *_owners("flags_exposure_day"),
    )
    _batches()


def _owners(table: str) -> tuple[sa.ForeignKeyConstraint, sa.ForeignKeyConstraint]:
    return (
        sa.ForeignKeyConstraint(["env_id"], ["environment.id"], name=f"fk_{table}_env_id"),
        sa.ForeignKeyConstraint(["flag_id"], ["flags_flag.id"], name=f"fk_{table}_flag_id", ondelete="CASCADE"),
    )


def _batches() -> None:
    op.create_table(
        "flags_exposure_batch",
        sa.Column("env_id", sa.BigInteger(), nullable=False),
        sa.Column("batch", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", WHEN, nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("dead_at", WHEN, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("env_id", "batch", name="pk_flags_exposure_batch"),
        sa.ForeignKeyConstraint(["env_id"], ["environment.id"], name="fk_flags_exposure_batch_env_id"),
    )
    op.create_index(
        "ix_flags_exposure_batch_waiting",
        "flags_exposure_batch",
        ["env_id", "received_at"],
        postgresql_where=sa.text("body is not null and dead_at is null"),
    )
    op.create_index("ix_flags_exposure_batch_received_at", "flags_exposure_batch", ["received_at"])


def downgrade() -> None:
    """Drop them."""
    for table in ("flags_exposure_batch", "flags_exposure_day", "flags_exposure"):
        op.drop_table(table)
