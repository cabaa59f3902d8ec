"""Whether every adaptation brings back what it changes: tried with documents made for it, before anybody serves it."""

from __future__ import annotations

from collections.abc import Iterator

from extproc.app.project import Project
from extproc.core.lens_proof import disproof
from extproc.core.problems import InvalidConfig, Problem
from extproc.core.specs import AdaptSpec

HINT = "write changes whose way back leads where they began"


def prove(project: Project) -> int:
    """How many adaptations there are. Raises InvalidConfig with every one that loses something."""
    found = list(_adaptations(project))
    problems = [problem for _, problem in found if problem is not None]
    if problems:
        raise InvalidConfig(problems)
    return len(found)


def _adaptations(project: Project) -> Iterator[tuple[AdaptSpec, Problem | None]]:
    for index, route in enumerate(project.plan.routes):
        for spec in (one.settings for one in route.policies if isinstance(one.settings, AdaptSpec)):
            lost = next(filter(None, map(disproof, dict.fromkeys((spec.request, spec.response)))), "")
            said = f"does not survive: {lost}"
            yield spec, project.loaded.problem(("routes", index, "version"), said, HINT) if lost else None
