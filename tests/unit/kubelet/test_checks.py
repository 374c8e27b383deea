"""Each kind of probe and hook against a server of a few lines on loopback; the words are upstream's."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from api.meta import Obj
from client.clock import FakeClock, RealClock
from deploy.certificates import Request, issue, new_authority
from kubelet.docker.runtime import DockerRuntime, Refused
from kubelet.probing.checks import Checks
from kubelet.probing.commands import Commands
from kubelet.probing.hooks import Hooks
from kubelet.probing.http import headers_of, url_of
from kubelet.probing.target import Target, Trouble
from tests.harness.eventually import eventually
from tests.unit.kubelet.pods import pod, running, sandbox, seen
from tests.unit.kubelet.test_probes import Recorder

Answer = Callable[[str], bytes]


class Stream:
    """What a command says, and then the end, or no end at all."""

    def __init__(self, *said: tuple[int, bytes], endless: bool = False) -> None:
        self.said, self.endless, self.closed = said, endless, False

    async def frames(self) -> AsyncIterator[tuple[int, bytes]]:
        for piece in self.said:
            yield piece
        if self.endless:
            await asyncio.Event().wait()

    def close(self) -> None:
        self.closed = True


class Docker:
    """Runs one command: what it says, and the codes that Docker tells one after the other."""

    def __init__(self, stream: Stream, *codes: int | None) -> None:
        self.stream, self.codes, self.command, self.signals = stream, list(codes), [""], list[str]()

    async def exec_create(self, container_id: str, command: list[str], **_: bool) -> str:
        self.command = command
        if container_id == "dead":
            raise Refused("Container dead is not running")
        return "x1"

    async def exec_start(self, exec_id: str, *, tty: bool) -> Stream:
        return self.stream

    async def exec_exit_code(self, exec_id: str) -> int | None:
        return self.codes.pop(0)

    async def exec_signal(self, exec_id: str, container_id: str, number: object) -> bool:
        self.signals.append(f"{exec_id} {number!r}")
        return True


def commands(docker: Docker) -> Commands:
    return Commands(cast(DockerRuntime, docker), RealClock())


def target(**spec: Any) -> Target:
    return Target("c1", {"name": "app", **spec}, "127.0.0.1")


@asynccontextmanager
async def server(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """`answer` is given a request's head. It gives back the whole answer; nothing is the end of the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = answer((await reader.read(65536)).decode(errors="replace"))  # all of a small request, or of a hello
        if data != b"silence":
            writer.write(data)
            writer.close()
        else:
            await reader.read()

    made = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with made:
        yield made.sockets[0].getsockname()[1]


def reply(status: int, body: str = "", **headers: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n{more}\r\n{body}".encode()


async def look(probe: Obj, at: Target, seconds: int = 2, docker: Docker | None = None) -> tuple[bool, str]:
    outcome = await Checks(commands(docker or Docker(Stream(), 0))).run(probe, at, seconds)
    return outcome.success, outcome.text


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, (True, "")),
        (399, (True, "Probe terminated redirects, Response body: why")),
        (404, (False, "HTTP probe failed with statuscode: 404")),
        (500, (False, "HTTP probe failed with statuscode: 500")),
    ],
)
async def test_http_codes(status: int, expected: tuple[bool, str]) -> None:
    """pkg/probe/http/http.go, DoHTTPProbe: what a failing server says is not told, it may be a secret."""
    async with server(lambda _: reply(status, "why")) as port:
        assert await look({"httpGet": {"port": port, "path": "/"}}, target()) == expected


async def test_http_redirects_are_followed_on_the_same_host_alone() -> None:
    """http.go, RedirectChecker: another host's answer is not asked for; it counts, with a warning. Ten are enough."""

    def answer(head: str) -> bytes:
        path = head.split()[1]
        return {
            "/here": reply(302, Location="/there"),
            "/there": reply(200),
            "/away": reply(301, "gone", Location="http://192.0.2.1/"),
            "/round": reply(307, Location="/round"),
        }[path]

    async with server(answer) as port:
        results = [
            await look({"httpGet": {"port": port, "path": path}}, target()) for path in ("/here", "/away", "/round")
        ]
    assert results == [
        (True, ""),
        (True, "Probe terminated redirects, Response body: gone"),
        (False, f'Get "http://127.0.0.1:{port}/round": stopped after 10 redirects'),
    ]


