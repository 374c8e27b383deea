"""The credentials that a pod, and the node, have for a repository.

Pull secrets as kubelet_pods.go getPullSecretsForPod gets them; the node's own lie in `<root>/config.json`
(https://kubernetes.io/docs/concepts/containers/images/#configuring-nodes-to-authenticate-to-a-private-registry).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from api.errors import ApiError
from api.meta import Obj
from client import log
from kubelet.images.keyring import Credential, Keyring, of_config, of_secret

_log = log.get("images")

FindSecret = Callable[[str, str], Awaitable[Obj | None]]  # namespace, name
Warn = Callable[[Obj, str, str], None]  # pod, reason, message


class Credentials:
    def __init__(self, find_secret: FindSecret, warn: Warn, root: Path) -> None:
        self._find_secret, self._warn, self._file = find_secret, warn, root / "config.json"

    async def of_pod(self, pod: Obj, repository: str) -> list[Credential]:
        """Secrets that are not there or hold none are told in an event: the image may be had without."""
        entries: list[tuple[str, Credential]] = []
        unusable = []
        for name in [each["name"] for each in pod["spec"].get("imagePullSecrets") or [] if each.get("name")]:
            try:
                secret = await self._find_secret(pod["metadata"]["namespace"], name)
                entries += of_secret(secret).entries if secret is not None else ()
            except (ApiError, ValueError) as error:
                _log.warning("pull secret cannot be used", secret=name, why=str(error))
                secret = None
            if secret is None:
                unusable.append(name)
        if unusable:
            self._warn(pod, "FailedToRetrieveImagePullSecret",
                f"Unable to retrieve some image pull secrets ({', '.join(unusable)}); "
                "attempting to pull the image may not succeed.")  # fmt: skip
        return Keyring(tuple(entries)).lookup(repository)

    async def of_node(self, repository: str) -> list[Credential]:
        try:
            return of_config(await asyncio.to_thread(self._file.read_bytes), None).lookup(repository)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            _log.warning("the node's registry credentials cannot be used", why=str(error))
            return []
