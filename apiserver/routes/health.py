"""/healthz, /livez and /readyz: `ok`, or which check fails. Served to everyone.

https://kubernetes.io/docs/reference/using-api/health-checks/ ; texts as in k8s.io/apiserver/pkg/server/healthz.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import PlainTextResponse, Response

from api.errors import ApiError, ServiceUnavailable
from apiserver.context import Context

router = APIRouter()
log = logging.getLogger("apiserver.health")
Check = Callable[[Context], None]


def _alive(_: Context) -> None:
    """That it answers is the check."""


def _etcd(context: Context) -> None:
    context.store.check()


def _synced(context: Context) -> None:
    context.store.check_filled()


def _bootstrap(context: Context) -> None:
    if not context.bootstrapped.is_set():
        raise ServiceUnavailable("the first objects of the cluster are not there yet")


def _shutdown(context: Context) -> None:
    if context.stopping.is_set():
        raise ServiceUnavailable("process is shutting down")


_LIVE: dict[str, Check] = {
    "ping": _alive,
    "log": _alive,
    "etcd": _etcd,
    # upstream's names for what is there when bootstrap.py is through and the loops beside it run
    **{
        f"poststarthook/{name}": _bootstrap
        for name in (
            "start-apiserver-admission-initializer", "generic-apiserver-start-informers",
            "start-apiextensions-informers", "start-apiextensions-controllers", "crd-informer-synced",
            "bootstrap-controller", "start-system-namespaces-controller", "rbac/bootstrap-roles",
            "scheduling/bootstrap-system-priority-classes", "priority-and-fairness-config-producer",
            "start-cluster-authentication-info-controller", "start-kubernetes-service-cidr-controller",
            "start-kube-apiserver-identity-lease-controller", "start-kube-aggregator-informers",
            "apiservice-registration-controller", "apiservice-status-local-available-controller",
            "apiservice-status-remote-available-controller", "kube-apiserver-autoregistration",
            "apiservice-openapi-controller", "apiservice-openapiv3-controller", "apiservice-discovery-controller",
        )
    },
    "autoregister-completion": _bootstrap,
}  # fmt: skip
_READY: dict[str, Check] = {**_LIVE, "etcd-readiness": _etcd, "informer-sync": _synced, "shutdown": _shutdown}
_HEADERS = {"X-Content-Type-Options": "nosniff"}


def _text(body: str, code: int = 200) -> Response:
    return PlainTextResponse(body, code, _HEADERS)


def _single(context: Context, check: Check | None) -> Response:
    if check is None:
        return PlainTextResponse("404 page not found\n", 404)
    try:
        check(context)
    except ApiError as error:
        return _text(f"internal server error: {error.message}\n", 500)
    return _text("ok")


def _answer(request: HttpRequest, door: str, checks: dict[str, Check], only: str) -> Response:
    context: Context = request.app.state.context
    if only:
        return _single(context, checks.get(only))
    excluded = dict.fromkeys(request.query_params.getlist("exclude"))
    lines, failed = [], []
    for name, check in checks.items():
        if name in excluded:
            del excluded[name]
            lines.append(f"[+]{name} excluded: ok\n")
            continue
        try:
            check(context)
        except ApiError as error:
            failed.append(f"{name}: {error.message}")
            lines.append(f"[-]{name} failed: reason withheld\n")
        else:
            lines.append(f"[+]{name} ok\n")
    if excluded:
        names = ",".join(f'"{name}"' for name in sorted(excluded))
        lines.append(f"warn: some health checks cannot be excluded: no matches for {names}\n")
    if failed:
        log.debug("%s check failed: %s", door, "; ".join(failed))
        return _text(f"{''.join(lines)}{door} check failed\n", 500)
    return _text(f"{''.join(lines)}{door} check passed\n" if "verbose" in request.query_params else "ok")


@router.get("/healthz")
@router.get("/healthz/{only:path}")
async def healthz(request: HttpRequest, only: str = "") -> Response:
    return _answer(request, "healthz", _LIVE, only)


@router.get("/livez")
@router.get("/livez/{only:path}")
async def livez(request: HttpRequest, only: str = "") -> Response:
    return _answer(request, "livez", _LIVE, only)


@router.get("/readyz")
@router.get("/readyz/{only:path}")
async def readyz(request: HttpRequest, only: str = "") -> Response:
    return _answer(request, "readyz", _READY, only)
