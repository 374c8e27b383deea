"""TokenRequest: a signed token of a ServiceAccount, bound to an audience, a time, and perhaps an object."""

from __future__ import annotations

from datetime import timedelta

from api import errors, meta
from api.builtin import NODES, PODS, SECRETS
from api.meta import Obj
from api.registry import Resource
from apiserver import decode
from apiserver.admission.chain import Attempt
from apiserver.auth.accounts import Named
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer, json_reply
from apiserver.routes.table import Handlers

TOKEN_REQUEST = Resource("authentication.k8s.io", "v1", "TokenRequest", "tokenrequests", "tokenrequest", True)
_KINDS = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}
_DEFAULT, _LEAST, _MOST = 3600, 600, 1 << 32
_OF_PODS, _EXTENDED = 3607, 365 * 24 * 3600
"""What admission asks for pods, and what becomes of it: constants of k8s.io/kubernetes/pkg/serviceaccount."""


async def _create(context: Context, request: Request, res: Resource) -> Answer:
    info = request.info
    wanted = await decode.read_object(request, TOKEN_REQUEST)
    decode.check_names(wanted, info.namespace, info.name)
    account = (await context.store.get(res, info.namespace, info.name)).obj()
    wanted.setdefault("spec", {}).setdefault("expirationSeconds", _DEFAULT)
    attempt = Attempt(
        request.user, "create", res, "token", info.namespace, info.name, wanted, account, request.dry_run, request
    )
    await context.admission.mutate(attempt)
    wanted = attempt.new()
    spec = wanted.setdefault("spec", {})
    spec["audiences"] = spec.get("audiences") or context.accounts.audiences
    _check(spec.setdefault("expirationSeconds", _DEFAULT))
    await context.admission.validate(attempt)
    bound = await _bound(context, info.namespace, info.name, spec.get("boundObjectRef"))
    limit, asked = context.options.account_max_seconds, spec["expirationSeconds"]
    if limit and asked > limit:
        request.warnings.append(f"requested expiration of {asked} seconds shortened to {limit} seconds")
        spec["expirationSeconds"] = limit
    seconds, warn_after = _life(context, spec, "pod" in bound)
    token, token_id = context.accounts.issue(account, spec["audiences"], seconds, bound, warn_after)
    attempt.annotate("authentication.kubernetes.io/issued-credential-id", f"JTI={token_id}")
    now = context.now()
    stamp = meta.rfc3339(now + timedelta(seconds=spec["expirationSeconds"]))
    wanted["status"] = {"token": token, "expirationTimestamp": stamp}
    wanted["metadata"]["creationTimestamp"] = meta.rfc3339(now)
    return json_reply(wanted, 201)


def _life(context: Context, spec: Obj, of_pod: bool) -> tuple[int, int]:
    """(seconds, and after how many it is to be told that the token is old; 0 = never)"""
    seconds: int = spec["expirationSeconds"]
    ours = set(spec["audiences"]) <= set(context.accounts.audiences)
    if context.options.account_extend and of_pod and seconds == _OF_PODS and ours:
        return _EXTENDED, seconds
    return seconds, 0


def _check(seconds: int) -> None:
    why = ""
    if seconds < _LEAST:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > _MOST:
        why = "may not specify a duration larger than 2^32 seconds"
    if why:
        raise errors.invalid_object(
            "authentication.k8s.io", "TokenRequest", "", [errors.invalid("spec.expirationSeconds", seconds, why)]
        )


async def _bound(context: Context, namespace: str, account: str, reference: Obj | None) -> dict[str, Named]:
    """The object a token ends with, when it is there and fits the account; with a pod, the node it is on."""
    if not reference:
        return {}
    kind, name = str(reference.get("kind", "")), str(reference.get("name", ""))
    target = _KINDS.get(kind)
    if target is None or reference.get("apiVersion", "v1") != "v1":
        raise errors.BadRequest(f"cannot bind token to object of type {reference.get('apiVersion')}, Kind={kind}")
    obj = (await context.store.get(target, namespace if target.namespaced else "", name)).obj()
    if kind == "Pod" and obj["spec"].get("serviceAccountName") != account:
        raise errors.BadRequest(f'cannot bind token for serviceaccount "{account}" to pod running with different '
                                "serviceaccount name.")  # fmt: skip
    if reference.get("uid") and reference["uid"] != meta.uid(obj):
        raise errors.conflict(
            "", target.plural, name,
            f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )  # fmt: skip
    bound = {kind.lower(): Named(name, meta.uid(obj))}
    if kind == "Pod" and (node := obj["spec"].get("nodeName")):
        found = context.store.peek(NODES, "", node)
        bound["node"] = Named(node, meta.uid(found.obj()) if found is not None else "")
    return bound


HANDLERS: Handlers = {"create": _create}
