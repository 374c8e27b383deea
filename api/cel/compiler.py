"""CEL to Python closures: types are checked and code is made in one walk over the tree.

Every node becomes a `Code`: its type, a closure over the frame, and what it costs at worst. A frame is a list:
the work left, then the variables by slot. What the checker can decide (which overload, which field) is decided
here, so that evaluation only calls. Source of the rules: the CEL specification (langdef.md); messages are
cel-go's; costs follow its cost model, where one unit is about a microsecond of work at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.cel import library, network, syntax
from api.cel.functions import TABLE, Overload, Work
from api.cel.syntax import CompileError, Node
from api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    PRIMITIVES,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    UNKNOWN,
    Type,
    list_of,
    map_of,
    optional_of,
    substitute,
    unify,
)  # fmt: skip
from api.cel.values import NONE, CostExceeded, EvaluationError, Optional, TypeValue, equal, type_name

Frame = list[Any]
Run = Callable[[Frame], Any]

LIBRARIES = (library, network)
"""Imported for the rows they add to the table of functions."""

PER_CALL_LIMIT = 1_000_000
"""The most work of one evaluation (k8s.io/apiserver/pkg/apis/cel, PerCallLimit)."""

_LITERALS = {"duration": 1, "timestamp": 1, "matches": 2, "find": 2, "findAll": 2}
"""Functions whose last argument, when a literal, is checked beforehand: name → number of arguments."""
_TYPE_NAMES = {n: TypeValue(n) for n in (*PRIMITIVES, "list", "map", "optional_type") if n != "dyn"}
_UNDECIDED = object()


@dataclass(slots=True)
class Code:
    type: Type
    run: Run
    cost: float = 0
    """The most it may cost, by the limits of the types of what goes in."""
    flat: int = 0
    """What one evaluation costs without the loops inside, which charge for themselves."""
    size: float = -1
    """The largest size of its value; below 0: what its type says."""
    constant: Any = _UNDECIDED

    @property
    def most(self) -> float:
        return self.size if self.size >= 0 else self.type.limit


@dataclass(frozen=True, slots=True)
class Variable:
    slot: int
    type: Type


class Compiler:
    def __init__(self, source: str, variables: Mapping[str, Type], types: Mapping[str, Type]) -> None:
        self._source = source
        self._types = types
        self._scope = {n: Variable(slot, t) for slot, (n, t) in enumerate(variables.items(), start=1)}
        self.slots = len(variables) + 1
        self.used: set[str] = set()
        self._mixed = False

    def fail(self, at: int, message: str) -> CompileError:
        return CompileError(self._source, at, message)

    def code(self, node: Node) -> Code:
        return _VISIT[type(node)](self, node)

    def const(self, node: syntax.Const) -> Code:
        value = node.value
        size = len(value) if isinstance(value, str | bytes) else -1
        return Code(node.type, lambda _: value, size=size, constant=value)

    def ident(self, node: syntax.Ident) -> Code:
        found = self._scope.get(node.name)
        if found is None:
            return self._type_or_fail(node.name, node.at)
        self.used.add(node.name)
        slot = found.slot
        return Code(found.type, lambda f: f[slot], 1, 1)

    def _type_or_fail(self, name: str, at: int) -> Code:
        if name not in _TYPE_NAMES:
            raise self.fail(at, f"undeclared reference to '{name}' (in container '')")
        value = _TYPE_NAMES[name]
        return Code(TYPE, lambda _: value, 1, 1)

    # Fields

    def select(self, node: syntax.Select) -> Code:
        name = syntax.dotted(node)
        if name in _TYPE_NAMES and name.split(".")[0] not in self._scope:
            return self._type_or_fail(name, node.at)
        operand = self.code(node.operand)
        if node.optional or operand.type.name == "optional_type":
            return self._optional_select(operand, node)
        type_, key, convert = self._field(operand.type, node)
        read = _reading(operand.run, key, convert, nulls=operand.type.fields is None)
        return Code(type_, read, operand.cost + 1, operand.flat + 1)

    def _field(self, type_: Type, node: syntax.Select) -> tuple[Type, str, Callable[[Any], Any] | None]:
        if type_.fields is not None:
            field = type_.fields.get(node.field)
            if field is None:
                raise self.fail(node.at, f"undefined field '{node.field}'")
            return field.type, field.key, field.convert
        if type_.name == "map":
            return type_.params[1], node.field, None
        if type_.is_dyn:
            return DYN, node.field, None
        raise self.fail(node.at, f"type '{type_}' does not support field selection")

    def _optional_select(self, operand: Code, node: syntax.Select) -> Code:
        inner = operand.type.params[0] if operand.type.name == "optional_type" else operand.type
        type_, key, convert = self._field(inner, node)
        run = operand.run

        def read(frame: Frame) -> Optional:
            value = run(frame)
            if isinstance(value, Optional):
                if not value.present:
                    return NONE
                value = value.value
            return _maybe(value, key, convert, inner.fields is None)

        result = type_ if type_.name == "optional_type" else optional_of(type_)
        return Code(result, read, operand.cost + 1, operand.flat + 1)

    def _has(self, node: syntax.Call) -> Code:
        argument = node.args[0] if len(node.args) == 1 else None
        if not isinstance(argument, syntax.Select):
            raise self.fail(argument.at if argument else node.at, "invalid argument to has() macro")
        operand = self.code(argument.operand)
        inner = operand.type.params[0] if operand.type.name == "optional_type" else operand.type
        _, key, _ = self._field(inner, argument)
        run, nulls = operand.run, inner.fields is None

        def present(frame: Frame) -> bool:
            value = run(frame)
            if isinstance(value, Optional):
                value = value.value if value.present else {}
            if not isinstance(value, dict):
                raise EvaluationError(f"type '{type_name(value)}' does not support field selection")
            return key in value if nulls else value.get(key) is not None

        return Code(BOOL, present, operand.cost, operand.flat)

    def _index(self, node: syntax.Call) -> Code:
        operand, index = self.code(node.args[0]), self.code(node.args[1])
        maybe = node.name == "_[?_]" or operand.type.name == "optional_type"
        inner = operand.type.params[0] if operand.type.name == "optional_type" else operand.type
        if inner.name == "list" and (index.type == INT or index.type.is_dyn):
            result = inner.params[0]
        elif inner.name == "map" and unify(inner.params[0], index.type, {}):
            result = inner.params[1]
        elif inner.is_dyn:
            result = DYN
        else:
            raise self._no_overload(node, [operand.type, index.type])
        run, at = operand.run, index.run
        cost, flat = operand.cost + index.cost + 1, operand.flat + index.flat + 1
        if not maybe:
            return Code(result, lambda f: _element(run(f), at(f)), cost, flat)

        def read(frame: Frame) -> Optional:
            value = run(frame)
            if isinstance(value, Optional):
                if not value.present:
                    return NONE
                value = value.value
            try:
                return Optional(_element(value, at(frame)))
            except EvaluationError:
                return NONE

        return Code(optional_of(result), read, cost, flat)

    # Literals

    def list_literal(self, node: syntax.ListNode) -> Code:
        codes = [self.code(item) for item in node.items]
        item = UNKNOWN
        for index, code in enumerate(codes):
            type_ = self._unwrapped(code.type, node.items[index]) if index in node.optional else code.type
            item = self._same(item, type_, node.items[index].at)
        runs = [c.run for c in codes]
        run: Run
        if node.optional:
            maybe = node.optional

            def run(frame: Frame) -> list[Any]:
                made = [(i in maybe, r(frame)) for i, r in enumerate(runs)]
                return [v.value if optional else v for optional, v in made if not optional or v.present]
        elif all(c.constant is not _UNDECIDED for c in codes):
            constants = [c.constant for c in codes]

            def run(_: Frame) -> list[Any]:
                return constants
        else:

            def run(frame: Frame) -> list[Any]:
                return [r(frame) for r in runs]

        return Code(list_of(item), run, sum(c.cost for c in codes) + 10, sum(c.flat for c in codes) + 10, len(codes))

    def map_literal(self, node: syntax.MapNode) -> Code:
        key_type, value_type = UNKNOWN, UNKNOWN
        entries: list[tuple[Run, Run, bool]] = []
        cost, flat = 30.0, 30
        for key_node, value_node, maybe in node.entries:
            key, value = self.code(key_node), self.code(value_node)
            key_type = self._same(key_type, key.type, key_node.at)
            type_ = self._unwrapped(value.type, value_node) if maybe else value.type
            value_type = self._same(value_type, type_, value_node.at)
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

    def struct(self, node: syntax.Struct) -> Code:
        type_ = self._types.get(node.name)
        if type_ is None or type_.fields is None:
            raise self.fail(node.at, f"undeclared reference to '{node.name}' (in container '')")
        entries: list[tuple[str, Run, bool]] = []
        cost, flat = 40.0, 40
        for name, value_node, maybe in node.fields:
            field = type_.fields.get(name)
            if field is None:
                raise self.fail(value_node.at, f"undefined field '{name}'")
            value = self.code(value_node)
            given = self._unwrapped(value.type, value_node) if maybe else value.type
            if not unify(field.type, given, {}):
                raise self.fail(
                    value_node.at,
                    f"expected type of field '{name}' is '{field.type}' but provided type is '{given}'",
                )
            entries.append((field.key, value.run, maybe))
            cost, flat = cost + value.cost, flat + value.flat

        def run(frame: Frame) -> dict[str, Any]:
            made = {}
            for key, value, maybe in entries:
                content = value(frame)
                if not maybe or content.present:
                    made[key] = content.value if maybe else content
            return made

        return Code(type_, run, cost, flat)

    def _same(self, known: Type, new: Type, at: int) -> Type:
        """Literals hold values of one type, but for those that `format` prints."""
        bound = {"A": known}
        if self._mixed:
            return DYN
        if "_" in (known.name, new.name):
            return new if known.name == "_" else known
        if known.is_dyn != new.is_dyn or not unify(Type("A"), new, bound):
            raise self.fail(at, f"expected type '{known}' but found '{new}'")
        return bound["A"]

    def _unwrapped(self, type_: Type, node: Node) -> Type:
        if type_.name == "optional_type":
            return type_.params[0]
        if type_.is_dyn:
            return DYN
        raise self.fail(node.at, f"expected type 'optional_type' but found '{type_}'")

    # Calls

    def call(self, node: syntax.Call) -> Code:
        special = _SPECIAL.get(node.name)
        if node.target is None:
            if special is not None:
                return special(self, node)
        elif (macro := _MACROS.get((node.name, len(node.args)))) is not None and isinstance(node.args[0], syntax.Ident):
            return macro(self, node)
        name, arguments, member = node.name, node.args, False
        if node.target is not None:
            qualified = f"{syntax.dotted(node.target)}.{node.name}"
            if qualified in TABLE and qualified.split(".")[0] not in self._scope:
                name = qualified
            else:
                arguments, member = [node.target, *node.args], True
        codes = [self._argument(name, argument) for argument in arguments]
        if name not in TABLE:
            raise self.fail(node.at, f"undeclared reference to '{name}' (in container '')")
        self._check_literals(name, arguments, codes)
        types = [c.type for c in codes]
        fitting: list[Overload] = []
        results: list[Type] = []
        for overload in TABLE[name]:
            bound: dict[str, Type] = {}
            if overload.member != member or len(overload.params) != len(types):
                continue
            if all(unify(p, t, bound) for p, t in zip(overload.params, types, strict=True)):
                fitting.append(overload)
                results.append(substitute(overload.result, bound))
        if not fitting:
            raise self._no_overload(replace(node, name=name), types, member)
        result = results[0] if all(r == results[0] for r in results) else DYN
        return self._calling(name, fitting, result, codes)

    def _argument(self, function: str, node: Node) -> Code:
        outer, self._mixed = self._mixed, function == "format" and isinstance(node, syntax.ListNode)
        code = self.code(node)
        self._mixed = outer
        return code

    def _calling(self, name: str, fitting: list[Overload], result: Type, codes: list[Code]) -> Code:
        sizes = [c.most for c in codes]
        worst = max((o.work(*sizes) if o.work else 1) for o in fitting)
        cost = sum(c.cost for c in codes) + worst
        flat = sum(c.flat for c in codes) + 1
        runs = [c.run for c in codes]
        certain = len(fitting) == 1 and not any(map(_holds_dyn, (c.type for c in codes), fitting[0].params))
        if certain:
            chosen = fitting[0]
            run = _direct(chosen.run, runs) if chosen.work is None else _metered(chosen.run, chosen.work, runs)
        else:
            run = _dispatched(name, fitting, runs)
        size = -1.0
        if result.is_dyn or result.name in _SIZED:
            known = [s for c, s in zip(codes, sizes, strict=True) if c.type.name in _SIZED]
            size = sum(known) if name == "_+_" else max(known, default=-1.0)
        return Code(result, run, cost, flat, size)

    def _check_literals(self, name: str, arguments: list[Node], codes: list[Code]) -> None:
        """What can be seen to be wrong in a literal is refused before it runs."""
        if name not in _LITERALS or len(codes) != _LITERALS[name] or not isinstance(codes[-1].constant, str):
            return
        value = codes[-1].constant
        try:
            if len(codes) == 1:
                next(o for o in TABLE[name] if o.params == (STRING,)).run(value)
            else:
                library.regex(value)
        except EvaluationError:
            raise self.fail(arguments[-1].at, f"invalid {name} argument") from None

    def _no_overload(self, node: syntax.Call, types: list[Type], member: bool = False) -> CompileError:
        shown = f"{types[0]}.({', '.join(map(str, types[1:]))})" if member else f"({', '.join(map(str, types))})"
        return self.fail(node.at, f"found no matching overload for '{node.name}' applied to '{shown}'")

    def _equality(self, node: syntax.Call) -> Code:
        one, other = (self.code(a) for a in node.args)
        if not (unify(one.type, other.type, {}) or unify(other.type, one.type, {})):
            raise self._no_overload(node, [one.type, other.type])
        left, right = one.run, other.run
        run: Run
        negate = node.name == "_!=_"
        if one.type == other.type and one.type in (STRING, INT, DOUBLE, BOOL, UINT, BYTES, TIMESTAMP, DURATION):
            run = (lambda f: left(f) != right(f)) if negate else (lambda f: left(f) == right(f))
        else:
            run = (lambda f: not equal(left(f), right(f))) if negate else (lambda f: equal(left(f), right(f)))
        sized = one.type.name in _SIZED and other.type.name in _SIZED
        work = math.ceil(min(one.most, other.most) * 0.1) if sized else 1
        return Code(BOOL, run, one.cost + other.cost + work, one.flat + other.flat + 1)

    def _logic(self, node: syntax.Call) -> Code:
        """`&&` and `||` in any order: an error on one side does not matter when the other decides."""
        codes = [self.code(a) for a in node.args]
        for code, argument in zip(codes, node.args, strict=True):
            if not unify(BOOL, code.type, {}):
                raise self.fail(argument.at, f"expected type 'bool' but found '{code.type}'")
        left, right = codes[0].run, codes[1].run
        decides = node.name == "_||_"

        def run(frame: Frame) -> bool:
            try:
                if _true(left(frame), node.name) is decides:
                    return decides
            except EvaluationError:
                if right(frame) is decides:
                    return bool(decides)
                raise
            return _true(right(frame), node.name)

        return Code(BOOL, run, sum(c.cost for c in codes), sum(c.flat for c in codes))

    def _ternary(self, node: syntax.Call) -> Code:
        test, one, other = (self.code(a) for a in node.args)
        bound: dict[str, Type] = {}
        either = Type("A")
        if not (unify(BOOL, test.type, {}) and unify(either, one.type, bound) and unify(either, other.type, bound)):
            raise self._no_overload(node, [test.type, one.type, other.type])
        condition, then, otherwise = test.run, one.run, other.run

        def run(frame: Frame) -> Any:
            value = condition(frame)
            if value is True:
                return then(frame)
            if value is False:
                return otherwise(frame)
            raise _not_bool("_?_:_", value)

        size = max(one.most, other.most)
        return Code(bound["A"], run, test.cost + max(one.cost, other.cost), test.flat + max(one.flat, other.flat), size)

    # Comprehensions

    def _loop(self, node: syntax.Call, names: int, body: int, predicate: int | None) -> _Loop:
        """The range, variables and bodies of a macro over a list or a map."""
        assert node.target is not None
        source = self.code(node.target)
        kind = source.type
        if kind.name not in ("list", "map") and not kind.is_dyn:
            raise self.fail(
                node.target.at,
                f"expression of type '{kind}' cannot be range of a comprehension (must be list, map, or dynamic)",
            )
        first, second = (INT, kind.params[0]) if kind.name == "list" else kind.params if kind.params else (DYN, DYN)
        types = [first, second] if names == 2 else [second if kind.name == "list" else first]
        slots: list[int] = []
        outer = self._scope
        self._scope = dict(outer)
        for argument, type_ in zip(node.args, types, strict=False):
            if not isinstance(argument, syntax.Ident):
                raise self.fail(argument.at, "argument must be a simple name")
            self._scope[argument.name] = Variable(self.slots, type_)
            slots.append(self.slots)
            self.slots += 1
        code = self.code(node.args[body])
        test = None if predicate is None else self._predicate(node.args[predicate])
        self._scope = outer
        step = _STEP_COST.get(node.name, 12)
        per_item = code.cost + (test.cost if test else 0) + step
        flat = code.flat + (test.flat if test else 0) + step
        cost = source.cost + 1 + source.most * per_item
        return _Loop(source, slots, code, test.run if test else None, cost, flat)

    def _predicate(self, node: Node) -> Code:
        code = self.code(node)
        if not unify(BOOL, code.type, {}):
            raise self.fail(node.at, f"expected type 'bool' but found '{code.type}'")
        return code

    def _quantified(self, node: syntax.Call) -> Code:
        names = len(node.args) - 1
        loop = self._loop(node, names, names, None)
        if not unify(BOOL, loop.body.type, {}):
            raise self.fail(node.args[names].at, f"expected type 'bool' but found '{loop.body.type}'")
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
                    count += _true(value, node.name)
                elif _true(value, node.name) is decides:
                    return decides
            if error is not None:
                raise error
            return count == 1 if decides is None else not decides

        return Code(BOOL, run, loop.cost, loop.source.flat + 1)

    def _mapped(self, node: syntax.Call) -> Code:
        """map, filter and transformList: lists made from items."""
        names = 2 if node.name == "transformList" else 1
        last = len(node.args) - 1
        if node.name == "filter":
            loop = self._loop(node, 1, 0, 1)
        else:
            loop = self._loop(node, names, last, names if last > names else None)
        make, test, steps = loop.body.run, loop.test, loop.steps

        def run(frame: Frame) -> list[Any]:
            return [make(frame) for _ in steps(frame) if test is None or _true(test(frame), node.name)]

        return Code(list_of(loop.body.type), run, loop.cost, loop.source.flat + 1, loop.source.most)

    def _transformed(self, node: syntax.Call) -> Code:
        """transformMap and transformMapEntry: maps made from items."""
        last = len(node.args) - 1
        loop = self._loop(node, 2, last, 2 if last > 2 else None)
        entries = node.name == "transformMapEntry"
        make, test, steps, slot, kind = loop.body.run, loop.test, loop.steps, loop.slots[0], loop.body.type
        if entries and kind.name != "map" and not kind.is_dyn:
            raise self.fail(node.args[last].at, f"expected type 'map' but found '{kind}'")

        def run(frame: Frame) -> dict[Any, Any]:
            made: dict[Any, Any] = {}
            for _ in steps(frame):
                if test is None or _true(test(frame), node.name):
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

    def _opt_map(self, node: syntax.Call) -> Code:
        assert node.target is not None and isinstance(node.args[0], syntax.Ident)
        source = self.code(node.target)
        if source.type.name != "optional_type" and not source.type.is_dyn:
            raise self._no_overload(node, [source.type, DYN], member=True)
        outer, slot = self._scope, self.slots
        self.slots += 1
        inner = source.type.params[0] if source.type.params else DYN
        self._scope = outer | {node.args[0].name: Variable(slot, inner)}
        body = self.code(node.args[1])
        self._scope = outer
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


MISFITS = (TypeError, AttributeError, OverflowError)
"""What Python says of a value of a type that only showed when it was used."""
_SIZED = ("string", "bytes", "list", "map")
_STEP_COST = {"all": 3, "exists": 4, "exists_one": 2, "existsOne": 2, "filter": 13}
"""What a step of each macro costs beside its body, when cel-go spells it out."""
_QUANTIFIERS: dict[str, bool | None] = {"all": False, "exists": True, "exists_one": None, "existsOne": None}

_VISIT: dict[type, Callable[[Compiler, Any], Code]] = {
    syntax.Const: Compiler.const, syntax.Ident: Compiler.ident, syntax.Select: Compiler.select,
    syntax.Call: Compiler.call, syntax.ListNode: Compiler.list_literal, syntax.MapNode: Compiler.map_literal,
    syntax.Struct: Compiler.struct,
}  # fmt: skip
_SPECIAL: dict[str, Callable[[Compiler, syntax.Call], Code]] = {
    "has": Compiler._has, "_[_]": Compiler._index, "_[?_]": Compiler._index, "_==_": Compiler._equality,
    "_!=_": Compiler._equality, "_&&_": Compiler._logic, "_||_": Compiler._logic, "_?_:_": Compiler._ternary,
}  # fmt: skip
_MACROS: dict[tuple[str, int], Callable[[Compiler, syntax.Call], Code]] = {
    **{(name, count): Compiler._quantified for name in _QUANTIFIERS for count in (2, 3)},
    ("map", 2): Compiler._mapped, ("map", 3): Compiler._mapped, ("filter", 2): Compiler._mapped,
    ("transformList", 3): Compiler._mapped, ("transformList", 4): Compiler._mapped,
    ("transformMap", 3): Compiler._transformed, ("transformMap", 4): Compiler._transformed,
    ("transformMapEntry", 3): Compiler._transformed, ("transformMapEntry", 4): Compiler._transformed,
    ("optMap", 2): Compiler._opt_map, ("optFlatMap", 2): Compiler._opt_map,
}  # fmt: skip


def _not_bool(name: str, value: Any) -> EvaluationError:
    return EvaluationError(f"no such overload: {name} applied to {type_name(value)}")


def _true(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return value
    raise _not_bool(name, value)


def _reading(run: Run, key: str, convert: Callable[[Any], Any] | None, nulls: bool) -> Run:
    """A field of an object or a map. In objects null is absent; in maps it is a value."""

    def read(frame: Frame) -> Any:
        try:
            value = run(frame)[key]
        except KeyError:
            raise EvaluationError(f"no such key: {key}") from None
        except TypeError:
            raise EvaluationError("no such overload") from None
        if value is None and not nulls:
            raise EvaluationError(f"no such key: {key}")
        return value if convert is None else convert(value)

    return read


def _maybe(value: Any, key: str, convert: Callable[[Any], Any] | None, nulls: bool) -> Optional:
    if not isinstance(value, dict):
        raise EvaluationError("no such overload")
    found = value.get(key)
    if found is None and not (nulls and key in value):
        return NONE
    return Optional(found if convert is None else convert(found))


def _element(holder: Any, key: Any) -> Any:
    if isinstance(holder, dict):
        if isinstance(key, list | dict) or key not in holder:
            raise EvaluationError(f"no such key: {key}")
        return holder[key]
    if not isinstance(holder, list):
        raise EvaluationError("no such overload")
    if isinstance(key, bool) or not isinstance(key, int | float) or key != int(key):
        raise EvaluationError(f"unsupported index type '{type_name(key)}' in list")
    if not 0 <= key < len(holder):
        raise EvaluationError(f"index out of bounds: {key}")
    return holder[int(key)]


def _holds_dyn(type_: Type, param: Type) -> bool:
    """Whether only the value can tell if it fits: a dyn argument where a certain type is asked for."""
    if param.is_dyn or param.is_var:
        return False
    return type_.is_dyn or type_.name == "null_type" != param.name


def _direct(function: Callable[..., Any], runs: list[Run]) -> Run:
    if len(runs) == 1:
        one = runs[0]
        return lambda f: function(one(f))
    if len(runs) == 2:
        one, other = runs
        return lambda f: function(one(f), other(f))
    return lambda f: function(*[r(f) for r in runs])


def _metered(function: Callable[..., Any], work: Work, runs: list[Run]) -> Run:
    def run(frame: Frame) -> Any:
        arguments = [r(frame) for r in runs]
        _pay(frame, work, arguments)
        return function(*arguments)

    return run


def _pay(frame: Frame, work: Work, arguments: list[Any]) -> None:
    spend(frame, work(*[len(a) if isinstance(a, str | bytes | list | dict) else 1 for a in arguments]))


def spend(frame: Frame, work: float) -> None:
    frame[0] -= work
    if frame[0] < 0:
        raise CostExceeded("operation cancelled: actual cost limit exceeded")


def _dispatched(name: str, overloads: list[Overload], runs: list[Run]) -> Run:
    """Choose by the values: some argument's type is only known now."""
    choices = [(tuple(None if p.is_dyn or p.is_var else p.name for p in o.params), o) for o in overloads]

    def run(frame: Frame) -> Any:
        arguments = [r(frame) for r in runs]
        names = [type_name(a) for a in arguments]
        for wanted, overload in choices:
            if all(w is None or w == n for w, n in zip(wanted, names, strict=True)):
                if overload.work is not None:
                    _pay(frame, overload.work, arguments)
                try:
                    return overload.run(*arguments)
                except MISFITS:
                    break  # what is inside a list or a map is of the wrong type
        raise EvaluationError(f"no such overload: {name}({', '.join(names)})")

    return run
