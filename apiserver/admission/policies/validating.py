"""ValidatingAdmissionPolicy: what enters is judged by CEL expressions.

What a policy refuses, its binding's actions make a refusal, a warning or a note in the audit log; what keeps a policy
from being applied at all refuses the request, unless the policy's failurePolicy is Ignore.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

import time

import orjson

from api.builtin import VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS
from api.cel.admission import Values
from api.errors import ApiError, EntityTooLarge, Forbidden, Invalid, Unauthorized
from api.registry import Registry, Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.admission.policies.counts import PolicyCounts
from apiserver.admission.policies.dispatch import Dispatch, Invocation, is_seen
from apiserver.admission.policies.index import Binding, Index, Policy
from apiserver.admission.policies.judging import Judge, Judgement, Refusal
from apiserver.admission.policies.params import Misconfigured
from apiserver.auth.authorizer import Authorizer
from apiserver.storage.store import Store

FAILURE = "validation.policy.admission.k8s.io/validation_failure"
_ERRORS: dict[str, type[ApiError]] = {e.reason: e for e in (EntityTooLarge, Forbidden, Invalid, Unauthorized)}


class ValidatingAdmissionPolicies(Plugin):
    name = "ValidatingAdmissionPolicy"

    def __init__(self, store: Store, registry: Registry, authorizer: Authorizer) -> None:
        index = Index(Judge)
        index.follow(store, VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS)
        self._dispatch = Dispatch(store, registry, authorizer, index)
        self.counts = PolicyCounts("validating", "error_type", "enforcement_action")

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return is_seen(res)

    async def validate(self, attempt: Attempt) -> None:
        policies = self._dispatch.concerned(attempt)
        if not policies:
            return
        shown: dict[tuple[str, bool], Values] = {}
        refused: list[tuple[Policy[Judge], Binding | None, Refusal]] = []
        notes: dict[str, dict[str, None]] = {}  # key → values, each once
        for invocation in await self._dispatch.invocations(attempt, policies):
            policy, binding = invocation.policy, invocation.binding
            started = time.perf_counter()
            try:
                judgement = await self._judged(attempt, invocation, shown)
            except Misconfigured as error:
                if policy.fails:
                    refused.append((policy, binding, Refusal(0, str(error))))
                continue
            assert binding is not None, "without a binding there is nothing to judge"
            seconds = time.perf_counter() - started
            for problem in judgement.ignored:
                self.counts.saw(policy.name, binding.name, problem, "allow", seconds=seconds)
            for refusal in judgement.refusals:
                for action in binding.actions:
                    self.counts.saw(policy.name, binding.name, refusal.error, action.lower(), seconds=seconds)
                if _act(attempt, policy, binding, refusal):
                    refused.append((policy, binding, refusal))
            refused += [(policy, binding, Refusal(0, why)) for why in judgement.broken]
            for key, value in judgement.annotations:
                notes.setdefault(f"{policy.name}/{key}", {})[value] = None
        for key, values in notes.items():
            attempt.annotate(key, ", ".join(values))
        if refused:
            raise _refusal(attempt, *refused[0])

    async def _judged(
        self, attempt: Attempt, invocation: Invocation[Judge], shown: dict[tuple[str, bool], Values]
    ) -> Judgement:
        if invocation.problem:
            raise Misconfigured(invocation.problem)
        evaluator, row = invocation.policy.evaluator, invocation.row
        key = (row.api_version, evaluator.uses_namespace)
        values = shown.get(key)
        if values is None:
            values = shown[key] = await self._dispatch.values(attempt, row, evaluator)
        return evaluator.judge({**values, "params": invocation.param})


def _act(attempt: Attempt, policy: Policy[Judge], binding: Binding, refusal: Refusal) -> bool:
    """Whether the request is refused."""
    if "Audit" in binding.actions:
        failure = {
            "message": refusal.message,
            "policy": policy.name,
            "binding": binding.name,
            "expressionIndex": refusal.position,
            "validationActions": binding.actions,
        }
        attempt.annotate(FAILURE, orjson.dumps([failure]).decode())
    if "Warn" in binding.actions:
        attempt.warn(
            f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}': "
            f"{refusal.message}"
        )
    return "Deny" in binding.actions


def _refusal(attempt: Attempt, policy: Policy[Judge], binding: Binding | None, refusal: Refusal) -> ApiError:
    bound = f" with binding '{binding.name}'" if binding is not None else ""
    message = f"ValidatingAdmissionPolicy '{policy.name}'{bound} denied request: {refusal.message}"
    error = attempt.forbidden(message)
    kind = _ERRORS.get(refusal.reason, Invalid)
    return kind(error.message, {**error.details, "causes": [{"message": message}]})
