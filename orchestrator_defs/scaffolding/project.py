"""Writes an organisation's project into a folder: its package, one product with its whole life, a fake and tests."""

import keyword
import re
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from orchestrator_defs.scaffolding.checks import LONGEST, check
from orchestrator_defs.scaffolding.coded_values import class_name_of
from orchestrator_defs.scaffolding.faults import Fault, ScaffoldingError
from orchestrator_defs.scaffolding.generated import Generated
from orchestrator_defs.scaffolding.product import ProductSpec, snake
from orchestrator_defs.scaffolding.product_file import product_text
from orchestrator_defs.scaffolding.rendering import files_of

RESERVED = {"tests", "examples", "orchestrator"}
"""Packages that may not be installed, and yet are no name for one's own: folders beside it, and the shipped network."""


def first_product(name: str) -> ProductSpec:
    """The product with which a project begins: a site and a speed. Raises ScaffoldingError for a name that is none."""
    site = {"type": "str", "min_length": 1, "max_length": 100, "description": "where it ends"}
    speed = {"type": "int", "min_value": 1, "description": "in Mbit/s", "unit": "Mbit/s", "modifiable": True}
    circuit = {"type": "str", "description": "The number that the controller gives to the service."}
    fields = [
        {"name": "site", **site, "required": "provisioning", "examples": ["Utrecht", "Amsterdam"]},
        {"name": "speed", **speed, "required": "provisioning", "examples": [1000, 2500]},
        {"name": "circuit", **circuit, "required": "active", "assigned": True},
    ]
    said = {"name": name, "description": "a connection at a customer's site, with a speed"}
    try:
        named = snake(name), class_name_of(name)
        block = dict(zip(("name", "type"), named, strict=True), fields=fields)
        return check(ProductSpec(product_text({**said, "product_blocks": [block]})))
    except Fault as fault:
        raise ScaffoldingError(f"A product cannot be called {name!r}: its {fault.path[-1]} {fault}") from None


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
    generated = Generated(folder)
    generated.claim(product.module, "orchestrator init")
    generated.write({**files_of("project", package, product), **files_of("product", package, product)})
    return package


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
