"""Who sends what, errors in groups, single requests worth seeing, and spans that wait for metrics."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = ("error", "error_hour", "sample", "source", "instance", "coverage", "held", "route")


def _text(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _whole(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _when(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.DateTime(timezone=True), nullable=nullable) for name in names]


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _status() -> sa.Column[int]:
    return sa.Column("status", sa.SmallInteger(), nullable=False)


def _table(name: str, *columns: sa.Column[Any] | sa.Constraint, key: tuple[str, ...]) -> None:
    identity = [sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False)] if key == ("id",) else []
    op.create_table(
        f"usage_{name}",
        *_whole("env_id"),
        *identity,
        *columns,
        sa.PrimaryKeyConstraint("env_id", *key, name=f"pk_usage_{name}"),
        sa.ForeignKeyConstraint(["env_id"], ["environment.id"], name=f"fk_usage_{name}_env_id"),
    )


def upgrade() -> None:
    """Make the tables."""
    _errors()
    _sources()


def _errors() -> None:
    _table(
        "error",
        _bytes("key"),
        *_text("service"),
        *_whole("endpoint_id"),
        _status(),
        *_text("error", "message"),
        *_whole("calls"),
        _bytes("users"),
        *_when("first_seen_at", "last_seen_at"),
        sa.UniqueConstraint("env_id", "key", name="uq_usage_error_env_id_key"),
        key=("id",),
    )
    op.create_index("ix_usage_error_last_seen_at", "usage_error", ["env_id", "last_seen_at"])
    hour = [*_whole("error_id"), *_when("at"), *_whole("calls"), _bytes("users")]
    _table("error_hour", *hour, key=("error_id", "at"))
    op.create_index("ix_usage_error_hour_at", "usage_error_hour", ["at"])
    _table(
        "sample",
        *_when("at"),
        *_whole("endpoint_id", "user_id"),
        _status(),
        *_whole("micros"),
        *_text("path", "error", "message", "trace"),
        sa.Column("error_id", sa.BigInteger(), nullable=True),
        key=("id",),
    )
    op.create_index("ix_usage_sample_at", "usage_sample", ["at"])
    for column in ("endpoint_id", "user_id"):
        op.create_index(f"ix_usage_sample_{column}", "usage_sample", ["env_id", column, "at"])
    known = sa.text("error_id is not null")
    op.create_index("ix_usage_sample_error_id", "usage_sample", ["env_id", "error_id", "at"], postgresql_where=known)


def _sources() -> None:
    seen = ("first_seen_at", "last_seen_at")
    _table(
        "source",
        *_text("service", "signal", "sdk", "language", "version", "distro", "scope"),
        *_whole("points", "without_user", "without_route", "approximate"),
        *_when(*seen),
        key=("service", "signal"),
    )
    instance = [*_text("service", "instance"), *_whole("skew_ms"), *_when(*seen)]
    _table("instance", *instance, key=("service", "instance"))
    op.create_index("ix_usage_instance_last_seen_at", "usage_instance", ["last_seen_at"])
    _table(
        "coverage",
        *_text("service"),
        *_when("spans_since", nullable=True),
        sa.Column("counted_to", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("covered_from", sa.BigInteger(), nullable=True),
        sa.Column("covered_to", sa.BigInteger(), nullable=True),
        *_when("metrics_at", nullable=True),
        key=("service",),
    )
    held = [*_text("service"), *_when("received_at"), *_whole("newest"), _bytes("body")]
    _table("held", *held, key=("id",))
    op.create_index("ix_usage_held_service", "usage_held", ["env_id", "service"])
    _table("route", *_text("service", "method", "route"), *_when("told_at"), key=("service", "method", "route"))


def downgrade() -> None:
    """Drop them."""
    for name in reversed(TABLES):
        op.drop_table(f"usage_{name}")
