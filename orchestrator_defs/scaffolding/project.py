"""Writes an organisation's project into a folder: its package, one product with its whole life, a fake and tests."""

import ast
import keyword
import re
import sys
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchestrator_defs.scaffolding.layout import wrapped
from orchestrator_defs.scaffolding.product import LONGEST, ProductSpec, ScaffoldingError
from resources.domain.subscription_model import SubscriptionModel

TEMPLATES = Path(__file__).with_name("templates")
SUFFIX = ".jinja"
DISTRIBUTION = "dagster-service-orchestrator"
RESERVED = {"tests", "examples", "orchestrator"}
"""Packages that may not be installed, and yet are no name for one's own: folders beside it, and the shipped network."""
LOCAL_NAMES = {"context", "controller", "definitions", "service", "subscription"}
"""Names that the written code uses beside the product's."""


def write_project(folder: Path, product: ProductSpec) -> str:
    """Write a new project, and return the name of its package, which is that of the folder. Raises ScaffoldingError.

    Nothing is left of a project that cannot be written whole.
    """
    folder = folder.resolve()
    package = package_name(folder.name)
    if folder.exists() and not folder.is_dir():
        raise ScaffoldingError(f"{folder} is a file; name a new folder.")
    if folder.is_dir() and any(folder.iterdir()):
        raise ScaffoldingError(f"{folder} is not empty; name a new folder.")
    files, own = files_of("project", package, product), files_of("product", package, product)
    _refuse_ambiguous(product, files, own)
    _write(folder, {**files, **own})
    return package


def files_of(part: str, package: str, product: ProductSpec) -> dict[Path, str]:
    """The files of a folder of templates (`project` or `product`), by their path in the project."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES / part), undefined=StrictUndefined, keep_trailing_newline=True
    )
    values = {"package": package, "product": product, "title": package.replace("_", " ").capitalize()}
    names = {"package": package, "module": product.module, "dot": "."}
    files = {}
    for template in environment.list_templates(extensions=[SUFFIX[1:]]):
        text = environment.get_template(template).render(values, version=version(DISTRIBUTION))
        path = Path(template.removesuffix(SUFFIX).format(**names))
        files[path] = wrapped(text) if path.suffix == ".py" else text
    return files


def package_name(folder: str) -> str:
    """The name of the package of a project in this folder. Raises ScaffoldingError."""
    name = folder.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > LONGEST:
        raise ScaffoldingError(
            f"The package is called like its folder, and {folder!r} is no name for one: it is lower-case letters,"
            f" digits and underscores, starting with a letter, at most {LONGEST}, such as my_network."
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise ScaffoldingError(f"{name!r} is a word of Python's own, and no name for a package; choose another.")
    if name in RESERVED or name in sys.stdlib_module_names or _is_installed(name):
        raise ScaffoldingError(f"There is a package {name!r} already, which yours would hide; choose another name.")
    return name


def _is_installed(name: str) -> bool:
    with suppress(ImportError, ValueError):
        found = find_spec(name)
        return found is not None and found.origin is not None  # a mere folder has none
    return False


def _refuse_ambiguous(product: ProductSpec, files: dict[Path, str], own: dict[Path, str]) -> None:
    """Refuse a product whose name means something else in the files that are written for it."""
    name = product.module
    is_taken = keyword.iskeyword(name) or name in LOCAL_NAMES or hasattr(SubscriptionModel, name)
    if (
        is_taken
        or name in SubscriptionModel.model_fields
        or files.keys() & own.keys()
        or any(map(_binds_twice, own.items()))
    ):
        raise ScaffoldingError(
            f"A product cannot be called {product.name!r}, which has a meaning of its own in the code that is written "
            "for it; choose another name."
        )


def _binds_twice(file: tuple[Path, str]) -> bool:
    """Whether a module imports or defines two things under one name."""
    path, text = file
    bound: list[str] = []
    for node in ast.parse(text).body if path.suffix == ".py" else ():
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            bound.append(node.name)
    return len(bound) > len(set(bound))


def _write(folder: Path, files: dict[Path, str]) -> None:
    written: list[Path] = []
    try:
        for path, text in files.items():
            target = folder / path
            written += reversed([one for one in (target, *target.parents) if not one.exists()])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        for path in reversed(written):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise ScaffoldingError(f"{folder} cannot be written: {error.strerror}.") from None
