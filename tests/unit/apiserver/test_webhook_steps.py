"""The steps that ask webhooks, with webhooks that are a function: what is left in the audit log and the answer.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#mutating-webhook-auditing-annotations
"""

from __future__ import annotations

import base64
from typing import Any, cast

import orjson
import pytest

from api.builtin import BUILTIN, CONFIG_MAPS, MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS
from api.errors import ApiError, Forbidden, InternalError, ServiceUnavailable
from api.meta import Obj
from api.registry import Registry
from apiserver.admission.chain import Admission, Attempt, Plugin
from apiserver.admission.webhooks.calling import Parts
from apiserver.admission.webhooks.counts import WebhookCounts
from apiserver.admission.webhooks.mutating import MutatingWebhooks
from apiserver.admission.webhooks.validating import ValidatingWebhooks
from apiserver.auth.authorizer import Authorizer
from apiserver.request import Request
from apiserver.webhooks import WebhookFailed, Webhooks
from tests.unit.apiserver.admitting import ADMIN, Objects


class Cluster(Objects):
    filled = True

    def check_filled(self) -> None:
        if not self.filled:
            raise ServiceUnavailable("storage is (re)initializing")


class Answers:
    """In place of HTTPS: each webhook answers as `of` says under its URL."""

    def __init__(self, **of: Any) -> None:
        self.of = of

    async def post(self, config: Obj, body: Obj, **_: Any) -> Any:
        answer = self.of[config["url"].removeprefix("https://")]
        if isinstance(answer, Exception):
            raise answer
        response = {"uid": body["request"]["uid"], "allowed": True, **answer}
        return {"apiVersion": body["apiVersion"], "kind": "AdmissionReview", "response": response}


def patch(*operations: Obj) -> Obj:
    return {"patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(operations)).decode()}


def steps(answers: Answers, *, mutating: bool, **more: Any) -> tuple[Admission, Cluster]:
    row = MUTATING_WEBHOOK_CONFIGURATIONS if mutating else VALIDATING_WEBHOOK_CONFIGURATIONS
    rule = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["configmaps"]}
    hooks = [
        {"name": f"{name}.example.com", "clientConfig": {"url": f"https://{name}"}, "rules": [rule],
         "admissionReviewVersions": ["v1"], "sideEffects": "None", **more}
        for name in answers.of
    ]  # fmt: skip
    cluster = Cluster((row, {"kind": row.kind, "metadata": {"name": "conf"}, "webhooks": hooks}))
    parts = Parts(cluster.store, Registry(BUILTIN), Authorizer(), cast(Webhooks, answers), WebhookCounts())
    return Admission([MutatingWebhooks(parts) if mutating else ValidatingWebhooks(parts)]), cluster


def attempt(**more: Any) -> Attempt:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "a"}}
    return Attempt(ADMIN, "create", CONFIG_MAPS, "", "a", "c", obj, None, **more)


async def test_what_mutating_webhooks_leave_in_the_audit_log() -> None:
    add = {"op": "add", "path": "/data", "value": {"a": "1"}}
    answers = Answers(one=patch(add), two={}, three=WebhookFailed("away"))
    chain, _ = steps(answers, mutating=True, failurePolicy="Ignore")
    tried = attempt()
    await chain.mutate(tried)
    found = {key: orjson.loads(value) for key, value in tried.annotations.items() if value.startswith("{")}
    at = "webhook.admission.k8s.io/round_0_index_"
    who = {"configuration": "conf", "webhook": "one.example.com"}
    assert found == {
        f"mutation.{at}0": {**who, "mutated": True},
        f"patch.{at}0": {**who, "patch": [add], "patchType": "JSONPatch"},
        f"mutation.{at}1": {"configuration": "conf", "webhook": "two.example.com", "mutated": False},
        f"mutation.{at}2": {"configuration": "conf", "webhook": "three.example.com", "mutated": False},
    }
    assert tried.annotations[f"failed-open.mutation.{at}2"] == "three.example.com"
    assert tried.new()["data"] == {"a": "1"}


async def test_what_validating_webhooks_leave_in_the_audit_log() -> None:
    """#response: auditAnnotations, prefixed with the webhook's name."""
    answers = Answers(one={"auditAnnotations": {"why": "so"}, "warnings": ["w", "w"]}, two=WebhookFailed("away"))
    chain, _ = steps(answers, mutating=False, failurePolicy="Ignore")
    tried = attempt()
    await chain.validate(tried)
    assert tried.annotations == {
        "one.example.com/why": "so",
        "failed-open.validating.webhook.admission.k8s.io/round_0_index_1": "two.example.com",
    }
    assert tried.warnings == ["w"]


async def test_what_is_not_known_is_not_let_in() -> None:
    """Neither while the configurations are not read, nor when a webhook fails that counts."""
    chain, cluster = steps(Answers(one=WebhookFailed("away")), mutating=False)
    with pytest.raises(InternalError, match='failed calling webhook "one.example.com": failed to call webhook: away'):
        await chain.validate(attempt())
    cluster.filled = False
    with pytest.raises(ServiceUnavailable):
        await chain.validate(attempt())


async def test_a_webhook_that_cannot_bear_dry_runs_is_not_asked() -> None:
    """#side-effects"""
    chain, _ = steps(Answers(one={}), mutating=False, sideEffects="Unknown")
    await chain.validate(attempt())
    with pytest.raises(ApiError, match='admission webhook "one.example.com" does not support dry run') as refused:
        await chain.validate(attempt(dry_run=True))
    assert refused.value.code == 400


@pytest.mark.parametrize("answer", [{"patch": "W10="}, patch({"op": "add", "path": "/data", "value": {"b": "2"}})])
async def test_the_beta_review_is_understood(answer: Obj) -> None:
    chain, _ = steps(Answers(one={**answer, "uid": ""}), mutating=True, admissionReviewVersions=["v2", "v1beta1", "v1"])
    tried = attempt()
    await chain.mutate(tried)
    assert tried.new().get("data") in (None, {"b": "2"})


async def test_steps_run_again_when_one_asks_for_it() -> None:
    ran: list[str] = []

    class Early(Plugin):
        def handles(self, *_: Any) -> bool:
            return True

        async def mutate(self, attempt: Attempt) -> None:
            ran.append("early")

    class Late(Early):
        async def mutate(self, attempt: Attempt) -> None:
            ran.append("late again" if attempt.reinvoked else "late")
            attempt.again = True

    await Admission([Early(), Late()]).mutate(attempt())
    assert ran == ["early", "late", "early", "late again"]


def test_an_attempt_speaks_for_its_request() -> None:
    async def receive() -> Any:
        return {}

    scope = {"method": "POST", "path": "/api/v1/namespaces/a/configmaps", "headers": [],
             "query_string": b"fieldManager=me&dryRun=All"}  # fmt: skip
    request = Request(scope, receive)
    tried = attempt(dry_run=True, request=request)
    tried.warn("once")
    tried.warn("once")
    tried.annotate("k", "first")
    tried.annotate("k", "second")
    assert (request.warnings, request.annotations) == (["once"], {"k": "first"})
    assert tried.options == {
        "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"], "fieldManager": "me",
    }  # fmt: skip
    tried.name, tried.obj = "", {"metadata": {"generateName": "web-"}}
    assert isinstance(tried.forbidden("no"), Forbidden)
    assert str(tried.forbidden("no")) == 'configmaps "web-" is forbidden: no'
