"""CEL programs: compile once, evaluate often.

program = compile("self.minReplicas <= self.replicas", {"self": type_of_self}, result=BOOL)
program.evaluate({"self": obj})
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.cel import syntax
from api.cel.compiler import Compiler
from api.cel.runtime import MISFITS, PER_CALL_LIMIT, Run
from api.cel.syntax import CompileError
from api.cel.types import Type
from api.cel.values import CostExceeded, EvaluationError

__all__ = ["PER_CALL_LIMIT", "Budget", "CompileError", "CostExceeded", "EvaluationError", "Program", "compile"]


@dataclass(slots=True)
class Budget:
    """Work that several evaluations share: below 0 none is left."""

    left: float


@dataclass(frozen=True, slots=True)
class Program:
    source: str
    type: Type
    uses: frozenset[str]
    """The variables that the expression mentions."""
    cost: float
    """What it costs at worst, by the limits in the types of its variables."""
    _run: Run
    _flat: int
    _slots: int
    _variables: tuple[str, ...]

    def evaluate(self, values: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """The value. EvaluationError when there is none, CostExceeded when it would take too much work.

        `values` holds JSON; what it lacks of the declared variables must not be reached.
        """
        frame: list[Any] = [PER_CALL_LIMIT - self._flat, *map(values.get, self._variables)]
        frame += [None] * (self._slots - len(frame))
        try:
            return self._run(frame)
        except RecursionError:
            raise EvaluationError("expression recursion limit exceeded") from None
        except MISFITS as error:
            raise EvaluationError(f"no such overload: {error}") from error
        finally:
            if budget is not None:
                budget.left -= PER_CALL_LIMIT - frame[0]


def compile(
    expression: str,
    variables: Mapping[str, Type],
    *,
    types: Mapping[str, Type] | None = None,
) -> Program:
    """Check and compile. `types` are the object types that the expression may construct by name."""
    try:
        compiler = Compiler(expression, variables, types or {})
        code = compiler.code(syntax.parse(expression))
    except RecursionError:
        raise CompileError(expression, 0, "expression recursion limit exceeded") from None
    return Program(
        expression,
        code.type,
        frozenset(compiler.used & variables.keys()),
        code.cost,
        code.run,
        code.flat,
        compiler.slots,
        tuple(variables),
    )
