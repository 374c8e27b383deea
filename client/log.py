# ruff: noqa: E402  (what must not be imported has to be said before the imports)
"""Logs: one JSON line per event on stderr, or a readable line when stderr is a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any, cast

# structlog pulls in rich for its tracebacks when it can: memory that no daemon has a use for.
_without_rich = "rich" not in sys.modules
if _without_rich:
    sys.modules["rich"] = cast(Any, None)

import structlog

if _without_rich:
    del sys.modules["rich"]

Logger = structlog.typing.FilteringBoundLogger


def configure(verbosity: int = 0) -> None:
    """0 shows info and above, 2 and more shows debug."""
    human = sys.stderr.isatty()
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if human:
        processors.append(structlog.dev.ConsoleRenderer())
    else:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbosity >= 2 else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def get(name: str) -> Logger:
    logger: Logger = structlog.get_logger(component=name)
    return logger
