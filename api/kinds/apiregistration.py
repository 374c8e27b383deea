"""APIService: defaults, validation, columns."""

from __future__ import annotations

from api import meta
from api.columns import AGE, Cell, tabled
from api.meta import Obj
from api.registry import Hooks


def _service(api_service: Obj) -> str:
    service = (api_service.get("spec") or {}).get("service")
    return f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"


def _available(api_service: Obj) -> str:
    condition = meta.get_condition(api_service, "Available")
    if condition is None:
        return "Unknown"
    status = str(condition.get("status", ""))
    return status if status == "True" or not condition.get("reason") else f"{status} ({condition['reason']})"


HOOKS = tabled(Hooks(), Cell("Service", _service), Cell("Available", _available), AGE)
