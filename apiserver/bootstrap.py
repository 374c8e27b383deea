"""The objects every cluster starts with: namespaces, roles, priority classes, and the `kubernetes` Service with its
endpoints. Then the loops of the server itself, which make others.

Idempotent, and safe for several servers at once.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import logging

from api.builtin import NAMESPACES, PRIORITY_CLASSES, SERVICES
from api.errors import ApiError
from api.kinds.scheduling import SYSTEM_CLASSES
from api.meta import Obj
from apiserver import addresses, endpoints, roles
from apiserver.admission.policies import checking
from apiserver.aggregation import availability, local
from apiserver.context import Context
from apiserver.flow import objects as flow

_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_RETRY = 1.0

log = logging.getLogger("apiserver.bootstrap")


async def run(context: Context) -> None:
    """Make them, however late etcd is; then run the loops, until cancelled."""
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
    async with asyncio.TaskGroup() as loops:
        for run_loop in (endpoints.run, local.run, availability.run, addresses.run, flow.run, roles.run, checking.run):
            loops.create_task(run_loop(context), name=run_loop.__module__)


async def _once(context: Context) -> None:
    await context.store.wait_ready()
    for name in _NAMESPACES:
        await endpoints.ensure(context, NAMESPACES, {"metadata": {"name": name}})
    await roles.reconcile(context)
    for priority_class in SYSTEM_CLASSES.values():
        await endpoints.ensure(context, PRIORITY_CLASSES, copy.deepcopy(priority_class))
    await endpoints.ensure(context, SERVICES, _service(context))
    await endpoints.reconcile(context)


def _service(context: Context) -> Obj:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": context.options.secure_port}
    return {
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "spec": {"type": "ClusterIP", "clusterIP": context.allocator.first_address, "ports": [port]},
    }
