"""Which bindings of which policies see a request, with which parameters, and what their expressions see.

Whatever the requests are, a policy whose rules do not name their kind costs one look-up in a table for all policies.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from api.builtin import (
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    NAMESPACES,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
from api.cel.admission import Values
from api.errors import ApiError
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver.admission import asking, review
from apiserver.admission.chain import Attempt
from apiserver.admission.matching import Matching
from apiserver.admission.policies.index import Binding, Index, Policy
from apiserver.admission.policies.judging import Scoped
from apiserver.admission.policies.params import Misconfigured, Params
from apiserver.auth.authorizer import Authorizer
from apiserver.storage.store import Store

_OWN = (
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
Evaluator = TypeVar("Evaluator", bound=Scoped)


def is_seen(res: Resource) -> bool:
    """No policy may stand in the way of changing policies."""
    return res not in _OWN


class Invocation(NamedTuple, Generic[Evaluator]):
    """One evaluation that is due; with a `problem`, one that would be, but for how things are configured."""

    policy: Policy[Evaluator]
    binding: Binding | None
    row: Resource
    param: Obj | None = None
    problem: str = ""


class Dispatch(Generic[Evaluator]):
    def __init__(self, store: Store, registry: Registry, authorizer: Authorizer, index: Index[Evaluator]) -> None:
        self._store = store
        self._registry = registry
        self._authorizer = authorizer
        self._index = index
        self._matching = Matching(store, registry)
        self._params = Params(store, registry)
        self._of: tuple[list[Policy[Evaluator]], int] = ([], -1)
        self._concerned: dict[tuple[str, ...], list[Policy[Evaluator]]] = {}

    def concerned(self, attempt: Attempt) -> list[Policy[Evaluator]]:
        """The policies whose rules name such requests. ServiceUnavailable while it is not known which there are."""
        self._store.check_filled()
        hooks, generation = self._index.hooks, self._registry.generation
        if not hooks:
            return hooks
        if self._of[0] is not hooks or self._of[1] != generation:
            self._of, self._concerned = (hooks, generation), {}
        res = attempt.res
        key = (attempt.verb, res.group, res.version, res.plural, attempt.subresource)
        found = self._concerned.get(key)
        if found is None:
            found = self._concerned[key] = [p for p in hooks if self._names(p, attempt, key)]
        return found

    def _names(self, policy: Policy[Evaluator], attempt: Attempt, key: tuple[str, str, str, str, str]) -> bool:
        policy.matcher.wanted(attempt, self._registry)
        return bool(policy.matcher.hits[key])

    async def invocations(self, attempt: Attempt, policies: list[Policy[Evaluator]]) -> list[Invocation[Evaluator]]:
        """Of those of `policies` that match. ApiError when that cannot be told."""
        found: list[Invocation[Evaluator]] = []
        for policy in policies:
            row = self._matching.row(policy.matcher, attempt)
            if row is None:
                continue
            try:
                kind = self._params.row(policy.param_kind) if policy.param_kind is not None else None
            except Misconfigured as error:
                found.append(Invocation(policy, None, row, problem=f"failed to configure policy: {error}"))
                continue
            for binding in policy.bindings:
                if binding.matcher is not None and self._matching.row(binding.matcher, attempt) is None:
                    continue
                try:
                    params = await self._params.of(kind, binding.param_ref, review.namespace_of(attempt))
                except (Misconfigured, ApiError) as error:
                    found.append(Invocation(policy, binding, row, problem=f"failed to configure binding: {error}"))
                    continue
                found += [Invocation(policy, binding, row, param) for param in params]
        return found

    async def values(self, attempt: Attempt, row: Resource, evaluator: Evaluator) -> Values:
        """Without `params`. Misconfigured; NotFound."""
        try:
            view = await review.show(self._store, attempt, row)
        except ApiError as error:
            raise Misconfigured(f"failed to configure policy: failed to convert object version: {error}") from error
        values = review.values(attempt, view)
        values["authorizer"] = asking.variable(self._authorizer, attempt)
        if attempt.namespace and evaluator.uses_namespace:
            values["namespaceObject"] = await self._namespace(attempt.namespace)
        return values

    async def _namespace(self, name: str) -> Obj:
        found = self._store.peek(NAMESPACES, "", name)
        return (found if found is not None else await self._store.get(NAMESPACES, "", name)).obj()
