"""What stops a `sampan` command: the cause in a sentence, and the one thing to do about it."""

from __future__ import annotations


class Failure(Exception):
    """`cause` says what is wrong, `remedy` what the user does next. Both are printed as they stand."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
