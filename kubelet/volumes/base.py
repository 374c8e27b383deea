"""What every kind of volume is given, and how it says that it cannot be had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from api.meta import Obj


class VolumeError(Exception):
    """The volume cannot be set up now. The message is what upstream prints after the volume's name. `soon`: what it
    waits for is being made, and nobody will tell when it is there."""

    def __init__(self, message: str, *, soon: bool = False) -> None:
        super().__init__(message)
        self.soon = soon


class Objects(Protocol):
    """Where a volume's objects come from: kubelet/pods/lookup.py, or what is watched."""

    async def config_map(self, namespace: str, name: str) -> Obj | None: ...

    async def secret(self, namespace: str, name: str) -> Obj | None: ...

    async def token(self, pod: Obj, audience: str, seconds: int) -> str: ...


@dataclass(frozen=True, slots=True)
class Context:
    pod: Obj
    objects: Objects
    host_ip: str = ""
    node_allocatable: Mapping[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int
    user: int | None = None
    """Whose it is; None: root's."""


Payload = dict[str, File]
"""Files of a volume by their path relative to its root."""


def choose(
    data: Mapping[str, bytes],
    source: Mapping[str, Any],
    default_mode: int,
    optional: bool,
    missing: str,
) -> Payload:
    """The keys a volume shows: all, or those in `items`, each at its path with its mode. `missing` tells of one that
    is not there."""
    items = source.get("items")
    if not items:
        return {key: File(value, default_mode) for key, value in data.items()}
    payload: Payload = {}
    for item in items:
        if item["key"] not in data:
            if optional:
                continue
            raise VolumeError(f"{missing}: {item['key']}")
        mode = item.get("mode")
        payload[item["path"]] = File(data[item["key"]], default_mode if mode is None else int(mode))
    return payload


def aggregate(errors: Iterable[str]) -> str:
    """Several errors as one, as upstream's errors.NewAggregate prints them: each once."""
    texts = list(dict.fromkeys(errors))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
