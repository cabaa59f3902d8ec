"""What a route to a model shows the sidecar of requests, and what would not work on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from extproc.config.model import Config
from extproc.config.route import Route
from extproc.core.models import NamedBy
from extproc.core.processing import MAX_SHOWN
from extproc.plan.model import PolicySpec
from extproc.plan.models import models_spec
from extproc.plan.processing import OF_REQUESTS

TOO_LARGE: Final = (
    f"what names the model or is compared is shown in one message: a body_limit of at most {MAX_SHOWN // 1024**2}MiB"
)
EDITED: Final = "a policy of this route edits requests on their way, and what is compared is asked for as they came"
ENDLESS: Final = "on a route with stream: true an answer may never end, and what is compared is a whole one"
TOO_LATE: Final = "the fallback of {} waits as long as route {} may take, so that nobody stands in"


def is_asked_with_body(route: Route, config: Config) -> bool:
    """Whether ext_authz is shown the request's body: where it names the model, and where a shadow is compared."""
    return _is_named_in_body(route) or _compares(route, config)


def model_flaw(route: Route, config: Config, used: Sequence[PolicySpec], limit: int, timeout: float) -> str:
    """A sentence for a body that no call can show, for copies that would be of another request, and for a version that
    would stand in too late; empty where all is well."""
    if is_asked_with_body(route, config) and limit > MAX_SHOWN:
        return TOO_LARGE
    if _compares(route, config) and (route.stream or any(spec.phases & OF_REQUESTS for spec in used)):
        return ENDLESS if route.stream else EDITED
    if route.model is None or route.stream:
        return ""
    late = (
        model
        for model in models_spec(route.model, config).models
        if model.fallback is not None and (model.fallback.timeout or 0) >= timeout
    )
    return next((TOO_LATE.format(model.model, route.name) for model in late), "")


def _is_named_in_body(route: Route) -> bool:
    return route.model is not None and route.model.from_ == NamedBy.BODY.value


def _compares(route: Route, config: Config) -> bool:
    """Whether some shadow of it is asked by ourselves, who must have the whole request for that."""
    models = models_spec(route.model, config).models if route.model is not None else ()
    return any(model.shadow is not None and model.shadow.compare is not None for model in models)
