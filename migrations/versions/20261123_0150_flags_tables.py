"""Flags, their states, the history of both, and changes that wait for a second member."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0150"
down_revision = "0140"
branch_labels = None
depends_on = None

WHEN = sa.DateTime(timezone=True)
TABLES = ("flags_flag", "flags_environment", "flags_state", "flags_request", "flags_change")

KEEP_HISTORY = """
create function flags_change_refuse() returns trigger language plpgsql as $$
begin
    -- erasing takes a user's id out of what was before and after, or the demo's flags away; all else stays as written
    if current_setting('trackside.erasing', true) = 'on' then
        if tg_op = 'DELETE' then
            return null;
        elsif tg_op = 'UPDATE' then
            new.before := old.before;
            new.after := old.after;
            if new is not distinct from old then
                return null;
            end if;
        end if;
    end if;
    raise exception 'The history of flags is insert-only: % is refused', tg_op using errcode = 'insufficient_privilege';
end $$;
create trigger flags_change_refuse after update or delete on flags_change
    for each row execute function flags_change_refuse();
create trigger flags_change_keep before truncate on flags_change
    for each statement execute function flags_change_refuse();
"""


def upgrade() -> None:
    """Make the tables, and close the history to all but inserts."""
    _flag()
    _environment()
    _state()
    _request()
    _change()
    op.execute(KEEP_HISTORY)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _number(name: str, *, null: bool = False, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=null, server_default=default)


def _text(name: str, *, null: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=null, server_default=default)


def _json(name: str, *, null: bool = False, default: str | None = None) -> sa.Column[object]:
    return sa.Column(name, JSONB(), nullable=null, server_default=default and sa.text(f"'{default}'"))


def _at(name: str, *, null: bool = False) -> sa.Column[object]:
    return sa.Column(name, WHEN, nullable=null)


def _refers(table: str, column: str, to: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [to], name=f"fk_{table}_{column}", ondelete=ondelete)


def _flag() -> None:
    op.create_table(
        "flags_flag",
        _id(),
        *(_text(name) for name in ("key", "name")),
        _text("description", default=""),
        *(_text(name) for name in ("type", "kind", "salt")),
        _json("variants"),
        _json("tags", default="[]"),
        _number("owner_id", null=True),
        _at("expected_end", null=True),
        _json("hash", null=True),
        _json("metadata", default="{}"),
        _number("version", default="1"),
        _at("created_at"),
        _text("created_by"),
        _at("updated_at"),
        _at("archived_at", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_flags_flag"),
        sa.UniqueConstraint("key", name="uq_flags_flag_key"),
        _refers("flags_flag", "owner_id", "member.id", "SET NULL"),
    )


def _environment() -> None:
    op.create_table(
        "flags_environment",
        sa.Column("env_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("demands_approval", sa.Boolean(), server_default=sa.false(), nullable=False),
        _number("version", default="1"),
        _text("etag"),
        _at("updated_at"),
        sa.PrimaryKeyConstraint("env_id", name="pk_flags_environment"),
        _refers("flags_environment", "env_id", "environment.id"),
    )


def _state() -> None:
    op.create_table(
        "flags_state",
        _number("env_id"),
        _number("flag_id"),
        _json("config"),
        _number("version", default="1"),
        _at("updated_at"),
        _text("updated_by"),
        _at("since"),
        sa.PrimaryKeyConstraint("env_id", "flag_id", name="pk_flags_state"),
        _refers("flags_state", "env_id", "environment.id"),
        _refers("flags_state", "flag_id", "flags_flag.id"),
    )
    op.create_index("ix_flags_state_flag_id", "flags_state", ["flag_id"])


def _request() -> None:
    op.create_table(
        "flags_request",
        _id(),
        _number("env_id", null=True),
        _number("flag_id"),
        _text("what"),
        *(_json(name) for name in ("before", "after")),
        _number("version"),
        *(_text(name) for name in ("reason", "status")),
        _at("made_at"),
        _text("who"),
        *(_number(name, null=True) for name in ("member_id", "key_id")),
        _at("decided_at", null=True),
        _text("decided_by", null=True),
        _number("decided_member_id", null=True),
        _text("note", default=""),
        _at("applied_at", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_flags_request"),
        _refers("flags_request", "env_id", "environment.id"),
        _refers("flags_request", "flag_id", "flags_flag.id"),
    )
    op.create_index("ix_flags_request_status_id", "flags_request", ["status", "id"])
    op.create_index("ix_flags_request_flag_id_id", "flags_request", ["flag_id", "id"])


def _change() -> None:
    op.create_table(
        "flags_change",
        _id(),
        _number("env_id", null=True),
        _number("flag_id"),
        _at("at"),
        *(_text(name) for name in ("what", "who")),
        *(_number(name, null=True) for name in ("member_id", "key_id")),
        _text("reason"),
        *(_json(name, null=True) for name in ("before", "after")),
        _number("version"),
        _number("request_id", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_flags_change"),
        _refers("flags_change", "env_id", "environment.id"),
        _refers("flags_change", "flag_id", "flags_flag.id"),
        _refers("flags_change", "request_id", "flags_request.id"),
    )
    op.create_index("ix_flags_change_flag_id_id", "flags_change", ["flag_id", "id"])
    op.create_index("ix_flags_change_env_id_at", "flags_change", ["env_id", "at"])


def downgrade() -> None:
    """Drop them, and the function of the triggers."""
    for table in reversed(TABLES):
        op.drop_table(table)
    op.execute("drop function flags_change_refuse()")
