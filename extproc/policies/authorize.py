"""`authorize`: whether this consumer may make this request. What no rule allows is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, NamedTuple

from extproc import (
    CONTINUE,
    AccessRule,
    AuthorizeSpec,
    Consumer,
    Context,
    Continue,
    CouldNotDecide,
    Decision,
    Expression,
    LocalReply,
    Network,
    Phase,
    Policy,
    Ports,
    Request,
    is_among,
    parse_address,
    refusal,
    variables,
)

NOBODY: Final = Consumer(id="")
WHEN: Final = "when"
REFUSED_BY: Final = "refused_by"
ALLOWED_BY: Final = "allowed_by"
Holds = Callable[[Request, Context], bool]


class Part(NamedTuple):
    """One member of a rule, and what is answered where it does not hold."""

    name: str
    holds: Holds
    refused: LocalReply


@dataclass(frozen=True, slots=True)
class Authorize(Policy):
    """`rules` are the parts of each, the cheap ones first. `allowed` has the decision of each rule."""

    rules: tuple[tuple[Part, ...], ...]
    allowed: tuple[Continue, ...]
    any_of: bool

    name: ClassVar[str] = "authorize"
    Settings: ClassVar[type[AuthorizeSpec]] = AuthorizeSpec
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: AuthorizeSpec, ports: Ports) -> Policy:
        rules = tuple(_parts(rule, ports) for rule in settings.rules)
        if not settings.any_of:
            return Authorize(rules, (CONTINUE,), any_of=False)
        named = tuple(Continue(facts={ALLOWED_BY: f"[{index}]"}) for index in range(len(rules)))
        return Authorize(rules, named, any_of=True)

    async def on_request(self, request: Request, context: Context) -> Decision:
        """A rule that cannot be judged refuses nobody whom another one allows.

        Raises:
            CouldNotDecide: none allows, and one could not be judged.
        """
        refusing: list[Part] = []
        undecided: list[CouldNotDecide] = []
        for parts, allowed in zip(self.rules, self.allowed, strict=True):
            try:
                part = next((part for part in parts if not part.holds(request, context)), None)
            except CouldNotDecide as error:
                undecided.append(error)
                continue
            if part is None:
                return allowed
            refusing.append(part)
        if undecided:
            raise undecided[0]
        return _no_rule(refusing) if self.any_of else _one_rule(refusing[0])


def _one_rule(part: Part) -> LocalReply:
    return part.refused if part.name == WHEN else replace(part.refused, facts={REFUSED_BY: part.name})


def _no_rule(parts: Sequence[Part]) -> LocalReply:
    """A client that lacks a scope of one of the rules is told which: with it, it may come again."""
    reply = refusal(403, "no_rule_matches", "no rule allows this request")
    challenges = [field for part in parts for field in part.refused.headers if field[0] == "www-authenticate"]
    told = ", ".join(f"[{index}].{part.name}" for index, part in enumerate(parts))
    return replace(reply, headers=reply.headers + tuple(challenges[:1]), facts={REFUSED_BY: told})


def _parts(rule: AccessRule, ports: Ports) -> tuple[Part, ...]:
    """Of what is written. Addresses come first: whoever is in the wrong network learns nothing about the rest."""
    here, you = "this address may not make this request", "the caller may not make this request"
    table: list[tuple[object, Part]] = [
        (rule.deny_addresses, _part("deny_addresses", _outside(rule.deny_addresses), "address_not_allowed", here)),
        (rule.addresses, _part("addresses", _inside(rule.addresses), "address_not_allowed", here)),
        (rule.consumers, _part("consumers", _named(rule.consumers), "consumer_not_allowed", you)),
        (rule.tiers, _part("tiers", _of_tier(rule.tiers), "tier_not_allowed", "the caller's tier may not do this")),
        (rule.groups, _part("groups", _in_group(rule.groups), "not_in_group", "the caller is in no group that may")),
        (rule.scopes, _scope_part("scopes", _with_all(rule.scopes), rule.scopes)),
        (rule.any_scope, _scope_part("any_scope", _with_any(rule.any_scope), rule.any_scope[:1])),
    ]
    table += [
        (values, _part(f"claims.{name}", _claiming(name, values), "wrong_claim", "the caller's token does not say so"))
        for name, values in rule.claims.items()
    ]
    if rule.when:
        table.append((rule.when, _part(WHEN, _when(ports.expression(rule.when)), "not_authorized", you)))
    return tuple(part for written, part in table if written)


def _part(name: str, holds: Holds, reason: str, detail: str) -> Part:
    return Part(name, holds, refusal(403, reason, detail))


def _scope_part(name: str, holds: Holds, needed: Sequence[str]) -> Part:
    """RFC 6750 §3.1: the challenge names the scopes with which the request would do."""
    challenge = f'Bearer error="insufficient_scope", scope="{" ".join(needed)}"'
    detail = "the caller lacks a scope that this request needs"
    return Part(name, holds, refusal(403, "missing_scope", detail, headers={"www-authenticate": challenge}))


def _inside(networks: Sequence[Network]) -> Holds:
    return lambda request, context: _is_from(request, networks) is True


def _outside(networks: Sequence[Network]) -> Holds:
    return lambda request, context: _is_from(request, networks) is False


def _is_from(request: Request, networks: Sequence[Network]) -> bool | None:
    """None for an address that cannot be read: it is neither inside nor outside, and passes nowhere."""
    try:
        return is_among(parse_address(request.address), networks)
    except ValueError:
        return None


def _named(ids: Sequence[str]) -> Holds:
    return lambda request, context: not _who(context).anonymous and _who(context).id in ids


def _of_tier(tiers: Sequence[str]) -> Holds:
    return lambda request, context: _who(context).tier in tiers


def _in_group(groups: Sequence[str]) -> Holds:
    return lambda request, context: not set(groups).isdisjoint(_who(context).groups)


def _with_all(scopes: Sequence[str]) -> Holds:
    return lambda request, context: set(scopes).issubset(_who(context).scopes)


def _with_any(scopes: Sequence[str]) -> Holds:
    return lambda request, context: not set(scopes).isdisjoint(_who(context).scopes)


def _claiming(name: str, accepted: Sequence[object]) -> Holds:
    def holds(request: Request, context: Context) -> bool:
        said = _who(context).claims.get(name)
        return any(_same(one, value) for one in (said if isinstance(said, list) else [said]) for value in accepted)

    return holds


def _same(said: object, accepted: object) -> bool:
    """As JSON has it: true is not 1, and "1" is neither."""
    return isinstance(said, bool) is isinstance(accepted, bool) and said == accepted


def _when(condition: Expression) -> Holds:
    return lambda request, context: condition.holds(variables(request, context.route, context.consumer))


def _who(context: Context) -> Consumer:
    return context.consumer or NOBODY
