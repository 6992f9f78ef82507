"""Makes up an order of a product, for its test and its run configs."""

from collections.abc import Sequence
from typing import Any

from orchestrator_defs.scaffolding.coded_values import Block, Value
from orchestrator_defs.scaffolding.faults import Fault
from orchestrator_defs.scaffolding.plain_types import Unfit, quoted
from orchestrator_defs.scaffolding.present_products import Existing, Samples


class Example:
    """An order of a product, and a change of it. Raises Fault or ScaffoldingError when a value is not known."""

    def __init__(self, root: Block, existing: Existing) -> None:
        self._samples = Samples(existing)
        fields = root.listed
        self.order = self._of(fields)
        changes = {one.name: self._examples(one)[1] for one in root.changeable}
        self.change = {name: quoted(value) for name, value in changes.items()}
        self.change_yaml = changes
        self.is_flat = not self._samples.lines and all(one.type is not None for one in fields)
        self.lines, self.modules = self._samples.lines, list(self._samples.modules)
        same = {name for name, code in self.change.items() if code == self.order[name]}
        self.drift = {k: v for k, v in self.change.items() if k not in same} or {fields[0].name: "None"}
        self.is_drift_the_change = self.drift == self.change
        self.order_yaml = {one.name: self._yaml(one) for one in fields}
        self.is_constant = not self._samples.lines

    def _of(self, fields: Sequence[Value]) -> dict[str, str]:
        return {one.name: self._code(one) for one in fields}

    def _code(self, one: Value) -> str:
        if one.type is not None:
            return quoted(self._examples(one)[0])
        items = [self._item(one) for _ in range(max(one.text.min_items or 1, 1) if one.is_list else 1)]
        return f"[{', '.join(items)}]" if one.is_list else items[0]

    def _item(self, one: Value) -> str:
        if one.relation:
            return f"str({self._samples.add(one.relation)}.subscription_id)"
        assert one.nested is not None
        return f"{{{', '.join(f'{quoted(key)}: {code}' for key, code in self._of(one.nested.listed).items())}}}"

    def _yaml(self, one: Value) -> Any:
        if one.type is not None:
            return self._examples(one)[0]
        if one.relation:
            item: Any = "00000000-0000-0000-0000-000000000000"
        else:
            assert one.nested is not None
            item = {each.name: self._yaml(each) for each in one.nested.listed}
        return [item] * max(one.text.min_items or 1, 1) if one.is_list else item

    @staticmethod
    def _examples(one: Value) -> tuple[Any, Any]:
        try:
            return one.examples()
        except Unfit as unfit:
            where = "examples" if one.text.examples else "list_type" if one.is_list else "type"
            raise Fault((*one.place, where), str(unfit)) from None
