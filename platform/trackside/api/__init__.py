"""The management API: msgspec types in and out, problem+json, cursors, OpenAPI.

A module's `api.py` reads like this; `trackside.api.routes` explains each part:

    api = Api("customers", title="Customers")

    class AccountQuery(Paged):
        search: str = ""

    @api.get("/accounts", scope="customers:read")
    def list_accounts(call: Call, query: AccountQuery) -> Page[AccountOut]:
        after = call.after(query)
        rows = queries.accounts(call.session, query.search, after, query.limit + 1)
        return call.page(query, rows, AccountOut.of, key=lambda row: [row.id])

    @api.patch("/accounts/{account_id}", scope="customers:write", edits=True)
    def edit_account(call: Call, account_id: Id, body: AccountEdit) -> AccountOut:
        account = service.account(call.session, account_id)
        call.if_match(account.version)
        return call.tagged(AccountOut.of(service.edit(...)), account.version)
"""

from trackside.api.call import Call
from trackside.api.routes import Api
from trackside.api.types import Id, Input, Moment, Name, Page, Paged, Text

__all__ = ["Api", "Call", "Id", "Input", "Moment", "Name", "Page", "Paged", "Text"]
