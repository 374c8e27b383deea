"""Questions about identity and permission: objects that are answered and never stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from api import errors, meta
from api.meta import Obj
from api.registry import Resource
from apiserver import decode, negotiate
from apiserver.admission.chain import Attempt
from apiserver.auth.rbac import together
from apiserver.auth.user import User
from apiserver.context import Context
from apiserver.request import Request, RequestInfo, selected_name
from apiserver.response import Answer, json_reply
from apiserver.routes.table import Handler

_AUTHORIZATION, _AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"
_Status = Callable[[Context, Request, Obj], Awaitable[Obj]]


def _row(group: str, kind: str, *, namespaced: bool = False) -> Resource:
    plural = f"{kind.lower()}s"
    return Resource(group, "v1", kind, plural, kind.lower(), namespaced, verbs=("create",))


def _asked(spec: Obj) -> RequestInfo:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if other is not None:
        return RequestInfo(other.get("path", ""), other.get("verb", ""))
    resource = resource or {}
    fields = _fields(resource.get("fieldSelector") or {})
    return RequestInfo(
        "",
        resource.get("verb", ""),
        is_resource=True,
        group=resource.get("group", ""),
        version=resource.get("version", ""),
        resource=resource.get("resource", "") or "*",
        subresource=resource.get("subresource", ""),
        namespace=resource.get("namespace", ""),
        name=resource.get("name", "") or selected_name(fields),
        fields=fields,
    )


def _fields(selector: Obj) -> str:
    """As a request would say it. What is not an equality narrows nothing here."""
    exact = [one for one in selector.get("requirements") or []
             if one.get("operator") == "In" and len(one.get("values") or []) == 1]  # fmt: skip
    return selector.get("rawSelector") or ",".join(f"{one.get('key', '')}={one['values'][0]}" for one in exact)


def _checked(review: Obj, *, self_review: bool) -> Obj:
    """The spec of an access review. Invalid, in the words of k8s.io/kubernetes/pkg/apis/authorization/validation."""
    spec, kind = review.get("spec") or {}, review["kind"]
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    found = []
    if resource is not None and other is not None:
        why = "cannot be specified in combination with resourceAttributes"
        found.append(errors.invalid("spec.nonResourceAttributes", other, why))
    elif resource is None and other is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        found.append(errors.invalid("spec.resourceAttributes", None, why))
    if not self_review and not spec.get("user") and not spec.get("groups"):
        found.append(errors.invalid("spec.user", "", "at least one of user or group must be specified"))
    namespace = review["metadata"].get("namespace", "")
    if namespace and resource is not None and resource.get("namespace", "") != namespace:
        given = resource.get("namespace", "")
        found.append(errors.invalid("spec.resourceAttributes.namespace", given, "must match metadata.namespace"))
    if namespace and other is not None:
        found.append(errors.invalid("spec.nonResourceAttributes", other, "disallowed on this kind of request"))
    if found:
        raise errors.invalid_object(_AUTHORIZATION, kind, "", found)
    return spec


async def _self_access(context: Context, request: Request, review: Obj) -> Obj:
    return _decision(context, request.user, _checked(review, self_review=True))


async def _access(context: Context, request: Request, review: Obj) -> Obj:
    spec = _checked(review, self_review=False)
    return _decision(context, User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", "")), spec)


def _decision(context: Context, user: User, spec: Obj) -> Obj:
    allowed, reason = context.authorizer.decide(user, _asked(spec))
    return {"allowed": allowed, **({"reason": reason} if reason else {})}


async def _rules(context: Context, request: Request, review: Obj) -> Obj:
    namespace = (review.get("spec") or {}).get("namespace", "")
    if not namespace:
        raise errors.BadRequest("no namespace on request")
    held = context.authorizer.rules_of(request.user, namespace)
    told: Obj = {
        "resourceRules": [rule.as_json() for rule in held.rules if rule.resources],
        "nonResourceRules": [rule.as_json() for rule in held.rules if rule.urls],
        "incomplete": not held.complete,
    }
    return {**told, "evaluationError": together(held.problems)} if held.problems else told


async def _self(context: Context, request: Request, review: Obj) -> Obj:
    return {"userInfo": _user_info(request.user)}


async def _token(context: Context, request: Request, review: Obj) -> Obj:
    spec = review.get("spec") or {}
    if not spec.get("token"):
        raise errors.BadRequest("token is required for TokenReview in authentication")
    found = await context.authenticator.owner(spec["token"], spec.get("audiences") or ())
    if found is None:
        return {"authenticated": False, "user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": _user_info(found.user), "audiences": found.audiences}


def _user_info(user: User) -> Obj:
    told: Obj = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": user.extra}
    return {k: v for k, v in told.items() if v}


def _handler(status: _Status) -> Handler:
    async def handle(context: Context, request: Request, res: Resource) -> Answer:
        if negotiate.choose(request.header(b"accept")).kind:
            raise negotiate.not_acceptable()  # what is not stored has no table and no metadata of its own
        review = await decode.read_object(request, res)
        decode.check_names(review, request.info.namespace if res.namespaced else "", "")
        namespace, name = review["metadata"].get("namespace", ""), review["metadata"].get("name", "")
        attempt = Attempt(request.user, "create", res, "", namespace, name, review, None, request.dry_run, request)
        await context.admission.mutate(attempt)
        await context.admission.validate(attempt)
        review = attempt.new()
        context.store.check_filled()  # else every answer would be no
        review["metadata"].setdefault("creationTimestamp", meta.rfc3339(context.now()))
        review["status"] = await status(context, request, review)
        return json_reply(review, 201)

    return handle


ROWS: list[tuple[Resource, Handler]] = [
    (_row(_AUTHENTICATION, "SelfSubjectReview"), _handler(_self)),
    (_row(_AUTHENTICATION, "TokenReview"), _handler(_token)),
    (_row(_AUTHORIZATION, "LocalSubjectAccessReview", namespaced=True), _handler(_access)),
    (_row(_AUTHORIZATION, "SelfSubjectAccessReview"), _handler(_self_access)),
    (_row(_AUTHORIZATION, "SelfSubjectRulesReview"), _handler(_rules)),
    (_row(_AUTHORIZATION, "SubjectAccessReview"), _handler(_access)),
]
