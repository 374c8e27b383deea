"""The figures as one table: what was measured, the bare run of the same work beside it, and the goal."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """`bare` is the same work on bare etcd or bare Docker in this run; `ratio` ours to bare."""

    work: str
    ours: str
    bare: str = "–"
    ratio: str = "–"
    goal: str = "–"


@dataclass
class Report:
    rows: list[Row] = field(default_factory=list)

    def add(self, work: str, ours: str, *, bare: str = "–", ratio: float | None = None, goal: str = "–") -> None:
        row = Row(work, ours, bare, f"{ratio:.2f}" if ratio is not None else "–", goal)
        self.rows.append(row)
        print(f"  {row.work}: {row.ours} (bare {row.bare}, ratio {row.ratio}, goal {row.goal})", flush=True)

    def markdown(self) -> str:
        head = Row("work", "Sampan", "bare", "ratio", "goal")
        table = [(r.work, r.ours, r.bare, r.ratio, r.goal) for r in (head, *self.rows)]
        widths = [max(len(line[i]) for line in table) for i in range(5)]
        lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in table]
        lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
        return "\n".join(lines)
