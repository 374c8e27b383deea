"""Lifecycle hooks: exec, httpGet and sleep. Rules and texts: pkg/kubelet/lifecycle/handlers.go.

A hook has no time limit of its own: whoever runs it cancels it. Why one failed may hold secrets of the container, so
that events do not say it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from api.meta import Obj
from client import log
from client.clock import Clock
from client.events import EventRecorder
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import RuntimeFailure
from kubelet.pods.model import Container, field_path, find_container
from kubelet.pods.quoting import quoted
from kubelet.probing import http
from kubelet.probing.commands import Commands
from kubelet.probing.http import PLAIN_ANSWER, HttpFailure
from kubelet.probing.target import Target, Trouble, address_of

_log = log.get("hooks")
_AGENT = "kube-lifecycle/1.35"


class HookFailure(Exception):
    pass


class Hooks:
    def __init__(
        self, commands: Commands, observer: Observer, recorder: EventRecorder, clock: Clock, host_ip: str
    ) -> None:
        self._commands, self._observer = commands, observer
        self._recorder, self._clock, self._host_ip = recorder, clock, host_ip

    async def run(self, kind: str, pod: Obj, container: Container) -> str:
        """`kind` is PostStart or PreStop. Why it failed; "" when it succeeded, or there is none."""
        spec = find_container(pod, container.name) or {}
        handler = (spec.get("lifecycle") or {}).get(kind[0].lower() + kind[1:])
        if not handler:
            return ""
        address = address_of(pod, self._observer.of_pod(container.pod_uid), self._host_ip)
        try:
            await self._handle(pod, Target(container.id, spec, address), handler)
        except HookFailure as failure:
            _log.info("hook failed", kind=kind, container=container.name, why=str(failure))
            path = field_path(pod, container.name)
            self._recorder.event(pod, "Warning", f"Failed{kind}Hook", f"{kind}Hook failed", field_path=path)
            return str(failure)
        return ""

    async def _handle(self, pod: Obj, target: Target, handler: Mapping[str, Any]) -> None:
        """HookFailure when it does not succeed. tcpSocket is no hook: it fails, as the API's description says."""
        meta = pod["metadata"]
        where = f'for Container "{target.spec["name"]}" in Pod "{meta["name"]}_{meta["namespace"]}({meta["uid"]})"'
        if handler.get("exec") is not None:
            await self._exec(target, handler["exec"].get("command") or [], where)
        elif handler.get("httpGet") is not None:
            try:
                await self._get(pod, target, handler["httpGet"])
            except (HttpFailure, Trouble) as error:
                path = handler["httpGet"].get("path") or ""
                raise HookFailure(f"HTTP lifecycle hook ({path}) {where} failed - error: {error}") from error
        elif handler.get("sleep") is not None:
            await self._clock.sleep(int(handler["sleep"].get("seconds") or 0))
        else:
            raise HookFailure(f"Cannot run handler: invalid handler: {', '.join(handler)}")

    async def _exec(self, target: Target, command: list[str], where: str) -> None:
        output = ""
        try:
            finished = await self._commands.run(target.id, command)
        except RuntimeFailure as error:
            why = str(error)
        else:
            if finished.code == 0:
                return
            why = f"command '{' '.join(command)}' exited with {finished.code}: {finished.stderr}"
            output = finished.output
        raise HookFailure(
            f"Exec lifecycle hook ([{' '.join(command)}]) {where} failed - error: {why}, message: {quoted(output)}"
        )

    async def _get(self, pod: Obj, target: Target, action: Mapping[str, Any]) -> None:
        """Any answer will do. A server that speaks plain HTTP where HTTPS was said is asked in its own way."""
        url, headers = http.url_of(action, target), http.headers_of(action, _AGENT)
        try:
            await http.get(url, headers)
        except HttpFailure as error:
            if PLAIN_ANSWER not in str(error):
                raise
            await http.get(replace(url, scheme="http"), http.without(headers, "authorization"))
            text = f"request to HTTPS lifecycle hook {url.at} got HTTP response, retry with HTTP succeeded"
            self._recorder.event(pod, "Warning", "LifecycleHTTPFallback", text)
