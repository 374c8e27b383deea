"""Roles and their bindings: defaults, validation, columns."""

from __future__ import annotations

from api.columns import AGE, Cell, tabled
from api.meta import Obj
from api.registry import Hooks


def _subjects(kind: str) -> Cell:
    def names(binding: Obj) -> str:
        found = [s for s in binding.get("subjects") or [] if s.get("kind") == kind]
        return ", ".join(f"{s.get('namespace')}/{s['name']}" if kind == "ServiceAccount" else s["name"] for s in found)

    return Cell(f"{kind}s", names, priority=1)


_ROLE = Cell("Role", lambda b: f"{b['roleRef']['kind']}/{b['roleRef']['name']}")
_BINDING = (_ROLE, AGE, _subjects("User"), _subjects("Group"), _subjects("ServiceAccount"))
_CREATED = Cell("Created At", lambda role: role["metadata"].get("creationTimestamp") or "")

ROLE = tabled(Hooks(), _CREATED)
CLUSTER_ROLE = tabled(Hooks(), _CREATED)
ROLE_BINDING = tabled(Hooks(), *_BINDING)
CLUSTER_ROLE_BINDING = tabled(Hooks(), *_BINDING)
