"""/healthz, /livez and /readyz: `ok`, or which check fails. Served to everyone.

https://kubernetes.io/docs/reference/using-api/health-checks/
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import PlainTextResponse, Response

from api.errors import ApiError, ServiceUnavailable
from apiserver.context import Context

router = APIRouter()
Check = Callable[[Context], None]


def _ping(_: Context) -> None:
    return


def _etcd(context: Context) -> None:
    context.store.check()


def _bootstrap(context: Context) -> None:
    if not context.bootstrapped.is_set():
        raise ServiceUnavailable("the first objects of the cluster are not there yet")


def _shutdown(context: Context) -> None:
    if context.stopping.is_set():
        raise ServiceUnavailable("process is shutting down")


_LIVE: dict[str, Check] = {"ping": _ping}
_HEALTHY: dict[str, Check] = {**_LIVE, "etcd": _etcd, "poststarthook/bootstrap": _bootstrap}
_READY: dict[str, Check] = {**_HEALTHY, "shutdown": _shutdown}


def _answer(request: HttpRequest, door: str, checks: dict[str, Check], only: str) -> Response:
    context: Context = request.app.state.context
    if only:
        if only not in checks:
            return PlainTextResponse("404 page not found\n", 404)
        checks = {only: checks[only]}
    excluded = set(request.query_params.getlist("exclude"))
    lines, failed = [], False
    for name, check in checks.items():
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok")
            continue
        try:
            check(context)
        except ApiError:
            failed = True
            lines.append(f"[-]{name} failed: reason withheld")
        else:
            lines.append(f"[+]{name} ok")
    if failed:
        return PlainTextResponse("\n".join([*lines, f"{door} check failed", ""]), 500)
    if "verbose" in request.query_params:
        return PlainTextResponse("\n".join([*lines, f"{door} check passed", ""]))
    return PlainTextResponse("ok")


@router.get("/healthz")
@router.get("/healthz/{only:path}")
async def healthz(request: HttpRequest, only: str = "") -> Response:
    return _answer(request, "healthz", _HEALTHY, only)


@router.get("/livez")
@router.get("/livez/{only:path}")
async def livez(request: HttpRequest, only: str = "") -> Response:
    return _answer(request, "livez", _LIVE, only)


@router.get("/readyz")
@router.get("/readyz/{only:path}")
async def readyz(request: HttpRequest, only: str = "") -> Response:
    return _answer(request, "readyz", _READY, only)
