"""What compiled CEL is made of: code, frames, and the closures that read and call.

A frame is a list: the work left, then the variables by slot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api.cel.functions import Overload, Work
from api.cel.types import Type
from api.cel.values import NONE, CostExceeded, EvaluationError, Optional, type_name

Frame = list[Any]
Run = Callable[[Frame], Any]

PER_CALL_LIMIT = 1_000_000
"""The most work of one evaluation (k8s.io/apiserver/pkg/apis/cel, PerCallLimit)."""
UNDECIDED: Any = object()
MISFITS = (TypeError, AttributeError, OverflowError)
"""What Python says of a value of a type that only showed when it was used."""


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
    constant: Any = UNDECIDED

    @property
    def most(self) -> float:
        return self.size if self.size >= 0 else self.type.limit


@dataclass(frozen=True, slots=True)
class Variable:
    slot: int
    type: Type


def not_bool(name: str, value: Any) -> EvaluationError:
    return EvaluationError(f"no such overload: {name} applied to {type_name(value)}")


def true(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return value
    raise not_bool(name, value)


def reading(run: Run, key: str, convert: Callable[[Any], Any] | None, nulls: bool) -> Run:
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


def reading_optional(value: Any, key: str, convert: Callable[[Any], Any] | None, nulls: bool) -> Optional:
    if not isinstance(value, dict):
        raise EvaluationError("no such overload")
    found = value.get(key)
    if found is None and not (nulls and key in value):
        return NONE
    return Optional(found if convert is None else convert(found))


def element(holder: Any, key: Any) -> Any:
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


def holds_dyn(type_: Type, param: Type) -> bool:
    """Whether only the value can tell if it fits: a dyn argument where a certain type is asked for."""
    if param.is_dyn or param.is_var:
        return False
    return type_.is_dyn or type_.name == "null_type" != param.name


def direct(function: Callable[..., Any], runs: list[Run]) -> Run:
    if len(runs) == 1:
        one = runs[0]
        return lambda f: function(one(f))
    if len(runs) == 2:
        one, other = runs
        return lambda f: function(one(f), other(f))
    return lambda f: function(*[r(f) for r in runs])


def metered(function: Callable[..., Any], work: Work, runs: list[Run]) -> Run:
    def run(frame: Frame) -> Any:
        arguments = [r(frame) for r in runs]
        pay(frame, work, arguments)
        return function(*arguments)

    return run


def pay(frame: Frame, work: Work, arguments: list[Any]) -> None:
    spend(frame, work(*[len(a) if isinstance(a, str | bytes | list | dict) else 1 for a in arguments]))


def spend(frame: Frame, work: float) -> None:
    frame[0] -= work
    if frame[0] < 0:
        raise CostExceeded("operation cancelled: actual cost limit exceeded")


def dispatched(name: str, overloads: list[Overload], runs: list[Run]) -> Run:
    """Choose by the values: some argument's type is only known now."""
    choices = [(tuple(None if p.is_dyn or p.is_var else p.name for p in o.params), o) for o in overloads]

    def run(frame: Frame) -> Any:
        arguments = [r(frame) for r in runs]
        names = [type_name(a) for a in arguments]
        for wanted, overload in choices:
            if all(w is None or w == n for w, n in zip(wanted, names, strict=True)):
                if overload.work is not None:
                    pay(frame, overload.work, arguments)
                try:
                    return overload.run(*arguments)
                except MISFITS:
                    break  # what is inside a list or a map is of the wrong type
        raise EvaluationError(f"no such overload: {name}({', '.join(names)})")

    return run
