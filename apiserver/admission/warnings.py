"""Warnings: the client hears of what is questionable in the object it writes. Nothing is refused or changed.

The texts are in api/warnings. https://kubernetes.io/docs/reference/using-api/#warnings
"""

from __future__ import annotations

from api.registry import Resource
from api.warnings.kinds import ROWS
from apiserver.admission.chain import Attempt, Plugin


class Warnings(Plugin):
    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return verb in ("create", "update") and not subresource and (res.group, res.plural) in ROWS

    async def validate(self, attempt: Attempt) -> None:
        """Judges the object as it will be stored, and the first to do so, as upstream's strategies."""
        for text in ROWS[attempt.res.group, attempt.res.plural](attempt.new(), attempt.old):
            attempt.warn(text)
