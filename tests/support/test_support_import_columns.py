"""Which column of a file is what, and when two rows are the same one."""

import io

from trackside_modules.support.importing import reading, sheet
from trackside_modules.support.importing.records import Record


def test_a_column_called_as_a_field_goes_before_what_may_be_meant() -> None:
    found = sheet.guess(["ID", "Title", "Email", "Subject", "Created", "Company", "Account"])
    assert found == ["external_ref", "", "email", "subject", "occurred_at", "", "account"]


def test_the_name_of_a_customer_and_where_they_came_from_are_not_taken_for_something_else() -> None:
    assert sheet.guess(["Name", "Source"]) == ["", ""]


def test_an_id_is_the_same_however_its_letters_are_composed() -> None:
    rows = "id,subject,email,created\n\u00e9-1 ,One,a@b.example,2026-04-03\ne\u0301-1,Two,a@b.example,2026-04-03\n"
    found = reading.records(io.BytesIO(rows.encode()), "csv", lambda columns: sheet.mapping_of(columns, {}))
    assert {each.external_ref for each in found if isinstance(each, Record)} == {"\u00e9-1"}
