"""The few words we exchange with a Docker Engine: is it there, load an image, remove what is ours.

Plain HTTP over its socket: `sampan` should start fast, and these calls need no library.
https://docs.docker.com/reference/api/engine/version/v1.41/
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from deploy.errors import Failure

DEFAULT_SOCKET = Path("/var/run/docker.sock")
_REMOVAL_SECONDS, _PAUSE = 60.0, 0.1
_CHUNK = 1 << 20


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Engine:
    """The Docker Engine behind a socket. Calls raise Failure when it is not there or refuses."""

    def __init__(self, path: Path = DEFAULT_SOCKET) -> None:
        self.path = path

    def answers(self, timeout: float = 5) -> bool:
        connection = _Connection(self.path, timeout)
        try:
            connection.request("GET", "/_ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def listens(self) -> bool:
        """Somebody holds the socket, whether or not they answer."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.path))
            except OSError:
                return False
            return True

    def has_image(self, name: str) -> bool:
        return bool(self.image_id(name))

    def image_id(self, name: str) -> str:
        """ "" when there is none of that name."""
        found = self._call("GET", f"/images/{name}/json", missing_ok=True)
        return "" if found is None else str(json.loads(found)["Id"])

    def save(self, name: str) -> Iterator[bytes]:
        """An image as `docker save` writes it."""
        connection = _Connection(self.path, timeout=120)
        try:
            connection.request("GET", f"/images/{name}/get")
            response = connection.getresponse()
            if response.status != 200:
                raise Failure(f"Docker refused to save {name}: {_message(response.read())}", "look at Docker's log")
            while piece := response.read(_CHUNK):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"Docker does not answer on {self.path} ({error})", "start it, or look at its log") from error
        finally:
            connection.close()

    def import_image(self, name: str, archive: bytes, changes: list[str]) -> None:
        """Makes an image of one layer from a tar archive; `changes` are Dockerfile instructions."""
        repository, _, tag = name.rpartition(":")
        query = urlencode({"fromSrc": "-", "repo": repository, "tag": tag, "changes": changes}, doseq=True)
        self._call("POST", f"/images/create?{query}", archive, "application/x-tar")

    def containers(self, label: str) -> list[dict[str, Any]]:
        """All containers with the label, running or not."""
        query = urlencode({"all": "1", "filters": json.dumps({"label": [label]})})
        found: list[dict[str, Any]] = json.loads(self._call("GET", f"/containers/json?{query}") or b"[]")
        return found

    def remove_container(self, identity: str) -> None:
        """Returns when it is gone, also when a kubelet that is no more has asked for that already."""
        deadline = time.monotonic() + _REMOVAL_SECONDS
        while True:
            try:
                self._call("DELETE", f"/containers/{identity}?force=1&v=1", missing_ok=True)
            except Failure as error:
                if "already in progress" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)
            else:
                return

    def network(self, name: str) -> dict[str, Any] | None:
        answer = self._call("GET", f"/networks/{name}", missing_ok=True)
        return None if answer is None else json.loads(answer)

    def remove_network(self, name: str) -> None:
        self._call("DELETE", f"/networks/{name}", missing_ok=True)

    def _call(
        self, method: str, path: str, body: bytes | None = None, content: str = "", *, missing_ok: bool = False
    ) -> bytes | None:
        connection = _Connection(self.path, timeout=120)
        headers: Mapping[str, str] = {"Content-Type": content} if content else {}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"Docker does not answer on {self.path} ({error})", "start it, or look at its log") from error
        finally:
            connection.close()
        if response.status == 404 and missing_ok:
            return None
        if response.status >= 400:
            raise Failure(f"Docker refused {method} {path}: {_message(answer)}", "look at Docker's log")
        for line in answer.splitlines() if content else ():
            if b'"error"' in line:  # a stream of progress reports can end badly after its 200
                raise Failure(f"Docker could not import the image: {_message(line)}", "look at Docker's log")
        return answer


def _message(answer: bytes) -> str:
    try:
        document = json.loads(answer)
        return str(document.get("message") or document.get("error") or document)
    except ValueError:
        return answer.decode(errors="replace").strip()
