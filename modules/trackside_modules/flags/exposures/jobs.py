"""Work done by the workers: count what was accepted, and follow users who are erased or merged."""

import structlog

from trackside.events import AccountErased, AccountsMerged, UserErased, UsersMerged
from trackside.runtime import Runtime
from trackside_modules.flags.exposures import fold as folding

log = structlog.get_logger(__name__)

_ERASED = (
    "delete from flags_exposure e using customer_user u where u.id = e.user_id and u.erased_at is not null",
    """
    delete from flags_exposure e using account a
    where a.id = e.of_account and e.user_id = 0 and a.erased_at is not null
    """,
    """
    update flags_exposure e set account_id = null from account a
    where a.id = e.account_id and a.erased_at is not null
    """,
    # what waits is resolved after the erasure, as nobody; what was set aside still tells names
    """
    update flags_exposure_batch set body = null where dead_at is not null and body is not null
        and received_at <= (select max(erased_at) from customer_tombstone)
    """,
)
_MOVE = """
with gone as (
    delete from flags_exposure e using customer_user u
    where u.id = e.user_id and u.merged_into is not null
    returning e.env_id, e.flag_id, e.variant, u.merged_into as user_id, e.account_id, e.first_seen
)
insert into flags_exposure (env_id, flag_id, variant, user_id, of_account, account_id, first_seen)
select env_id, flag_id, variant, user_id, 0, max(account_id), min(first_seen) from gone
group by env_id, flag_id, variant, user_id order by env_id, flag_id, variant, user_id
on conflict (env_id, flag_id, variant, user_id, of_account) do update
set first_seen = least(flags_exposure.first_seen, excluded.first_seen),
    account_id = coalesce(flags_exposure.account_id, excluded.account_id)
"""
_MOVE_ACCOUNTS = """
with gone as (
    delete from flags_exposure e using account a
    where a.id = e.of_account and e.user_id = 0 and a.merged_into is not null
    returning e.env_id, e.flag_id, e.variant, a.merged_into as account_id, e.first_seen
)
insert into flags_exposure (env_id, flag_id, variant, user_id, of_account, account_id, first_seen)
select env_id, flag_id, variant, 0, account_id, account_id, min(first_seen) from gone
group by env_id, flag_id, variant, account_id order by env_id, flag_id, variant, account_id
on conflict (env_id, flag_id, variant, user_id, of_account) do update
set first_seen = least(flags_exposure.first_seen, excluded.first_seen)
"""
_RENAME_ACCOUNTS = """
update flags_exposure e set account_id = a.merged_into from account a
where a.id = e.account_id and a.merged_into is not null
"""
KEEP_BATCHES = 30
"""Days for which a repeat of a batch is known."""
_PUT_AWAY = """
delete from flags_exposure_batch where received_at < %s::timestamptz - make_interval(days => %s)
    and (body is null or dead_at is not null)
"""


def fold(runtime: Runtime) -> None:
    """Count what was accepted; a database that is away ends the job: what waits is there at the next tick."""
    try:
        folding.run(runtime)
    except folding.TRANSIENT as error:
        log.warning("flags.exposures_paused", error=type(error).__name__)


def follow(runtime: Runtime, _event: UserErased | AccountErased | UsersMerged | AccountsMerged | None = None) -> None:
    """Forget the exposures of the erased, and give those of the merged to whom they are now."""
    with runtime.database.pool.connection() as connection, connection.transaction():
        for statement in (*_ERASED, _MOVE, _MOVE_ACCOUNTS, _RENAME_ACCOUNTS):
            connection.execute(statement)


def tidy(runtime: Runtime) -> None:
    """Follow whoever was missed, and forget the names of batches after 30 days."""
    follow(runtime)
    with runtime.database.pool.connection() as connection:
        connection.execute(_PUT_AWAY, (runtime.clock.now(), KEEP_BATCHES))
