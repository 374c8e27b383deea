"""Custom objects in another version: relabelled, or converted by the webhook that their definition names.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
All objects of a page go to the webhook in one call. It may change everything but the metadata, of which labels and
annotations alone are its own.
"""

from __future__ import annotations

import uuid
from typing import Any

from api import validation
from api.custom import defaulting
from api.custom.pruning import prune
from api.errors import InternalError
from api.meta import Obj
from api.registry import Resource
from apiserver.custom.definitions import Definitions
from apiserver.webhooks import WebhookFailed, Webhooks

_OF_WEBHOOK = ("labels", "annotations")


class Conversion:
    def __init__(self, definitions: Definitions, webhooks: Webhooks) -> None:
        self._definitions = definitions
        self._webhooks = webhooks

    async def convert(self, objs: list[Obj], _: Resource, target: Resource) -> list[Obj]:
        """As `storage.views.Convert`: what lies in a version is defaulted in that version, then converted."""
        custom = target.custom
        assert custom is not None
        for obj in objs:
            _settle(obj, self._definitions.row(custom.definition, str(obj.get("apiVersion")).rpartition("/")[2]))
        others = [index for index, obj in enumerate(objs) if obj.get("apiVersion") != target.api_version]
        conversion = self._definitions.conversion(custom.definition)
        if others and conversion.get("strategy") == "Webhook":
            converted = await self._ask(conversion["webhook"], [objs[i] for i in others], target)
            for index, obj in zip(others, converted, strict=True):
                objs[index] = obj
        for index in others:
            objs[index]["apiVersion"], objs[index]["kind"] = target.api_version, target.kind
            if not custom.preserves_unknown:
                prune(objs[index], custom.schema)
        return objs

    async def _ask(self, webhook: Obj, objs: list[Obj], target: Resource) -> list[Obj]:
        said = f"conversion webhook for {objs[0]['apiVersion']}, Kind={objs[0]['kind']}"
        version = next((v for v in webhook["conversionReviewVersions"] if v in ("v1", "v1beta1")), "")
        if not version:
            raise InternalError("no supported conversion review versions")
        review: Obj = {
            "kind": "ConversionReview",
            "apiVersion": f"apiextensions.k8s.io/{version}",
            "request": {
                "uid": str(uuid.uuid4()),
                "desiredAPIVersion": target.api_version,
                "objects": objs,
            },
        }
        try:
            answer = await self._webhooks.post(webhook["clientConfig"], review)
            converted = _converted(review, answer)
        except WebhookFailed as error:
            raise InternalError(f"{said} failed: {error}") from error
        if len(converted) != len(objs):
            raise InternalError(f"{said} returned {len(converted)} objects, expected {len(objs)}")
        for index, (before, after) in enumerate(zip(objs, converted, strict=True)):
            why = _unlike(before, after, target) or _restored(before, after)
            if why:
                raise InternalError(f"{said} returned invalid converted object at index {index}: {why}")
        return converted


def _settle(obj: Obj, row: Resource | None) -> None:
    if row is not None and row.custom is not None and not row.custom.preserves_unknown:
        prune(obj, row.custom.schema)
        defaulting.default(obj, row.custom.schema)


def _converted(review: Obj, answer: Any) -> list[Any]:
    """The objects of a ConversionReview's response."""
    if not isinstance(answer, dict) or (answer.get("apiVersion"), answer.get("kind")) != (
        review["apiVersion"], review["kind"],
    ):  # fmt: skip
        got = answer if isinstance(answer, dict) else {}
        raise WebhookFailed(
            f"expected webhook response of {review['apiVersion']}, Kind={review['kind']}, got "
            f"{got.get('apiVersion', '')}, Kind={got.get('kind', '')}"
        )
    response = answer.get("response")
    if not isinstance(response, dict):
        raise WebhookFailed("no response provided")
    uid = review["request"]["uid"]
    if response.get("uid") != uid:
        raise WebhookFailed(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        why = f"response.result.status was '{result.get('status', '')}', not 'Success'"
        raise WebhookFailed(str(result.get("message") or why))
    converted = response.get("convertedObjects")
    return converted if isinstance(converted, list) else []


def _unlike(before: Obj, after: Any, target: Resource) -> str:
    """Why `after` cannot be `before` in the target's version."""
    if not isinstance(after, dict):
        return "invalid type"
    if after.get("apiVersion") != target.api_version:
        return f"invalid groupVersion (expected {target.api_version}, received {after.get('apiVersion')})"
    if after.get("kind") != before.get("kind"):
        return f"invalid kind (expected {before.get('kind')}, received {after.get('kind')})"
    metadata = after.get("metadata")
    if not isinstance(metadata, dict):
        return "missing metadata in converted object"
    for name, shown in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        one, other = before["metadata"].get(name) or "", metadata.get(name) or ""
        if one != other:
            return f"must have the same {shown}: {one} != {other}"
    return ""


def _restored(before: Obj, after: Obj) -> str:
    """Give `after` the metadata of `before`, but for what is the webhook's; why it may not have that."""
    given = after["metadata"]
    errors = validation.labels(given.get("labels"), "metadata.labels")
    errors += validation.annotations(given.get("annotations"), "metadata.annotations")
    if errors:
        return str(errors[0])
    after["metadata"] = {k: v for k, v in before["metadata"].items() if k not in _OF_WEBHOOK}
    after["metadata"] |= {k: given[k] for k in _OF_WEBHOOK if given.get(k)}
    return ""
