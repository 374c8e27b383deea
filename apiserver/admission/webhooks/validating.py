"""ValidatingAdmissionWebhook: all webhooks that want to see a request are asked at once; one refusal is enough.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import asyncio

from api.builtin import VALIDATING_WEBHOOK_CONFIGURATIONS
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.admission.matching import is_exempt
from apiserver.admission.review import View
from apiserver.admission.webhooks.calling import Caller, Parts, Views
from apiserver.admission.webhooks.counts import VALIDATE
from apiserver.admission.webhooks.credentials import Credentials
from apiserver.admission.webhooks.index import Hook, Index

_FAILED_OPEN = "failed-open.validating.webhook.admission.k8s.io/round_0_index_{}"


class ValidatingWebhooks(Plugin):
    name = "ValidatingAdmissionWebhook"

    def __init__(self, parts: Parts, configuration: Obj | None = None) -> None:
        index = Index(parts.store, parts.registry, VALIDATING_WEBHOOK_CONFIGURATIONS)
        self._caller = Caller(parts, VALIDATE, index, Credentials(self.name, configuration))

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return not is_exempt(res)

    async def validate(self, attempt: Attempt) -> None:
        candidates = self._caller.candidates(attempt)
        if not candidates:
            return
        wanted: list[tuple[Hook, View]] = []
        views = Views(attempt)
        for _, hook in candidates:
            view = await self._caller.view(hook, views)
            if view is not None:
                wanted.append((hook, view))
        calls = [
            self._caller.call(hook, attempt, view, _FAILED_OPEN.format(index))
            for index, (hook, view) in enumerate(wanted)
        ]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
