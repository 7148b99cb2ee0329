"""`trackside doctor`: is everything as it should be, and if not, what to do."""

import click
import msgspec

from trackside.cli import runtime
from trackside.doctor import Finding, examine

SIGNS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "problem": ("PROBLEM", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of findings.")
def doctor(as_json: bool) -> None:
    """Check settings, clock, database, migrations, Redis, secrets and disk.

    Exits with 1 when there is a problem; warnings alone exit with 0.
    """
    findings: list[Finding] = []
    for finding in examine(runtime()):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        click.echo(msgspec.json.encode(findings))
    if any(finding.state == "problem" for finding in findings):
        raise SystemExit(1)


def _show(finding: Finding) -> None:
    word, colour = SIGNS[finding.state]
    click.echo(f"{click.style(f'{word:<8}', fg=colour)} {finding.name:<18} {finding.message}")
    if finding.fix:
        click.echo(f"{'':<27} {finding.fix}")
