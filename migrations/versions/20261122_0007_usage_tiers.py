"""Hours and days beside the minutes, by user, by endpoint and by both; what is dirty, and what is no longer kept."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WHEN = sa.DateTime(timezone=True)


def _number(name: str, kind: sa.types.TypeEngine[int] | None = None) -> sa.Column[int]:
    return sa.Column(name, kind or sa.BigInteger(), nullable=False)


def _counted() -> list[sa.Column[object]]:
    latency = sa.Column("latency", sa.LargeBinary(), nullable=False)
    return [*map(_number, ("calls", "micros", "longest")), latency, _slow()]


def _slow() -> sa.Column[int]:
    return sa.Column("slow", sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def _rough() -> sa.Column[bool]:
    return sa.Column("approximate", sa.Boolean(), server_default=sa.false(), nullable=False)


def _tier(table: str, keys: list[sa.Column[int]], rest: list[sa.Column[object]], *indexed: str) -> None:
    names = ["env_id", "at", *(key.name for key in keys)]
    op.create_table(
        table,
        _number("env_id"),
        sa.Column("at", WHEN, nullable=False),
        *keys,
        *rest,
        sa.PrimaryKeyConstraint(*names, name=f"pk_{table}"),
        postgresql_partition_by="RANGE (at)",
    )
    for column in indexed:
        op.create_index(f"ix_{table}_{column}", table, ["env_id", column, "at"])


def upgrade() -> None:
    """Make the tables; their partitions are made ahead by the tidying job, and where a row needs one."""
    op.add_column("usage_minute", _slow())
    for unit in ("hour", "day"):
        keys = [_number("endpoint_id"), _number("user_id"), _number("status", sa.SmallInteger())]
        _tier(f"usage_{unit}", keys, [*_counted(), _rough()], "user_id", "endpoint_id")
        errors = [_number(name) for name in ("client_errors", "server_errors", "wrong_turns")]
        _tier(f"usage_user_{unit}", [_number("user_id")], [*_counted(), *errors], "user_id")
    for unit in ("minute", "hour", "day"):
        keys = [_number("endpoint_id"), _number("status", sa.SmallInteger())]
        users = sa.Column("users", sa.LargeBinary(), nullable=False)
        _tier(f"usage_endpoint_{unit}", keys, [*_counted(), _rough(), users], "endpoint_id")
    op.create_table(
        "usage_dirty",
        _number("env_id"),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("at", WHEN, nullable=False),
        _number("number"),
        sa.PrimaryKeyConstraint("env_id", "tier", "at", name="pk_usage_dirty"),
        sa.ForeignKeyConstraint(["env_id"], ["environment.id"], name="fk_usage_dirty_env_id"),
    )
    op.create_table(
        "usage_horizon",
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("kept_from", WHEN, nullable=False),
        sa.PrimaryKeyConstraint("tier", name="pk_usage_horizon"),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("horizon", "dirty", "endpoint_day", "endpoint_hour", "endpoint_minute"):
        op.drop_table(f"usage_{table}")
    op.drop_column("usage_minute", "slow")
    for table in ("user_day", "day", "user_hour", "hour"):
        op.drop_table(f"usage_{table}")
