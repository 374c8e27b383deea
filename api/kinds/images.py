"""What an image's name says of how to pull it."""

from __future__ import annotations


def pull_policy(image: str) -> str:
    """Always for `latest` and for no tag, IfNotPresent for a tag or a digest."""
    if "@" in image:
        return "IfNotPresent"
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "Always" if not colon or tag == "latest" else "IfNotPresent"
