"""pods/log: a container's output, streamed from the kubelet of its node."""

from __future__ import annotations

from api import errors
from api.registry import Resource
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import TEXT, Answer, Reply
from apiserver.routes.pod import container_of, node_of
from apiserver.routes.table import Handlers

_PASSED = ("follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream")
_STREAMS = ("All", "Stderr", "Stdout")
_LEAST = {"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}


async def _get(context: Context, request: Request, res: Resource) -> Answer:
    info = request.info
    _check(request)
    pod = (await context.store.get(res, info.namespace, info.name)).obj()
    container = container_of(pod, request.query("container"))
    if not pod["spec"].get("nodeName"):
        return Reply(b"", content_type=TEXT)  # as upstream: nothing has run, so nothing was said
    node = await node_of(context, pod)
    query = [(name, request.query(name)) for name in _PASSED if request.query(name)]
    path = f"/containerLogs/{info.namespace}/{info.name}/{container}"
    return await context.kubelet.stream(node, path, query, insecure=request.flag("insecureSkipTLSVerifyBackend"))


def _check(request: Request) -> None:
    """core/validation ValidatePodLogOptions, with the choice of a stream allowed (KEP-3288)."""
    found = []
    for name, least in _LEAST.items():
        value = request.integer(name)
        if value is not None and value < least:
            why = "must be greater than or equal to 0" if least == 0 else "must be greater than 0"
            found.append(errors.invalid(name, value, why))
    if request.query("sinceSeconds") and request.query("sinceTime"):
        found.append(errors.forbidden_field("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    stream = request.query("stream")
    if stream and stream not in _STREAMS:
        found.append(errors.not_supported("stream", stream, _STREAMS))
    elif stream not in ("", "All") and request.query("tailLines"):
        found.append(errors.forbidden_field("[]", "`tailLines` and specific `stream` are mutually exclusive for now"))
    if found:
        raise errors.invalid_object("", "PodLogOptions", request.info.name, found)


HANDLERS: Handlers = {"get": _get}
