"""The demo's part of the workspace: accounts, users, and what modules add; put there and taken away again."""

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from trackside.customers.models import Account, User
from trackside.demo.people import COMPANIES, people
from trackside.module import resolve
from trackside.runtime import Runtime
from trackside.workspace import fact, set_fact

STATE = "demo.state"
"""The workspace fact that says what is wanted of the demo."""
ON, PAUSED, CLEARED = "on", "paused", "cleared"
"""Traffic runs; traffic rests and everything stays; all of it is gone, and does not come back by itself."""
SOURCE = "demo"
_BULK = {"synchronize_session": False}


def state(session: Session) -> str:
    """Return what is wanted of the demo; a workspace that says nothing never had one."""
    return fact(session, STATE) or CLEARED


def set_state(session: Session, wanted: str) -> None:
    """Say what is wanted of the demo: its process, where one runs, follows within two seconds."""
    set_fact(session, STATE, wanted)


def is_wanted(session: Session) -> bool:
    """Whether `trackside up` is to seed the demo: not once it was cleared."""
    return fact(session, STATE) != CLEARED


def seed(runtime: Runtime, session: Session) -> None:
    """Add what is missing of the demo; accounts and users that exist already stay as they are."""
    accounts = _add_accounts(session)
    _add_users(session, accounts)
    for seed_module in runtime.registry.each(lambda m: (m.demo.seed,) if m.demo and m.demo.seed else ()):
        resolve(seed_module)(runtime, session)
    if state(session) != PAUSED:
        set_state(session, ON)


def clear(runtime: Runtime, session: Session) -> dict[str, int]:
    """Remove all that the demo made, in modules first; return how many accounts and users went."""
    for clear_module in reversed(list(runtime.registry.each(lambda m: (m.demo.clear,) if m.demo else ()))):
        resolve(clear_module)(runtime, session)
    # Telemetry makes users on first sight, so one of ours that was deleted and called again is ours all the same.
    made = [person.external_id for person in people()]
    users = _remove(session, User, (User.source == SOURCE) | (User.source == "usage") & User.external_id.in_(made))
    accounts = _remove(session, Account, Account.source == SOURCE)
    set_state(session, CLEARED)
    return {"accounts": accounts, "users": users}


def _remove(session: Session, model: type[Account] | type[User], ours: ColumnElement[bool]) -> int:
    """Delete the rows that are `ours`; what others merged into them or put under them is set free."""
    gone = select(model.id).where(ours).scalar_subquery()
    session.execute(update(model).where(model.merged_into.in_(gone)).values(merged_into=None), execution_options=_BULK)
    if model is Account:
        session.execute(update(User).where(User.account_id.in_(gone)).values(account_id=None), execution_options=_BULK)
    return len(session.execute(delete(model).where(ours).returning(model.id), execution_options=_BULK).all())


def _add_accounts(session: Session) -> dict[str, int]:
    wanted = [company.external_id for company in COMPANIES]
    there = set(session.scalars(select(Account.external_id).where(Account.external_id.in_(wanted))))
    session.add_all(
        Account(external_id=each.external_id, name=each.name, plan=each.plan, attributes={}, source=SOURCE)
        for each in COMPANIES
        if each.external_id not in there
    )
    session.flush()
    found = session.execute(select(Account.external_id, Account.id).where(Account.external_id.in_(wanted)))
    return {external_id: row_id for external_id, row_id in found if external_id}


def _add_users(session: Session, accounts: dict[str, int]) -> None:
    everyone = people()
    wanted = [person.external_id for person in everyone]
    there = set(session.scalars(select(User.external_id).where(User.external_id.in_(wanted))))
    session.add_all(
        User(
            external_id=person.external_id,
            name=person.name,
            email=person.email or "",
            account_id=accounts[person.account_id],
            attributes={"kind": "person" if person.email else "system"},
            source=SOURCE,
        )
        for person in everyone
        if person.external_id not in there
    )
    session.flush()
