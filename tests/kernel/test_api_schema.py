"""schemathesis over every operation: no 500, no status and no answer that the description does not know."""

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, seed
from hypothesis import settings as rules
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import select

from trackside.auth.audit import COMMAND_LINE
from trackside.auth.keys import create_key
from trackside.runtime import Runtime
from trackside.workspace import Environment

EXAMPLES = 8
"""Random requests of each operation, besides its own examples."""


@pytest.fixture
def admin_key(runtime: Runtime) -> str:
    scopes = set(runtime.registry.each(lambda m: m.scopes)) or {"any"}
    with runtime.database.session() as session:
        env = session.scalars(select(Environment).order_by(Environment.id)).first()
        assert env is not None
        now = runtime.clock.now()
        return create_key(
            session, COMMAND_LINE, now, env, kind="admin", name="schema", scopes=scopes, known_scopes=scopes
        )[1]


def test_every_operation_keeps_to_its_description(app: Flask, admin_key: str) -> None:
    app.testing = False
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    seen = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        seen.add(operation.label)

        @seed(2026)
        @rules(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def run(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=checks, headers={"Authorization": f"Bearer {admin_key}"})

        from hypothesis import given

        given(case=operation.as_strategy())(run)()
    assert "GET /api/v1/whoami" in seen
