"""The status subresource: the whole object is read and written, and only its status changes."""

from __future__ import annotations

from apiserver.routes import get, patch, update
from apiserver.routes.table import Handlers

HANDLERS: Handlers = {"get": get.handle, "update": update.handle, "patch": patch.handle}
