"""`asq doctor`: what would keep the server from starting."""

import typer

from backend import doctor as checks
from backend.cli.sentences import out, sentences
from backend.core.settings import load

app = typer.Typer()


@app.command()
def doctor() -> None:
    """Look for what would keep the server from starting, and say what to do about it."""
    with sentences():
        findings = checks.examine(load())
        for finding in findings:
            mark, style = ("✓", "green") if finding.well else ("✗", "red")
            out.print(f"[{style}]{mark}[/] ", end="")
            out.print(finding.sentence, markup=False)
        if not all(finding.well for finding in findings):
            raise typer.Exit(1)
