"""Which webhooks there are, as the cache has them, and which of them a kind of request may concern.

A change of a configuration is taken in as the cache learns of it. What is costly to make of a webhook (its match
conditions) is made when a request first needs it.
"""

from __future__ import annotations

from functools import cached_property

from api.cel.admission import Conditions, declared
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver.admission.chain import Attempt
from apiserver.admission.matching import Matcher
from apiserver.storage.store import Store, Stored

_DRY = ("None", "NoneOnDryRun")


class Hook:
    """One webhook of a configuration."""

    def __init__(self, configuration: str, webhook: Obj) -> None:
        self.configuration = configuration
        self.name: str = webhook["name"]
        self.client: Obj = webhook["clientConfig"]
        self.timeout = float(webhook.get("timeoutSeconds") or 10)
        self.ignores_failures = webhook.get("failurePolicy") == "Ignore"
        self.reinvocable = webhook.get("reinvocationPolicy") == "IfNeeded"
        self.dry_runs = webhook.get("sideEffects") in _DRY
        self.review_version = next((v for v in webhook["admissionReviewVersions"] if v in ("v1", "v1beta1")), "")
        self.matcher = Matcher({**webhook, "resourceRules": webhook.get("rules")}, anything=False)
        self._webhook = webhook

    @cached_property
    def conditions(self) -> Conditions | None:
        given = self._webhook.get("matchConditions")
        return Conditions(given, declared()) if given else None


Candidates = list[tuple[int, Hook]]


class Index:
    """The webhooks of one kind of configuration, in order of the configurations' names."""

    def __init__(self, store: Store, registry: Registry, row: Resource) -> None:
        self._registry = registry
        self._configurations: dict[str, list[Hook]] = {}
        self._generation = -1
        self._found: dict[tuple[str, str, str, str, str], Candidates] = {}
        store.listen(row, self._on_configuration)

    def _on_configuration(self, name: str, stored: Stored | None) -> None:
        if stored is None:
            self._configurations.pop(name, None)
        else:
            self._configurations[name] = [Hook(name, webhook) for webhook in stored.obj().get("webhooks") or ()]
        self._found = {}

    def candidates(self, attempt: Attempt) -> Candidates:
        """Those with a rule that fits, each with its place among all."""
        if not self._configurations:
            return []
        if self._generation != self._registry.generation:
            self._found, self._generation = {}, self._registry.generation
        res = attempt.res
        key = (attempt.verb, res.group, res.version, res.plural, attempt.subresource)
        found = self._found.get(key)
        if found is None:
            hooks = [hook for _, some in sorted(self._configurations.items()) for hook in some]
            found = [(i, hook) for i, hook in enumerate(hooks) if hook.matcher.wanted(attempt, self._registry)]
            self._found[key] = found
        return found
