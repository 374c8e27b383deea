"""`make bench`: measure this machine, print one table. `python -m tests.bench [api|deciding|scheduling|pods …]`."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.bench import api, deciding, pods, scheduling, watching
from tests.bench.report import Report

_SECTIONS = ("api", "deciding", "watching", "scheduling", "pods")


def main() -> int:
    chosen = sys.argv[1:] or list(_SECTIONS)
    unknown = set(chosen) - set(_SECTIONS)
    if unknown:
        print(f"unknown section {', '.join(sorted(unknown))}: choose from {', '.join(_SECTIONS)}", file=sys.stderr)
        return 2
    if "pods" in chosen and (os.geteuid() != 0 or not pods.docker_is_there()):
        print(
            "the pods section needs root and a Docker Engine that answers: run it as root after make up",
            file=sys.stderr,
        )
        return 2
    report = Report()
    with tempfile.TemporaryDirectory(prefix="sampan-bench-") as scratch:
        directory = Path(scratch)
        if "api" in chosen:
            uvloop.run(api.measure(report, directory / "api"))
        if "deciding" in chosen:
            deciding.measure(report)
        if "watching" in chosen:
            uvloop.run(watching.measure(report, directory / "watching"))
        if "scheduling" in chosen:
            uvloop.run(scheduling.measure(report, directory / "scheduling"))
        if "pods" in chosen:
            pods.measure(report, directory / "pods")
    print(f"\n{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}\n")
    print(report.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
