"""`trackside doctor`: is everything as it should be, and if not, what to do."""

import click

from trackside.cli import as_json, runtime, say
from trackside.doctor import Finding, examine

SIGNS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "problem": ("PROBLEM", "red")}


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Check settings, clock, database, migrations, Redis, secrets and disk.

    Exits with 1 when there is a problem; warnings alone exit with 0.
    """
    findings: list[Finding] = []
    for finding in examine(runtime()):
        findings.append(finding)
        if not as_json:
            _show(finding)
    say(as_json, findings)
    if any(finding.state == "problem" for finding in findings):
        raise SystemExit(1)


def _show(finding: Finding) -> None:
    word, colour = SIGNS[finding.state]
    click.echo(f"{click.style(f'{word:<8}', fg=colour)} {finding.name:<18} {finding.message}")
    if finding.fix:
        click.echo(f"{'':<27} {finding.fix}")
