"""The deployment loop: keeps each Deployment's ReplicaSets as `deployment_plan.decide` says.

It never touches pods. Each round writes with the revisions it has read; a conflict means that the cache is
behind, and the round is repeated when the news is there.
"""

from __future__ import annotations

from api import meta
from api.builtin import DEPLOYMENTS, PODS, REPLICA_SETS
from api.errors import AlreadyExists, ApiError, NotFound
from api.meta import Obj
from api.selectors import from_label_selector
from client.reconciler import Reconciler
from controller import adoption, deployment_plan, deployment_status, ownership, pod_state, template_hash
from controller import deployment_revisions as revisions
from controller import deployment_scaling as scaling
from controller.context import Context, namespace_is_terminating


class DeploymentLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._events = context.recorder("deployment-controller")
        self._deployments = context.informer(DEPLOYMENTS, "namespace")
        self._replica_sets = context.informer(REPLICA_SETS, "controller")
        self._pods = context.informer(PODS, "controller")
        self._work = Reconciler("deployment", self._reconcile, clock=context.clock, workers=5)
        self._deployments.on_event(self._on_deployment)
        self._replica_sets.on_event(self._on_replica_set)
        self._pods.on_event(self._on_pod)

    async def run(self) -> None:
        await self._work.run()

    def _on_deployment(self, _: str, old: Obj | None, new: Obj | None) -> None:
        self._work.queue.add(meta.key(new or old or {}))

    def _on_replica_set(self, _: str, old: Obj | None, new: Obj | None) -> None:
        for rs in (old, new):
            if rs is None:
                continue
            owner = meta.controller_of(rs)
            if owner is not None:
                if owner.get("kind") == "Deployment":
                    self._work.queue.add(f"{meta.namespace(rs)}/{owner['name']}")
            elif rs is new:  # an orphan: whoever it suits may adopt it
                for deployment in self._deployments.store.by_index("namespace", meta.namespace(rs)):
                    if from_label_selector(deployment["spec"].get("selector")).matches(meta.labels(rs)):
                        self._work.queue.add(meta.key(deployment))

    def _on_pod(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        """Recreate waits for the last old pod to be gone."""
        pod = new or old
        if pod is None or not (kind == "delete" or pod_state.is_terminal(pod)):
            return
        owner = meta.controller_of(pod)
        rs = self._replica_sets.store.get(f"{meta.namespace(pod)}/{owner['name']}") if owner else None
        parent = meta.controller_of(rs) if rs else None
        if parent is not None and parent.get("kind") == "Deployment":
            key = f"{meta.namespace(pod)}/{parent['name']}"
            deployment = self._deployments.store.get(key)
            if deployment is not None and not scaling.is_rolling(deployment):
                self._work.queue.add(key)

    async def _reconcile(self, key: str) -> float | None:
        deployment = self._deployments.store.get(key)
        if deployment is None:
            return None
        selector = from_label_selector(deployment["spec"].get("selector"))
        if selector.is_everything:
            message = "This deployment is selecting all pods. A non-empty selector is required."
            self._events.event(deployment, "Warning", "SelectingAll", message)
            return None
        store = self._replica_sets.store
        candidates = store.by_index("controller", meta.uid(deployment))
        candidates += store.by_index("controller", f"orphans/{meta.namespace(deployment)}")
        claims = ownership.claim(deployment, selector, candidates)
        owned = await adoption.settle(self._client, DEPLOYMENTS, deployment, REPLICA_SETS, claims)
        plan = deployment_plan.decide(
            deployment, owned, self._clock.now(), old_pods_run=self._old_pods_run(deployment, owned)
        )
        return await self._carry_out(deployment, owned, plan)

    def _old_pods_run(self, deployment: Obj, owned: list[Obj]) -> bool:
        if scaling.is_rolling(deployment):
            return False
        new = revisions.find_new(deployment, owned)
        return any(
            not pod_state.is_terminal(pod)
            for rs in owned if new is None or meta.uid(rs) != meta.uid(new)
            for pod in self._pods.store.by_index("controller", meta.uid(rs))
        )  # fmt: skip

    async def _carry_out(self, deployment: Obj, owned: list[Obj], plan: deployment_plan.Plan) -> float | None:
        namespace = meta.namespace(deployment)
        if plan.create is not None and not await self._create(deployment, plan):
            return None
        before = {meta.name(rs): scaling.size(rs) for rs in owned}
        for rs in plan.update:
            await self._client.update(REPLICA_SETS, rs)
            self._tell_scaled(deployment, meta.name(rs), before[meta.name(rs)], scaling.size(rs))
        for rs in plan.delete:
            try:
                await self._client.delete(REPLICA_SETS, meta.name(rs), namespace, uid=meta.uid(rs))
            except NotFound:
                continue
        if plan.revision and plan.revision != meta.annotations(deployment).get(revisions.REVISION):
            patch = {"metadata": {
                "resourceVersion": deployment["metadata"]["resourceVersion"],
                "annotations": {revisions.REVISION: plan.revision},
            }}  # fmt: skip
            deployment = await self._client.patch(DEPLOYMENTS, meta.name(deployment), patch, namespace=namespace)
        await self._write_status(deployment, plan.status)
        return plan.requeue_after

    async def _create(self, deployment: Obj, plan: deployment_plan.Plan) -> bool:
        """False when the round ends here."""
        wanted = plan.create
        assert wanted is not None
        try:
            await self._client.create(REPLICA_SETS, wanted)
        except AlreadyExists:
            taken = await self._client.get(REPLICA_SETS, meta.name(wanted), meta.namespace(deployment))
            owner = meta.controller_of(taken) or {}
            same = template_hash.equal_ignoring_hash(taken["spec"]["template"], wanted["spec"]["template"])
            if owner.get("uid") == meta.uid(deployment) and same:
                raise  # ours: the cache will show it
            status = deployment.get("status") or {}
            collisions = int(status.get("collisionCount") or 0) + 1
            await self._write_status(deployment, {**status, "collisionCount": collisions})
            return False
        except ApiError as error:
            if namespace_is_terminating(error):
                return False
            conditions = deployment_status.Conditions(deployment, self._clock.now())
            deployment_status.note_create_failure(deployment, meta.name(wanted), error.message, conditions)
            status = {**(deployment.get("status") or {}), "conditions": conditions.list()}
            await self._write_status(deployment, status)
            raise
        self._tell_scaled(deployment, meta.name(wanted), 0, scaling.size(wanted))
        return True

    def _tell_scaled(self, deployment: Obj, name: str, before: int, after: int) -> None:
        if before != after:
            direction = "up" if after > before else "down"
            message = f"Scaled {direction} replica set {name} from {before} to {after}"
            self._events.event(deployment, "Normal", "ScalingReplicaSet", message)

    async def _write_status(self, deployment: Obj, status: Obj) -> None:
        if status != (deployment.get("status") or {}):
            await self._client.update(DEPLOYMENTS, {**deployment, "status": status}, subresource="status")
