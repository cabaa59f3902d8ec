"""What a file says of models, as it is meant: each with its versions, and which of them a route may lead to."""

from __future__ import annotations

from collections.abc import Mapping

from extproc.config.model import Config, Model, ModelVersion
from extproc.config.models import ModelFallback, ModelShadow, ModelUse
from extproc.core.models import Cohort, Compare, Fallback, NamedBy, Pin, Shadow
from extproc.core.specs import HUNDREDTHS, ChooseSpec, ModelsSpec, Version


def model_spec(name: str, item: Model) -> ChooseSpec:
    return ChooseSpec(
        model=name,
        versions=tuple(_version(version, written) for version, written in item.versions.items()),
        sticky=item.sticky,
        salt=item.salt or "",
        pin=Pin(item.pin.header, tuple(item.pin.tiers)) if item.pin else None,
        rules=tuple(Cohort(rule.when, rule.version) for rule in item.rules),
        aliases=tuple(item.aliases),
        tiers=tuple(item.allow or ()),
        shadow=_shadow(item.shadow) if item.shadow else None,
        fallback=_fallback(item.fallback) if item.fallback else None,
    )


def models_spec(use: ModelUse, config: Config) -> ModelsSpec:
    """Of a route, by the models' own names; one that is named twice is there once."""
    known = names_of(config)
    if use.from_ is None:
        return ModelsSpec((_spec(config, known[use.is_ or ""]),))
    named = list(config.models) if use.of is None else [known[name] for name in use.of]
    by, _, of = use.from_.partition(":")
    led_to = [*named, *([known[use.default]] if use.default else [])]
    models = tuple(_spec(config, name) for name in dict.fromkeys(led_to))
    return ModelsSpec(models, NamedBy(by), of, known[use.default] if use.default else "")


def names_of(config: Config) -> Mapping[str, str]:
    """Every name that a model goes by, and its own."""
    return {alias: name for name, model in config.models.items() for alias in (name, *model.aliases)}


def _spec(config: Config, name: str) -> ChooseSpec:
    return model_spec(name, config.models[name])


def _version(name: str, written: ModelVersion) -> Version:
    return Version(name, written.upstream, round(written.weight * HUNDREDTHS), tuple(written.allow or ()))


def _shadow(written: ModelShadow) -> Shadow:
    compared = written.compare
    compare = Compare(tuple(compared.fields.items()), compared.timeout.total_seconds()) if compared else None
    return Shadow(written.version, round(written.percent * HUNDREDTHS), compare)


def _fallback(written: ModelFallback) -> Fallback:
    timeout = written.timeout.total_seconds() if written.timeout else None
    return Fallback(tuple(written.to), written.tries, written.budget, timeout)