async def test_http_requests_are_what_the_spec_says() -> None:
    """request.go: named ports, queries, our own agent unless another is given, no Accept when it is set to nothing."""
    heads: list[str] = []

    def answer(head: str) -> bytes:
        heads.append(head)
        return reply(200)

    async with server(answer) as port:
        named = target(ports=[{"name": "web", "containerPort": port}])
        await look({"httpGet": {"port": "web", "path": "health?full=1"}}, named)
        given = [("Host", "example.com"), ("Accept", ""), ("User-Agent", "me"), ("X-One", "1"), ("X-One", "2")]
        headers = [{"name": name, "value": value} for name, value in given]
        await look({"httpGet": {"port": str(port), "path": "/a b", "httpHeaders": headers}}, named)
    first, second = (head.splitlines() for head in heads)
    assert first[0] == "GET /health?full=1 HTTP/1.1"
    assert {"User-Agent: kube-probe/1.35", "Accept: */*", f"Host: 127.0.0.1:{port}", "Connection: close"} <= set(first)
    assert second[0] == "GET /a%20b HTTP/1.1"
    assert {"Host: example.com", "User-Agent: me", "X-One: 1", "X-One: 2"} <= set(second)
    assert not [line for line in second if line.startswith("Accept")]


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """Of an authority that nobody knows, for a name that nobody asks for."""
    now = datetime.now(UTC)
    pair = issue(new_authority("nobody", now), Request("nobody", server=True), now)
    file = tmp_path / "pair.pem"
    file.write_bytes(pair.key + pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_https_is_not_verified_and_plain_servers_are_told_apart(certificate: ssl.SSLContext) -> None:
    async with server(lambda _: reply(200), certificate) as port:
        assert await look({"httpGet": {"port": port, "path": "/", "scheme": "HTTPS"}}, target()) == (True, "")
    async with server(lambda _: reply(400)) as port:
        success, text = await look({"httpGet": {"port": port, "path": "/", "scheme": "HTTPS"}}, target())
    assert (success, text.split(": ", 1)[1]) == (False, "http: server gave HTTP response to HTTPS client")


async def test_http_servers_that_do_not_answer() -> None:
    async with server(lambda _: b"silence") as silent, server(lambda _: b"") as mute:
        late = await look({"httpGet": {"port": silent, "path": "/"}}, target(), 1)
        ended = await look({"httpGet": {"port": mute, "path": "/"}}, target())
    closed = await look({"httpGet": {"port": mute, "path": "/"}}, target())
    why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    assert late == (False, f'Get "http://127.0.0.1:{silent}/": {why}')
    assert ended == (False, f'Get "http://127.0.0.1:{mute}/": EOF')
    refused = f"dial tcp 127.0.0.1:{mute}: connect: connection refused"
    assert closed == (False, f'Get "http://127.0.0.1:{mute}/": {refused}')


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + reply(200), (True, "")),
        (b"HTTP/1.0 302 x\r\n\r\nto the end", (True, "Probe terminated redirects, Response body: to the end")),
        (b"HTTP/1.1 399 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
         (True, "Probe terminated redirects, Response body: abc")),
        (reply(399, "x" * 20000), (True, f"Probe terminated redirects, Response body: {'x' * 10240}")),
        (b"HTTP/1.1 500 x\r\nContent-Length: 9\r\n\r\nhalf", "unexpected EOF"),
        (b"SSH-2.0\r\n", (False, "malformed")),
    ],
    ids=["first something else", "until the end", "chunks", "long", "half", "another protocol"],
)  # fmt: skip
async def test_http_answers_of_all_shapes(data: bytes, expected: tuple[bool, str] | str) -> None:
    """Ten kilobytes of a body are read; one that breaks off is an error, not a failure (http.go, DoHTTPProbe)."""
    async with server(lambda _: data) as port:
        probe = {"httpGet": {"port": port, "path": "/"}}
        if isinstance(expected, str):
            with pytest.raises(Trouble, match=expected) as trouble:
                await look(probe, target())
            assert trouble.value.state == "failure"
        else:
            success, text = await look(probe, target())
            assert success is expected[0] and (text == expected[1] or "malformed" in text)


