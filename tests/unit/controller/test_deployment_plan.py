from __future__ import annotations

from datetime import timedelta

import pytest

from api import meta
from api.meta import Obj
from controller import deployment_plan, deployment_status
from controller.deployment_plan import Plan

from .make import NOW, ago, deployment, replica_set

REVISION = "deployment.kubernetes.io/revision"


def condition(plan: Plan, type_: str) -> tuple[str, str, str]:
    found = meta.get_condition({"status": plan.status}, type_)
    assert found is not None
    return found["status"], found["reason"], found["message"]


def with_progress(obj: Obj, reason: str, status: str = "True", updated: float = 10) -> Obj:
    progressing = {
        "type": "Progressing", "status": status, "reason": reason, "message": "m",
        "lastUpdateTime": ago(updated), "lastTransitionTime": ago(updated),
    }  # fmt: skip
    return {**obj, "status": {**(obj.get("status") or {}), "conditions": [progressing]}}


def sizes(plan: Plan) -> dict[str, int]:
    return {meta.name(rs): rs["spec"]["replicas"] for rs in plan.update}


def test_a_new_deployment_gets_a_replica_set_of_full_size() -> None:
    plan = deployment_plan.decide(deployment(3), [], NOW)
    assert plan.create is not None and plan.create["spec"]["replicas"] == 3
    assert plan.revision == "1"
    name = meta.name(plan.create)
    assert condition(plan, "Progressing") == ("True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
    assert condition(plan, "Available") == (
        "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.",
    )  # fmt: skip
    assert plan.requeue_after == 601


def test_a_changed_template_starts_with_what_the_surge_allows() -> None:
    old = replica_set("old", 3, image="app:0", revision=1, desired=3, max=4)
    plan = deployment_plan.decide(deployment(3), [old], NOW)
    assert plan.create is not None and plan.create["spec"]["replicas"] == 1
    assert plan.revision == "2"


def test_a_finished_rollout_says_so() -> None:
    rs = replica_set("new", 3, image="app:1", revision=1, desired=3, max=4)
    plan = deployment_plan.decide(with_progress(deployment(3), "ReplicaSetUpdated"), [rs], NOW)
    assert condition(plan, "Progressing") == (
        "True", "NewReplicaSetAvailable", 'ReplicaSet "new" has successfully progressed.',
    )  # fmt: skip
    assert condition(plan, "Available")[1] == "MinimumReplicasAvailable"
    assert plan.status["replicas"] == plan.status["updatedReplicas"] == plan.status["availableReplicas"] == 3
    assert "unavailableReplicas" not in plan.status
    assert (plan.create, plan.update, plan.requeue_after) == (None, [], None)


def test_deciding_again_on_the_outcome_changes_nothing() -> None:
    rs = replica_set("new", 3, image="app:1", revision=1, desired=3, max=4)
    done = deployment(3)
    done["metadata"]["annotations"] = {REVISION: "1"}
    done["status"] = deployment_plan.decide(with_progress(done, "ReplicaSetUpdated"), [rs], NOW).status
    again = deployment_plan.decide(done, [rs], NOW + timedelta(hours=1))
    assert again.status == done["status"] and not again.update and again.create is None


def test_undo_reuses_the_old_replica_set_and_bumps_its_revision() -> None:
    first = replica_set("first", 0, image="app:1", revision=1, age=90)
    second = replica_set("second", 3, image="app:2", revision=2, age=50, desired=3, max=4)
    plan = deployment_plan.decide(deployment(3, image="app:1"), [first, second], NOW)
    assert plan.create is None and sizes(plan) == {"first": 1}
    assert meta.annotations(plan.update[0])[REVISION] == "3" == plan.revision
    assert meta.annotations(plan.update[0])["deployment.kubernetes.io/revision-history"] == "1"


def test_scaling_a_settled_deployment_resizes_and_notes_it() -> None:
    rs = replica_set("new", 3, image="app:1", revision=1, desired=3, max=4)
    plan = deployment_plan.decide(deployment(5), [rs], NOW)
    assert sizes(plan) == {"new": 5}
    assert meta.annotations(plan.update[0])["deployment.kubernetes.io/desired-replicas"] == "5"
    assert meta.annotations(plan.update[0])["deployment.kubernetes.io/max-replicas"] == "7"


def test_a_replica_set_that_already_has_the_new_size_only_notes_it() -> None:
    rs = replica_set("new", 5, image="app:1", revision=1, desired=3, max=4)
    plan = deployment_plan.decide(deployment(5), [rs], NOW)
    assert meta.annotations(plan.update[0])["deployment.kubernetes.io/desired-replicas"] == "5"
    assert not deployment_plan.decide(deployment(5), plan.update, NOW).update


@pytest.mark.parametrize(
    ("paused", "before", "expected"),
    [
        pytest.param(True, "ReplicaSetUpdated", ("Unknown", "DeploymentPaused", "Deployment is paused"), id="pause"),
        pytest.param(False, "DeploymentPaused", ("Unknown", "DeploymentResumed", "Deployment is resumed"), id="resume"),
        pytest.param(True, "ProgressDeadlineExceeded", ("True", "ProgressDeadlineExceeded", "m"), id="too late"),
    ],
)
def test_pausing(paused: bool, before: str, expected: tuple[str, str, str]) -> None:
    rs = replica_set("new", 3, 1, image="app:1", revision=1, desired=3, max=4)
    obj = with_progress(deployment(3, paused=paused), before)
    obj["status"] |= {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 1, "availableReplicas": 1}
    assert condition(deployment_plan.decide(obj, [rs], NOW), "Progressing") == expected


def test_a_paused_deployment_is_not_rolled_out() -> None:
    old = replica_set("old", 3, image="app:0", revision=1, desired=3, max=4)
    plan = deployment_plan.decide(deployment(3, paused=True), [old], NOW)
    assert plan.create is None and plan.update == []


@pytest.mark.parametrize(
    ("updated", "expected"),
    [(599, "ReplicaSetUpdated"), (601, "ProgressDeadlineExceeded")],
    ids=["in time", "too late"],
)
def test_the_progress_deadline(updated: float, expected: str) -> None:
    rs = replica_set("new", 3, 1, image="app:1", revision=1, desired=3, max=4)
    obj = with_progress(deployment(3), "ReplicaSetUpdated", updated=updated)
    obj["status"] |= {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 1, "availableReplicas": 1}
    plan = deployment_plan.decide(obj, [rs], NOW)
    assert condition(plan, "Progressing")[1] == expected
    assert (plan.requeue_after is None) == (expected == "ProgressDeadlineExceeded")


def test_without_a_deadline_there_is_no_progressing_condition() -> None:
    obj = with_progress(deployment(3, progressDeadlineSeconds=deployment_status.NO_DEADLINE), "ReplicaSetUpdated")
    plan = deployment_plan.decide(obj, [], NOW)
    assert meta.get_condition({"status": plan.status}, "Progressing") is None


def test_why_pods_cannot_be_made_is_passed_on_and_taken_back() -> None:
    rs = replica_set("new", 3, 0, image="app:1", revision=1, desired=3, max=4)
    rs["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}
    ]
    plan = deployment_plan.decide(deployment(3), [rs], NOW)
    assert condition(plan, "ReplicaFailure") == ("True", "FailedCreate", "quota")
    rs["status"].pop("conditions")
    plan = deployment_plan.decide({**deployment(3), "status": plan.status}, [rs], NOW)
    assert meta.get_condition({"status": plan.status}, "ReplicaFailure") is None


class TestRecreate:
    spec = deployment(3, strategy={"type": "Recreate"})

    def test_old_pods_go_first(self) -> None:
        old = replica_set("old", 3, image="app:0", revision=1, desired=3, max=3)
        plan = deployment_plan.decide(self.spec, [old], NOW, old_pods_run=True)
        assert plan.create is None and sizes(plan) == {"old": 0}

    def test_nothing_is_made_while_one_still_runs(self) -> None:
        old = replica_set("old", 0, image="app:0", revision=1)
        assert deployment_plan.decide(self.spec, [old], NOW, old_pods_run=True).create is None

    def test_then_all_at_once(self) -> None:
        old = replica_set("old", 0, image="app:0", revision=1)
        plan = deployment_plan.decide(self.spec, [old], NOW)
        assert plan.create is not None and plan.create["spec"]["replicas"] == 3


def test_a_deleted_deployment_only_reports() -> None:
    obj = deployment(3)
    obj["metadata"]["deletionTimestamp"] = ago(1)
    plan = deployment_plan.decide(obj, [replica_set("new", 1, image="app:1")], NOW)
    assert plan.create is None and not plan.update and plan.status["replicas"] == 1
