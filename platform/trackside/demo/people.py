"""Who calls the demo API, or did: invented companies, and the people and systems that hold their keys."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the demo API: a person, or a system with a key of its own."""

    external_id: str
    name: str
    account_id: str
    email: str | None
    weight: float
    """How many calls they make, relative to the others."""


@dataclass(frozen=True, slots=True)
class Company:
    """An account of the demo API."""

    external_id: str
    name: str
    plan: str
    weight: float
    keys: tuple[str, ...]
    """Systems that call, the busiest first."""
    staff: tuple[str, ...]
    """People who call now and then."""


_TABLE = """
brightwater | Brightwater Foods       | enterprise |  9.0 | Checkout, Warehouse sync    | Maya Okafor, Jonas Lindqvist
kestrel     | Kestrel Parts           | enterprise | 14.0 | Bulk importer, Storefront   | Tomasz Zielinski
fjord       | Fjord Outdoor           | business   |  5.0 | Storefront, Returns portal  | Ingrid Solberg, Amir Haddad
granite     | Granite Coffee Roasters | business   |  4.0 | Subscriptions               | Lucía Ferrer, Ben Whitfield
dovetail    | Dovetail Furniture      | business   |  3.0 | Order desk, Freight planner | Hana Suzuki
cobalt      | Cobalt Cycles           | business   |  3.0 | Webshop                     | Noor van Dijk, Samuel Mensah
juniper     | Juniper Toys            | team       |  2.0 | Webshop, Gift wrap          | Chloé Marchand
harrow      | Harrow Optics           | team       |  1.6 | Prescriptions               | Priya Raman, Oskar Nyberg
lumen       | Lumen Lighting          | team       |  1.4 | Trade portal                | Elif Demir, Daniel Costa
elmstreet   | Elm Street Books        | team       |  1.0 | Shop                        | Ruth Abrams, Kofi Boateng
isla        | Isla Skincare           | free       |  0.6 | Shop                        | Isabel Duarte, Mei Tanaka
alder       | Alder & Finch           | free       |  0.4 | Prototype                   | Grace Holloway, Viktor Petrov
northgate   | Northgate Prints        | business   |  4.0 | Webshop, Proofing           | Selma Berg, Owen Clarke
"""


def _companies(table: str) -> tuple[Company, ...]:
    rows = ([cell.strip() for cell in line.split("|")] for line in table.strip().splitlines())
    return tuple(
        Company(external_id, name, plan, float(weight), tuple(keys.split(", ")), tuple(staff.split(", ")))
        for external_id, name, plan, weight, keys, staff in rows
    )


COMPANIES = _companies(_TABLE)
"""Every name is invented."""

POWER_USER = "kestrel-bulk-importer"
"""Calls more than it may, and meets 429."""

LAPSED = "northgate"
"""Called less and less, and has left (see `trackside.demo.story`)."""


def people() -> tuple[Person, ...]:
    """Return every user, in a fixed order."""
    return tuple(person for company in COMPANIES for person in _of(company))


def callers() -> tuple[Person, ...]:
    """Return the users that still call."""
    return tuple(person for person in people() if person.account_id != LAPSED)


def token(external_id: str) -> str:
    """Return the key with which a user calls the demo API; it opens nothing else."""
    return f"demo_{external_id}"


def _of(company: Company) -> Iterator[Person]:
    share = company.weight
    for name in company.keys:
        share *= 0.6
        yield Person(f"{company.external_id}-{_slug(name)}", name, company.external_id, None, share)
    for name in company.staff:
        first = name.split()[0].lower()
        email = f"{_ascii(first)}@{company.external_id}.example"
        yield Person(f"{company.external_id}-{_ascii(first)}", name, company.external_id, email, share * 0.12)


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")


def _ascii(name: str) -> str:
    return name.translate(str.maketrans("éí", "ei"))
