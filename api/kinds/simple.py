"""Columns of the kinds that have little else: ServiceAccount, Lease."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.meta import Obj
from api.registry import Column, Hooks


def _service_account_cells(account: Obj, now: datetime) -> list[Any]:
    return [meta.name(account), len(account.get("secrets") or []), printing.age_of(account, now)]


def _lease_cells(lease: Obj, now: datetime) -> list[Any]:
    holder = (lease.get("spec") or {}).get("holderIdentity") or ""
    return [meta.name(lease), holder, printing.age_of(lease, now)]


SERVICE_ACCOUNT = Hooks(
    columns=(Column("Name", format="name"), Column("Secrets"), Column("Age")), cells=_service_account_cells
)
LEASE = Hooks(columns=(Column("Name", format="name"), Column("Holder"), Column("Age")), cells=_lease_cells)
