"""A Flask app under Apitally's SDK, unmodified: makes a fixed number of requests to itself, exports them, and ends.

Run as a program of its own: `apitally_app.py ROUNDS`; the SDK takes APITALLY_OTLP_ENDPOINT and APITALLY_WRITE_TOKEN.
"""

import sys

import apitally
from flask import Flask, request


def main(rounds: int) -> None:
    app = Flask("apitally-app")
    apitally.init(app, app_version="2.0.1")

    @app.before_request
    def identify() -> None:
        user = request.headers.get("X-User")
        if user:
            apitally.set_consumer(user, name=f"{user.title()} of Acme", group="acme")

    @app.get("/orders/<int:number>")
    def order(number: int) -> str:
        if number % 10 == 9:
            raise KeyError(f"order {number} is gone")
        return str(number)

    @app.get("/never")
    def never() -> str:
        return "called by nobody"

    client = app.test_client()

    def call(method: str, path: str, user: str = "") -> None:
        answer = client.open(path, method=method, headers={"X-User": user})
        answer.get_data()
        answer.close()

    for number in range(rounds):
        call("GET", f"/orders/{number}", "ann" if number % 2 else "ben")
        if number % 5 == 0:
            call("GET", "/nowhere/4711", "ann")
            call("POST", "/orders/1")


if __name__ == "__main__":
    main(int(sys.argv[1]))
