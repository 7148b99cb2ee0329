"""What the pytest plugin promises."""

from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from trackside.runtime import Runtime
from trackside.workspace import environments, fact, set_fact


def test_a_session_alone_forgets_what_it_commits(session: Session) -> None:
    assert fact(session, "left") is None
    set_fact(session, "left", "behind")
    session.commit()
    assert fact(session, "left") == "behind"


def test_it_really_forgets(session: Session) -> None:
    assert fact(session, "left") is None


def test_beside_a_runtime_the_session_shares_its_database(session: Session, runtime: Runtime) -> None:
    set_fact(session, "left", "behind")
    session.commit()
    with runtime.database.session() as other:
        assert fact(other, "left") == "behind"
        assert [each.slug for each in environments(other)] == ["production", "staging"]


def test_the_app_answers(client: FlaskClient) -> None:
    assert client.get("/healthz").status_code == 200
