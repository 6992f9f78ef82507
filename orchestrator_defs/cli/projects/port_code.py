"""`orchestrator port-code`: a project of orchestrator-core becomes a package of one's own for this orchestrator."""

from dataclasses import asdict
from pathlib import Path

import click

from orchestrator_defs.cli import output
from resources.errors import OrchestratorError

try:
    from libcst import ParserSyntaxError

    from orchestrator_defs.porting.project import PortedFile, Porting, write_files
    from orchestrator_defs.porting.rewriting import Finding
except ModuleNotFoundError as error:
    if error.name != "libcst":
        raise
    Porting = None  # type: ignore[assignment,misc]

EXTRA = "It reads code with libcst: pip install 'dagster-service-orchestrator[port]'."


@click.command("port-code")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--package", help="Name of the package that is written into DIR; that of the folder unless given.")
@click.option("--dry-run", is_flag=True, help="Show the differences to what there is, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written, and what is left, as JSON.")
def port_code(folder: Path, package: str | None, dry_run: bool, as_json: bool) -> None:
    """Carry the project of orchestrator-core in DIR over, into a package beside its code, and list what is left.

    Nothing that is there is changed. Exit code 0 if nothing is left for a person, 1 if something is, 2 on an error.
    """
    if Porting is None:
        raise click.UsageError(EXTRA)
    try:
        porting = Porting(folder, package)
        files = list(porting.files())
        written, left_alone = ([], []) if dry_run else write_files(folder, files)
    except (ParserSyntaxError, SyntaxError, OrchestratorError, OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{folder} cannot be carried over: {error}") from error
    findings = sorted({*porting.findings, *left_alone})
    if as_json:
        output.show_json({"written": written, "left": [asdict(one) for one in findings]})
    else:
        _print(porting.package, files if dry_run else [], written, findings)
    if findings:
        raise click.exceptions.Exit(1)


def _print(package: str, differences: list[PortedFile], written: list[Path], findings: list[Finding]) -> None:
    for one in differences:
        click.echo(one.difference(), nl=False)
    if not differences:
        click.echo(f"{len(written)} files of the package {package} are written.")
    for finding in findings:
        click.echo(f"{finding.file}:{finding.line}: {finding.sentence}")
    if findings:
        click.echo(f"{len(findings)} things are left for you; docs/from_orchestrator_core.md says more.")
