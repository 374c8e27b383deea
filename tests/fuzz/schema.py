"""schemathesis against our own OpenAPI: what the documents promise is asked for, and held to."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.fuzz.requests import Obj
from tests.harness import foreign

_CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance"


def hold_to(document: Obj, url: str, directory: Path, *, seed: int, seconds: float) -> str:
    """What schemathesis found wrong with a server's answers; "" when it found nothing in that time. The token is the
    test server's administrator's."""
    file = directory / "openapi.json"
    file.write_text(json.dumps(_with_deleted(_without_watches(document))))
    argv = [
        foreign.program("schemathesis"), "run", str(file), "--url", url, "--tls-verify", "false",
        "--header", "Authorization: Bearer steward-token", "--checks", _CHECKS, "--phases", "fuzzing",
        "--seed", str(seed), "--continue-on-failure", "--no-color",
        "--max-time", str(max(1, int(seconds))),
    ]  # fmt: skip
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=seconds + 90)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _without_watches(document: Obj) -> Obj:
    """A watch answers with one JSON document after the other, which no schema tells of."""
    paths = {
        path: {
            key: {**item, "parameters": [p for p in item["parameters"] if p["name"] != "watch"]}
            if isinstance(item, dict) and "parameters" in item
            else item
            for key, item in operations.items()
        }
        for path, operations in document["paths"].items()
    }
    return {**document, "paths": paths}


def _with_deleted(document: Obj) -> Obj:
    """What is deleted but has to wait for somebody (a finalizer) is answered with itself, though upstream's documents
    promise a Status."""
    for operations in document["paths"].values():
        if "delete" not in operations or "get" not in operations:
            continue
        whole, gone = (operations[verb]["responses"]["200"]["content"] for verb in ("get", "delete"))
        for kind, answer in gone.items():
            if kind in whole:
                answer["schema"] = {"anyOf": [answer["schema"], whole[kind]["schema"]]}
    return document
