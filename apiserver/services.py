"""Where a Service answers: one of its ready endpoints, so that no rules of the node's network are needed."""

from __future__ import annotations

import random

from api import selectors
from api.builtin import ENDPOINT_SLICES, SERVICES
from api.errors import ServiceUnavailable
from apiserver.storage.store import Store


async def endpoint_of(store: Store, namespace: str, name: str, port: str, *, asked: str = "") -> tuple[str, int]:
    """(address, port) of any ready endpoint behind a port of the Service, by name or number. NotFound;
    ServiceUnavailable. `asked` is what messages call the Service."""
    service = (await store.get(SERVICES, namespace, name, resource_version="0")).obj()
    if port.isdigit():
        names = [p.get("name") or "" for p in service["spec"].get("ports") or [] if p["port"] == int(port)]
        if not names:
            raise ServiceUnavailable(f'no service port {port} found for service "{name}"')
        port = names[0]
    ours = selectors.from_match_labels({"kubernetes.io/service-name": name})
    page = await store.list(ENDPOINT_SLICES, namespace, labels=ours, resource_version="0")
    slices = [item.obj() for item in page.items]
    found = [
        (address, int(p["port"]))
        for each in slices
        for p in each.get("ports") or []
        if (p.get("name") or "") == port
        for endpoint in each.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint["addresses"][:1]
    ]
    if not found:
        raise ServiceUnavailable(f'no endpoints available for service "{asked or name}"')
    return random.choice(found)
