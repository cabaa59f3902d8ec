"""The shape of one route of gateway.yaml, and of what `defaults` gives it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from extproc.config.access import Authorize
from extproc.config.aggregate import Merge, Parts
from extproc.config.agreements import CERTAIN, NOTHING, SOMETHING, exactly_one, having, never, rules
from extproc.config.limits import LimitUse
from extproc.config.match import Match
from extproc.config.meter import AnyMeter
from extproc.config.models import RouteModel
from extproc.config.settings import NO_SIZE, Duration, Name, Settings, Size
from extproc.config.spelling import CALLED, Short, Spelled, text
from extproc.config.versions import VersionUse
from extproc.core.processing import MAX_SHOWN

MAX_BODY: Final = 64 * 1024 * 1024  # Envoy buffers it: a larger upload wants a streaming route
TARGETS: Final = ("upstream", "model", "redirect", "aggregate", "feedback")
ONE_TARGET: Final = "a route leads to one of upstream, model, redirect, aggregate and feedback"
NO_PARTS: Final = "merge says how the parts of an aggregate become one answer, and there is none"
NO_ENDLESS_PARTS: Final = (
    "an aggregate ends: leave out stream, and write merge: {ndjson: always} for parts as they come"
)
NOT_ADAPTED: Final = "bodies are adapted on their way from an upstream: write the words of this version in merge.body"
NO_STREAM_TIMEOUT: Final = "a streaming route has no timeout: leave out one of stream and timeout"
OWN_QUERY: Final = "a redirected prefix keeps the request's own query: leave the ? out of redirect.to"


class PolicyUse(Settings):
    """A policy, with its settings beside its name."""

    model_config = ConfigDict(extra="allow", frozen=True)
    use: str
    """The kind of policy."""

    def __repr_args__(self) -> Iterable[tuple[str, Any]]:
        """Without its settings: secrets are among them, as they are written."""
        yield "use", self.use


class Redirect(Settings):
    """An answer that sends the client elsewhere."""

    to: Annotated[
        str,
        Spelled(
            r"(https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?)?/(?!/)[^\s\x00-\x1f\x7f]*",
            "not a place to go: write a path or a whole URL, as /new or https://example.com/new",
            "path or URL",
        ),
    ]
    """Where to: a path, or a whole http(s) URL. It replaces what was matched, so behind a `path_prefix` the rest of the
    path is kept, and the query as well."""
    status: Literal[301, 302, 303, 307, 308] = 308
    """The HTTP status. 307 and 308 keep the method and the body; 301 and 308 are for ever."""

    @field_validator("to")
    @classmethod
    def _has_a_real_port(cls, value: str) -> str:
        try:
            urlsplit(value).port  # noqa: B018 - reading it is the check
        except ValueError:
            raise ValueError("no host has such an address or port") from None
        return value


def _names(value: Any) -> Any:
    """`none` becomes the empty list: nobody is asked who they are."""
    if value == "none":
        return []
    if value == []:
        raise ValueError("write none, the word, for a route that anybody may call")
    return [value] if isinstance(value, str) else value


# `none`, one name, or several: each of which the loader makes a list.
METHODS: Final = WithJsonSchema(
    {
        "anyOf": [
            {"const": "none", "description": "Anybody may call."},
            text("name"),
            {
                "type": "array",
                "items": {**text("name"), "not": {"const": "none"}},
                "minItems": 1,
                "uniqueItems": True,
            },
        ]
    }
)


def _size_up_to(most: int) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [
                text("size", "(?!0+(?![0-9]))[0-9]{1,12}(?:B|KiB|MiB)?", NO_SIZE),
                {"type": "integer", "minimum": 1, "maximum": most},
            ],
            CALLED: "size",
        }
    )


BodyLimit = Annotated[Size, Field(ge=1, le=MAX_BODY), _size_up_to(MAX_BODY)]
ResponseLimit = Annotated[Size, Field(ge=1, le=MAX_SHOWN), _size_up_to(MAX_SHOWN)]
AnyLimit = Annotated[LimitUse, Short(({"const": "tier", "description": "The rate of the consumer's tier."},))]


class RouteSettings(Settings):
    """What `defaults` gives and a route may replace."""

    authenticate: Annotated[list[str], METHODS] | None = None
    """Who may call: the name of one method of `authentication`, or a list of names of which any will do, or `none` for
    a route that anybody may call. Where neither the route nor the defaults say it, the file is refused."""
    authorize: Authorize | None = None
    """Which of them: a condition in [CEL](https://cel.dev), a rule of which all must hold, or a list of conditions and
    rules of which any will do; else the request is refused with 403. Left out everywhere: whoever is authenticated may
    call."""
    forward: Literal["headers", "signed"] | None = None
    """How the upstream is told who is asking. `headers`: in `x-consumer-id`, `-tier`, `-scopes` and `-groups`;
    `signed`: also in `x-consumer-token`, a token for this upstream alone, signed as `sidecar.signing` says. Left out
    everywhere: headers."""
    forward_credentials: bool | None = None
    """Whether the upstream gets the client's own credential as well. Left out everywhere: it is removed."""
    limits: list[AnyLimit] | None = None
    """How often: `tier` for the limits of the consumer's tier, and limits of the route's own. All are judged together;
    where one refuses (429), none is counted. Left out everywhere: no limits."""
    meter: AnyMeter | None = None
    """How many tokens answers came to: read in their bodies, streams too, to settle what was reserved of `tokens`, to
    cut a stream where its budget ends, and for `extproc usage`. A style alone, as `openai`, or how it is read; `none`:
    not at all. Left out everywhere: only a header that `settle` names says it."""
    policies: list[PolicyUse] | None = None
    """Further policies, in the order in which they judge a request; they see the answer in the opposite order. Left out
    everywhere: none."""
    timeout: Duration | None = None
    """How long the whole request may take, tries included; then the client gets 504. Left out everywhere: 15s."""
    body_limit: BodyLimit | None = None
    """The largest request body, at most 64MiB; a larger one is refused with 413 before anything is asked. Envoy holds
    the body until it is complete. Left out everywhere: 1MiB."""

    response_limit: ResponseLimit | None = None
    """The largest answer that a policy edits whole, at most 3MiB; a longer one is replaced by a 500. Envoy holds it
    until it is complete. Answers that no policy edits, or that are edited as they pass, are not held to it. Left out
    everywhere: 1MiB."""

    @field_validator("authenticate", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return value if value is None else _names(value)


class Route(RouteSettings):
    """Which requests, who may make them, how often, and where they go: one of `upstream`, `model`, `redirect`,
    `aggregate` and `feedback`."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *exactly_one(TARGETS, ONE_TARGET)["allOf"],
            never(having(stream={"const": True}, timeout=CERTAIN), NO_STREAM_TIMEOUT),
            never({"required": ["merge"], "properties": {"merge": SOMETHING, "aggregate": NOTHING}}, NO_PARTS),
            never(having(stream={"const": True}, aggregate=SOMETHING), NO_ENDLESS_PARTS),
            never(having(aggregate=SOMETHING, version=having(adapt_to=CERTAIN)), NOT_ADAPTED),
            never(
                having(
                    redirect=having(to={"type": "string", "pattern": r"^[^$]*\?"}),
                    match=having(path_prefix={"allOf": [CERTAIN, {"minLength": 1}]}),
                ),
                OWN_QUERY,
            ),
        )
    )

    name: Name
    """What this route is called in logs, metrics and expressions; unique."""
    match: Match
    """Which requests it serves. The first route that matches does; later ones are not looked at."""
    upstream: str | None = None
    """The upstream that serves it."""
    model: RouteModel | None = None
    """The model that serves it, by whichever version the caller gets: its name, or where requests name one."""
    redirect: Redirect | None = None
    """Send the client elsewhere."""
    feedback: Literal[True] | None = None
    """Take what consumers say of answers that they got: `POST` with `{"request_id": ID, "score": 0.8}`. A consumer may
    score its own requests, each once, of the models that have `score: {feedback: true}`."""
    aggregate: Parts | None = None
    """The parts of an answer that the gateway puts together itself, by name, 16 at most: calls to upstreams, made at
    the same time where none reads another's `parts.NAME`. All of it within the route's `timeout`, of 60s at most."""
    merge: Merge | None = None
    """How the parts of `aggregate` become one answer. Left out: an object with a member for each."""
    version: VersionUse | None = None
    """The version of the API that it serves, and how its bodies become those of another one."""
    stream: bool = False
    """For answers that never end: no timeout, but a connection on which nothing happens for five minutes is closed."""

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        targets = (self.upstream, self.model, self.redirect, self.aggregate, self.feedback)
        if sum(target is not None for target in targets) != 1:
            raise ValueError(ONE_TARGET)
        self._puts_together()
        if self.stream and self.timeout is not None:
            raise ValueError(NO_STREAM_TIMEOUT)
        if self.redirect and self.match.path_prefix and "?" in self.redirect.to:
            raise ValueError(OWN_QUERY)
        return self

    def _puts_together(self) -> None:
        """Raises ValueError for what an aggregate cannot be."""
        if self.aggregate is None:
            if self.merge is not None:
                raise ValueError(NO_PARTS)
            return
        if self.stream:
            raise ValueError(NO_ENDLESS_PARTS)
        if self.version is not None and self.version.adapt_to is not None:
            raise ValueError(NOT_ADAPTED)
