"""The objects every cluster starts with: four namespaces, and the `kubernetes` Service with its endpoints.

Idempotent, and safe for several servers at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging

from api.builtin import NAMESPACES, SERVICES
from api.errors import ApiError
from api.meta import Obj
from apiserver import endpoints
from apiserver.context import Context

_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_RETRY = 1.0

log = logging.getLogger("apiserver.bootstrap")


async def run(context: Context) -> None:
    """Make them, however late etcd is; then keep the endpoints, until cancelled."""
    while not context.bootstrapped.is_set():
        try:
            await _once(context)
        except ApiError as error:
            log.warning("the first objects of the cluster can't be made yet: %s", error)
            await asyncio.sleep(_RETRY)
        else:
            context.bootstrapped.set()
            gc.collect()
            gc.freeze()  # what is there now, code and cache, is there to stay: no need to walk it again
    await endpoints.run(context)


async def _once(context: Context) -> None:
    await context.store.wait_ready()
    for name in _NAMESPACES:
        await endpoints.ensure(context, NAMESPACES, {"metadata": {"name": name}})
    await endpoints.ensure(context, SERVICES, _service(context))
    await endpoints.reconcile(context)


def _service(context: Context) -> Obj:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": context.options.secure_port}
    return {
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "spec": {"type": "ClusterIP", "clusterIP": context.allocator.first_address, "ports": [port]},
    }
