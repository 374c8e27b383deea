"""CertificateSigningRequests: those of nodes for themselves are approved when their maker may ask that, approved ones
are signed by the cluster's authority, and all are removed when they have served.

https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
"""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from api import meta
from api.builtin import CERTIFICATE_SIGNING_REQUESTS
from api.errors import Conflict, Forbidden, NotFound
from api.later import Later
from api.meta import Obj
from api.registry import Resource
from client import log
from client.reconciler import Reconciler
from controller.context import Context, in_parallel, periodically

if TYPE_CHECKING:
    from controller import certificates_plan as plan
else:
    plan = Later("controller.certificates_plan")

CLEANING = 600.0
_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview", False
)
_log = log.get("certificates")


class CertificatesLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._clock, self._options = context.client, context.clock, context.options
        self._longest = timedelta(seconds=context.options.signing_duration)
        self._requests = context.informer(CERTIFICATE_SIGNING_REQUESTS)
        self._work = Reconciler("certificates", self._reconcile, clock=context.clock, workers=2)
        self._requests.on_event(self._on_request)

    @cached_property
    def _authority(self) -> plan.Authority:
        return plan.authority(self._options.signing_certificate, self._options.signing_key)

    async def run(self) -> None:
        await self._work.run()

    def _on_request(self, _: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._work.queue.add(meta.key(new))

    async def _reconcile(self, key: str) -> float | None:
        csr = self._requests.store.get(key)
        if csr is None or meta.is_deleting(csr) or not plan.is_ours(csr):
            return None
        if plan.waits_for_signature(csr):
            await self._sign(csr)
        elif not plan.is_settled(csr):
            await self._approve(csr)
        return None

    async def _approve(self, csr: Obj) -> None:
        """Forbidden, to be tried again, when the requester may not yet ask for this."""
        found = plan.approval(csr)
        if found is None:
            return
        subresource, message = found
        if not await self._may(csr["spec"], subresource):
            raise Forbidden(f'recognized csr "{meta.name(csr)}" as {subresource} but subject access review was not '
                            "approved")  # fmt: skip
        await self._write(csr, "Approved", "AutoApproved", message, subresource="approval")

    async def _may(self, spec: Obj, subresource: str) -> bool:
        res = CERTIFICATE_SIGNING_REQUESTS
        asked = {"group": res.group, "version": "*", "resource": res.plural, "subresource": subresource,
                 "verb": "create"}  # fmt: skip
        who = {"user": spec.get("username"), "uid": spec.get("uid"), "groups": spec.get("groups"),
               "extra": spec.get("extra")}  # fmt: skip
        review = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {},
            "spec": {"resourceAttributes": asked, **{k: v for k, v in who.items() if v}},
        }  # fmt: skip
        answer = await self._client.create(_ACCESS_REVIEWS, review)
        return bool((answer.get("status") or {}).get("allowed"))

    async def _sign(self, csr: Obj) -> None:
        if not self._options.signing_key:
            return
        authority = self._authority
        try:
            why = plan.objection(csr)
            certificate = b"" if why else plan.sign(csr, authority, self._longest, self._clock.now())
        except ValueError as error:
            why, certificate = f"unable to parse csr: {error}", b""
        if why:
            _log.info("a certificate is not signed", csr=meta.name(csr), why=why)
            await self._write(csr, "Failed", "SignerValidationFailure", why, subresource="status")
            return
        status = {**(csr.get("status") or {}), "certificate": b64encode(certificate).decode()}
        _log.info("signed a certificate", csr=meta.name(csr), signer=csr["spec"]["signerName"])
        await self._client.update(CERTIFICATE_SIGNING_REQUESTS, {**csr, "status": status}, subresource="status")

    async def _write(self, csr: Obj, kind: str, reason: str, message: str, *, subresource: str) -> None:
        status = csr.get("status") or {}
        stamp = meta.rfc3339(self._clock.now())
        condition = {
            "type": kind, "status": "True", "reason": reason, "message": message, "lastUpdateTime": stamp,
            "lastTransitionTime": stamp,
        }  # fmt: skip
        changed = {**csr, "status": {**status, "conditions": [*(status.get("conditions") or []), condition]}}
        await self._client.update(CERTIFICATE_SIGNING_REQUESTS, changed, subresource=subresource)


class CertificatesCleanerLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._requests = context.informer(CERTIFICATE_SIGNING_REQUESTS)

    async def run(self) -> None:
        await periodically(self._clock, "certificates-cleaner", CLEANING, self.clean)

    async def clean(self) -> None:
        now = self._clock.now()
        errors = await in_parallel([self._remove(csr) for csr in self._requests.store.list()
                                    if plan.has_served(csr, now)])  # fmt: skip
        if errors:
            raise errors[0]

    async def _remove(self, csr: Obj) -> None:
        try:
            await self._client.delete(CERTIFICATE_SIGNING_REQUESTS, meta.name(csr), uid=meta.uid(csr))
        except (NotFound, Conflict):
            return
