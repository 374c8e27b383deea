"""Macros: what walks through lists and maps, and into optional values.

Source: the CEL specification (langdef.md, "Macros"), github.com/google/cel-go/ext (comprehensions of two
variables) and cel-go's optional types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.cel import syntax
from api.cel.runtime import Code, Frame, Run, Variable, spend, true
from api.cel.syntax import Node
from api.cel.types import BOOL, DYN, INT, list_of, map_of, optional_of, unify
from api.cel.values import NONE, EvaluationError, Optional

if TYPE_CHECKING:
    from api.cel.compiler import Compiler

_STEP_COST = {"all": 3, "exists": 4, "exists_one": 2, "existsOne": 2, "filter": 13}
"""What a step of each macro costs beside its body, when cel-go spells it out."""
_QUANTIFIERS: dict[str, bool | None] = {"all": False, "exists": True, "exists_one": None, "existsOne": None}


@dataclass(slots=True)
class _Loop:
    source: Code
    slots: list[int]
    body: Code
    test: Run | None
    cost: float
    flat: int

    def steps(self, frame: Frame) -> Any:
        """Set the variables to each item in turn, paying for the body before it runs."""
        items = self.source.run(frame)
        flat, slot = self.flat, self.slots[0]
        if not isinstance(items, list | dict):
            raise EvaluationError("no such overload")
        if len(self.slots) == 2:
            second = self.slots[1]
            for key, item in enumerate(items) if isinstance(items, list) else items.items():
                spend(frame, flat)
                frame[slot], frame[second] = key, item
                yield
            return
        for item in items:
            spend(frame, flat)
            frame[slot] = item
            yield


def _loop(c: Compiler, node: syntax.Call, names: int, body: int, predicate: int | None) -> _Loop:
    """The range, variables and bodies of a macro over a list or a map."""
    assert node.target is not None
    source = c.code(node.target)
    kind = source.type
    if kind.name not in ("list", "map") and not kind.is_dyn:
        raise c.fail(
            node.target.at,
            f"expression of type '{kind}' cannot be range of a comprehension (must be list, map, or dynamic)",
        )
    first, second = (INT, kind.params[0]) if kind.name == "list" else kind.params if kind.params else (DYN, DYN)
    types = [first, second] if names == 2 else [second if kind.name == "list" else first]
    slots: list[int] = []
    outer = c.scope
    c.scope = dict(outer)
    for argument, type_ in zip(node.args, types, strict=False):
        if not isinstance(argument, syntax.Ident):
            raise c.fail(argument.at, "argument must be a simple name")
        c.scope[argument.name] = Variable(c.slots, type_)
        slots.append(c.slots)
        c.slots += 1
    code = c.code(node.args[body])
    test = None if predicate is None else _predicate(c, node.args[predicate])
    c.scope = outer
    step = _STEP_COST.get(node.name, 12)
    per_item = code.cost + (test.cost if test else 0) + step
    flat = code.flat + (test.flat if test else 0) + step
    cost = source.cost + 1 + source.most * per_item
    return _Loop(source, slots, code, test.run if test else None, cost, flat)


def _predicate(c: Compiler, node: Node) -> Code:
    code = c.code(node)
    if not unify(BOOL, code.type, {}):
        raise c.fail(node.at, f"expected type 'bool' but found '{code.type}'")
    return code


def _quantified(c: Compiler, node: syntax.Call) -> Code:
    names = len(node.args) - 1
    loop = _loop(c, node, names, names, None)
    if not unify(BOOL, loop.body.type, {}):
        raise c.fail(node.args[names].at, f"expected type 'bool' but found '{loop.body.type}'")
    decides = _QUANTIFIERS[node.name]
    test, steps = loop.body.run, loop.steps

    def run(frame: Frame) -> bool:
        count, error = 0, None
        for _ in steps(frame):
            try:
                value = test(frame)
            except EvaluationError as failed:
                if decides is None:
                    raise
                error = failed
                continue
            if decides is None:
                count += true(value, node.name)
            elif true(value, node.name) is decides:
                return decides
        if error is not None:
            raise error
        return count == 1 if decides is None else not decides

    return Code(BOOL, run, loop.cost, loop.source.flat + 1)


def _mapped(c: Compiler, node: syntax.Call) -> Code:
    """map, filter and transformList: lists made from items."""
    names = 2 if node.name == "transformList" else 1
    last = len(node.args) - 1
    if node.name == "filter":
        loop = _loop(c, node, 1, 0, 1)
    else:
        loop = _loop(c, node, names, last, names if last > names else None)
    make, test, steps = loop.body.run, loop.test, loop.steps

    def run(frame: Frame) -> list[Any]:
        return [make(frame) for _ in steps(frame) if test is None or true(test(frame), node.name)]

    return Code(list_of(loop.body.type), run, loop.cost, loop.source.flat + 1, loop.source.most)


def _transformed(c: Compiler, node: syntax.Call) -> Code:
    """transformMap and transformMapEntry: maps made from items."""
    last = len(node.args) - 1
    loop = _loop(c, node, 2, last, 2 if last > 2 else None)
    entries = node.name == "transformMapEntry"
    make, test, steps, slot, kind = loop.body.run, loop.test, loop.steps, loop.slots[0], loop.body.type
    if entries and kind.name != "map" and not kind.is_dyn:
        raise c.fail(node.args[last].at, f"expected type 'map' but found '{kind}'")

    def run(frame: Frame) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for _ in steps(frame):
            if test is None or true(test(frame), node.name):
                value = make(frame)
                for key, content in value.items() if entries else ((frame[slot], value),):
                    if entries and key in made:
                        raise EvaluationError(f"insert failed: key '{key}' already exists")
                    made[key] = content
        return made

    source = loop.source.type
    key_type = INT if source.name == "list" else source.params[0] if source.params else DYN
    type_ = (kind if kind.params else map_of(DYN, DYN)) if entries else map_of(key_type, kind)
    return Code(type_, run, loop.cost, loop.source.flat + 1, loop.source.most)


def _opt_map(c: Compiler, node: syntax.Call) -> Code:
    assert node.target is not None and isinstance(node.args[0], syntax.Ident)
    source = c.code(node.target)
    if source.type.name != "optional_type" and not source.type.is_dyn:
        raise c.no_overload(node, [source.type, DYN], member=True)
    outer, slot = c.scope, c.slots
    c.slots += 1
    inner = source.type.params[0] if source.type.params else DYN
    c.scope = outer | {node.args[0].name: Variable(slot, inner)}
    body = c.code(node.args[1])
    c.scope = outer
    flat_map = node.name == "optFlatMap"
    read, make = source.run, body.run

    def run(frame: Frame) -> Optional:
        value = read(frame)
        if not value.present:
            return NONE
        frame[slot] = value.value
        made = make(frame)
        return made if flat_map else Optional(made)

    type_ = body.type if flat_map else optional_of(body.type)
    return Code(type_, run, source.cost + body.cost + 1, source.flat + body.flat + 1)


MACROS: dict[tuple[str, int], Callable[[Compiler, syntax.Call], Code]] = {
    **{(name, count): _quantified for name in _QUANTIFIERS for count in (2, 3)},
    ("map", 2): _mapped, ("map", 3): _mapped, ("filter", 2): _mapped,
    ("transformList", 3): _mapped, ("transformList", 4): _mapped,
    ("transformMap", 3): _transformed, ("transformMap", 4): _transformed,
    ("transformMapEntry", 3): _transformed, ("transformMapEntry", 4): _transformed,
    ("optMap", 2): _opt_map, ("optFlatMap", 2): _opt_map,
}  # fmt: skip
