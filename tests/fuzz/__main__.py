"""`python -m tests.fuzz --minutes 30`: an etcd and an apiserver of its own, and requests nobody would send."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from tests.fuzz.run import by_schema, fuzz
from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.pki import Pki


def _traces(log: Path) -> list[str]:
    """What the server stumbled over, each place once: the end of its trace."""
    found: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        if '"exception"' in line:
            trace = json.loads(line)["exception"].splitlines()
            found.setdefault("".join(trace[-3:-1]), "\n".join(trace[-7:]))
    return list(found.values())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--schema", action="store_true", help="let schemathesis ask, by our own OpenAPI")
    parser.add_argument("--only", type=int, help="send the request of this number alone")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sampan-fuzz-") as place:
        directory = Path(place)
        etcd = EtcdServer(directory / "etcd", Pki(directory / "pki"))
        etcd.start()
        server = ApiServer(directory / "apiserver", etcd)
        try:
            server.start()
            seconds = chosen.minutes * 60
            if chosen.schema:
                report = asyncio.run(by_schema(server.admin(), directory, seed=chosen.seed, seconds=seconds))
            else:
                running = fuzz(server.admin(), directory, seed=chosen.seed, seconds=seconds, only=chosen.only)
                report = asyncio.run(running)
            alive, traces = server.alive, _traces(server.log)
        finally:
            server.stop()
            etcd.stop()
    codes = " ".join(f"{code}×{count}" for code, count in sorted(report.codes.items()))
    print(f"seed {report.seed}: {report.sent} requests, {codes}, {len(report.findings)} findings")
    for finding in report.findings[:40]:
        print(finding)
    for trace in traces:
        print(trace)
    if not alive:
        print("the apiserver has ended by itself")
    return 1 if report.findings or not alive else 0


if __name__ == "__main__":
    raise SystemExit(main())
