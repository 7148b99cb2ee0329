"""The OpenFeature provider: `api.set_provider_and_wait(TracksideProvider("https://trackside.example.com", KEY))`.

It answers from memory, so its synchronous and asynchronous methods are the same. Needs `trackside-client[openfeature]`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from trackside_client.flags.client import Flags
from trackside_client.flags.details import (
    TYPE_MISMATCH,
    Details,
    Fits,
    is_boolean,
    is_json,
    is_number,
    is_string,
)
from trackside_client.flags.state import Change

__all__ = ["TracksideProvider"]

_REASONS: dict[str, str] = {reason.value: reason for reason in Reason}
_CODES: dict[str, ErrorCode] = {code.value: code for code in ErrorCode}


class TracksideProvider(AbstractProvider):
    """Flags of a Trackside server for OpenFeature: every type, with details, metadata and events."""

    _was: str = "ready"
    """The state that was passed on last."""

    def __init__(
        self, url: str | None = None, key: str | None = None, *, flags: Flags | None = None, **given: Any
    ) -> None:
        """Evaluate by `flags`, which stay the caller's to close, or by some of our own: see `Flags` for arguments."""
        super().__init__()
        self._given: dict[str, Any] | None = None if flags is not None else {"url": url, "key": key, **given}
        self._flags = flags
        self._end: Callable[[], None] | None = None

    @property
    def flags(self) -> Flags:
        """The native client it evaluates by."""
        if self._flags is None:
            self._flags = Flags(**(self._given or {}))
        return self._flags

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata(name="Trackside")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Load the flags; raises nothing where the server is away: defaults answer, and READY follows as it comes."""
        flags = self.flags
        if self._end is None:
            self._end = flags.listen(self._on_change)
        self._was = "ready"  # OpenFeature says so once this returns; what is not is passed on as it is found again
        if (state := flags.status.state) not in {"ready", "starting"}:
            self._on_change(Change(state, (), ""))

    def shutdown(self) -> None:
        """Tell what was evaluated, and stop following."""
        if self._end is not None:
            self._end()
            self._end = None
        if self._given is not None and self._flags is not None:
            self._flags.close()
            self._flags = None

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """Return a boolean flag."""
        return self._resolve(flag_key, default_value, evaluation_context, is_boolean)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Return a string flag."""
        return self._resolve(flag_key, default_value, evaluation_context, is_string)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Return a number flag whose value is whole; another one does not fit."""
        found = self._resolve(flag_key, default_value, evaluation_context, is_number)
        if isinstance(found.value, float) and found.error_code is None:
            if not found.value.is_integer():
                says = f"this flag's value is {found.value}, and a whole number was asked for"
                return FlagResolutionDetails(default_value, _CODES[TYPE_MISMATCH], says, Reason.ERROR)
            found.value = int(found.value)
        return found

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Return a number flag."""
        found = self._resolve(flag_key, default_value, evaluation_context, is_number)
        found.value = float(found.value)
        return found

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """Return a JSON flag."""
        return self._resolve(flag_key, default_value, evaluation_context, is_json)

    def _resolve(
        self, key: str, default: Any, context: EvaluationContext | None, fits: Fits
    ) -> FlagResolutionDetails[Any]:
        return _details(self.flags.checked(key, default, _plain(context), fits))

    def _on_change(self, change: Change) -> None:
        """Pass on what the client tells, as OpenFeature's events."""
        details = ProviderEventDetails(flags_changed=list(change.flags) or None, message=change.message or None)
        if change.state in {"away", "refused"}:
            details.error_code = ErrorCode.PROVIDER_NOT_READY if change.state == "away" else ErrorCode.GENERAL
            self.emit_provider_error(details)
        elif change.state == "stale":
            self.emit_provider_stale(details)
        elif change.state == "ready":
            if self._was != "ready":
                self.emit_provider_ready(details)
            if change.flags:
                self.emit_provider_configuration_changed(details)
        self._was = change.state


def _plain(context: EvaluationContext | None) -> Mapping[str, Any]:
    if context is None:
        return {}
    if context.targeting_key is None:
        return context.attributes
    return {**context.attributes, "targetingKey": context.targeting_key}


def _details(found: Details[Any]) -> FlagResolutionDetails[Any]:
    return FlagResolutionDetails(
        found.value,
        None if found.error_code is None else _CODES.get(found.error_code, ErrorCode.GENERAL),
        found.error_details,
        _REASONS.get(found.reason, found.reason),
        found.variant,
        found.flag_metadata,
    )
