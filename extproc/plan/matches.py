"""What a route matches on."""

from __future__ import annotations

from typing import Final

from extproc.config.match import Match, ValueMatch
from extproc.plan.model import FieldMatch, MatchPlan, ValueRule

ACCEPT: Final = "accept"


def match_plan(match: Match) -> MatchPlan:
    return MatchPlan(
        hosts=tuple(host for host in match.hosts if host != "*") if "*" not in match.hosts else (),
        path=match.path,
        path_prefix=match.path_prefix,
        methods=tuple(match.methods),
        headers=(*(_field(name, rule) for name, rule in match.headers.items()), *_accepted(match)),
        query=tuple(_field(name, rule) for name, rule in match.query.items()),
    )


def _accepted(match: Match) -> list[FieldMatch]:
    return [FieldMatch(ACCEPT, ValueRule.MEDIA_TYPE, match.media_type)] if match.media_type is not None else []


def _field(name: str, match: ValueMatch) -> FieldMatch:
    if match.exact is not None:
        return FieldMatch(name, ValueRule.EXACT, match.exact)
    if match.prefix is not None:
        return FieldMatch(name, ValueRule.PREFIX, match.prefix)
    return FieldMatch(name, ValueRule.PRESENT)
