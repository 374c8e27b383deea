"""What every active namespace has: the `default` ServiceAccount and, when the manager knows the cluster's CA,
the config map `kube-root-ca.crt`. Both come back when they are deleted."""

from __future__ import annotations

from api import meta
from api.builtin import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS
from api.errors import AlreadyExists, ApiError
from api.meta import Obj
from api.registry import Resource
from client.informer import Informer
from client.reconciler import Reconciler
from controller.context import Context, namespace_is_terminating

DEFAULT = "default"
ROOT_CA = "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as "
    "the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
    "Kubernetes clusters."
)


class _InEveryNamespace:
    """Keeps one object of a fixed name and content in every active namespace."""

    def __init__(self, context: Context, informer: Informer, wanted: Obj) -> None:
        self._client = context.client
        self._informer, self._wanted = informer, wanted
        self._namespaces = context.informer(NAMESPACES)
        self._name = meta.name(wanted)
        self._work = Reconciler(f"every-namespace/{self._name}", self._reconcile, clock=context.clock, workers=2)
        self._namespaces.on_event(self._on_namespace)
        informer.on_event(self._on_object)

    async def run(self) -> None:
        await self._work.run()

    def _on_namespace(self, _: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._work.queue.add(meta.name(new))

    def _on_object(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        obj = new or old or {}
        if kind != "add" and meta.name(obj) == self._name:
            self._work.queue.add(meta.namespace(obj))

    async def _reconcile(self, namespace: str) -> float | None:
        live = self._namespaces.store.get(namespace)
        if live is None or meta.is_deleting(live):
            return None
        current = self._informer.store.get(f"{namespace}/{self._name}")
        if current is not None:
            await self._correct(current)
            return None
        try:
            await self._client.create(self._resource, self._wanted, namespace=namespace)
        except AlreadyExists:
            return None
        except ApiError as error:
            if not namespace_is_terminating(error):
                raise
        return None

    async def _correct(self, current: Obj) -> None:
        data = self._wanted.get("data")
        if data is not None and current.get("data") != data:
            await self._client.update(self._resource, {**current, "data": data})

    @property
    def _resource(self) -> Resource:
        return self._informer.res


class ServiceAccountLoop(_InEveryNamespace):
    def __init__(self, context: Context) -> None:
        wanted = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": DEFAULT}}
        super().__init__(context, context.informer(SERVICE_ACCOUNTS), wanted)


class RootCaLoop:
    def __init__(self, context: Context) -> None:
        self._loop: _InEveryNamespace | None = None
        if not context.options.root_ca:
            return
        wanted = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": ROOT_CA, "annotations": {"kubernetes.io/description": _DESCRIPTION}},
            "data": {"ca.crt": context.options.root_ca},
        }
        informer = context.informers.of(CONFIG_MAPS, fields=f"metadata.name={ROOT_CA}")
        self._loop = _InEveryNamespace(context, informer, wanted)

    async def run(self) -> None:
        if self._loop is not None:
            await self._loop.run()