async def test_no_header_smuggles_in_another() -> None:
    headers = [{"name": "X", "value": "a\r\nY: b"}]
    success, text = await look({"httpGet": {"port": 1, "path": "/", "httpHeaders": headers}}, target())
    assert (success, text) == (False, 'Get "http://127.0.0.1:1/": net/http: invalid header field value for "X"')


async def test_tcp() -> None:
    async with server(lambda _: b"") as port:
        assert await look({"tcpSocket": {"port": port}}, target()) == (True, "")
    refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert await look({"tcpSocket": {"port": port}}, target()) == (False, refused)


@pytest.mark.parametrize(
    ("port", "why"),
    [("web", 'strconv.Atoi: parsing "web": invalid syntax'), (0, "invalid port number: 0")],
)
async def test_ports_that_are_none(port: int | str, why: str) -> None:
    with pytest.raises(Trouble, match=why):
        await look({"tcpSocket": {"port": port}}, target())


Method = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]


@asynccontextmanager
async def health(check: Method | None) -> AsyncIterator[int]:
    """Google's own server."""
    made = grpc.aio.server()
    if check is not None:
        method = grpc.unary_unary_rpc_method_handler(check)
        made.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method}),)
        )
    port = made.add_insecure_port("127.0.0.1:0")
    await made.start()
    try:
        yield port
    finally:
        await made.stop(None)


async def test_grpc() -> None:
    """pkg/probe/grpc/grpc.go; the protocol: grpc/doc/health-checking.md."""
    services: list[bytes] = []

    async def check(message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        services.append(message)
        name = message[2:].decode()
        if name == "lost":
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service: ü")
        if name == "slow":
            await asyncio.sleep(5)
        return {"": b"\x08\x01", "down": b"\x08\x02", "odd": b""}[name]

    async with health(check) as port:
        probes = [{"grpc": {"port": port, "service": name}} for name in ("", "down", "odd", "lost")]
        results = [await look(probe, target()) for probe in probes]
        late = await look({"grpc": {"port": port, "service": "slow"}}, target(), 1)
    async with health(None) as port:
        none = await look({"grpc": {"port": port}}, target())
    async with server(lambda _: reply(400)) as plain:
        other = await look({"grpc": {"port": plain}}, target(), 61)
    assert results == [
        (True, ""),
        (False, 'service unhealthy (responded with "NOT_SERVING")'),
        (False, 'service unhealthy (responded with "UNKNOWN")'),
        (False, "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service: ü"),
    ]
    assert services[:2] == [b"", b"\x0a\x04down"]
    assert late == (False, "timeout: health rpc did not complete within 1s")
    assert none[1].startswith(
        "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
    )
    at = f"127.0.0.1:{plain}"
    assert other == (False, f'timeout: failed to connect service "{at}" within 1m1s: context deadline exceeded')


async def test_a_command_is_judged_by_its_code_even_when_its_output_ends_first() -> None:
    """Docker tells the end of the output and the exit code apart; stdout is told before stderr (RunInContainer)."""
    docker = Docker(Stream((2, b"no\n"), (1, b"out\n")), None, None, 3)
    env = [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {}}]
    found = await look({"exec": {"command": ["x", "$(A)$(B)$(C)"]}}, target(env=env), docker=docker)
    assert found == (False, "out\nno\n")
    assert docker.command == ["x", "1$(C)"] and docker.stream.closed


async def test_a_command_that_takes_too_long_is_killed() -> None:
    docker = Docker(Stream(endless=True))
    runner = commands(docker)
    with pytest.raises(TimeoutError):
        await runner.run("c1", ["sleep", "9"], 0.01)
    await eventually(lambda: docker.signals == ["x1 <Signals.SIGKILL: 9>"] and docker.stream.closed, "it is killed")
    text = 'command timed out: "sleep 9" timed out after 0s'
    assert await look({"exec": {"command": ["sleep", "9"]}}, target(), 0, docker) == (False, text)


