"""Regular expressions as Kubernetes reads them: RE2 syntax, matched in time linear in the text.

Patterns come from users (schemas, rules, policies), so Python's own engine would do in two ways harm: it accepts
what upstream refuses, and a bad pattern can stop the server. Source: https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1024)
def compile(pattern: str) -> Any:
    """A compiled pattern with `search`, `fullmatch`, `finditer`. ValueError says what is wrong with it."""
    # Here, because three megabytes are only worth it where somebody uses a pattern. The package has no types.
    import re2  # type: ignore[import-untyped]  # noqa: PLC0415

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        text = error.args[0] if error.args else "invalid"
        raise ValueError(text.decode() if isinstance(text, bytes) else str(text)) from None
