"""Which container of a pod is meant, and on which node it runs: what log, exec and attach ask first."""

from __future__ import annotations

from api.builtin import NODES
from api.errors import BadRequest, NotFound
from api.meta import Obj
from apiserver.context import Context

_LISTS = ("initContainers", "containers", "ephemeralContainers")
_DEFAULT = "kubectl.kubernetes.io/default-container"


def container_of(pod: Obj, asked: str) -> str:
    """BadRequest when the pod has no such container, or several and none was named."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    names = [c["name"] for kind in _LISTS for c in spec.get(kind) or []]
    if asked:
        if asked not in names:
            raise BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    main = [c["name"] for c in spec.get("containers") or []]
    if len(main) == 1:
        return str(main[0])
    default = (pod["metadata"].get("annotations") or {}).get(_DEFAULT)
    if default in main:
        return str(default)
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]"
    init = [c["name"] for c in spec.get("initContainers") or []]
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    raise BadRequest(text)


async def node_of(context: Context, pod: Obj, container: str, what: str) -> Obj:
    """The Node of a pod. BadRequest while the pod has none."""
    name = pod["spec"].get("nodeName")
    if not name:
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    try:
        return (await context.store.get(NODES, "", name)).obj()
    except NotFound as error:
        raise BadRequest(f"the node {name} of {what} is gone, and container {container} with it") from error
