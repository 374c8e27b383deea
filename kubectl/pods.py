"""From what people name (`web-abc`, `deployment/web`, `-l app=web`) to the pods behind it."""

from __future__ import annotations

import asyncio

from api.builtin import PODS
from api.errors import NotFound
from api.meta import Obj, is_deleting
from api.registry import Resource
from api.selectors import Selector, from_label_selector, from_match_labels
from kubectl.failures import CliError
from kubectl.session import Session, say
from kubectl.targets import find_targets

_PATIENCE = 20.0
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


async def pod_of(session: Session, arguments: list[str], *, announce: bool = True, for_logs: bool = False) -> Obj:
    """The one pod that `POD` or `TYPE/NAME` stands for; of a workload, its most useful one."""
    resource, name = await named(session, arguments)
    try:
        obj = await session.get(resource, name, session.namespace)
    except NotFound as error:
        if not for_logs:
            raise
        raise CliError(f'error from server (NotFound): {error.message} in namespace "{session.namespace}"') from error
    if resource.kind == "Pod":
        return obj
    pods = sorted(await _some_pods(session, resource, obj), key=_usefulness)
    if len(pods) > 1 and announce:
        say(f"Found {len(pods)} pods, using pod/{pods[0]['metadata']['name']}")
    return pods[0]


async def named(session: Session, arguments: list[str]) -> tuple[Resource, str]:
    if len(arguments) == 1 and "/" not in arguments[0]:
        return PODS, arguments[0]
    targets = await find_targets(session, arguments, need_name=True)
    if len(targets) != 1 or not targets[0].name:
        raise CliError("expected one pod or TYPE/NAME")
    return targets[0].resource, targets[0].name


async def pods_of(session: Session, resource: Resource, obj: Obj) -> list[Obj]:
    """The pods that a workload's or service's selector matches."""
    return await session.list(PODS, obj["metadata"].get("namespace") or "", labels=str(_selector(resource, obj)))


def _selector(resource: Resource, obj: Obj) -> Selector:
    selector = (obj.get("spec") or {}).get("selector")
    if not selector:
        raise CliError(f"cannot attach to *{resource.kind}: it has no selector")
    plain = resource.kind in ("Service", "ReplicationController")
    return from_match_labels(selector) if plain else from_label_selector(selector)


async def _some_pods(session: Session, resource: Resource, obj: Obj) -> list[Obj]:
    """Waits a while for the first one."""
    try:
        async with asyncio.timeout(_PATIENCE):
            while not (pods := await pods_of(session, resource, obj)):
                labels = str(_selector(resource, obj))
                async with session.events(PODS, obj["metadata"].get("namespace") or "", labels=labels) as changes:
                    async for _ in changes:
                        break
            return pods
    except TimeoutError as error:
        raise CliError("timed out waiting for the condition") from error


def _usefulness(pod: Obj) -> tuple[bool, bool, int, bool, str]:
    """Upstream's ActivePods order: scheduled, running, ready, not going away, oldest."""
    status = pod.get("status") or {}
    phase = {"Running": 0, "Unknown": 1, "Pending": 2}.get(str(status.get("phase")), 3)
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or [])
    return (
        not (pod.get("spec") or {}).get("nodeName"),
        is_deleting(pod),
        phase,
        not ready,
        str(pod["metadata"].get("creationTimestamp", "")),
    )


def container_names(pod: Obj) -> tuple[list[str], list[str], list[str]]:
    """(containers, init containers, ephemeral containers)."""
    spec = pod["spec"]
    regular, init, ephemeral = (
        [c["name"] for c in spec.get(field) or []] for field in ("containers", "initContainers", "ephemeralContainers")
    )
    return regular, init, ephemeral


def choose_container(pod: Obj, asked: str, *, quiet: bool = False) -> str:
    """The asked one, the annotated default, or the first, which is said when there are others."""
    regular, init, ephemeral = container_names(pod)
    everything = [*regular, *init, *ephemeral]
    shown = [*regular, *(f"{n} (ephem)" for n in ephemeral), *(f"{n} (init)" for n in init)]
    if asked:
        if asked not in everything:
            name = pod["metadata"]["name"]
            raise CliError(f"container {asked} is not valid for pod {name} out of: {', '.join(shown)}")
        return asked
    annotated = str((pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER, ""))
    if annotated in everything:
        return annotated
    if len(everything) > 1 and not quiet:
        say(f'Defaulted container "{regular[0]}" out of: {", ".join(shown)}')
    return regular[0]