async def test_a_command_that_nobody_waits_for_any_more_is_left_to_its_container() -> None:
    docker = Docker(Stream(endless=True))
    task = asyncio.create_task(commands(docker).run("c1", ["sleep", "9"]))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert docker.stream.closed and not docker.signals


async def hook(handler: Obj, docker: Docker | None = None, container_id: str = "c1") -> tuple[str, list[str]]:
    """Why it failed, and the events."""
    recorder = cast(Any, Recorder())
    observer = cast(Any, SimpleNamespace(of_pod=lambda uid: seen(replace(sandbox(), ips=("127.0.0.1",)))))
    hooks = Hooks(commands(docker or Docker(Stream(), 0)), observer, recorder, FakeClock(), "192.0.2.1")
    spec = {"name": "app", "lifecycle": {"postStart": handler}}
    why = await hooks.run("PostStart", pod(containers=[spec]), replace(running(), id=container_id))
    assert recorder.messages[-1:] == ["FailedPostStartHook PostStartHook failed"] if why else True
    return why, [message for message in recorder.messages if not message.startswith("FailedPostStartHook")]


async def test_hooks_that_are_commands() -> None:
    """pkg/kubelet/lifecycle/handlers.go, Run."""
    where = 'for Container "app" in Pod "web_default(u-1)" failed'
    assert await hook({"exec": {"command": ["true"]}}) == ("", [])
    failed = await hook({"exec": {"command": ["a", "b"]}}, Docker(Stream((1, b'say "x"\n'), (2, b"bad")), 2))
    why = 'error: command \'a b\' exited with 2: bad, message: "say \\"x\\"\\nbad"'
    assert failed == (f"Exec lifecycle hook ([a b]) {where} - {why}", [])
    dead = await hook({"exec": {"command": ["a"]}}, container_id="dead")
    why = 'error: Container dead is not running, message: ""'
    assert dead[0] == f"Exec lifecycle hook ([a]) {where} - {why}"


async def test_hooks_that_are_requests() -> None:
    """Any answer will do; HTTPS falls back to HTTP, and the account's secrets stay behind."""
    heads: list[str] = []

    def answer(head: str) -> bytes:
        heads.append(head)
        return reply(500)

    async with server(answer) as port:
        assert await hook({"httpGet": {"port": port, "path": "/x"}}) == ("", [])
        secret = [{"name": "Authorization", "value": "secret"}]
        why, events = await hook({"httpGet": {"port": port, "path": "/y", "scheme": "HTTPS", "httpHeaders": secret}})
    assert why == "" and "User-Agent: kube-lifecycle/1.35" in heads[0]
    text = f"request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP succeeded"
    assert events == [f"LifecycleHTTPFallback {text}"]
    assert "secret" not in heads[-1] and heads[-1].startswith("GET /y ")
    refused = await hook({"httpGet": {"port": port, "path": "/x"}})
    where = 'HTTP lifecycle hook (/x) for Container "app" in Pod "web_default(u-1)" failed'
    dial = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert refused[0] == f'{where} - error: Get "http://127.0.0.1:{port}/x": {dial}'


async def test_a_socket_is_no_hook() -> None:
    """core/v1: "There is no validation of this field and lifecycle hooks will fail at runtime when it is specified."."""
    assert (await hook({"tcpSocket": {"port": 1}}))[0] == "Cannot run handler: invalid handler: tcpSocket"


def test_urls_of_odd_parts() -> None:
    six = Target("c", {"name": "app"}, "fd00::1")
    assert str(url_of({"port": 1, "path": "%2f/ü#x"}, six)) == "http://[fd00::1]:1/%2f/%C3%BC"
    assert str(url_of({"port": 1, "host": "h", "scheme": "HTTPS"}, six)) == "https://h:1/"
    assert headers_of({}, "me") == (("User-Agent", "me"), ("Accept", "*/*"))
