"""One call of one webhook: the AdmissionReview that it gets, and what its answer means.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#webhook-request-and-response ;
wording as in k8s.io/apiserver/pkg/admission/plugin/webhook.
"""

from __future__ import annotations

import base64
import binascii
import time
import uuid
from typing import Any, NamedTuple

import structlog

from api.cel.admission import Failed
from api.errors import ApiError, BadRequest, InternalError
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver.admission import asking, review
from apiserver.admission.chain import Attempt
from apiserver.admission.matching import Matching
from apiserver.admission.review import View
from apiserver.admission.webhooks import counts
from apiserver.admission.webhooks.counts import WebhookCounts
from apiserver.admission.webhooks.credentials import Credentials
from apiserver.admission.webhooks.index import Candidates, Hook, Index
from apiserver.auth.authorizer import Authorizer
from apiserver.storage.store import Store
from apiserver.webhooks import WebhookFailed, Webhooks

log = structlog.get_logger("webhooks")


class Patch(NamedTuple):
    """What a webhook wants to be changed, as JSON; b"": nothing."""

    json: bytes


class Rejected(ApiError):
    """A webhook's refusal, in the Status that it gave."""

    def __init__(self, hook: Hook, result: Obj) -> None:
        denied = f'admission webhook "{hook.name}" denied the request'
        why = str(result.get("message") or result.get("reason") or "")
        super().__init__(f"{denied}: {why}" if why else f"{denied} without explanation", result.get("details"))
        code = result.get("code")
        self.code = code if isinstance(code, int) and 400 <= code <= 599 else 400
        self.reason = str(result.get("reason") or "")


class Views:
    """An attempt in the versions that webhooks want it in, as long as its object stays as it is."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self._made: dict[str, View] = {}
        self._values: dict[str, dict[str, Any]] = {}

    async def of(self, row: Resource, store: Store) -> View:
        """ApiError when the object cannot be converted."""
        found = self._made.get(row.api_version)
        if found is None:
            found = self._made[row.api_version] = await review.show(store, self.attempt, row)
        return found

    def values(self, view: View, authorizer: Authorizer) -> dict[str, Any]:
        """For expressions."""
        found = self._values.get(view.row.api_version)
        if found is None:
            found = self._values[view.row.api_version] = {
                **review.values(self.attempt, view),
                "authorizer": asking.variable(authorizer, self.attempt),
                "namespaceObject": None,
            }
        return found


class Parts(NamedTuple):
    """Of the server, what callers need."""

    store: Store
    registry: Registry
    authorizer: Authorizer
    webhooks: Webhooks
    counted: WebhookCounts


class Caller:
    """What the mutating and the validating step have in common; `kind` is which of them it is, as metrics say it."""

    def __init__(self, parts: Parts, kind: str, index: Index, credentials: Credentials) -> None:
        self.store = parts.store
        self._parts = parts
        self._counted = parts.counted
        self._matching = Matching(parts.store, parts.registry)
        self._kind = kind
        self._index = index
        self._credentials = credentials

    def candidates(self, attempt: Attempt) -> Candidates:
        """ServiceUnavailable while it is not known which webhooks there are."""
        self.store.check_filled()
        return self._index.candidates(attempt)

    async def view(self, hook: Hook, views: Views) -> View | None:
        """The request as the webhook is to see it; None when it does not want to. ApiError when that cannot be told
        and the webhook's failures count."""
        attempt = views.attempt
        row = self._matching.row(hook.matcher, attempt)
        if row is None:
            return None
        view = await views.of(row, self.store)
        if hook.conditions is None:
            return view
        try:
            met = hook.conditions.met(views.values(view, self._parts.authorizer))
        except Failed as error:
            self._counted.undecided(hook.name, self._kind, attempt.verb.upper())
            if not hook.ignores_failures:
                raise attempt.forbidden(str(error)) from error
            log.warning("match conditions cannot be evaluated, failing open", webhook=hook.name)
            return None
        if not met:
            self._counted.excluded(hook.name, self._kind, attempt.verb.upper())
        return view if met else None

    async def call(self, hook: Hook, attempt: Attempt, view: View, failed_open: str) -> Patch | None:
        """None when the webhook has failed and its failures are ignored, which `failed_open` notes for the audit log.
        ApiError when the request is refused."""
        started = time.perf_counter()
        operation = attempt.verb.upper()

        def count(code: int, why: str = "") -> None:
            self._counted.called(hook.name, self._kind, operation, time.perf_counter() - started, code, bool(why))
            if why:
                self._counted.rejected(hook.name, self._kind, operation, why, code)

        try:
            patch = await self._call(hook, attempt, view)
        except WebhookFailed as error:
            why = f'failed calling webhook "{hook.name}": {error}'
            count(error.code, "" if hook.ignores_failures else counts.CALLING)
            if not hook.ignores_failures:
                log.warning("failing closed", webhook=hook.name, cause=error.logged)
                raise internal(why) from error
            log.warning("failing open", webhook=hook.name, cause=error.logged)
            self._counted.failed_open(hook.name, self._kind)
            attempt.annotate(failed_open, hook.name)
            return None
        except Rejected as error:
            count(error.code, counts.NO_ERROR)
            raise
        except ApiError:
            count(0, counts.INTERNAL)
            raise
        count(200)
        return patch

    def spoiled(self, hook: Hook, attempt: Attempt) -> None:
        """What the webhook wants cannot be done."""
        self._counted.rejected(hook.name, self._kind, attempt.verb.upper(), counts.INTERNAL, 0)

    async def _call(self, hook: Hook, attempt: Attempt, view: View) -> Patch:
        if attempt.dry_run and not hook.dry_runs:
            raise BadRequest(f'admission webhook "{hook.name}" does not support dry run')
        uid = str(uuid.uuid4())
        kind, version = "AdmissionReview", f"admission.k8s.io/{hook.review_version}"
        if not hook.review_version:
            raise WebhookFailed(
                "could not create admission objects: webhook does not accept known AdmissionReview versions"
            )
        request = {"uid": uid, **review.request(attempt, view.row), "object": view.obj, "oldObject": view.old}
        sent = {"kind": kind, "apiVersion": version, "request": request}
        try:
            answer = await self._parts.webhooks.post(
                hook.client, sent, timeout=hook.timeout, identity=self._credentials.of(hook.client)
            )
        except WebhookFailed as error:
            raise WebhookFailed(f"failed to call webhook: {error}", error.code, error.logged) from error
        try:
            response = _response(answer, uid, version)
            patch = _patch(response, self._kind == counts.ADMIT, exact=hook.review_version == "v1")
        except ValueError as error:
            raise WebhookFailed(f"received invalid webhook response: {error}", 503) from error
        for key, value in (response.get("auditAnnotations") or {}).items():
            attempt.annotate(f"{hook.name}/{key}", str(value))
        for warning in response.get("warnings") or ():
            attempt.warn(str(warning))
        if response.get("allowed") is not True:
            raise Rejected(hook, response.get("status") or {})
        return patch


