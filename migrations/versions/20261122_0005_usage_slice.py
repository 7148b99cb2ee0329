"""The usage inbox, streams, endpoints and minutes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

WHEN = sa.DateTime(timezone=True)


def _env_id() -> sa.Column[int]:
    return sa.Column("env_id", sa.BigInteger(), nullable=False)


def _of_environment(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["env_id"], ["environment.id"], name=f"fk_{table}_env_id")


def upgrade() -> None:
    """Make the tables; the days of usage_minute are made by the fold."""
    _door()
    _fold()
    _counts()


def _door() -> None:
    op.create_table(
        "usage_batch",
        _env_id(),
        sa.Column("batch", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", WHEN, nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("env_id", "batch", name="pk_usage_batch"),
        _of_environment("usage_batch"),
    )
    op.create_index("ix_usage_batch_received_at", "usage_batch", ["received_at"])
    op.create_table(
        "usage_inbox",
        _env_id(),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("batch", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", WHEN, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("applied_at", WHEN),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("retry_at", WHEN),
        sa.Column("dead_at", WHEN),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("env_id", "id", name="pk_usage_inbox"),
        _of_environment("usage_inbox"),
    )
    waiting = sa.text("applied_at is null and dead_at is null")
    op.create_index("ix_usage_inbox_waiting", "usage_inbox", ["env_id", "id"], postgresql_where=waiting)
    op.create_index("ix_usage_inbox_applied_at", "usage_inbox", ["applied_at"])


def _fold() -> None:
    op.create_table(
        "usage_stream",
        _env_id(),
        sa.Column("stream", sa.LargeBinary(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("reading", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", WHEN, nullable=False),
        sa.PrimaryKeyConstraint("env_id", "stream", "start", name="pk_usage_stream"),
        _of_environment("usage_stream"),
    )
    op.create_index("ix_usage_stream_seen_at", "usage_stream", ["seen_at"])
    op.create_table(
        "usage_fold",
        _env_id(),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("folded_at", WHEN, nullable=False),
        sa.PrimaryKeyConstraint("env_id", name="pk_usage_fold"),
        _of_environment("usage_fold"),
    )
    op.create_table(
        "usage_warning",
        _env_id(),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_at", WHEN, nullable=False),
        sa.Column("last_seen_at", WHEN, nullable=False),
        sa.PrimaryKeyConstraint("env_id", "kind", "about", name="pk_usage_warning"),
        _of_environment("usage_warning"),
    )


def _counts() -> None:
    op.create_table(
        "usage_endpoint",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        _env_id(),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("first_seen_at", WHEN, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_usage_endpoint"),
        sa.UniqueConstraint(
            "env_id", "service", "method", "route", name="uq_usage_endpoint_env_id_service_method_route"
        ),
        _of_environment("usage_endpoint"),
    )
    op.create_table(
        "usage_minute",
        _env_id(),
        sa.Column("minute", WHEN, nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.Column("longest", sa.BigInteger(), nullable=False),
        sa.Column("latency", sa.LargeBinary(), nullable=False),
        sa.Column("approximate", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("env_id", "minute", "endpoint_id", "user_id", "status", name="pk_usage_minute"),
        postgresql_partition_by="RANGE (minute)",
    )
    op.create_index("ix_usage_minute_user_id", "usage_minute", ["env_id", "user_id", "minute"])


def downgrade() -> None:
    """Drop them."""
    for table in ("minute", "endpoint", "warning", "fold", "stream", "inbox", "batch"):
        op.drop_table(f"usage_{table}")
