"""`kubectl describe`: everything about an object on one page, with what surrounds it and its events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from api.builtin import ENDPOINT_SLICES, EVENTS, LEASES, PODS, REPLICA_SETS
from api.errors import ApiError, NotFound
from api.meta import Obj, controller_of
from api.selectors import from_label_selector
from kubectl import options as opt
from kubectl import tabwriter
from kubectl.describe import basics, generic, nodes, pods, services, workloads
from kubectl.failures import CliError, raise_all
from kubectl.session import Session, run, say
from kubectl.targets import Target, find_targets
from kubectl.templates import new_replica_set


def command(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    recursive: opt.Recursive = False,
    selector: opt.Selector = "",
    all_namespaces: opt.AllNamespaces = False,
    show_events: Annotated[
        bool | None,
        typer.Option("--show-events/--no-show-events", help="With events; by default for a single object"),
    ] = None,
) -> None:
    if not arguments and not filename:
        raise CliError(
            'You must specify the type of resource to describe. Use "kubectl api-resources" for a complete list of '
            "supported resources."
        )

    async def verb(session: Session) -> None:
        targets = await find_targets(
            session,
            arguments or [],
            filenames=filename,
            recursive=recursive,
            selector=selector,
            all_namespaces=all_namespaces,
        )
        errors: list[Exception] = []
        found: list[tuple[Target, Obj]] = []
        for target in targets:
            try:
                found += [(target, obj) for obj in await _objects(session, target, selector)]
            except ApiError as error:
                errors.append(error)
        events = len(found) == 1 if show_events is None else show_events
        for position, (target, obj) in enumerate(found):
            text = tabwriter.describe(await _Describer(session, target, obj, events).text())
            print(("\n\n" if position else "") + text, end="", flush=True)
        if not found and not errors:
            scoped = not all_namespaces and any(t.resource.namespaced for t in targets)
            say(f"No resources found in {session.namespace} namespace." if scoped else "No resources found")
        raise_all(errors)

    run(verb)


async def _objects(session: Session, target: Target, labels: str) -> list[Obj]:
    """The named object, those a name is the beginning of when there is none of the name, or all."""
    resource, namespace = target.resource, target.namespace
    if not target.name:
        return await session.list(resource, namespace, labels=labels)
    try:
        return [await session.get(resource, target.name, namespace)]
    except NotFound:
        near = [o for o in await session.list(resource, namespace) if o["metadata"]["name"].startswith(target.name)]
        if not near:
            raise
        return near


class _Describer:
    def __init__(self, session: Session, target: Target, obj: Obj, show_events: bool) -> None:
        self._session, self._resource, self._obj = session, target.resource, obj
        self._show_events = show_events
        self._now = datetime.now(UTC)

    async def text(self) -> str:
        obj, now = self._obj, self._now
        match (self._resource.group, self._resource.kind):
            case ("", "Pod"):
                return pods.pod(obj, await self._events(kind=""), now)
            case ("", "Node"):
                return await self._node()
            case ("", "Service"):
                return services.service(obj, await self._slices(), await self._events(), now)
            case ("", "Endpoints"):
                return services.endpoints(obj, await self._events(), now)
            case ("discovery.k8s.io", "EndpointSlice"):
                return services.endpoint_slice(obj, await self._events(), now)
            case ("", "Namespace"):
                return basics.namespace(obj, now)
            case ("", "ConfigMap"):
                return basics.config_map(obj, await self._events(), now)
            case ("", "Secret"):
                return basics.secret(obj, now)
            case ("", "ServiceAccount"):
                return basics.service_account(obj, await self._events(), now)
            case ("apps", "Deployment"):
                old, new = await self._replica_sets()
                return workloads.deployment(obj, old, new, await self._events(), now)
            case ("apps", "ReplicaSet"):
                return workloads.replica_set(obj, await self._pods(), await self._events(), now)
        return generic.generic(obj, await self._events(), now)

    async def _events(self, kind: str | None = None, uid: str | None = None) -> list[Obj] | None:
        """Events about the object; None when they are not wanted."""
        if not self._show_events:
            return None
        metadata = self._obj["metadata"]
        terms = {
            "involvedObject.name": metadata["name"],
            "involvedObject.namespace": metadata.get("namespace") or "",
            "involvedObject.kind": self._resource.kind if kind is None else kind,
            "involvedObject.uid": metadata.get("uid") if uid is None else uid,
        }
        fields = ",".join(f"{k}={v}" for k, v in terms.items() if v)
        return await self._session.list(EVENTS, metadata.get("namespace") or "", fields=fields)

    async def _node(self) -> str:
        name = self._obj["metadata"]["name"]
        fields = f"spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed"
        bound = await self._session.list(PODS, fields=fields)
        lease, why = None, ""
        try:
            lease = await self._session.get(LEASES, name, "kube-node-lease")
        except ApiError as error:
            why = error.message
        events = await self._events()
        if events is not None:  # the kubelet's events carry the node's name as its uid
            events += await self._events(uid=name) or []
        return nodes.node(self._obj, bound, lease, why, events, self._now)

    async def _slices(self) -> list[Obj]:
        metadata = self._obj["metadata"]
        labels = f"kubernetes.io/service-name={metadata['name']}"
        return await self._session.list(ENDPOINT_SLICES, metadata["namespace"], labels=labels)

    async def _pods(self) -> list[Obj]:
        labels = str(from_label_selector(self._obj["spec"].get("selector")))
        return await self._session.list(PODS, self._obj["metadata"]["namespace"], labels=labels)

    async def _replica_sets(self) -> tuple[list[Obj], list[Obj]]:
        metadata = self._obj["metadata"]
        labels = str(from_label_selector(self._obj["spec"].get("selector")))
        found = await self._session.list(REPLICA_SETS, metadata["namespace"], labels=labels)
        own = [rs for rs in found if (controller_of(rs) or {}).get("uid") == metadata.get("uid")]
        new = new_replica_set(self._obj, own)
        old = [rs for rs in own if rs is not new]
        return old, [new] if new else []
