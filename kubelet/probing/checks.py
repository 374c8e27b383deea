"""One look at a container: exec, httpGet, tcpSocket or grpc. Texts and verdicts: pkg/probe and pkg/kubelet/prober."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubelet.pods.environment import expand
from kubelet.probing import dial, http
from kubelet.probing.commands import Commands
from kubelet.probing.http import HttpFailure
from kubelet.probing.target import Target, Trouble

_AGENT = "kube-probe/1.35"


@dataclass(frozen=True, slots=True)
class Outcome:
    success: bool
    text: str = ""
    warning: bool = False
    """It counts as a success, but somebody should know."""


class Checks:
    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._kinds = {"exec": self._exec, "httpGet": _get, "tcpSocket": _tcp, "grpc": _grpc}

    async def run(self, probe: Mapping[str, Any], target: Target, seconds: int) -> Outcome:
        """Trouble, or RuntimeFailure, when that could not be found out."""
        for kind, look in self._kinds.items():
            if probe.get(kind) is not None:
                return await look(probe[kind], target, seconds)
        raise Trouble(f"missing probe handler for {target.spec['name']}")

    async def _exec(self, action: Mapping[str, Any], target: Target, seconds: int) -> Outcome:
        """`$(NAME)` stands for what the container's env says of it by value alone."""
        known = {variable["name"]: variable.get("value") or "" for variable in target.spec.get("env") or ()}
        command = [expand(word, known) for word in action.get("command") or ()]
        try:
            finished = await self._commands.run(target.id, command, seconds)
        except TimeoutError:
            return Outcome(False, f'command timed out: "{" ".join(command)}" timed out after {seconds}s')
        return Outcome(finished.code == 0, finished.output)


async def _get(action: Mapping[str, Any], target: Target, seconds: int) -> Outcome:
    try:
        answer = await http.get(http.url_of(action, target), http.headers_of(action, _AGENT), seconds)
    except HttpFailure as failure:
        return Outcome(False, str(failure))
    if 300 <= answer.status < 400:
        return Outcome(True, f"Probe terminated redirects, Response body: {answer.body}", warning=True)
    if 200 <= answer.status < 300:
        return Outcome(True)
    return Outcome(False, f"HTTP probe failed with statuscode: {answer.status}")


async def _tcp(action: Mapping[str, Any], target: Target, seconds: int) -> Outcome:
    host, port = action.get("host") or target.address, target.port(action.get("port"))
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(False, dial.timeout(host, port))
    except OSError as error:
        return Outcome(False, dial.failure(error, host, port))
    writer.close()
    return Outcome(True)


async def _grpc(action: Mapping[str, Any], target: Target, seconds: int) -> Outcome:
    # What it needs is loaded when a pod asks for it: few do.
    grpc = importlib.import_module("kubelet.probing.grpc")
    why = await grpc.check(target.address, target.port(action["port"]), action.get("service") or "", seconds, _AGENT)
    return Outcome(not why, why)
