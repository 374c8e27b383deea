"""What may enter: an ordered list of steps, first those that change an object, then those that judge it.

A step is a class with `handles` and one or both of `mutate` and `validate`. It raises an ApiError to refuse.
Steps run in upstream's order: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from api.errors import Forbidden
from api.meta import Obj
from api.registry import Resource
from apiserver.auth.user import User


@dataclass(slots=True)
class Attempt:
    """One attempted write. `obj` is None on delete, `old` on create."""

    user: User
    verb: str  # create, update, delete
    res: Resource
    subresource: str
    namespace: str
    name: str
    obj: Obj | None
    old: Obj | None
    dry_run: bool = False

    def new(self) -> Obj:
        """The object of a create or update."""
        if self.obj is None:
            raise LookupError(f"{self.verb} has no new object")
        return self.obj

    def forbidden(self, why: str) -> Forbidden:
        details = {"name": self.name, "group": self.res.group, "kind": self.res.plural}
        return Forbidden(
            f'{self.res.qualified} "{self.name}" is forbidden: {why}', {k: v for k, v in details.items() if v}
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


class Admission:
    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._handling: dict[tuple[str, str, str, str], list[Step]] = {}

    def _for(self, attempt: Attempt) -> list[Step]:
        key = (attempt.verb, attempt.res.group, attempt.res.plural, attempt.subresource)
        steps = self._handling.get(key)
        if steps is None:
            steps = [s for s in self._steps if s.handles(attempt.verb, attempt.res, attempt.subresource)]
            self._handling[key] = steps
        return steps

    async def mutate(self, attempt: Attempt) -> None:
        for step in self._for(attempt):
            await step.mutate(attempt)

    async def validate(self, attempt: Attempt) -> None:
        for step in self._for(attempt):
            await step.validate(attempt)
