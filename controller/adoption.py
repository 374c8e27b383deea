"""Carrying out `ownership.claim`: adopt and release children, by patches that hold for one revision only."""

from __future__ import annotations

from api import meta
from api.errors import NotFound
from api.meta import Obj
from api.registry import Resource
from client.http import ApiClient
from controller import ownership
from controller.ownership import Claims


async def settle(
    client: ApiClient, owner_resource: Resource, owner: Obj, child_resource: Resource, claims: Claims
) -> list[Obj]:
    """All children the owner has now. An owner that is gone or going, as the server knows it, adopts nothing."""
    mine = list(claims.mine)
    namespace = meta.namespace(owner)
    if claims.adopt:
        live = await client.get(owner_resource, meta.name(owner), namespace)
        if meta.uid(live) == meta.uid(owner) and not meta.is_deleting(live):
            reference = meta.controller_reference(owner, owner_resource.api_version, owner_resource.kind)
            for child in claims.adopt:
                patch = ownership.adoption_patch(child, reference)
                mine.append(await client.patch(child_resource, meta.name(child), patch, namespace=namespace))
    for child in claims.release:
        patch = ownership.release_patch(child, meta.uid(owner))
        try:
            await client.patch(child_resource, meta.name(child), patch, namespace=namespace)
        except NotFound:
            continue  # gone is released
    return mine
