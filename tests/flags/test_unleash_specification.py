"""Unleash's own specification, run through the importer: each user keeps the answer they had."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from trackside_client.flags import Ruleset, parse
from trackside_client.flags.moments import parse_moment
from trackside_modules.flags.unleash import documents
from trackside_modules.flags.unleash.convert import Conversion, convert

ROOT = Path(__file__).resolve().parents[2]
SUITES = Path(os.environ.get("TRACKSIDE_SUITES", ROOT.parent / "shared/suites"))
FOLDER = SUITES / "unleash-client-specification/specifications"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"Unleash's specification is not in {FOLDER}")


def cases(kind: str) -> list[Any]:
    """Return a parameter a case: the file's state, and the case."""
    read = [(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(FOLDER.glob("[0-9]*.json"))]
    return [
        pytest.param(json.dumps(content["state"]), case, id=f"{name}: {case['description'][:80]}")
        for name, content in read
        for case in content.get(kind, ())
    ]


@cache
def imported(state: str) -> tuple[Conversion, Ruleset]:
    """Return what became of a state, and the ruleset of it."""
    conversion = convert(documents.read(state.encode())[documents.ONLY])
    flags = {key: {**it.document, "salt": key} for key, it in conversion.flags.items()}
    return conversion, parse({"schema": 1, "environment": "production", "version": 1, "flags": flags})


def context_of(case: Mapping[str, Any]) -> tuple[dict[str, Any], datetime | None]:
    """Return a case's context as ours, and the moment it is asked at."""
    given = dict(case["context"])
    found = {**given.pop("properties", {}), **given}
    if "userId" in found:
        found["targetingKey"] = found.pop("userId")
    at = found.pop("currentTime", None)
    return found, parse_moment(at) if at else None


@pytest.mark.parametrize(("state", "case"), cases("tests"))
def test_a_feature_is_enabled_for_whom_it_was(state: str, case: Any) -> None:
    conversion, ruleset = imported(state)
    assert not conversion.refused
    context, now = context_of(case)
    result = ruleset.evaluate(conversion.key_of(case["toggleName"]), context, now)
    assert (result.value is True) is case["expectedResult"], result


@pytest.mark.parametrize(("state", "case"), cases("variantTests"))
def test_a_user_has_the_variant_they_had(state: str, case: Any) -> None:
    conversion, ruleset = imported(state)
    assert not conversion.refused
    context, now = context_of(case)
    key, wanted = conversion.key_of(case["toggleName"]), case["expectedResult"]
    assert (ruleset.evaluate(key, context, now).value is True) is wanted["feature_enabled"]
    served = ruleset.evaluate(f"{key}/variant", context, now)
    if ruleset.spec(f"{key}/variant") is None:  # a feature without variants has none to serve
        assert (wanted["name"], wanted["enabled"]) == ("disabled", False)
        return
    assert (served.variant, served.variant != "disabled") == (wanted["name"], wanted["enabled"])
    if "payload" in wanted:
        payload = wanted["payload"]
        assert served.value == (float(payload["value"]) if payload["type"] == "number" else payload["value"])
