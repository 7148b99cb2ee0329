"""Macros: blanks are filled in, and what is missing says so."""

from trackside_modules.support.macros import VARIABLES, fill, values_of
from trackside_modules.support.models import Interaction

VALUES = {"user.first_name": "Maya", "user.email": "", "ref": "SUP-7"}


def test_variables_are_filled_in() -> None:
    assert fill("Hello {{user.first_name}}, about {{ ref }}", VALUES) == "Hello Maya, about SUP-7"


def test_a_missing_value_is_replaced_by_what_stands_in_for_it() -> None:
    assert fill("{{user.email|your address}}, {{user.email}}.", VALUES) == "your address, ."


def test_an_unknown_variable_stays_as_it_is_typed() -> None:
    assert fill("{{user.shoe_size}} {{7*7}} {{config}}", VALUES) == "{{user.shoe_size}} {{7*7}} {{config}}"


def test_values_are_not_filled_in_themselves() -> None:
    assert fill("{{user.first_name}}", {"user.first_name": "{{ref}}", "ref": "SUP-7"}) == "{{ref}}"


def test_every_variable_has_a_value() -> None:
    it = Interaction(id=7, subject="401")
    assert set(values_of(it, None, None, "Lena Fischer")) == set(VARIABLES)
