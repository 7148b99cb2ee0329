"""Accounts and users."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _columns() -> list[sa.Column[object]]:
    """Return what accounts and users have in common, fresh columns at each call."""
    time = sa.DateTime(timezone=True)
    return [
        sa.Column("attributes", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("created_at", time, server_default=sa.func.now(), nullable=False),
        sa.Column("first_seen", time),
        sa.Column("last_seen", time),
        sa.Column("merged_into", sa.BigInteger()),
        sa.Column("erased_at", time),
    ]


def upgrade() -> None:
    """Make the tables, the unknown user (id 0) and the salt of the tombstones."""
    op.execute("create extension if not exists pg_trgm")
    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("external_id", sa.Text()),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("plan", sa.Text(), server_default="", nullable=False),
        *_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.UniqueConstraint("external_id", name="uq_account_external_id"),
        sa.ForeignKeyConstraint(["merged_into"], ["account.id"], name="fk_account_merged_into"),
        sa.CheckConstraint("external_id is not null or erased_at is not null", name="ck_account_has_identity"),
    )
    op.create_index("ix_account_merged_into", "account", ["merged_into"])
    op.create_table(
        "customer_user",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("external_id", sa.Text()),
        sa.Column("account_id", sa.BigInteger()),
        sa.Column("email", sa.Text(), server_default="", nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        *_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_customer_user"),
        sa.UniqueConstraint("external_id", name="uq_customer_user_external_id"),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_customer_user_account_id"),
        sa.ForeignKeyConstraint(["merged_into"], ["customer_user.id"], name="fk_customer_user_merged_into"),
        sa.CheckConstraint("external_id is not null or erased_at is not null", name="ck_customer_user_has_identity"),
    )
    op.create_index("ix_customer_user_account_id", "customer_user", ["account_id"])
    op.create_index("ix_customer_user_merged_into", "customer_user", ["merged_into"])
    _search_index("account", "external_id", "name")
    _search_index("customer_user", "external_id", "email", "name")
    op.create_table(
        "customer_tombstone",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "hash", name="pk_customer_tombstone"),
    )
    op.create_table(
        "customer_upload",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("encoding", sa.Text(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_customer_upload"),
    )
    # last_seen changes all the time: room on the page keeps those updates away from the indexes
    op.execute("alter table customer_user set (fillfactor = 85)")
    op.execute("insert into customer_user (id, external_id, source) overriding system value values (0, '', 'system')")
    op.execute(
        "insert into workspace_fact (key, value)"
        " values ('customers.tombstone_salt', gen_random_uuid()::text || gen_random_uuid()::text)"
    )


def _search_index(table: str, *columns: str) -> None:
    ops = dict.fromkeys(columns, "gin_trgm_ops")
    op.create_index(f"ix_{table}_search", table, list(columns), postgresql_using="gin", postgresql_ops=ops)


def downgrade() -> None:
    """Drop them; the extension stays, it may have been there before."""
    op.execute("delete from workspace_fact where key = 'customers.tombstone_salt'")
    op.drop_table("customer_upload")
    op.drop_table("customer_tombstone")
    op.drop_table("customer_user")
    op.drop_table("account")
