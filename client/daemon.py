"""The shell every daemon lives in: flags, logs, signals, health, the connection to the apiserver.

    def main() -> None:
        flags = daemon.flags("scheduler", "Assigns pods to nodes.", healthz_port=10259)
        flags.add_argument(...)
        sys.exit(daemon.run("scheduler", serve, flags))

    async def serve(d: Daemon) -> None: ...

`serve` is cancelled on SIGTERM or SIGINT and has GRACE seconds to end; a second signal ends it at once.
Exit status: 0 after a signal or a normal end, 1 when it failed (the log says why), 2 for wrong flags.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable, Sequence

import uvloop

from client import log
from client.clock import Clock, RealClock
from client.health import Health
from client.http import ApiClient
from client.kubeconfig import KubeconfigError, RestConfig, load

GRACE = 10.0
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def flags(name: str, description: str, *, healthz_port: int) -> argparse.ArgumentParser:
    """A parser with the flags all daemons share."""
    parser = argparse.ArgumentParser(prog=name, description=description, allow_abbrev=False)
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="how to reach the apiserver")
    parser.add_argument("-v", type=int, default=0, metavar="LEVEL", dest="verbosity", help="2 logs details")
    parser.add_argument(
        "--healthz-port",
        type=int,
        default=healthz_port,
        metavar="PORT",
        help="loopback port of /healthz, /readyz and /metrics; 0 is off (default %(default)s)",
    )
    return parser


def leader_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--leader-elect",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="work only while holding the lease (default on)",
    )


def duration(text: str) -> float:
    """A flag type: Go's durations, `40s`, `1m30s`, `500ms`, or plain seconds. In seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|h|m|s))+", text):
        raise argparse.ArgumentTypeError(f"invalid duration {text!r}: use for example 40s or 1m30s")
    return sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text))


# The names under which upstream's programs manage fields: people tell their tools to pass over these.
_PROGRAMS = {"controller": "kube-controller-manager", "scheduler": "kube-scheduler", "proxy": "kube-proxy"}


class Daemon:
    """What `serve` is given."""

    def __init__(self, name: str, args: argparse.Namespace, config: RestConfig, clock: Clock) -> None:
        self.name, self.args, self.config, self.clock = name, args, config, clock
        self.log = log.get(name)
        self.health = Health()
        self.client = ApiClient(config, user_agent=f"{_PROGRAMS.get(name, name)}/sampan", clock=clock)

    def ready_when(self, name: str, check: Callable[[], bool]) -> None:
        """/readyz fails while `check` returns False."""
        self.health.add(name, check)


Serve = Callable[[Daemon], Awaitable[None]]


def run(name: str, serve: Serve, parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Parse, connect, serve until a signal. Returns the exit status."""
    args = parser.parse_args(argv)
    log.configure(args.verbosity)
    try:
        config = load(args.kubeconfig or None)
    except KubeconfigError as error:
        log.get(name).error("no kubeconfig", why=str(error))
        return 1
    return uvloop.run(_run(name, serve, args, config))


async def _run(name: str, serve: Serve, args: argparse.Namespace, config: RestConfig) -> int:
    daemon = Daemon(name, args, config, RealClock())
    try:
        return await _supervise(daemon, serve)
    finally:
        await daemon.client.close()


async def _supervise(daemon: Daemon, serve: Serve) -> int:
    server = None
    if daemon.args.healthz_port:
        try:
            server = await daemon.health.serve(daemon.args.healthz_port)
        except OSError as error:
            daemon.log.error("health port is taken", port=daemon.args.healthz_port, why=str(error))
            return 1
    loop = asyncio.get_running_loop()
    work = asyncio.ensure_future(serve(daemon))
    stopping = False

    def stop(received: signal.Signals) -> None:
        nonlocal stopping
        if stopping:
            os._exit(1)
        stopping = True
        daemon.log.info("stopping", signal=received.name)
        work.cancel()
        loop.call_later(GRACE, os._exit, 1)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop, each)
    daemon.log.info("started", server=daemon.config.server, pid=os.getpid())
    try:
        await asyncio.wait({work})
    finally:
        if server is not None:
            server.close()
    if work.cancelled():
        return 0 if stopping else 1
    if work.exception() is not None:
        daemon.log.error("failed", exc_info=work.exception())
        return 1
    return 0
