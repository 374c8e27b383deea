"""/version: the API level that is served, and our own version behind the plus sign."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib import metadata

import orjson
from fastapi import APIRouter
from fastapi.responses import Response

from api.meta import Obj

router = APIRouter()
LEVEL = ("1", "35")


@lru_cache(maxsize=1)
def info() -> Obj:
    ours = metadata.version("sampan")
    machine = platform.machine()
    return {
        "major": LEVEL[0],
        "minor": LEVEL[1],
        "gitVersion": f"v{LEVEL[0]}.{LEVEL[1]}.0+sampan.{ours}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }",
    }


@router.get("/version")
async def version() -> Response:
    return Response(orjson.dumps(info()), media_type="application/json")
