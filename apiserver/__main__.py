"""`python -m apiserver`."""

from __future__ import annotations

import logging
import sys

import structlog

from apiserver import options, server


def _log_as_json(verbosity: int) -> None:
    """One JSON line per record on stderr; readable lines on a terminal."""
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[structlog.typing.Processor] = [structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, stamp]
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if verbosity >= 4:
        logging.getLogger("apiserver").setLevel(logging.DEBUG)


def main() -> None:
    chosen = options.parse()
    _log_as_json(chosen.verbosity)
    server.run(chosen)


if __name__ == "__main__":
    main()
