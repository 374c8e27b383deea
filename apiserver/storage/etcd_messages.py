"""etcd's messages, from the definitions that the etcd3 package carries.

Its generated modules date from 2020 and import only on protobuf's Python implementation, which is ten times slower
than the C one and then binds the whole process. The definitions inside them are good, though: each module has its
.proto as one `serialized_pb` literal. They are read from there, without importing etcd3, into classes of the C
implementation.
"""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory  # type: ignore[import-untyped]  # ships no types

_MODULES = ("kv_pb2.py", "auth_pb2.py", "rpc_pb2.py")  # in the order of their imports
_LITERAL = "serialized_pb="


def _definitions(source: Path) -> bytes:
    """The serialized FileDescriptorProto in a generated module: `serialized_pb=_b('…')` on a line of its own."""
    for line in source.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith(_LITERAL):
            call = ast.parse(text.removeprefix(_LITERAL).rstrip(","), mode="eval").body
            literal = call.args[0] if isinstance(call, ast.Call) else call
            value = ast.literal_eval(literal)
            return value.encode("latin1") if isinstance(value, str) else bytes(value)
    raise ImportError(f"{source} holds no message definitions; etcd3 0.12 is needed")


def _load() -> Any:
    spec = importlib.util.find_spec("etcd3")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("the etcd3 package is not installed")
    pool = descriptor_pool.DescriptorPool()
    for module in _MODULES:
        pool.AddSerializedFile(_definitions(Path(spec.submodule_search_locations[0], "etcdrpc", module)))
    return pool


_POOL = _load()


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


RangeRequest = _message("etcdserverpb.RangeRequest")
RangeResponse = _message("etcdserverpb.RangeResponse")
PutRequest = _message("etcdserverpb.PutRequest")
DeleteRangeRequest = _message("etcdserverpb.DeleteRangeRequest")
RequestOp = _message("etcdserverpb.RequestOp")
Compare = _message("etcdserverpb.Compare")
TxnRequest = _message("etcdserverpb.TxnRequest")
TxnResponse = _message("etcdserverpb.TxnResponse")
CompactionRequest = _message("etcdserverpb.CompactionRequest")
CompactionResponse = _message("etcdserverpb.CompactionResponse")
WatchCreateRequest = _message("etcdserverpb.WatchCreateRequest")
WatchRequest = _message("etcdserverpb.WatchRequest")
WatchResponse = _message("etcdserverpb.WatchResponse")
LeaseGrantRequest = _message("etcdserverpb.LeaseGrantRequest")
LeaseGrantResponse = _message("etcdserverpb.LeaseGrantResponse")
Event = _message("mvccpb.Event")
