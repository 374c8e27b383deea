"""CEL to Python closures: types are checked and code is made in one walk over the tree.

Every node becomes a `Code`: its type, a closure over the frame, and what it costs at worst. What the checker can
decide (which overload, which field) is decided here, so that evaluation only calls. Source of the rules: the CEL
specification (langdef.md); messages are cel-go's; costs follow its cost model, where one unit is about a
microsecond of work at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from api.cel import authorization, library, literals, macros, network, patches, syntax, types
from api.cel.functions import TABLE, Overload
from api.cel.runtime import (
    Code,
    Frame,
    Run,
    Variable,
    direct,
    dispatched,
    element,
    holds_dyn,
    metered,
    not_bool,
    reading,
    reading_optional,
    true,
)  # fmt: skip
from api.cel.syntax import CompileError, Node
from api.cel.types import BOOL, DYN, INT, STRING, TYPE, Type, optional_of, substitute, unify
from api.cel.values import NONE, EvaluationError, Optional, TypeValue, equal, type_name

LIBRARIES = (authorization, library, network, patches)
"""Imported for the rows they add to the table of functions."""

_LITERALS = {"duration": 1, "timestamp": 1, "matches": 2, "find": 2, "findAll": 2}
"""Functions whose last argument, when a literal, is checked beforehand: name → number of arguments."""
_TYPE_NAMES = {n: TypeValue(n) for n in (*types.PRIMITIVES, "list", "map", "optional_type") if n != "dyn"}


class Compiler:
    def __init__(self, source: str, variables: Mapping[str, Type], types: Mapping[str, Type]) -> None:
        self._source = source
        self.types = types
        self.scope = {n: Variable(slot, t) for slot, (n, t) in enumerate(variables.items(), start=1)}
        self.slots = len(variables) + 1
        self.used: set[str] = set()
        self.mixed = False
        """Whether a list may hold values of several types, as those may that `format` prints."""

    def fail(self, at: int, message: str) -> CompileError:
        return CompileError(self._source, at, message)

    def code(self, node: Node) -> Code:
        return _VISIT[type(node)](self, node)

    def const(self, node: syntax.Const) -> Code:
        value = node.value
        size = len(value) if isinstance(value, str | bytes) else -1
        return Code(node.type, lambda _: value, size=size, constant=value)

    def ident(self, node: syntax.Ident) -> Code:
        found = self.scope.get(node.name)
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
        if name in _TYPE_NAMES and name.split(".")[0] not in self.scope:
            return self._type_or_fail(name, node.at)
        operand = self.code(node.operand)
        if node.optional or operand.type.name == "optional_type":
            return self._optional_select(operand, node)
        type_, key, convert = self._field(operand.type, node)
        read = reading(operand.run, key, convert, nulls=operand.type.has_nulls)
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
            return reading_optional(value, key, convert, inner.has_nulls)

        result = type_ if type_.name == "optional_type" else optional_of(type_)
        return Code(result, read, operand.cost + 1, operand.flat + 1)

    def _has(self, node: syntax.Call) -> Code:
        argument = node.args[0] if len(node.args) == 1 else None
        if not isinstance(argument, syntax.Select):
            raise self.fail(argument.at if argument else node.at, "invalid argument to has() macro")
        operand = self.code(argument.operand)
        inner = operand.type.params[0] if operand.type.name == "optional_type" else operand.type
        _, key, _ = self._field(inner, argument)
        run, nulls = operand.run, inner.has_nulls

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
            raise self.no_overload(node, [operand.type, index.type])
        run, at = operand.run, index.run
        cost, flat = operand.cost + index.cost + 1, operand.flat + index.flat + 1
        if not maybe:
            return Code(result, lambda f: element(run(f), at(f)), cost, flat)

        def read(frame: Frame) -> Optional:
            value = run(frame)
            if isinstance(value, Optional):
                if not value.present:
                    return NONE
                value = value.value
            try:
                return Optional(element(value, at(frame)))
            except EvaluationError:
                return NONE

        return Code(optional_of(result), read, cost, flat)

    # Calls

    def call(self, node: syntax.Call) -> Code:
        special = _SPECIAL.get(node.name)
        if node.target is None:
            if special is not None:
                return special(self, node)
        elif (macro := macros.MACROS.get((node.name, len(node.args)))) is not None and isinstance(
            node.args[0], syntax.Ident
        ):
            return macro(self, node)
        name, arguments, member = node.name, node.args, False
        if node.target is not None:
            qualified = f"{syntax.dotted(node.target)}.{node.name}"
            if qualified in TABLE and qualified.split(".")[0] not in self.scope:
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
            raise self.no_overload(replace(node, name=name), types, member)
        result = results[0] if all(r == results[0] for r in results) else DYN
        return self._calling(name, fitting, result, codes)

    def _argument(self, function: str, node: Node) -> Code:
        outer, self.mixed = self.mixed, function == "format" and isinstance(node, syntax.ListNode)
        code = self.code(node)
        self.mixed = outer
        return code

    def _calling(self, name: str, fitting: list[Overload], result: Type, codes: list[Code]) -> Code:
        sizes = [c.most for c in codes]
        worst = max((o.work(*sizes) if o.work else 1) for o in fitting)
        cost = sum(c.cost for c in codes) + worst
        flat = sum(c.flat for c in codes) + 1
        runs = [c.run for c in codes]
        certain = len(fitting) == 1 and not any(map(holds_dyn, (c.type for c in codes), fitting[0].params))
        if certain:
            chosen = fitting[0]
            run = direct(chosen.run, runs) if chosen.work is None else metered(chosen.run, chosen.work, runs)
        else:
            run = dispatched(name, fitting, runs)
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

    def no_overload(self, node: syntax.Call, types: list[Type], member: bool = False) -> CompileError:
        shown = f"{types[0]}.({', '.join(map(str, types[1:]))})" if member else f"({', '.join(map(str, types))})"
        return self.fail(node.at, f"found no matching overload for '{node.name}' applied to '{shown}'")

    def _equality(self, node: syntax.Call) -> Code:
        one, other = (self.code(a) for a in node.args)
        if not (unify(one.type, other.type, {}) or unify(other.type, one.type, {})):
            raise self.no_overload(node, [one.type, other.type])
        left, right = one.run, other.run
        run: Run
        negate = node.name == "_!=_"
        if one.type == other.type and one.type in _PLAIN:
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
                if true(left(frame), node.name) is decides:
                    return decides
            except EvaluationError:
                if right(frame) is decides:
                    return bool(decides)
                raise
            return true(right(frame), node.name)

        return Code(BOOL, run, sum(c.cost for c in codes), sum(c.flat for c in codes))

    def _ternary(self, node: syntax.Call) -> Code:
        test, one, other = (self.code(a) for a in node.args)
        bound: dict[str, Type] = {}
        either = Type("A")
        if not (unify(BOOL, test.type, {}) and unify(either, one.type, bound) and unify(either, other.type, bound)):
            raise self.no_overload(node, [test.type, one.type, other.type])
        condition, then, otherwise = test.run, one.run, other.run

        def run(frame: Frame) -> Any:
            value = condition(frame)
            if value is True:
                return then(frame)
            if value is False:
                return otherwise(frame)
            raise not_bool("_?_:_", value)

        size = max(one.most, other.most)
        return Code(bound["A"], run, test.cost + max(one.cost, other.cost), test.flat + max(one.flat, other.flat), size)


_SIZED = ("string", "bytes", "list", "map")
_PLAIN = (STRING, INT, BOOL, types.DOUBLE, types.UINT, types.BYTES, types.TIMESTAMP, types.DURATION)
"""Types whose values Python compares as CEL does."""

_VISIT: dict[type, Callable[[Compiler, Any], Code]] = {
    syntax.Const: Compiler.const, syntax.Ident: Compiler.ident, syntax.Select: Compiler.select,
    syntax.Call: Compiler.call, syntax.ListNode: literals.list_literal, syntax.MapNode: literals.map_literal,
    syntax.Struct: literals.struct,
}  # fmt: skip
_SPECIAL: dict[str, Callable[[Compiler, syntax.Call], Code]] = {
    "has": Compiler._has, "_[_]": Compiler._index, "_[?_]": Compiler._index, "_==_": Compiler._equality,
    "_!=_": Compiler._equality, "_&&_": Compiler._logic, "_||_": Compiler._logic, "_?_:_": Compiler._ternary,
}  # fmt: skip
