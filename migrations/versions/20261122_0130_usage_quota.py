"""Rate limits and who came near them."""

import sqlalchemy as sa
from alembic import op

revision = "0130"
down_revision = "0120"
branch_labels = None
depends_on = None

WHEN = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables, and the row that counts changes."""
    _limits()
    _crossings()


def _limits() -> None:
    op.create_table(
        "usage_quota",
        sa.Column("env_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("policy", "scope")),
        sa.Column("plan", sa.Text(), server_default="", nullable=False),
        sa.Column("account_id", sa.BigInteger()),
        sa.Column("user_id", sa.BigInteger()),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("shared_by", "counts", "kind")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("amount", "seconds", "burst")),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("created_at", WHEN, nullable=False),
        sa.Column("updated_at", WHEN, nullable=False),
        sa.PrimaryKeyConstraint("env_id", "id", name="pk_usage_quota"),
        sa.UniqueConstraint(
            "env_id",
            "policy",
            "scope",
            "plan",
            "account_id",
            "user_id",
            name="uq_usage_quota_whom",
            postgresql_nulls_not_distinct=True,
        ),
        sa.ForeignKeyConstraint(["env_id"], ["environment.id"], name="fk_usage_quota_env_id"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_usage_quota_account_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["customer_user.id"], name="fk_usage_quota_user_id", ondelete="CASCADE"),
    )
    op.create_table(
        "usage_quota_version",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_usage_quota_version"),
    )
    op.execute("insert into usage_quota_version (id, version) values (1, 0)")


def _crossings() -> None:
    op.create_table(
        "usage_quota_crossing",
        sa.Column("env_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("quota_id", sa.BigInteger(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger()),
        sa.Column("user_id", sa.BigInteger()),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("window_start", WHEN, nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("at", WHEN, nullable=False),
        sa.PrimaryKeyConstraint("env_id", "id", name="pk_usage_quota_crossing"),
        sa.UniqueConstraint(
            "env_id", "quota_id", "member", "window_start", "level", name="uq_usage_quota_crossing_once"
        ),
        sa.ForeignKeyConstraint(["env_id"], ["environment.id"], name="fk_usage_quota_crossing_env_id"),
    )
    op.create_index("ix_usage_quota_crossing_at", "usage_quota_crossing", ["env_id", "at", "id"])


def downgrade() -> None:
    """Drop them."""
    for table in ("crossing", "version"):
        op.drop_table(f"usage_quota_{table}")
    op.drop_table("usage_quota")
