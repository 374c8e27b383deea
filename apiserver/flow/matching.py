"""Which flow schema a request belongs to (pure).

https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#flowschema ; wildcards as in
k8s.io/apiserver/pkg/util/flowcontrol rule.go
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.meta import Obj
from apiserver.auth.user import User
from apiserver.request import RequestInfo

_ACCOUNT = "system:serviceaccount:"


def ordered(schemas: Iterable[Obj], levels: Iterable[str]) -> list[Obj]:
    """Those that point to a level, in the order in which they are asked."""
    there = set(levels)
    found = [schema for schema in schemas if schema["spec"]["priorityLevelConfiguration"]["name"] in there]
    return sorted(found, key=lambda s: (s["spec"].get("matchingPrecedence", 0), s["metadata"]["name"]))


def match(schemas: Iterable[Obj], user: User, asked: RequestInfo) -> Obj | None:
    """The first of `schemas` that is about this request."""
    for schema in schemas:
        for rule in schema["spec"].get("rules") or ():
            if any(_is(subject, user) for subject in rule["subjects"]) and _covers(rule, asked):
                return schema
    return None


def distinguisher(schema: Obj, user: User, asked: RequestInfo) -> str:
    """What tells the flows of one schema apart."""
    by = (schema["spec"].get("distinguisherMethod") or {}).get("type")
    return user.name if by == "ByUser" else asked.namespace if by == "ByNamespace" else ""


def _is(subject: Obj, user: User) -> bool:
    if subject["kind"] == "User":
        return subject["user"]["name"] in ("*", user.name)
    if subject["kind"] == "Group":
        name = subject["group"]["name"]
        return name == "*" or name in user.groups
    account = subject["serviceAccount"]
    of_namespace = f"{_ACCOUNT}{account['namespace']}:"
    if account["name"] == "*":
        return user.name.startswith(of_namespace)
    return bool(user.name == of_namespace + account["name"])


def _covers(rule: Obj, asked: RequestInfo) -> bool:
    if not asked.is_resource:
        return any(_has(r["verbs"], asked.verb) and _has_path(r["nonResourceURLs"], asked.path)
                   for r in rule.get("nonResourceRules") or ())  # fmt: skip
    wanted = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    return any(
        _has(r["verbs"], asked.verb)
        and _has(r["resources"], wanted)
        and _has(r["apiGroups"], asked.group)
        and (_has(r.get("namespaces") or (), asked.namespace) if asked.namespace else r.get("clusterScope", False))
        for r in rule.get("resourceRules") or ()
    )


def _has(values: Sequence[str], wanted: str) -> bool:
    return wanted in values or "*" in values


def _has_path(urls: Sequence[str], path: str) -> bool:
    """A path also stands for what lies under it."""
    return any(url in ("*", path) or path.startswith(url.removesuffix("*").removesuffix("/") + "/") for url in urls)
