"""The demo's rate limits: what each plan's contract includes, compared with the requests that the demo makes."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM
from trackside.customers.models import Account
from trackside.demo import ENVIRONMENT
from trackside.runtime import Runtime
from trackside.workspace import environment_by_slug
from trackside_modules.usage.models import UsageQuota, UsageQuotaCrossing
from trackside_modules.usage.quota import service

POLICY = "demo-contract"
HOURLY = {"free": 400, "team": 1_500, "business": 5_000, "enterprise": 20_000}
OWN = {"kestrel": 12_000}
"""Whoever has a contract of their own."""


def seed(runtime: Runtime, session: Session) -> None:
    """Make a limit for each plan and one for an account; those that are there stay as they are."""
    env_id = environment_by_slug(session, ENVIRONMENT).id
    there = select(UsageQuota.id).where(UsageQuota.env_id == env_id, UsageQuota.policy == POLICY)
    if session.scalar(there.limit(1)) is not None:
        return
    common = {"policy": POLICY, "shared_by": "account", "counts": "requests", "kind": "window", "seconds": 3600}
    known = set(session.scalars(select(Account.external_id).where(Account.external_id.in_(OWN))))
    limits = [{"scope": "plan", "plan": plan, "amount": amount} for plan, amount in HOURLY.items()]
    limits += [{"scope": "account", "account": name, "amount": n} for name, n in OWN.items() if name in known]
    for each in limits:
        service.create(session, SYSTEM, env_id, {**common, **each}, now=runtime.clock.now())


def clear(session: Session) -> None:
    """Remove them, and who came near them."""
    for table in (UsageQuota, UsageQuotaCrossing):
        session.execute(delete(table).where(table.policy == POLICY), execution_options={"synchronize_session": False})
    service.tell_changed(session)
