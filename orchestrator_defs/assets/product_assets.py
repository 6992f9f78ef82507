"""Products as external assets, each downstream of those whose blocks it holds: the asset graph is the catalogue."""

from collections.abc import Mapping, Set

from dagster import AssetKey, AssetSpec

from orchestrator_defs.assets.asset_names import fitted, owners, tag
from resources.catalogue.catalogue import Catalogue, Product

KIND = "subscription"


def product_assets(catalogue: Catalogue, keys: Mapping[str, AssetKey]) -> list[AssetSpec]:
    """An asset for each product of a location."""
    held = held_products(catalogue)
    return [_spec(product, keys, held[product.name]) for product in catalogue.products]


def _spec(product: Product, keys: Mapping[str, AssetKey], held: Set[str]) -> AssetSpec:
    fixed = {f"fixed input {name}": str(value) for name, value in product.fixed_inputs.items()}
    return AssetSpec(
        key=keys[product.name],
        deps=[keys[name] for name in sorted(held)],
        description=product.description or None,
        group_name=fitted(product.product_type).lower(),
        kinds={KIND, tag(product.product_type).lower()},
        owners=owners(product.owners),
        tags={"lifecycle": tag(product.status)},
        metadata={"product": product.name, "product type": product.product_type, "tag": product.tag, **fixed},
    )


def held_products(catalogue: Catalogue) -> dict[str, set[str]]:
    """For each product those whose root blocks its subscriptions may hold, without circles, which no graph can have."""
    roots = {name: row.roots for name, row in catalogue.rows.products.items()}
    by_root: dict[str, set[str]] = {}
    for name, blocks in roots.items():
        for block in blocks:
            by_root.setdefault(block, set()).add(name)
    return _without_circles({name: _held(catalogue, blocks, by_root) - {name} for name, blocks in roots.items()})


def _held(catalogue: Catalogue, roots: Set[str], by_root: Mapping[str, Set[str]]) -> set[str]:
    """The products whose root block is in the tree below `roots`; what such a product itself holds is its own."""
    found: set[str] = set()
    seen, left = set(roots), list(roots)
    while left:
        for block in catalogue.rows.blocks[left.pop()].holds:
            if block in by_root and block not in roots:
                found |= by_root[block]
            elif block not in seen:
                seen.add(block)
                left.append(block)
    return found


def _without_circles(held: Mapping[str, Set[str]]) -> dict[str, set[str]]:
    """The same without the links that lead back to where one came from."""
    kept: dict[str, set[str]] = {}
    above: set[str] = set()

    def visit(name: str) -> None:
        kept[name] = set()
        above.add(name)
        for other in sorted(held[name] - above):
            if other not in kept:
                visit(other)
            kept[name].add(other)
        above.discard(name)

    for name in sorted(held):
        if name not in kept:
            visit(name)
    return kept
