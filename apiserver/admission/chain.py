"""What may enter: an ordered list of steps, first those that change an object, then those that judge it.

A step is a class with `handles` and one or both of `mutate` and `validate`. It raises an ApiError to refuse.
Steps run in upstream's order: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

from prometheus_client import Metric

from api.errors import Forbidden
from api.meta import Obj
from api.registry import Resource
from apiserver.auth.user import User
from apiserver.histogram import Histogram
from apiserver.metrics import histogram
from apiserver.request import Request
from apiserver.storage.writes import Put

_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
_OPTIONS = {"create": "CreateOptions", "update": "UpdateOptions"}


@dataclass(slots=True)
class Attempt:
    """One attempted write, or connection to what runs in the cluster.

    `obj` is None on delete, `old` on create and connect. Through a subresource with a kind of its own (a Scale, a
    Binding, an Eviction, a TokenRequest, the options of a connection) they are of that kind. A step that changes the
    object edits `obj` or puts another in its place: who admits goes on with what stands there.
    """

    user: User
    verb: str  # create, update, delete, connect
    res: Resource
    subresource: str
    namespace: str
    name: str  # "" until one is generated
    obj: Obj | None
    old: Obj | None
    dry_run: bool = False
    request: Request | None = None  # None: the server writes by itself
    delete_options: Obj | None = None
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    again: bool = False
    """Set by a step that has changed what those before it have seen: all that change objects run once more."""
    reinvoked: bool = False
    kept: dict[str, Any] = field(default_factory=dict)
    """What a step keeps of its first run for its second, under its name."""
    put: Put | None = None
    """Writes the object, when something else is to be written with it."""

    def __post_init__(self) -> None:
        if self.request is not None:
            self.warnings, self.annotations = self.request.warnings, self.request.annotations

    @property
    def options(self) -> Obj | None:
        """CreateOptions, UpdateOptions or DeleteOptions, as they stand in an AdmissionRequest."""
        if self.verb == "delete":
            return self.delete_options
        if self.verb not in _OPTIONS:
            return None
        options: Obj = {"kind": _OPTIONS[self.verb], "apiVersion": "meta.k8s.io/v1"}
        if self.dry_run:
            options["dryRun"] = ["All"]
        if self.request is not None:
            options |= {k: v for k in ("fieldManager", "fieldValidation") if (v := self.request.query(k))}
        return options

    def warn(self, text: str) -> None:
        """Tell the client, with the answer; once, however often the write is tried."""
        if text not in self.warnings:
            self.warnings.append(text)

    def annotate(self, key: str, value: str) -> None:
        """Note something in the audit log. The first value of a key holds, as upstream's."""
        self.annotations.setdefault(key, value)

    def new(self) -> Obj:
        """The object of a create or update."""
        if self.obj is None:
            raise LookupError(f"{self.verb} has no new object")
        return self.obj

    @property
    def shown_name(self) -> str:
        """What messages call the object: while it has no name, by the beginning of the one it will get."""
        return self.name or str(((self.obj or {}).get("metadata") or {}).get("generateName") or "")

    def forbidden(self, why: str) -> Forbidden:
        details = {"name": self.shown_name, "group": self.res.group, "kind": self.res.plural}
        return Forbidden(
            f'{self.res.qualified} "{self.shown_name}" is forbidden: {why}', {k: v for k, v in details.items() if v}
        )


class Step(Protocol):
    name: str
    """Upstream's name of the plugin, by which flags turn it on and off; "" for rules that always hold."""

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        """Depends on its arguments alone: the answer is remembered."""
        ...

    async def mutate(self, attempt: Attempt) -> None: ...

    async def validate(self, attempt: Attempt) -> None: ...


class Plugin:
    """A step that does nothing yet; steps override what they need."""

    name = ""

    async def mutate(self, attempt: Attempt) -> None:
        return

    async def validate(self, attempt: Attempt) -> None:
        return


def _does(step: Step, what: str) -> bool:
    return getattr(type(step), what) is not getattr(Plugin, what)


Run = Callable[[Attempt], Coroutine[Any, Any, None]]


class Admission:
    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._runs: dict[tuple[str, str, str, str], tuple[list[Run], list[Run]]] = {}
        self._seconds = Histogram(_SECONDS)  # by type, operation, rejected

    def _for(self, attempt: Attempt) -> tuple[list[Run], list[Run]]:
        """What changes such an attempt, what judges it; without the steps that do nothing there."""
        key = (attempt.verb, attempt.res.group, attempt.res.plural, attempt.subresource)
        runs = self._runs.get(key)
        if runs is None:
            steps = [s for s in self._steps if s.handles(attempt.verb, attempt.res, attempt.subresource)]
            mutate: list[Run] = [s.mutate for s in steps if _does(s, "mutate")]
            validate: list[Run] = [s.validate for s in steps if _does(s, "validate")]
            runs = self._runs[key] = mutate, validate
        return runs

    async def mutate(self, attempt: Attempt) -> None:
        """https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy"""
        runs = self._for(attempt)[0]
        started, rejected = perf_counter(), "true"
        try:
            for run in runs:
                await run(attempt)
            if attempt.again:
                attempt.reinvoked = True
                for run in runs:
                    await run(attempt)
            rejected = "false"
        finally:
            self._seconds.observe(("admit", attempt.verb.upper(), rejected), perf_counter() - started)

    async def validate(self, attempt: Attempt) -> None:
        started, rejected = perf_counter(), "true"
        try:
            for run in self._for(attempt)[1]:
                await run(attempt)
            rejected = "false"
        finally:
            self._seconds.observe(("validate", attempt.verb.upper(), rejected), perf_counter() - started)

    def collect(self) -> Iterator[Metric]:
        """k8s.io/apiserver/pkg/admission/metrics"""
        name = "apiserver_admission_step_admission_duration_seconds"
        yield histogram(name, "Latency of admission.", ("type", "operation", "rejected"), self._seconds)
