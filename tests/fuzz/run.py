"""Sends what a `Fuzzer` makes and judges the answers: a 5xx, an error that is no Status, a connection that breaks or
a request that never ends is a finding. Reproducible: a finding names its seed and number."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from client.kubeconfig import RestConfig
from tests.fuzz.requests import Fuzzer, Obj, Sent
from tests.fuzz.schema import hold_to

_WITHIN = 20.0
_SENDS_JSON = (("Content-Type", "application/json"),)
# Answers of 5xx that are upstream's too: a kubelet, Service or extension server that cannot be reached.
_RELAYED = ("/proxy", "/log", "/exec", "/attach", "/portforward")


@dataclass(slots=True)
class Report:
    seed: int
    sent: int = 0
    codes: dict[int, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """HTTP/1.1 by hand, so that what is sent is what was made."""

    def __init__(self, config: RestConfig, directory: Path) -> None:
        address = config.server.removeprefix("https://")
        self.host, _, port = address.partition(":")
        self.port = int(port or 443)
        self._context = ssl.create_default_context(cadata=(config.ca_data or b"").decode())
        pair = directory / "fuzz.pem"
        pair.write_bytes((config.cert_data or b"") + b"\n" + (config.key_data or b""))
        self._context.load_cert_chain(pair)
        pair.unlink()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, sent: Sent) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self.port, ssl=self._context)
        reader, writer = self._streams
        heads = [f"{sent.method} {sent.target} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        heads += [f"{name}: {value}" for name, value in sent.headers]
        heads.append(f"Content-Length: {len(sent.body)}")
        writer.write("\r\n".join(heads).encode("latin-1", "replace") + b"\r\n\r\n" + sent.body)
        try:
            return await self._read(reader, sent.method)
        except BaseException:
            self.close()
            raise

    async def _read(self, reader: asyncio.StreamReader, method: str) -> Answer:
        status = b"HTTP/1.1 100 "
        while status.startswith(b"HTTP/1.1 100 "):
            head = await reader.readuntil(b"\r\n\r\n")
            status, *lines = head.split(b"\r\n")
        pairs = (line.decode("latin-1").partition(":") for line in lines if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        code = int(status.split()[1])
        body = b""
        if method != "HEAD" and code not in (204, 304):
            if headers.get("transfer-encoding") == "chunked":
                while size := int((await reader.readline()).strip() or b"0", 16):
                    body += await reader.readexactly(size)
                    await reader.readline()
                await reader.readline()
            else:
                body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.close()
        return Answer(code, headers, body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def judge(sent: Sent, answer: Answer) -> str:
    """What is wrong with an answer; "" when it is sound."""
    if answer.code < 400 or sent.method == "HEAD":
        return ""
    if any(word in sent.target for word in _RELAYED):  # their errors are not all ours
        return f"{answer.code}: {answer.body!r}" if b"see the log of the server" in answer.body else ""
    try:
        status: Any = yaml.safe_load(answer.body) if "yaml" in answer.headers.get("content-type", "") else None
        status = status or json.loads(answer.body)
    except (ValueError, yaml.YAMLError):
        # Before there is a request to speak of (RFC 9112) and where upstream has no body either.
        bare = answer.code in (400, 406, 431) and len(answer.body) < 200
        return "" if bare else f"{answer.code} without a Status: {answer.body[:200]!r}"
    if not isinstance(status, dict) or status.get("kind") != "Status" or status.get("code") != answer.code:
        return f"{answer.code} without a Status: {answer.body[:200]!r}"
    if not status.get("message"):
        return f"{answer.code} without a message: {answer.body[:200]!r}"
    # A revision that is yet to come is waited for in vain, as upstream does.
    if answer.code >= 500 and "Too large resource version" not in status["message"]:
        return f"{answer.code}: {answer.body[:300]!r}"
    return ""


async def _documents(connection: Connection) -> list[Obj]:
    async def get(target: str) -> Any:
        return json.loads((await connection.ask(Sent("GET", target))).body)

    index = (await get("/openapi/v3"))["paths"]
    return [await get(entry["serverRelativeURL"]) for _, entry in sorted(index.items())]


async def by_schema(
    config: RestConfig, directory: Path, *, seed: int, seconds: float, names: Sequence[str] = ()
) -> Report:
    """schemathesis on one document after the other (those of `names`, else all), with an equal share of the time."""
    connection = Connection(config, directory)
    documents = {
        next(path for path in document["paths"] if path.endswith("/")).strip("/"): document
        for document in await _documents(connection)
    }
    connection.close()
    report = Report(seed)
    for name in names or documents:
        share = seconds / len(names or documents)
        found = await asyncio.to_thread(hold_to, documents[name], config.server, directory, seed=seed, seconds=share)
        report.sent += 1
        if found:
            report.findings.append(f"--schema --seed {seed}: {name}\n{found}")
    return report


async def fuzz(config: RestConfig, directory: Path, *, seed: int, seconds: float, only: int | None = None) -> Report:
    """Send for that long; with `only`, the request of that number alone."""
    report = Report(seed)
    connection = Connection(config, directory)
    namespace = Sent("POST", "/api/v1/namespaces", _SENDS_JSON, b'{"metadata":{"name":"fuzz"}}')
    assert (await connection.ask(namespace)).code in (201, 409)
    account = Sent("POST", "/api/v1/namespaces/fuzz/serviceaccounts", _SENDS_JSON, b'{"metadata":{"name":"default"}}')
    assert (await connection.ask(account)).code in (201, 409)
    fuzzer = Fuzzer(await _documents(connection), "fuzz", random.Random(seed))
    connection.close()
    until = time.monotonic() + seconds
    numbers = itertools.count()

    async def worker() -> None:
        connection = Connection(config, directory)
        try:
            while time.monotonic() < until:
                number, sent = next(numbers), fuzzer.next()
                if only is not None and number != only:
                    if number > only:
                        return
                    continue
                report.sent += 1
                wrong = ""
                try:
                    async with asyncio.timeout(_WITHIN):
                        answer = await connection.ask(sent)
                    report.codes[answer.code] = report.codes.get(answer.code, 0) + 1
                    wrong = judge(sent, answer)
                except TimeoutError:
                    wrong = f"no answer within {_WITHIN:.0f} s"
                except (OSError, EOFError, ValueError) as error:
                    wrong = f"the connection broke: {error!r}"
                if wrong:
                    report.findings.append(f"--seed {seed} --only {number}: {wrong}\n  {sent.told()}")
        finally:
            connection.close()

    await asyncio.gather(*(worker() for _ in range(1 if only is not None else 4)))
    return report
