"""Members, sessions, API keys and the audit log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)

COUNT_KEY_CHANGES = """
create function api_key_changed() returns trigger language plpgsql as $$
begin
    update api_key_version set version = version + 1;
    return null;
end $$;
create trigger api_key_changed
    after insert or delete or update of name, kind, scopes, secret_hash, expires_at, revoked_at on api_key
    for each statement execute function api_key_changed();
"""

KEEP_AUDIT = """
create function audit_entry_refuse() returns trigger language plpgsql as $$
begin
    raise exception 'The audit log is insert-only: % is refused', tg_op using errcode = 'insufficient_privilege';
end $$;
create trigger audit_entry_refuse
    before update or delete or truncate on audit_entry
    for each statement execute function audit_entry_refuse();
revoke update, delete, truncate on audit_entry from public, current_user;
"""


def upgrade() -> None:
    """Make the tables, count changes of keys, and close the audit log to all but inserts."""
    _members()
    _keys()
    _audit()


def _members() -> None:
    op.create_table(
        "member",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("created_at", TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("disabled_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_member"),
        sa.UniqueConstraint("email", name="uq_member_email"),
    )
    op.create_table(
        "member_session",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name="fk_member_session_member_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_member_session"),
        sa.UniqueConstraint("token_hash", name="uq_member_session_token_hash"),
    )
    op.create_index("ix_member_session_member_id", "member_session", ["member_id"])
    op.create_table(
        "member_link",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("direct", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("used_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name="fk_member_link_member_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["created_by"], ["member.id"], name="fk_member_link_created_by", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_member_link"),
        sa.UniqueConstraint("token_hash", name="uq_member_link_token_hash"),
    )
    op.create_index("ix_member_link_purpose_created_at", "member_link", ["purpose", "created_at"])
    op.create_table(
        "sign_in_throttle",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_sign_in_throttle"),
    )


def _keys() -> None:
    op.create_table(
        "api_key",
        sa.Column("env_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.Column("last_used_at", TIME, nullable=True),
        sa.Column("replaces_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["env_id"], ["environment.id"], name="fk_api_key_env_id"),
        sa.ForeignKeyConstraint(["created_by"], ["member.id"], name="fk_api_key_created_by", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["env_id", "replaces_id"], ["api_key.env_id", "api_key.id"], name="fk_api_key_replaces"
        ),
        sa.PrimaryKeyConstraint("env_id", "id", name="pk_api_key"),
        sa.UniqueConstraint("env_id", "public_id", name="uq_api_key_env_id_public_id"),
    )
    op.create_table(
        "api_key_version",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_key_version"),
    )
    op.execute("insert into api_key_version (id, version) values (1, 1)")
    op.execute(COUNT_KEY_CHANGES)


def _audit() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("member_id", sa.BigInteger(), nullable=True),
        sa.Column("key_id", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object_kind", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("object_name", sa.Text(), nullable=False),
        sa.Column("env_id", sa.BigInteger(), nullable=True),
        sa.Column("changes", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entry"),
    )
    op.create_index("ix_audit_entry_member_id_id", "audit_entry", ["member_id", "id"])
    op.create_index("ix_audit_entry_object_kind_object_id_id", "audit_entry", ["object_kind", "object_id", "id"])
    op.create_index("ix_audit_entry_action_id", "audit_entry", ["action", "id"])
    op.execute(KEEP_AUDIT)


def downgrade() -> None:
    """Drop them, and the functions of their triggers."""
    op.drop_table("audit_entry")
    op.execute("drop function audit_entry_refuse()")
    op.drop_table("api_key_version")
    op.drop_table("api_key")
    op.execute("drop function api_key_changed()")
    for table in ("sign_in_throttle", "member_link", "member_session", "member"):
        op.drop_table(table)
