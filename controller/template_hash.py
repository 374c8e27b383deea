"""The `pod-template-hash` label: short, stable, safe in names. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LABEL = "pod-template-hash"
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, no look-alikes: never spells a word


def compute(template: Mapping[str, Any], collision_count: int | None) -> str:
    """The same text for the same template whatever the order of its keys; `collision_count` changes it."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    if collision_count is not None:
        text += f"#{collision_count}"
    return safe_encode(str(_fnv1a(text.encode())))


def safe_encode(text: str) -> str:
    return "".join(ALPHABET[ord(c) % len(ALPHABET)] for c in text)


def _fnv1a(data: bytes) -> int:
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def equal_ignoring_hash(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two pod templates are the same apart from the hash label."""
    return _without_hash(one) == _without_hash(other)


def _without_hash(template: Mapping[str, Any]) -> dict[str, Any]:
    metadata = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    labels = {k: v for k, v in (metadata.pop("labels", None) or {}).items() if k != LABEL}
    if labels:
        metadata["labels"] = labels
    return {"metadata": metadata, "spec": template.get("spec") or {}}
