"""`kubectl api-versions`: the served group versions, sorted."""

from __future__ import annotations

from kubectl.session import Session, run


def command() -> None:
    async def verb(session: Session) -> None:
        catalog = await session.refreshed() or await session.catalog()
        print("\n".join(sorted({row.api_version for row in catalog.rows})))

    run(verb)
