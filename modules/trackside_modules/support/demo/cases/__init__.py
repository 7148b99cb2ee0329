"""What the demo's customers write of, and what they are answered: the cases of a shipping API.

In texts, `{first}` is who writes, `{company}` their account, `{ship}` and `{code}` a shipment and its tracking code.
"""

from collections.abc import Sequence

from trackside_modules.support.demo.cases import business, calls
from trackside_modules.support.demo.cases.calls import OUTAGE
from trackside_modules.support.demo.cases.case import Case

__all__ = ["CASES", "OUTAGE", "TOPICS", "Case", "called"]

TOPICS: Sequence[tuple[str, str, Sequence[str]]] = (
    ("Auth", "", ("authentication", "login")),
    ("API keys", "auth", ("keys",)),
    ("Labels", "", ("printing",)),
    ("Rates", "", ("prices",)),
    ("Tracking", "", ()),
    ("Webhooks", "", ("callbacks",)),
    ("Import", "", ("bulk",)),
    ("Limits", "", ("rate-limits", "quota")),
    ("Billing", "", ("money",)),
    ("Invoices", "billing", ()),
    ("Plans", "billing", ("upgrade",)),
    ("Returns", "", ()),
    ("Documentation", "", ("docs",)),
)
"""Name, slug of the parent, aliases."""

CASES: Sequence[Case] = (*calls.CASES, *business.CASES)


def called(subject: str) -> Case:
    """Return the case with a subject."""
    return next(each for each in CASES if each.subject == subject)
