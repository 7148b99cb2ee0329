"""What the desk's addresses hold, each read in one place and refused in words."""

from flask import request

from trackside.errors import InputError
from trackside_modules.support.web.base import LONGEST_SEARCH


def text(name: str, longest: int = LONGEST_SEARCH) -> str:
    """Return a text of the URL, empty where it is not there; raises InputError where it cannot be searched for."""
    found = request.args.getlist(name)
    if len(found) > 1:
        raise InputError(f"`{name}` is in the address {len(found)} times: give it once.", {name: "is given twice"})
    value = found[0].strip() if found else ""
    if "\0" in value or len(value) > longest:
        message = f"must be a text of at most {longest} characters"
        raise InputError(f"`{name}` {message}.", {name: message})
    return value
