"""Results as OFREP has them: JSON, made once for each that the engine shares between evaluations."""

from collections.abc import Collection

import msgspec

from trackside_client.flags import Result

_SHARED = (None, "TARGETING_KEY_MISSING")
"""Error codes of results that the engine shares."""
MOST = 100_000
"""Results kept encoded; a flag has one for each of its variants and reasons."""


class Encoded:
    """The results of one ruleset."""

    def __init__(self, floats: Collection[str], *, stale: bool) -> None:
        """`floats`: the flags whose numbers keep their point; `stale`: whether each is marked so."""
        self._floats, self._stale = floats, stale
        self._known: dict[Result, bytes] = {}
        self.variants: dict[bytes, tuple[str, str]] = {}
        """The flag and the variant that are in what was encoded."""

    def of(self, result: Result) -> bytes:
        """Return a result's JSON."""
        found = self._known.get(result)
        if found is None:
            found = self._encode(result)
            if result.error_code in _SHARED and len(self._known) < MOST:
                self._known[result] = found
            if result.variant is not None:
                self.variants[found] = (result.key, result.variant)
        return found

    def _encode(self, result: Result) -> bytes:
        if result.error_code is not None:
            return failure(result.key, result.error_code, result.error_details or "")
        value = float(result.value) if result.key in self._floats else result.value
        metadata = {**result.flag_metadata, **({"stale": True} if self._stale else {})}
        # clients fail where the variant is missing, so it always stands there
        answer = {
            "key": result.key,
            "value": value,
            "variant": result.variant,
            "reason": result.reason,
            "metadata": metadata,
        }
        return msgspec.json.encode(answer)


def failure(key: str, code: str, details: str) -> bytes:
    """Return a failed evaluation as OFREP has it: JSON, always with details, which clients count on."""
    return msgspec.json.encode({"key": key, "errorCode": code, "errorDetails": details or code})
