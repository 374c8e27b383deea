"""EventRateLimit: events that come faster than configured are turned away: in all, or of one namespace, user or source.

Off unless enabled, as upstream's. Unlike upstream's it also counts those that come through events.k8s.io: they are the
same objects. https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#eventratelimit ;
rules and wording: k8s.io/kubernetes/plugin/pkg/admission/eventratelimit
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from api.builtin import EVENTS, NEW_EVENTS
from api.errors import TooManyRequests
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.configfile import ConfigError, Kinds, checked

_KEPT = 4096  # buckets, unless cacheSize says otherwise
_POSITIVE = {"type": "integer", "minimum": 1}
_LIMIT = {
    "type": "object",
    "properties": {
        "type": {"enum": ["Server", "Namespace", "User", "SourceAndObject"]},
        "qps": _POSITIVE,
        "burst": _POSITIVE,
        "cacheSize": {"type": "integer", "minimum": 0},
    },
    "required": ["type", "qps", "burst"],
    "additionalProperties": False,
}
_CONFIGURATION: Obj = {
    "properties": {"limits": {"type": "array", "minItems": 1, "items": _LIMIT}}, "required": ["limits"],
}  # fmt: skip
_KINDS: Kinds = {("eventratelimit.admission.k8s.io/v1alpha1", "Configuration"): _CONFIGURATION}


class EventRateLimit(Plugin):
    name = "EventRateLimit"

    def __init__(self, configuration: Obj | None, *, enabled: bool, clock: Callable[[], float] = monotonic) -> None:
        """ConfigError, also when it is enabled without a configuration."""
        if configuration is None and enabled:
            raise ConfigError(f"{self.name}: needs a configuration in the file of --admission-control-config-file")
        limits = checked(configuration, _KINDS, self.name)["limits"] if configuration is not None else []
        self._limits = [Limit(limit, clock) for limit in limits]

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return verb in ("create", "update") and res in (EVENTS, NEW_EVENTS)

    async def validate(self, attempt: Attempt) -> None:
        """Every limit counts it, also when another one turns it away."""
        refused = [text for limit in self._limits if (text := limit.refuses(attempt))]
        if refused:
            raise TooManyRequests(f"Too many requests: {refused[-1]}")


class Limit:
    """Token buckets by key. The longest unused is forgotten first."""

    def __init__(self, limit: Obj, clock: Callable[[], float]) -> None:
        self._type, self._key = limit["type"], _KEYS[limit["type"]]
        self._rate, self._burst = float(limit["qps"]), float(limit["burst"])
        self._most = limit.get("cacheSize") or _KEPT
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key → (tokens, when there were so many)

    def refuses(self, attempt: Attempt) -> str:
        """Why; "" when it is within the limit, which is then used up by one."""
        key, now = self._key(attempt), self._clock()
        tokens, since = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        self._buckets[key] = (tokens - 1 if tokens >= 1 else tokens), now
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return "" if tokens >= 1 else f"limit reached on type {self._type} for key {key}"


def _source_and_object(attempt: Attempt) -> str:
    event = attempt.new()
    source = event.get("source") or event.get("deprecatedSource") or {}
    subject = event.get("involvedObject") or event.get("regarding") or {}
    parts = [source.get(field) for field in ("component", "host")]
    parts += [subject.get(field) for field in ("kind", "namespace", "name", "uid", "apiVersion")]
    return "".join(part or "" for part in parts)


_KEYS: dict[str, Callable[[Attempt], str]] = {
    "Server": lambda attempt: "",
    "Namespace": lambda attempt: attempt.namespace,
    "User": lambda attempt: attempt.user.name,
    "SourceAndObject": _source_and_object,
}
