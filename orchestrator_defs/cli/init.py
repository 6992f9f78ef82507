"""`orchestrator init`: an organisation's own project, to change instead of to begin."""

from pathlib import Path

import click

from orchestrator_defs.scaffolding.project import first_product, write_project

NEXT = """\
{folder} has the package {package}, with the product {product}. In {folder}, install it, then test or run it:

  pip install -e '.[test]' && pytest
  pip install -e . && python -m {package}.fake_controller orchestrator up

README.md goes on from there."""


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--product", default="Line", show_default=True, help="Name of the product that it begins with.")
def init(folder: Path, product: str) -> None:
    """Write a project of your own into the new folder DIR: a product with its whole life, a fake, tests.

    Its package is called like the folder.
    """
    package = write_project(folder, first_product(product))
    click.echo(NEXT.format(folder=folder, package=package, product=product))
