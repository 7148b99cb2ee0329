"""Checks of flags: typed, never raising, with the caller's default wherever there is no answer.

`boolean` is the hot path: what this user was answered before is looked up and counted; else one look-up of the flag's
function, one call of it, one count. Whatever goes wrong on it, the careful way, `checked`, does again and says.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from trackside_client._transport import notes
from trackside_client.flags.details import (
    PROVIDER_NOT_READY,
    Details,
    Fits,
    fitted,
    is_boolean,
    is_json,
    is_number,
    is_string,
)
from trackside_client.flags.known import Answers
from trackside_client.flags.result import Context, Result, failure
from trackside_client.flags.state import State
from trackside_client.flags.tally import Tally
from trackside_client.flags.trace import Trace


class Checks(ABC):
    """Everything that can be asked of a set of flags."""

    _state: State
    _tally: Tally
    _answers: Answers
    """Of `_state.known`, nearer at hand."""

    @abstractmethod
    def _evaluated(self, key: str, context: Context) -> Result:
        """Return a flag's result, however it is come by; what it raises is caught."""

    @abstractmethod
    def _counts(self) -> bool:
        """Whether what is evaluated is counted here."""

    @abstractmethod
    def _runs(self) -> bool:
        """Whether all that runs beside the checks does so in this process."""

    def boolean(
        self,
        key: str,
        default: bool,
        context: Context | None = None,
        /,
        user: str | None = None,  # by keyword alone, each call would look its default up
        account: str | None = None,
        **attributes: Any,
    ) -> bool:
        """Return a boolean flag's value for a user; the default where there is none."""
        try:
            if context is None:
                context = attributes
                if user is not None:
                    attributes["targetingKey"] = user
                if account is not None:
                    attributes["account"] = account
            elif attributes or user is not None or account is not None:
                context = gathered(context, user, account, attributes)
            beside, mine = self._answers[key]
            if beside is not None:
                mine = mine[context.get(beside)]
            counter = mine[context["targetingKey"]]
            value = counter.value
            if value is True or value is False:
                next(counter)
                return value
        except Exception:  # noqa: S110 - whatever it was, the careful ways say it
            pass
        return self._boolean(key, default, context)

    def _boolean(self, key: str, default: bool, context: Context | None) -> bool:
        """Evaluate and count a boolean flag where its answer is not known yet; whatever is unusual, carefully."""
        try:
            assert context is not None
            state, tally = self._state, self._tally
            turn = state.known.turn
            result = state.choosers[key](context, None)
            value = result.value
            if (value is True or value is False) and self._runs():
                counter = tally.counted(result, context)
                if key in state.beside:
                    state.known.keep(turn, key, state.beside[key], context, counter)
                return value
        except Exception:  # noqa: S110 - whatever it was, the careful way says it
            pass
        return bool(self.checked(key, default, context, is_boolean).value)

    def string(
        self,
        key: str,
        default: str,
        context: Context | None = None,
        /,
        *,
        user: str | None = None,
        account: str | None = None,
        **attributes: Any,
    ) -> str:
        """Return a string flag's value for a user; the default where there is none."""
        context = gathered(context, user, account, attributes)
        found: str = self.checked(key, default, context, is_string).value
        return found

    def number(
        self,
        key: str,
        default: float,
        context: Context | None = None,
        /,
        *,
        user: str | None = None,
        account: str | None = None,
        **attributes: Any,
    ) -> float:
        """Return a number flag's value for a user, an int where it is whole; the default where there is none."""
        context = gathered(context, user, account, attributes)
        found: float = self.checked(key, default, context, is_number).value
        return found

    def json(
        self,
        key: str,
        default: Any,
        context: Context | None = None,
        /,
        *,
        user: str | None = None,
        account: str | None = None,
        **attributes: Any,
    ) -> Any:
        """Return a copy of a JSON flag's value for a user; the default where there is none."""
        return self.checked(key, default, gathered(context, user, account, attributes), is_json).value

    def details(
        self,
        key: str,
        default: Any,
        context: Context | None = None,
        /,
        *,
        user: str | None = None,
        account: str | None = None,
        **attributes: Any,
    ) -> Details[Any]:
        """Return a flag's value with its variant, reason and metadata; the default's type says which is expected."""
        return self.checked(key, default, gathered(context, user, account, attributes), _fits(default))

    def explain(
        self,
        key: str,
        context: Context | None = None,
        /,
        *,
        user: str | None = None,
        account: str | None = None,
        **attributes: Any,
    ) -> Trace | None:
        """Return why a user gets a flag's variant, step by step; None where no ruleset is loaded. Counts nothing."""
        ruleset = self._state.ruleset
        return None if ruleset is None else ruleset.explain(key, gathered(context, user, account, attributes))

    def user(self, user: str | None = None, /, *, account: str | None = None, **attributes: Any) -> "UserFlags":
        """Return the flags of one user: for many checks in one request, and the fastest way."""
        return UserFlags(self, gathered(None, user, account, attributes))

    def checked(self, key: str, default: Any, context: Context | None, fits: Fits) -> Details[Any]:
        """Evaluate the careful way, and count it. Never raises."""
        try:
            result = self._evaluated(key, {} if context is None else context)
            found = fitted(result, default, fits, stale=self._state.name == "stale")
            if found.error_code is not None:
                _say(found)
            elif context is not None and self._counts():
                self._tally.add(result, context)
        except Exception as error:
            notes.once("flags check", "a check of a flag failed, its default answered", error=True)
            return fitted(failure(str(key), "GENERAL", f"the evaluation failed: {type(error).__name__}"), default, fits)
        return found


