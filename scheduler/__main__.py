"""`python -m scheduler`: assigns pods to nodes."""

from __future__ import annotations

import os
import sys

# Our arrays are small: numpy's thread pools would only cost memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import asyncio

from client import daemon, identity
from client.daemon import Daemon
from client.election import LeaderElector
from client.events import EventRecorder
from client.informer import Informers
from scheduler.loop import Scheduler
from scheduler.pod import SCHEDULER_NAME
from scheduler.report import Reporter


async def serve(d: Daemon) -> None:
    informers = Informers(d.client, clock=d.clock)
    events = EventRecorder(d.client, SCHEDULER_NAME, clock=d.clock)
    reporter = Reporter(d.client, events, d.clock)
    scheduler = Scheduler(d.client, informers, events, reporter, d.clock)
    d.ready_when("informers", lambda: informers.synced)
    async with asyncio.TaskGroup() as group:
        group.create_task(informers.run())
        group.create_task(events.run())
        group.create_task(reporter.run())
        if d.args.leader_elect:
            elector = LeaderElector(
                d.client,
                "kube-scheduler",
                identity.own(),
                clock=d.clock,
                holder_is_gone=identity.is_gone,
            )
            await elector.run(scheduler.run)
        else:
            await scheduler.run()


def main() -> None:
    flags = daemon.flags("scheduler", "Assigns pods to nodes.", healthz_port=10259)
    daemon.leader_flags(flags)
    sys.exit(daemon.run("scheduler", serve, flags))


if __name__ == "__main__":
    main()