def internal(why: str) -> InternalError:
    """As upstream's NewInternalError."""
    return InternalError(f"Internal error occurred: {why}", {"causes": [{"message": why}]})


_SHAPE: dict[str, type] = {
    "uid": str, "allowed": bool, "status": dict, "patch": str, "patchType": str, "auditAnnotations": dict,
    "warnings": list,
}  # fmt: skip
_STATUS: dict[str, type] = {"message": str, "reason": str, "code": int, "details": dict}
_DETAILS: dict[str, type] = {"retryAfterSeconds": int, "causes": list}


def _response(answer: Any, uid: str, version: str) -> Obj:
    """ValueError when it is no answer to the review."""
    if not isinstance(answer, dict):
        raise ValueError("the answer is not an object")
    response = answer.get("response")
    if response is None:
        raise ValueError("webhook response was absent")
    if not isinstance(response, dict):
        raise ValueError("response is not an object")
    _check("response", response, _SHAPE)
    status = response.get("status") or {}
    _check("response.status", status, _STATUS)
    _check("response.status.details", status.get("details") or {}, _DETAILS)
    if version.endswith("/v1"):
        if response.get("uid") != uid:
            raise ValueError(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
        got = f"{answer.get('apiVersion') or '/'}, Kind={answer.get('kind') or ''}"
        if got != f"{version}, Kind=AdmissionReview":
            raise ValueError(f"expected webhook response of {version}, Kind=AdmissionReview, got {got}")
    return response


def _check(what: str, obj: Obj, shapes: dict[str, type]) -> None:
    for name, shape in shapes.items():
        if obj.get(name) is not None and not isinstance(obj[name], shape):
            raise ValueError(f"{what}.{name} has the wrong type")


def _patch(response: Obj, mutating: bool, *, exact: bool) -> Patch:
    """ValueError. Version v1beta1 is not `exact`: what has no use is passed over there."""
    patch, kind = response.get("patch") or "", response.get("patchType")
    if not mutating:
        if exact and patch:
            raise ValueError("validating webhook may not return response.patch")
        if exact and kind is not None:
            raise ValueError("validating webhook may not return response.patchType")
        return Patch(b"")
    if exact and patch and kind is None:
        raise ValueError("webhook returned response.patch but not response.patchType")
    if exact and kind is not None and not patch:
        raise ValueError("webhook returned response.patchType but not response.patch")
    if exact and kind == "":
        raise ValueError('webhook returned invalid response.patchType of ""')
    if patch and kind not in ("JSONPatch", None):
        raise ValueError(f'unsupported patch type "{kind}"')
    try:
        return Patch(base64.b64decode(patch, validate=True))
    except binascii.Error as error:
        raise ValueError(f"response.patch cannot be read: {error}") from error
