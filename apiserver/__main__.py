# ruff: noqa: E402  (what must not be imported has to be said before the imports)
"""`python -m apiserver`."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, cast

# structlog pulls in rich for its tracebacks when it can: memory that a server has no use for.
sys.modules["rich"] = cast(Any, None)

import structlog

del sys.modules["rich"]

from apiserver import options, server
from apiserver.configfile import ConfigError


def _log_to_stderr(verbosity: int) -> None:
    """One JSON line per record; readable lines on a terminal. For structlog's loggers and the library's alike."""
    first: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = sys.stderr.isatty()
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*first, structlog.processors.format_exc_info, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbosity >= 4 else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*first, structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            last,
        ],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if verbosity >= 4:
        logging.getLogger("apiserver").setLevel(logging.DEBUG)


def main() -> None:
    chosen = options.parse()
    _log_to_stderr(chosen.verbosity)
    try:
        server.run(chosen)
    except ConfigError as error:
        sys.exit(f"apiserver: error: {error}")
    logging.shutdown()
    os._exit(0)  # all is written and closed; to take the cache apart object by object would last seconds


if __name__ == "__main__":
    main()
