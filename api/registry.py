"""The one table of resources. A built-in kind is a row here, plus a hooks file when it has behaviour.

A `Resource` says where objects of a kind live (path and scope), what they are called, which subresources and
selectable fields they have, how they print, and which pure hooks run on the way in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from api.custom.schema import CustomSchema
from api.errors import FieldError
from api.meta import Obj
from api.validation import dns_subdomain

Default = Callable[[Obj], None]
Prepare = Callable[[Obj, Obj | None], None]
Validate = Callable[[Obj, Obj | None], list[FieldError]]
Convert = Callable[[Obj], Obj]
Cells = Callable[[Obj, datetime], list[Any]]
Claims = Callable[[Obj], set[str]]
NameRule = Callable[[str, str], list[FieldError]]


def _nothing(_: Obj) -> None: ...


def _keep(_: Obj, __: Obj | None) -> None: ...


def _valid(_: Obj, __: Obj | None) -> list[FieldError]:
    return []


def _same(obj: Obj) -> Obj:
    return obj


def _no_claims(_: Obj) -> set[str]:
    return set()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the Table form. priority 0 prints always, 1 only with `-o wide`."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Hooks:
    """What is particular to a kind. All pure; `old` is None on create.

    default   fills what the client left out, on create and update
    prepare   clears what the client may not set through this door (status on create and main-resource
              updates), bumps generation, keeps immutable server fields
    validate  semantic rules that the schema cannot say, with upstream's messages and field paths
    prepare_status, validate_status   the same through the status subresource (everything but status and
              a few metadata fields is taken from `old` by the generic code)
    doors     other subresources that change the status, each with its own prepare and validate; those named in
              spec_doors change the spec instead
    columns, cells   the Table form; cells(obj, now) gives one value per column. Without them: Name and Age
    order     the rows of a Table in another order than that of the list
    name_rule what a name of this kind may be
    claims    names this object holds exclusively (`clusterip/10.96.0.10`); stored with it in one etcd Txn
    deleting  what the first DELETE leaves on the object at a time: finalizers of ours, a condition
    orphans   a DELETE that says nothing of dependents leaves them, as it did before there was garbage collection;
              `careless` warns of that
    to_stored, from_stored   for a row with `stored_as`: the object in the version it is stored in, and back. They
              may edit what they are given; the storage sets apiVersion and kind
    """

    default: Default = _nothing
    prepare: Prepare = _keep
    validate: Validate = _valid
    prepare_status: Prepare = _keep
    validate_status: Validate = _valid
    doors: Mapping[str, tuple[Prepare, Validate]] = field(default_factory=dict)
    spec_doors: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    cells: Cells | None = None
    order: Callable[[Obj], Any] | None = None
    claims: Claims = _no_claims
    name_rule: NameRule = dns_subdomain
    deleting: Callable[[Obj, str], None] | None = None
    orphans: bool = False
    careless: str = ""
    to_stored: Convert = _same
    from_stored: Convert = _same


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource (group, version, plural)."""

    group: str  # "" for the core group
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = (
        "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch",
    )  # fmt: skip
    fields: Mapping[str, str] = field(default_factory=dict)
    """Selectable fields beyond metadata.name and metadata.namespace: field label → value when absent."""
    field_paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Where a selectable field stands, when its label does not say: the first path that leads to something counts."""
    has_generation: bool = False
    """metadata.generation counts changes of what is desired (all but metadata and status)."""
    keeps_status_on_create: bool = False
    """The creator may bring a status along (a kubelet registering its node)."""
    needs_version: bool = False
    """A PUT must say which resourceVersion it replaces (upstream's AllowUnconditionalUpdate is false)."""
    graceful: bool = False
    """Deletion waits for an agent (only pods: the kubelet confirms)."""
    ttl: int = 0
    """Seconds from its last write until an object goes by itself; 0 = it stays."""
    hooks: Hooks = field(default_factory=Hooks)
    stored_as: Resource | None = None
    """The row in whose version the objects lie in storage; None = this one."""
    deprecation: str = ""
    """The warning that clients of a deprecated kind or version get with every answer."""
    custom: CustomSchema | None = None
    """What the definition of a custom resource says of this version; None = a built-in kind."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind(self) -> str:
        return self.custom.list_kind if self.custom is not None else f"{self.kind}List"

    @property
    def qualified(self) -> str:
        """`pods` or `deployments.apps`, as messages print it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    @property
    def root(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path. namespace "" with a namespaced resource means all namespaces (list and watch)."""
        path = f"{self.root}/namespaces/{namespace}" if self.namespaced and namespace else self.root
        path = f"{path}/{self.plural}"
        if name:
            path = f"{path}/{name}"
        return f"{path}/{subresource}" if subresource else path

    def supports_field(self, label: str) -> bool:
        return label in self.fields or label == "metadata.name" or (label == "metadata.namespace" and self.namespaced)

    def field_values(self, obj: Obj) -> dict[str, str]:
        """The flat map that field selectors match."""
        metadata = obj["metadata"]
        values = {"metadata.name": metadata.get("name", "")}
        if self.namespaced:
            values["metadata.namespace"] = metadata.get("namespace", "")
        for label, absent in self.fields.items():
            at: Any = None
            for path in self.field_paths.get(label, (label,)):
                at = at or _at(obj, path)
            values[label] = absent if at is None else (str(at).lower() if isinstance(at, bool) else str(at))
        return values


_steps = lru_cache(maxsize=4096)(lambda path: tuple(path.split(".")))


def _at(obj: Any, path: str) -> Any:
    for step in _steps(path):
        if not isinstance(obj, dict):
            return None
        obj = obj.get(step)
    return obj


class Registry:
    """Resources by plural and by kind. Built-ins are there from the start; custom ones come and go at run time.

    `generation` counts the changes: what is computed of all rows (discovery, OpenAPI) is kept under it.
    """

    def __init__(self, rows: Iterable[Resource]) -> None:
        self.generation = 0
        self._by_plural: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[tuple[str, str, str], Resource] = {}
        self._listeners: list[Callable[[], None]] = []
        for row in rows:
            self.add(row)

    def add(self, row: Resource) -> None:
        """Also replaces the row of that group, version and plural."""
        self._by_plural[row.group, row.version, row.plural] = row
        self._by_kind[row.group, row.version, row.kind] = row
        self._changed()

    def remove(self, row: Resource) -> None:
        self._by_plural.pop((row.group, row.version, row.plural), None)
        self._by_kind.pop((row.group, row.version, row.kind), None)
        self._changed()

    def on_change(self, callback: Callable[[], None]) -> None:
        """`callback()` runs right after each change."""
        self._listeners.append(callback)

    def _changed(self) -> None:
        self.generation += 1
        for listener in self._listeners:
            listener()

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._by_plural.values()))

    def by_plural(self, group: str, version: str, plural: str) -> Resource | None:
        return self._by_plural.get((group, version, plural))

    def by_kind(self, group: str, version: str, kind: str) -> Resource | None:
        return self._by_kind.get((group, version, kind))

    def of(self, obj: Mapping[str, Any]) -> Resource | None:
        """The row of an object, by its apiVersion and kind."""
        group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
        return self.by_kind(group, version, str(obj.get("kind", "")))
