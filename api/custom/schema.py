"""What a CustomResourceDefinition says of one of its versions, beyond what every row of the registry has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

Schema = dict[str, Any]


class CustomSchema:
    """Read-only. Two versions of a definition never share one.

    definition          the name of the CustomResourceDefinition
    schema              openAPIV3Schema as the definition has it (structural, nothing added); {} when it has none.
                        Given as JSON it is read when first asked for: read, a schema takes ten times the memory, and
                        of most kinds that are installed no object is ever made
    preserves_unknown   unknown fields are kept everywhere (spec.preserveUnknownFields, of old definitions)
    scale               specReplicasPath, statusReplicasPath, labelSelectorPath; {} without the scale subresource
    list_kind           the kind of its lists
    """

    __slots__ = ("_schema", "definition", "list_kind", "preserves_unknown", "scale", "text")

    def __init__(
        self,
        definition: str,
        schema: Schema | bytes,
        preserves_unknown: bool = False,
        scale: Mapping[str, str] | None = None,
        list_kind: str = "",
    ) -> None:
        self.definition = definition
        self.text = schema if isinstance(schema, bytes) else orjson.dumps(schema)
        self._schema = None if isinstance(schema, bytes) else schema
        self.preserves_unknown = preserves_unknown
        self.scale: Mapping[str, str] = scale or {}
        self.list_kind = list_kind

    @property
    def schema(self) -> Schema:
        if self._schema is None:
            self._schema = orjson.loads(self.text)
        return self._schema
