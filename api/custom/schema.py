"""What a CustomResourceDefinition says of one of its versions, beyond what every row of the registry has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class CustomSchema:
    """Read-only. Two versions of a definition never share one."""

    definition: str
    """The name of the CustomResourceDefinition."""
    schema: Schema
    """openAPIV3Schema as the definition has it (structural, nothing added); {} when the version has none."""
    preserves_unknown: bool = False
    """Unknown fields are kept everywhere (spec.preserveUnknownFields, of old definitions)."""
    scale: Mapping[str, str] = field(default_factory=dict)
    """specReplicasPath, statusReplicasPath, labelSelectorPath; {} without the scale subresource."""
    warning: str = ""
    """What a client of a deprecated version is told; "" when it is not deprecated."""
    list_kind: str = ""
