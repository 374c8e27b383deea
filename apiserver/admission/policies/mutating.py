"""MutatingAdmissionPolicy: what enters is changed by CEL expressions, policy by policy in order of name.

A policy with reinvocationPolicy IfNeeded has its turn once more when the object has changed after it.
https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from api import meta
from api.builtin import MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS
from api.cel.admission import Failed
from api.errors import ApiError, Forbidden
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver.admission import review
from apiserver.admission.chain import Attempt, Plugin
from apiserver.admission.policies.counts import PolicyCounts
from apiserver.admission.policies.dispatch import Dispatch, Invocation, is_seen
from apiserver.admission.policies.index import Index
from apiserver.admission.policies.params import Misconfigured
from apiserver.admission.policies.patching import Mutator
from apiserver.auth.authorizer import Authorizer
from apiserver.storage.store import Store

_Key = tuple[str, ...]


@dataclass(slots=True)
class _Rounds:
    """What the first run leaves for the second."""

    done: set[_Key] = field(default_factory=set)  # those that may have another turn
    due: set[_Key] = field(default_factory=set)
    left: Obj | None = None  # the object as it was when all had had their turn

    def require(self) -> None:
        """The object has changed: whoever had a turn before gets another one."""
        self.due |= self.done
        self.done = set()


@dataclass(slots=True)
class _Problems:
    texts: list[str] = field(default_factory=list)
    invalid: bool = False  # the first is about the request, not about how things are configured

    def add(self, invocation: Invocation[Mutator], why: str, *, invalid: bool) -> None:
        policy, binding = invocation.policy, invocation.binding
        if not policy.fails:
            return
        self.invalid = self.invalid if self.texts else invalid
        by = f"'{policy.name}' with binding '{binding.name}'" if binding is not None else f'"{policy.name}"'
        self.texts.append(f"policy {by} denied request: {why}")


class MutatingAdmissionPolicies(Plugin):
    name = "MutatingAdmissionPolicy"

    def __init__(self, store: Store, registry: Registry, authorizer: Authorizer) -> None:
        index = Index(Mutator)
        index.follow(store, MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS)
        self._store = store
        self._dispatch = Dispatch(store, registry, authorizer, index)
        self.counts = PolicyCounts("mutating", "error_type")

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return verb != "delete" and is_seen(res)

    async def mutate(self, attempt: Attempt) -> None:
        policies = self._dispatch.concerned(attempt)
        if not policies or attempt.obj is None:
            return
        rounds: _Rounds = attempt.kept.setdefault(self.name, _Rounds())
        if attempt.reinvoked and rounds.left != attempt.obj:
            rounds.require()
        problems = _Problems()
        for invocation in await self._dispatch.invocations(attempt, policies):
            if invocation.problem:
                problems.add(invocation, invocation.problem, invalid=False)
            else:
                await self._invoke(attempt, invocation, rounds, problems)
        if rounds.done and not attempt.reinvoked:
            rounds.left = meta.copied(attempt.obj)
        if problems.texts:
            raise _refusal(attempt, problems)

    async def _invoke(
        self, attempt: Attempt, invocation: Invocation[Mutator], rounds: _Rounds, problems: _Problems
    ) -> None:
        evaluator, row = invocation.policy.evaluator, invocation.row
        try:
            values = await self._dispatch.values(attempt, row, evaluator)
            values["params"] = invocation.param
            if not evaluator.concerns(values):
                return
        except Misconfigured as error:
            problems.add(invocation, str(error), invalid=False)
            return
        except Failed as error:
            problems.add(invocation, str(error), invalid=True)
            return
        key = _key(invocation)
        if attempt.reinvoked and key not in rounds.due:
            return
        before = obj = values["object"]
        kind = row if review.is_own(attempt) else _kind(obj)
        for mutation in evaluator.mutations:
            started, outcome = time.perf_counter(), "no_error"
            try:
                obj = mutation.mutated(values, obj, kind)
            except Failed as error:
                outcome = error.type
                problems.add(invocation, str(error), invalid=True)
            self.counts.saw(*key[:2], outcome, seconds=time.perf_counter() - started)
        if obj != before:
            attempt.obj = await self._back(attempt, obj, row)
            rounds.require()
            attempt.again = True
        if evaluator.reinvocable:
            rounds.done.add(key)

    async def _back(self, attempt: Attempt, obj: Obj, row: Resource) -> Obj:
        if row.api_version == attempt.res.api_version or not review.is_own(attempt):
            return obj
        return await review.converted(self._store, obj, row, attempt.res)


def _kind(obj: Obj) -> Resource:
    """What a subresource with a kind of its own takes."""
    group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
    return Resource(group, version, str(obj.get("kind", "")), "", "", True)


def _key(invocation: Invocation[Mutator]) -> _Key:
    binding, param = invocation.binding, invocation.param
    of = (meta.namespace(param), meta.name(param)) if param is not None else ()
    return (invocation.policy.name, binding.name if binding is not None else "", *of)


def _refusal(attempt: Attempt, problems: _Problems) -> ApiError:
    """Upstream answers 403 also where it gives Invalid as the reason."""
    causes = [{"message": text} for text in problems.texts]
    error = Forbidden(problems.texts[0], {**attempt.forbidden("").details, "causes": causes})
    if problems.invalid:
        error.reason = "Invalid"
    return error