class UserFlags:
    """The flags of one user."""

    __slots__ = ("_answers", "_context", "_flags", "_user")

    def __init__(self, flags: Checks, context: Mapping[str, Any]) -> None:
        self._flags, self._context, self._answers = flags, context, flags._answers
        self._user = context.get("targetingKey")

    def boolean(self, key: str, default: bool) -> bool:
        """Return a boolean flag's value; the default where there is none."""
        try:
            beside, mine = self._answers[key]
            if beside is not None:
                mine = mine[self._context.get(beside)]
            counter = mine[self._user]
            value = counter.value
            if value is True or value is False:
                next(counter)
                return value
        except Exception:  # noqa: S110 - whatever it was, the careful ways say it
            pass
        return self._flags._boolean(key, default, self._context)

    def string(self, key: str, default: str) -> str:
        """Return a string flag's value; the default where there is none."""
        return self._flags.string(key, default, self._context)

    def number(self, key: str, default: float) -> float:
        """Return a number flag's value, an int where it is whole; the default where there is none."""
        return self._flags.number(key, default, self._context)

    def json(self, key: str, default: Any) -> Any:
        """Return a copy of a JSON flag's value; the default where there is none."""
        return self._flags.json(key, default, self._context)

    def details(self, key: str, default: Any) -> Details[Any]:
        """Return a flag's value with its variant, reason and metadata."""
        return self._flags.details(key, default, self._context)

    def explain(self, key: str) -> Trace | None:
        """Return why this user gets a flag's variant, step by step."""
        return self._flags.explain(key, self._context)


def gathered(
    context: Context | None, user: str | None, account: str | None, attributes: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return one context of what was given; it stays the caller's own where nothing is to be added."""
    if context is not None and user is None and account is None and not attributes:
        return context
    made = {**(context if isinstance(context, Mapping) else {}), **attributes}
    if user is not None:
        made["targetingKey"] = user
    if account is not None:
        made["account"] = account
    return made


def _fits(default: Any) -> Fits:
    for fits in (is_boolean, is_string, is_number, is_json):
        if fits(default):
            return fits
    return lambda _value: True


def _say(found: Details[Any]) -> None:
    """Log what a developer has to mend: flags that are not there, and types that do not fit."""
    if found.error_code not in {PROVIDER_NOT_READY, None}:
        notes.once(f"flag {found.key} {found.error_code}", "flag %s answers its default: %s (%s)",
                   found.key, found.error_details, found.error_code)  # fmt: skip
