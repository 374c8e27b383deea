"""What expressions of admission policies and webhooks see, and how their conditions and variables are evaluated.

    scope = declared(params=True)                     the variables and their types
    conditions = Conditions(spec["matchConditions"], scope)
    conditions.met(values)                            False: the request is none of theirs. Failed: cannot be told

An expression that does not compile or has no value is `Failed`; what follows is for the failure policy to say.
Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/ and
k8s.io/apiserver/pkg/admission/plugin/cel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from api.cel.authorization import AUTHORIZER
from api.cel.program import Budget, CompileError, CostExceeded, EvaluationError, Program, compile
from api.cel.types import BOOL, DYN, INT, STRING, TIMESTAMP, VARIABLES, Field, Type, list_of, map_of, object_of
from api.cel.values import parse_timestamp
from api.meta import Obj

POLICY_BUDGET = 10_000_000
"""The work of all expressions of a policy for one request (RuntimeCELCostBudget of k8s.io/apiserver/pkg/apis/cel)."""
CONDITIONS_BUDGET = POLICY_BUDGET // 4
_SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"

Scope = Mapping[str, Type]
Values = dict[str, Any]


class Failed(Exception):
    """An expression has no value. The text is upstream's, and so is `type`, by which failures are counted."""

    type = "invalid_error"


class Uncompiled(Failed):
    """It was no expression in the first place."""

    type = "compile_error"


class OutOfBudget(Failed):
    """Too much work was done; nothing more is evaluated."""

    type = "out_of_budget"

    def __init__(self) -> None:
        super().__init__(_SPENT)


def _object(name: str, /, **fields: Type) -> Type:
    converts = {TIMESTAMP: parse_timestamp}
    made = {n: Field(t, "uid" if n == "UID" else n, converts.get(t)) for n, t in fields.items()}
    return object_of(f"kubernetes.{name}", made)


_STRINGS, _TEXTS = list_of(STRING), map_of(STRING, STRING)
_KIND = _object("GroupVersionKind", group=STRING, version=STRING, kind=STRING)
_RESOURCE = _object("GroupVersionResource", group=STRING, version=STRING, resource=STRING)
_USER = _object("UserInfo", username=STRING, uid=STRING, groups=_STRINGS, extra=map_of(STRING, _STRINGS))
REQUEST = _object(
    "AdmissionRequest", kind=_KIND, resource=_RESOURCE, subResource=STRING, requestKind=_KIND,
    requestResource=_RESOURCE, requestSubResource=STRING, name=STRING, namespace=STRING, operation=STRING,
    userInfo=_USER, dryRun=BOOL, options=DYN,
)  # fmt: skip
NAMESPACE = _object(
    "Namespace",
    metadata=_object(
        "NamespaceMetadata", name=STRING, generateName=STRING, namespace=STRING, labels=_TEXTS, annotations=_TEXTS,
        UID=STRING, creationTimestamp=TIMESTAMP, deletionGracePeriodSeconds=INT, deletionTimestamp=TIMESTAMP,
        generation=INT, resourceVersion=STRING, finalizers=_STRINGS,
    ),
    spec=_object("NamespaceSpec", finalizers=_STRINGS),
    status=_object(
        "NamespaceStatus",
        phase=STRING,
        conditions=list_of(
            _object("NamespaceCondition", type=STRING, status=STRING, lastTransitionTime=TIMESTAMP, reason=STRING,
                    message=STRING)
        ),
    ),
)  # fmt: skip


def declared(*, params: bool = False, authorizer: bool = True) -> dict[str, Type]:
    """The variables of an expression. `namespaceObject` is null where there is no namespace, and for webhooks."""
    scope = {"object": DYN, "oldObject": DYN, "request": REQUEST, "namespaceObject": NAMESPACE}
    if params:
        scope["params"] = DYN
    if authorizer:
        scope["authorizer"] = AUTHORIZER
    return scope


class Expression:
    """One expression, compiled; when it does not compile, every evaluation says so."""

    __slots__ = ("problem", "program", "source", "type")

    def __init__(self, source: str, scope: Scope, types: Mapping[str, Type] | None = None) -> None:
        self.source = source
        self.problem = ""
        self.type = DYN
        self.program: Program | None = None
        try:
            self.program = compile(source, scope, types=types)
            self.type = self.program.type
        except CompileError as error:
            self.problem = f"compilation failed: {error}"

    def evaluate(self, values: Values, budget: Budget) -> Any:
        """Failed; OutOfBudget."""
        try:
            value = self.value(values, budget)
        except (EvaluationError, CostExceeded) as error:
            if budget.left < 0:
                raise OutOfBudget from error
            raise Failed(f"expression '{self.source}' resulted in error: {error}") from error
        if budget.left < 0:
            raise OutOfBudget
        return value

    def value(self, values: Values, budget: Budget) -> Any:
        """EvaluationError; CostExceeded; Failed when there is nothing to evaluate."""
        if self.program is None:
            raise Uncompiled(f"compilation error: {self.problem}")
        return self.program.evaluate(values, budget)


class Variables(dict[str, Any]):
    """`variables`: each is evaluated when it is first asked for, once."""

    def __init__(self, expressions: Mapping[str, Expression], values: Values, budget: Budget) -> None:
        super().__init__()
        self._expressions = expressions
        self._values = values
        self._budget = budget

    def __missing__(self, name: str) -> Any:
        try:
            value = self[name] = self._expressions[name].value({**self._values, "variables": self}, self._budget)
        except (EvaluationError, CostExceeded, Failed) as error:
            raise EvaluationError(f'composited variable "{name}" fails to evaluate: {error}') from error
        return value

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self._expressions else default


def composed(given: Iterable[Obj] | None, scope: Scope) -> tuple[dict[str, Expression], Scope]:
    """(spec.variables by name, each of which sees those before it; the scope in which all are known)."""
    expressions: dict[str, Expression] = {}
    fields: dict[str, Field] = {}
    for variable in given or ():
        name = variable["name"]
        expressions[name] = Expression(variable["expression"], _with(scope, fields))
        fields[name] = Field(expressions[name].type, name)
    return expressions, _with(scope, fields)


def _with(scope: Scope, fields: Mapping[str, Field]) -> Scope:
    return {**scope, "variables": object_of(VARIABLES, dict(fields))}


class Conditions:
    """matchConditions: one that is false decides, else one that fails."""

    __slots__ = ("_expressions",)

    def __init__(self, given: Sequence[Obj] | None, scope: Scope) -> None:
        self._expressions = [Expression(condition["expression"], scope) for condition in given or ()]

    def __iter__(self) -> Iterator[Expression]:
        return iter(self._expressions)

    def met(self, values: Values) -> bool:
        """Failed, when no condition is false and some have no value."""
        budget = Budget(CONDITIONS_BUDGET)
        problems: list[str] = []
        for expression in self._expressions:
            try:
                value = expression.evaluate(values, budget)
            except OutOfBudget:
                raise
            except Failed as error:
                problems.append(str(error))
                continue
            if value is False:
                return False
            if value is not True:
                problems.append(f"expression '{expression.source}' resulted in error: it is not a bool")
        if problems:
            raise Failed(problems[0] if len(problems) == 1 else f"[{', '.join(dict.fromkeys(problems))}]")
        return True
