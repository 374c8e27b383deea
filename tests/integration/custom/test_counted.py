"""Custom kinds in quotas: "This can be used to … count quota on a custom resource".

https://kubernetes.io/docs/concepts/policy/resource-quotas/#object-count-quota
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.harness.eventually import eventually_sync
from tests.harness.upstream import Kubectl
from tests.integration.conftest import Start
from tests.integration.custom.manifests import crontab, crontab_definition

Obj = dict[str, Any]


def test_a_kind_that_comes_later_is_counted(
    kubectl: Kubectl, group: str, define: Callable[[Obj], Obj], start_controller: Start
) -> None:
    start_controller()
    name = f"count/crontabs.{group}"

    def used() -> Obj:
        return dict((kubectl.run("get", "quota", "own", "-o", "json").ok().json.get("status") or {}).get("used") or {})

    kubectl.run("create", "quota", "own", f"--hard={name}=1,configmaps=9").ok()
    eventually_sync(lambda: "configmaps" in used(), "what is there is counted")
    define(crontab_definition(group))
    eventually_sync(lambda: used().get(name) == "0", "the new kind is counted")
    kubectl.run("create", "-f", "-", stdin=crontab(group)).ok()
    refused = kubectl.run("create", "-f", "-", stdin=crontab(group, "second")).failed().stderr
    assert f"exceeded quota: own, requested: {name}=1, used: {name}=1, limited: {name}=1" in refused
    kubectl.run("delete", "crontab", "my-cron").ok()
    eventually_sync(lambda: used()[name] == "0", "what goes is given back")
