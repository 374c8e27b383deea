"""What the mutations of a MutatingAdmissionPolicy make of an object (pure).

Rules and wording: https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/ and
k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonpatch

from api import meta, objects
from api.cel.admission import POLICY_BUDGET, Expression, Failed, Values
from api.cel.patches import TYPES, plain
from api.cel.program import Budget, EvaluationError
from api.errors import ApiError, InternalError
from api.meta import Obj
from api.patch import json_patch, structured, typed
from api.patch.typed import Type
from api.registry import Resource
from apiserver.admission.policies.judging import Scoped


class Mutation:
    def __init__(self, given: Obj, scoped: Scoped) -> None:
        self._scoped = scoped
        self._applies = given["patchType"] == "ApplyConfiguration"
        patch = given["applyConfiguration" if self._applies else "jsonPatch"]
        self._expression: Expression = scoped.compiled(patch["expression"], scoped.scope, TYPES)

    def mutated(self, values: Values, obj: Obj, row: Resource) -> Obj:
        """`obj`, which stays as it is, with the change. Failed; InternalError when it is no object of its kind then."""
        budget = Budget(POLICY_BUDGET)
        value = self._expression.evaluate(self._scoped.composing({**values, "object": obj}, budget), budget)
        try:
            if self._applies:
                return _defaulted(row, obj, _applied(row, obj, plain(value)))
            return self._patched(row, obj, value)
        except EvaluationError as error:
            raise Failed(str(error)) from error

    def _patched(self, row: Resource, obj: Obj, value: Any) -> Obj:
        patched = meta.copied(obj)
        for given in value:
            operation = {name: plain(held) for name, held in given.items()}
            try:
                patched = json_patch.apply(patched, [operation])
            except ApiError as error:
                if isinstance(error.__cause__, jsonpatch.JsonPatchTestFailed):
                    return obj  # a test that fails keeps the patch from being applied, no more
                # The library's own words may show what is in the object, which who asks may not be allowed to see.
                what, path = operation.get("op", ""), operation.get("path", "")
                raise Failed(f'JSONPath: {what} operation does not apply: doc is missing path: "{path}"') from error
        return _defaulted(row, obj, patched)


class Mutator(Scoped):
    """A policy's spec, compiled."""

    def __init__(self, spec: Obj) -> None:
        super().__init__(spec)
        self.mutations = [Mutation(given, self) for given in spec.get("mutations") or ()]
        self.reinvocable = spec.get("reinvocationPolicy") == "IfNeeded"


def _applied(row: Resource, obj: Obj, config: Obj) -> Obj:
    """By server-side apply's rules of merging; nobody comes to own what is set."""
    type_ = typed.of(row)
    config = {**config, "apiVersion": obj.get("apiVersion"), "kind": obj.get("kind")}
    if found := [f"{path}: {why}" if path else why for path, why in typed.misfits(type_, config)]:
        text = found[0] if len(found) == 1 else "\n".join(["errors:", *(f"  {each}" for each in found)])
        raise Failed(f"error applying patch: failed to convert patch object to typed object: {text}")
    if atomic := ", ".join(_atomics(type_, config, "")):
        why = f"may not mutate atomic arrays, maps or structs: {atomic}"
        raise Failed(f"error applying patch: invalid ApplyConfiguration: {why}")
    try:
        merged: Obj = structured.merge(type_, obj, config)
    except typed.Untypable as error:
        raise Failed(f"error applying patch: failed to merge patch: {error}") from error
    return meta.copied(merged)  # type: ignore[no-any-return]  # JSON in, JSON out


def _atomics(type_: Type, value: Any, at: str) -> Iterator[str]:
    """What would be replaced as a whole, with all that the configuration does not say."""
    if isinstance(value, dict) and type_.is_map:
        if type_.atomic:
            yield at
        for key, held in value.items():
            yield from _atomics(type_.child(key)[1], held, f"{at}.{key}")
    elif isinstance(value, list) and type_.items is not None:
        if not type_.associative:
            yield at
        for index, item in enumerate(value):
            yield from _atomics(type_.items, item, f"{at}[{index}]")


def _defaulted(row: Resource, before: Obj, made: Obj) -> Obj:
    """As if a client had sent it: its shape checked, its defaults filled in."""
    try:
        new, _ = objects.decode(row, made, objects.STRICT)
    except ApiError as error:
        raise InternalError(error.message) from error
    row.hooks.default(new)
    if "metadata" not in before:
        new.pop("metadata", None)
    return new
