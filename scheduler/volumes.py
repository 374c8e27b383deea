"""Claims, volumes and storage classes as the scheduler sees them, with what it has promised and not yet written. PURE.

A volume that is *promised* to a claim refers to it from that moment, as far as later pods are concerned; the same goes
for the node on which a claim's volume is to be made. A promise is void once the object changes, or is taken back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from api import meta
from api.kinds.volume_claim import class_name
from api.meta import Obj
from scheduler.pod import Pod


@dataclass(frozen=True, slots=True)
class Promise:
    """What is to be written, and the claims that have to be bound, before the pod may be."""

    volumes: tuple[Obj, ...]
    placed: tuple[Obj, ...]
    """Claims that name the node on which a provisioner is to make their volume."""
    claims: tuple[tuple[str, bool], ...]
    """Their keys, and whether a provisioner makes the volume."""


class Volumes:
    def __init__(self) -> None:
        self.classes: dict[str, Obj] = {}
        self._claims: dict[str, Obj] = {}
        self._volumes: dict[str, Obj] = {}
        self._by_class: dict[str, set[str]] = {}
        self._promised_volumes: dict[str, Obj] = {}
        self._promised_claims: dict[str, Obj] = {}
        self._used: Counter[str] = Counter()

    # What happens.

    def set_class(self, storage_class: Obj) -> None:
        self.classes[meta.name(storage_class)] = storage_class

    def remove_class(self, name: str) -> None:
        self.classes.pop(name, None)

    def set_claim(self, claim: Obj) -> None:
        self._claims[meta.key(claim)] = claim
        self._promised_claims.pop(meta.key(claim), None)

    def remove_claim(self, key: str) -> None:
        self._claims.pop(key, None)
        self._promised_claims.pop(key, None)

    def set_volume(self, volume: Obj) -> None:
        self.remove_volume(meta.name(volume))
        self._volumes[meta.name(volume)] = volume
        self._by_class.setdefault(class_name(volume), set()).add(meta.name(volume))

    def remove_volume(self, name: str) -> None:
        old = self._volumes.pop(name, None)
        self._promised_volumes.pop(name, None)
        if old is not None:
            self._by_class[class_name(old)].discard(name)

    def count(self, pod: Pod, sign: int) -> None:
        """A pod on a node uses its claims; with -1 no longer."""
        for key, _ in pod.claims:
            self._used[key] += sign
            if not self._used[key]:
                del self._used[key]

    def promise(self, promise: Promise) -> None:
        self._promised_volumes |= {meta.name(volume): volume for volume in promise.volumes}
        self._promised_claims |= {meta.key(claim): claim for claim in promise.placed}

    def take_back(self, promise: Promise) -> None:
        """What came true has been seen by then, or will be."""
        for volume in promise.volumes:
            if self._promised_volumes.get(meta.name(volume)) is volume:
                del self._promised_volumes[meta.name(volume)]
        for claim in promise.placed:
            if self._promised_claims.get(meta.key(claim)) is claim:
                del self._promised_claims[meta.key(claim)]

    # Answers.

    def claim(self, key: str) -> Obj | None:
        return self._promised_claims.get(key) or self._claims.get(key)

    def volume(self, name: str) -> Obj | None:
        return self._promised_volumes.get(name) or self._volumes.get(name)

    def of_class(self, name: str) -> Iterable[Obj]:
        for volume in self._by_class.get(name, ()):
            yield self._promised_volumes.get(volume) or self._volumes[volume]

    def is_used(self, key: str) -> bool:
        """By a pod that has a node."""
        return key in self._used
