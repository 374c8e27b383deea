"""The status subresource: the whole object is read and written, and only its status changes."""

from __future__ import annotations

from apiserver.routes import get, patch, replace
from apiserver.routes.table import Handlers

HANDLERS: Handlers = {"get": get.handle, "update": replace.handle, "patch": patch.handle}
