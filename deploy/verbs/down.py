"""`sampan down`: the daemons stop, in order; pods keep running, data stays."""

from __future__ import annotations

from deploy import cluster, host, supervision
from deploy.layout import Layout
from deploy.steps import Steps


def down(layout: Layout, steps: Steps) -> None:
    host.require_root("down")
    cluster.require(layout)
    with cluster.only_one(layout), steps.step("daemons") as step:
        stopped = supervision.stop(layout)
        step.note = f"stopped {', '.join(stopped)}" if stopped else "none ran"
    steps.say("Pods keep running, data stays. `sampan up` takes both up again.")
