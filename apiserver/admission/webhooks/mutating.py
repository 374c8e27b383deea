"""MutatingAdmissionWebhook: webhooks are asked in turn, each sees what those before it have made of the object.

One that asks for it (reinvocationPolicy IfNeeded) is asked once more when the object has changed after its turn.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from api import meta, objects
from api.builtin import MUTATING_WEBHOOK_CONFIGURATIONS
from api.errors import ApiError, InternalError
from api.meta import Obj
from api.patch import json_patch
from api.registry import Resource
from apiserver.admission import review
from apiserver.admission.chain import Attempt, Plugin
from apiserver.admission.matching import is_exempt
from apiserver.admission.review import View
from apiserver.admission.webhooks.calling import Caller, Parts, Views, internal
from apiserver.admission.webhooks.counts import ADMIT
from apiserver.admission.webhooks.credentials import Credentials
from apiserver.admission.webhooks.index import Hook, Index

_MUTATION, _PATCH = "mutation.webhook.admission.k8s.io/", "patch.webhook.admission.k8s.io/"


@dataclass(slots=True)
class _Rounds:
    """What the first run leaves for the second."""

    asked: list[Hook] = field(default_factory=list)  # of those that may be asked again
    again: list[Hook] = field(default_factory=list)
    left: Obj | None = None  # the object as it was when all had been asked


class MutatingWebhooks(Plugin):
    name = "MutatingAdmissionWebhook"

    def __init__(self, parts: Parts, configuration: Obj | None = None) -> None:
        index = Index(parts.store, parts.registry, MUTATING_WEBHOOK_CONFIGURATIONS)
        self._caller = Caller(parts, ADMIT, index, Credentials(self.name, configuration))

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return not is_exempt(res)

    async def mutate(self, attempt: Attempt) -> None:
        candidates = self._caller.candidates(attempt)
        if not candidates:
            return
        rounds: _Rounds = attempt.kept.setdefault(self.name, _Rounds())
        if attempt.reinvoked and rounds.left != attempt.obj:
            _ask_again(rounds)
        views = Views(attempt)
        for index, hook in candidates:
            if attempt.reinvoked and hook not in rounds.again:
                continue
            view = await self._caller.view(hook, views)
            if view is None:
                continue
            if await self._ask(hook, attempt, view, f"round_{int(attempt.reinvoked)}_index_{index}"):
                _ask_again(rounds)
                attempt.again = True
                views = Views(attempt)
            if hook.reinvocable:
                rounds.asked.append(hook)
        if rounds.asked and not attempt.reinvoked:
            rounds.left = meta.copied(attempt.obj)

    async def _ask(self, hook: Hook, attempt: Attempt, view: View, at: str) -> bool:
        """Whether the object is another one now."""
        told = {"configuration": hook.configuration, "webhook": hook.name}
        changed = False
        try:
            patch = await self._caller.call(hook, attempt, view, f"failed-open.{_MUTATION}{at}")
            if patch is None or not patch.json:
                return False
            try:
                operations = _operations(patch.json)
                if operations == []:
                    return False
                new = _patched(hook, view, operations)
                if new != view.obj:
                    changed = True
                    own = view.row.api_version == attempt.res.api_version or not review.is_own(attempt)
                    back = new if own else await review.converted(self._caller.store, new, view.row, attempt.res)
                    attempt.obj = back
            except ApiError as error:
                self._caller.spoiled(hook, attempt)
                raise internal(error.message) from error
            attempt.annotate(_PATCH + at, _json({**told, "patch": operations, "patchType": "JSONPatch"}))
        finally:
            attempt.annotate(_MUTATION + at, _json({**told, "mutated": changed}))
        return changed


def _ask_again(rounds: _Rounds) -> None:
    rounds.again += rounds.asked
    rounds.asked = []


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _operations(patch: bytes) -> Any:
    try:
        return orjson.loads(patch)
    except orjson.JSONDecodeError as error:
        raise InternalError(f"the patch is not JSON: {error}") from error


def _patched(hook: Hook, view: View, operations: Any) -> Obj:
    """The object that a patch makes, decoded and with defaults as one that a client sent. ApiError."""
    before = view.obj
    if before is None:
        why = "attempted to modify the object, which is not supported for this operation"
        raise InternalError(f'admission webhook "{hook.name}" {why}')
    patched = json_patch.apply(before, operations)
    if any(patched.get(name) != before.get(name) for name in ("apiVersion", "kind")):
        raise InternalError(f'admission webhook "{hook.name}" attempted to make an object of another kind')
    group, _, version = str(before.get("apiVersion", "")).rpartition("/")
    row, kind = view.row, str(before.get("kind", ""))
    if (group, version, kind) != (row.group, row.version, row.kind):
        row = Resource(group, version, kind, "", "", True)  # the kind of a subresource
    new, _ = objects.decode(row, patched, objects.IGNORE)
    row.hooks.default(new)
    if "metadata" not in before:
        new.pop("metadata", None)
    return new
