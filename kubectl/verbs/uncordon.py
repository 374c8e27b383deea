"""`kubectl uncordon`: a node takes new pods again."""

from __future__ import annotations

from kubectl import options as opt
from kubectl.nodes import mark


def command(arguments: opt.Arguments = None, selector: opt.Selector = "", dry_run: opt.DryRun = "none") -> None:
    mark(arguments, selector, dry_run, unschedulable=False)
