"""Which policies there are and what binds them, as the cache has it (pure).

    index = Index(Compiled)          Compiled(policy's spec) is made when a request first needs it
    index.hooks                      the policies that are bound, in order of name

A change of a policy or binding is taken in as the cache learns of it and costs nothing until the next request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Generic, TypeVar

from api.meta import Obj
from api.registry import Resource
from apiserver.admission.matching import Matcher
from apiserver.storage.store import Store, Stored

Evaluator = TypeVar("Evaluator")


class Binding:
    """What applies a policy, maybe to a part of what it matches, maybe with parameters."""

    def __init__(self, name: str, spec: Obj) -> None:
        self.name = name
        self.spec = spec
        self.param_ref: Obj | None = spec.get("paramRef")
        self.actions: list[str] = spec.get("validationActions") or ["Deny"]

    @cached_property
    def matcher(self) -> Matcher | None:
        """None: everything that the policy matches."""
        match = self.spec.get("matchResources")
        return Matcher(match) if match is not None else None


class Policy(Generic[Evaluator]):
    def __init__(self, name: str, spec: Obj, make: Callable[[Obj], Evaluator]) -> None:
        self.name = name
        self.spec = spec
        self.bindings: list[Binding] = []
        self._make = make

    @property
    def param_kind(self) -> Mapping[str, str] | None:
        return self.spec.get("paramKind")

    @property
    def fails(self) -> bool:
        """Whether what cannot be decided is refused."""
        return self.spec.get("failurePolicy") != "Ignore"

    @cached_property
    def matcher(self) -> Matcher:
        return Matcher(self.spec.get("matchConstraints") or {})

    @cached_property
    def evaluator(self) -> Evaluator:
        return self._make(self.spec)


class Index(Generic[Evaluator]):
    """`on_policy` and `on_binding` take changes in."""

    def __init__(self, make: Callable[[Obj], Evaluator]) -> None:
        self._make = make
        self._policies: dict[str, Policy[Evaluator]] = {}
        self._bindings: dict[str, Binding] = {}
        self._hooks: list[Policy[Evaluator]] | None = []

    def follow(self, store: Store, policies: Resource, bindings: Resource) -> None:
        """Before the store is started."""
        store.listen(policies, lambda name, now: self.on_policy(name, _spec(now)))
        store.listen(bindings, lambda name, now: self.on_binding(name, _spec(now)))

    def on_policy(self, name: str, spec: Obj | None) -> None:
        """The policy's spec is now this; None = it is gone."""
        known = self._policies.get(name)
        if spec is None:
            self._policies.pop(name, None)
        elif known is None or known.spec != spec:  # its status alone need not be compiled
            self._policies[name] = Policy(name, spec, self._make)
        self._hooks = None

    def on_binding(self, name: str, spec: Obj | None) -> None:
        if spec is None:
            self._bindings.pop(name, None)
        else:
            self._bindings[name] = Binding(name, spec)
        self._hooks = None

    @property
    def hooks(self) -> list[Policy[Evaluator]]:
        if self._hooks is None:
            self._hooks = self._bound()
        return self._hooks

    def _bound(self) -> list[Policy[Evaluator]]:
        for policy in self._policies.values():
            policy.bindings = []
        for _, binding in sorted(self._bindings.items()):
            policy_name = binding.spec.get("policyName", "")
            if policy_name in self._policies:
                self._policies[policy_name].bindings.append(binding)
        return [policy for _, policy in sorted(self._policies.items()) if policy.bindings]


def _spec(stored: Stored | None) -> Obj | None:
    if stored is None:
        return None
    spec: Obj = stored.obj().get("spec") or {}
    return spec
