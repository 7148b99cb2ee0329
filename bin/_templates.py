"""Compile every template, and refuse an include, an extend or an import of one that is not there."""

import sys

from flask import Flask
from jinja2 import TemplateError, meta

from trackside.app import create_app
from trackside.settings import load_settings


def main() -> int:
    """Return 1 where a template is wrong, having said which and why."""
    app = create_app(
        load_settings(
            {},
            secret_key="only-compiles-templates-0123456789abcdef",
            database_url="postgresql+psycopg:///nowhere",
            redis_url="redis://nowhere",
            development=True,
        )
    )
    problems = [problem for name in sorted(app.jinja_env.list_templates()) for problem in _problems(app, name)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def _problems(app: Flask, name: str) -> list[str]:
    environment = app.jinja_env
    assert environment.loader
    source, path, _ = environment.loader.get_source(environment, name)
    try:
        tree = environment.parse(source, name, path)
        environment.compile(source, name, path)
    except TemplateError as error:
        return [f"{path or name}: {error}"]
    there = set(environment.list_templates())
    missing = [each for each in meta.find_referenced_templates(tree) if each is not None and each not in there]
    return [f"{path or name}: refers to {each}, which is not there" for each in missing]


if __name__ == "__main__":
    sys.exit(main())
