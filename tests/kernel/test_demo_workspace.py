"""The demo's accounts and users: put there, left alone, taken away."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from trackside.customers.models import UNKNOWN_USER, Account, User
from trackside.demo import workspace as demo
from trackside.demo.people import COMPANIES, people
from trackside.runtime import Runtime


def _numbers(session: Session) -> tuple[int, int]:
    users = select(func.count()).select_from(User).where(User.id != UNKNOWN_USER)
    return session.scalar(select(func.count()).select_from(Account)) or 0, session.scalar(users) or 0


def test_seeding_twice_is_seeding_once(runtime: Runtime, session: Session) -> None:
    demo.seed(runtime, session)
    demo.seed(runtime, session)
    assert _numbers(session) == (len(COMPANIES), len(people()))
    assert demo.state(session) == demo.ON
    maya = session.scalars(select(User).where(User.external_id == "brightwater-maya")).one()
    assert maya.name == "Maya Okafor"
    assert maya.account is not None
    assert (maya.account.name, maya.account.plan) == ("Brightwater Foods", "enterprise")


def test_clearing_removes_what_the_demo_made_and_nothing_else(runtime: Runtime, session: Session) -> None:
    mine = Account(external_id="kestrel", name="My own Kestrel", attributes={}, source="manual")
    session.add(mine)
    session.flush()
    demo.seed(runtime, session)
    brightwater = session.scalars(select(Account).where(Account.external_id == "brightwater")).one()
    colleague = User(external_id="me", account_id=brightwater.id, attributes={}, source="manual")
    maya = session.scalars(select(User).where(User.external_id == "brightwater-maya")).one()
    merged = User(external_id="old-me", merged_into=maya.id, attributes={}, source="import")
    session.add_all([colleague, merged])
    session.flush()
    assert demo.clear(runtime, session) == {"accounts": len(COMPANIES) - 1, "users": len(people())}
    session.flush()
    session.expire_all()
    assert _numbers(session) == (1, 2)
    assert mine.name == "My own Kestrel"
    assert colleague.account_id is None
    assert merged.merged_into is None
    assert not demo.is_wanted(session)
