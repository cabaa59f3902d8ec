"""The shape of what a model says besides its versions, and of how a route names a model."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from extproc.config.agreements import SOMETHING, exactly_one, having, rules, some_of, where
from extproc.config.settings import AnswerCel, Condition, Duration, EditableHeader, Name, Settings
from extproc.config.spelling import FIELD_NAME, Short, Spelled, text
from extproc.core.models import BLANK
from extproc.core.names import MODEL_VERSION
from extproc.core.specs import is_in_hundredths

MOST: Final = 64  # of rules, aliases, tiers and fields of one model
ONE_WAY: Final = "write the name of the model, or from: where a request names it"
NAMED_ALREADY: Final = "of and default are for models that requests name: write from"
STICKY: Final = r"consumer|none|header:[a-z0-9-]+|cookie:[A-Za-z0-9_.-]{1,64}"
NO_STICKY: Final = "write consumer, none, header:NAME in lower case, or cookie:NAME"
FROM: Final = rf"body|header:{FIELD_NAME}|path:(?:/[^/{{}}?#\s]+)*/\{{model\}}(?:/[^/{{}}?#\s]+)*"
NO_FROM: Final = f"write body, header:NAME in lower case, or path: with a template, as path:/models/{BLANK}/predict"


def in_hundredths(value: float) -> float:
    if not is_in_hundredths(value):
        raise ValueError("percentages are in steps of 0.01")
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), AfterValidator(in_hundredths)]
Part = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False), AfterValidator(in_hundredths)]
Alias = Annotated[
    str,
    Spelled(
        r"[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,126}",
        "not a name: up to 127 letters, digits, dots, dashes, underscores, colons, slashes and at signs",
        "name",
    ),
]
Tiers = Annotated[list[str], Field(min_length=1, max_length=MOST)]


class ModelPin(Settings):
    """How a caller names the version that it wants, whatever rules and weights say."""

    header: EditableHeader = MODEL_VERSION
    """The request header that holds the version's name. The upstream does not get it."""
    tiers: Tiers
    """Tiers whose consumers may. Of all others the header means nothing."""


class CohortRule(Settings):
    """A version for those of whom a condition holds."""

    when: Condition
    """What must be true of the request and its consumer, in [CEL](https://cel.dev). Where it cannot be judged, the
    request is refused with 503, as in `authorize`."""
    version: str
    """The version that they get."""


class ShadowCompare(Settings):
    """What is compared of the answers of two versions to the same request. The sidecar asks both, beside the request
    and after it was let through; nobody waits for it, and nobody gets these answers."""

    fields: Annotated[dict[Name, AnswerCel], Field(min_length=1, max_length=MOST)]
    """What must be alike, each by a name, in [CEL](https://cel.dev) over one answer: `response.status`,
    `response.json.label`."""
    timeout: Duration = timedelta(seconds=5)
    """How long an answer may take."""


class ModelShadow(Settings):
    """A version that gets a copy of some requests. Its answers and failures are seen by nobody who asks."""

    version: str
    """The version that gets the copies. Requests that it answers itself are not copied."""
    percent: Part
    """How many of the requests, in percent, in steps of 0.01. Which ones is chance, for each request anew."""
    compare: ShadowCompare | None = None
    """What to hold against the answers of the version that was chosen. Left out: Envoy makes the copy, and throws the
    answer away."""


class ModelFallback(Settings):
    """Who answers in place of a version that answers 5xx or 429, does not answer in time or at all, or whose endpoints
    are all unhealthy or ejected. Requests are sent again whatever their method: writing this says that they may be."""

    to: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1, max_length=MOST), Short((text("name"),))]
    """The versions that stand in, in their order: a name or a list of names."""
    tries: Annotated[int, Field(ge=1, le=5)] = 1
    """How many of them are asked at most, for one request."""
    timeout: Duration | None = None
    """How long a version may take before the next is asked. Left out: the route's timeout, shared out evenly."""
    budget: Annotated[int, Field(ge=1, le=10_000)] = 20
    """For how many requests versions stand in at the same time, for each version that was chosen first. Beyond it the
    failure is the answer, so that one failing version does not take the others with it."""


class ModelUse(Settings):
    """The model that a route leads to: always the same one, or the one that each request names."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *exactly_one(("is", "from"), ONE_WAY)["allOf"],
            where(some_of(("of", "default"), NAMED_ALREADY), having(**{"from": SOMETHING})),
        )
    )

    is_: Annotated[str | None, Field(alias="is")] = None
    """The model, by its name. `model: NAME` is the same."""
    from_: Annotated[
        Annotated[str, Spelled(FROM, NO_FROM, "body, header:NAME or path:TEMPLATE")] | None, Field(alias="from")
    ] = None
    """Where a request names its model. `body`: the member `model` of a JSON body. `header:NAME`: that header.
    `path:TEMPLATE`: the segment of the path that stands at `{model}`, as in `path:/models/{model}/predict`."""
    of: Annotated[list[str], Field(min_length=1, max_length=MOST)] | None = None
    """The models that a request may name, by their names or aliases. Left out: all of them."""
    default: str | None = None
    """The model for a request that names none. Left out: such a request is refused with 400."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"is": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _names_one_way(self) -> Self:
        if (self.is_ is None) is (self.from_ is None):
            raise ValueError(ONE_WAY)
        if self.from_ is None and (self.of is not None or self.default is not None):
            raise ValueError(NAMED_ALREADY)
        return self


RouteModel = Annotated[ModelUse, Short((text("name"),))]
