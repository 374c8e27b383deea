"""The rows of discovery.k8s.io/v1."""

from __future__ import annotations

from api.kinds import endpoints
from api.registry import Resource

ENDPOINT_SLICES = Resource(
    "discovery.k8s.io",
    "v1",
    "EndpointSlice",
    "endpointslices",
    "endpointslice",
    True,
    has_generation=True,
    hooks=endpoints.ENDPOINT_SLICE,
)

ROWS = (ENDPOINT_SLICES,)
