"""Namespaces, ConfigMaps, Secrets and ServiceAccounts."""

from __future__ import annotations

import base64
from datetime import datetime

from api.meta import Obj
from kubectl.describe.events import events_block
from kubectl.describe.sheet import Sheet, status


def namespace(obj: Obj, now: datetime) -> str:
    sheet = Sheet(now)
    metadata = obj["metadata"]
    sheet.line(0, f"Name:\t{metadata['name']}")
    sheet.labels("Labels", metadata.get("labels"))
    sheet.annotations(metadata.get("annotations"))
    sheet.line(0, f"Status:\t{status(obj).get('phase', '')}")
    conditions = status(obj).get("conditions") or []
    if conditions:
        sheet.line(0, "Conditions:")
        sheet.line(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage")
        sheet.line(1, "----\t------\t------------------\t------\t-------")
    for c in conditions:
        sheet.line(1, f"{c['type']}\t{c['status']}\t{_timestamp(sheet, c)}\t{c.get('reason', '')}"
                      f"\t{c.get('message', '')}")  # fmt: skip
    return sheet.text()


def _timestamp(sheet: Sheet, condition: Obj) -> str:
    return sheet.since(condition.get("lastTransitionTime"))


def config_map(obj: Obj, events: list[Obj] | None, now: datetime) -> str:
    sheet = Sheet(now)
    _head(sheet, obj)
    sheet.line(0, "\nData\n====")
    for key, value in sorted((obj.get("data") or {}).items()):
        sheet.line(0, f"{key}:\n----\n{value}\n")
    sheet.line(0, "\nBinaryData\n====")
    for key, value in sorted((obj.get("binaryData") or {}).items()):
        sheet.line(0, f"{key}: {len(base64.b64decode(value))} bytes")
    sheet.line(0, "")
    events_block(sheet, events)
    return sheet.text()


def secret(obj: Obj, now: datetime) -> str:
    """Sizes only, never values, except of a service account's token."""
    sheet = Sheet(now)
    _head(sheet, obj)
    kind = obj.get("type", "")
    sheet.line(0, f"\nType:\t{kind}")
    sheet.line(0, "\nData\n====")
    for key, value in sorted((obj.get("data") or {}).items()):
        decoded = base64.b64decode(value)
        if kind == "kubernetes.io/service-account-token" and key == "token":
            sheet.line(0, f"{key}:\t{decoded.decode(errors='replace')}")
        else:
            sheet.line(0, f"{key}:\t{len(decoded)} bytes")
    return sheet.text()


def service_account(obj: Obj, events: list[Obj] | None, now: datetime) -> str:
    sheet = Sheet(now)
    _head(sheet, obj)
    pull = [s["name"] for s in obj.get("imagePullSecrets") or []]
    mounted = [s["name"] for s in obj.get("secrets") or []]
    sheet.block("Image pull secrets", pull)
    if mounted:
        sheet.block("Mountable secrets", mounted)
    events_block(sheet, events)
    return sheet.text()


def _head(sheet: Sheet, obj: Obj) -> None:
    sheet.line(0, f"Name:\t{obj['metadata']['name']}")
    sheet.line(0, f"Namespace:\t{obj['metadata'].get('namespace', '')}")
    sheet.labels("Labels", obj["metadata"].get("labels"))
    sheet.annotations(obj["metadata"].get("annotations"))
