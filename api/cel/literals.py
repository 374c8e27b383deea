"""Lists, maps and objects that an expression spells out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.cel import syntax
from api.cel.runtime import UNDECIDED, Code, Frame, Run
from api.cel.syntax import Node
from api.cel.types import DYN, UNKNOWN, Type, list_of, map_of, unify
from api.cel.values import EvaluationError, Struct, type_name

if TYPE_CHECKING:
    from api.cel.compiler import Compiler


def list_literal(c: Compiler, node: syntax.ListNode) -> Code:
    codes = [c.code(item) for item in node.items]
    item = UNKNOWN
    for index, code in enumerate(codes):
        type_ = _unwrapped(c, code.type, node.items[index]) if index in node.optional else code.type
        item = _same(c, item, type_, node.items[index].at)
    runs = [x.run for x in codes]
    run: Run
    if node.optional:
        maybe = node.optional

        def run(frame: Frame) -> list[Any]:
            made = [(i in maybe, r(frame)) for i, r in enumerate(runs)]
            return [v.value if optional else v for optional, v in made if not optional or v.present]
    elif all(x.constant is not UNDECIDED for x in codes):
        constants = [x.constant for x in codes]

        def run(_: Frame) -> list[Any]:
            return constants
    else:

        def run(frame: Frame) -> list[Any]:
            return [r(frame) for r in runs]

    return Code(list_of(item), run, sum(x.cost for x in codes) + 10, sum(x.flat for x in codes) + 10, len(codes))


def map_literal(c: Compiler, node: syntax.MapNode) -> Code:
    key_type, value_type = UNKNOWN, UNKNOWN
    entries: list[tuple[Run, Run, bool]] = []
    cost, flat = 30.0, 30
    for key_node, value_node, maybe in node.entries:
        key, value = c.code(key_node), c.code(value_node)
        key_type = _same(c, key_type, key.type, key_node.at)
        type_ = _unwrapped(c, value.type, value_node) if maybe else value.type
        value_type = _same(c, value_type, type_, value_node.at)
        entries.append((key.run, value.run, maybe))
        cost, flat = cost + key.cost + value.cost, flat + key.flat + value.flat

    def run(frame: Frame) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, value, maybe in entries:
            name, content = key(frame), value(frame)
            if isinstance(name, list | dict | float) or name is None:
                raise EvaluationError(f"unsupported key type: {type_name(name)}")
            if name in made:
                raise EvaluationError(f"insert failed: key '{name}' already exists")
            if not maybe or content.present:
                made[name] = content.value if maybe else content
        return made

    return Code(map_of(key_type, value_type), run, cost, flat, len(entries))


def struct(c: Compiler, node: syntax.Struct) -> Code:
    type_ = c.types.get(node.name)
    if type_ is None or type_.fields is None:
        raise c.fail(node.at, f"undeclared reference to '{node.name}' (in container '')")
    entries: list[tuple[str, Run, bool]] = []
    cost, flat = 40.0, 40
    for name, value_node, maybe in node.fields:
        field = type_.fields.get(name)
        if field is None:
            raise c.fail(value_node.at, f"undefined field '{name}'")
        value = c.code(value_node)
        given = _unwrapped(c, value.type, value_node) if maybe else value.type
        if not unify(field.type, given, {}):
            raise c.fail(
                value_node.at,
                f"expected type of field '{name}' is '{field.type}' but provided type is '{given}'",
            )
        entries.append((field.key, value.run, maybe))
        cost, flat = cost + value.cost, flat + value.flat

    def run(frame: Frame) -> dict[str, Any]:
        made = Struct()
        made.cel_type = type_.name
        for key, value, maybe in entries:
            content = value(frame)
            if not maybe or content.present:
                made[key] = content.value if maybe else content
        return made

    return Code(type_, run, cost, flat)


def _same(c: Compiler, known: Type, new: Type, at: int) -> Type:
    """Literals hold values of one type, but for those that `format` prints."""
    bound = {"A": known}
    if c.mixed:
        return DYN
    if "_" in (known.name, new.name):
        return new if known.name == "_" else known
    if known.is_dyn != new.is_dyn or not unify(Type("A"), new, bound):
        raise c.fail(at, f"expected type '{known}' but found '{new}'")
    return bound["A"]


def _unwrapped(c: Compiler, type_: Type, node: Node) -> Type:
    if type_.name == "optional_type":
        return type_.params[0]
    if type_.is_dyn:
        return DYN
    raise c.fail(node.at, f"expected type 'optional_type' but found '{type_}'")
