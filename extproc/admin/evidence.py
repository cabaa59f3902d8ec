"""What a model's versions did, over the admin address, for the bearer of the admin token."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from extproc.admin.asking import SECRET, Guard
from extproc.admin.problems import problem
from extproc.core.errors import StoreUnavailable
from extproc.core.evidence import Evidence

NO_MODELS: Final = "no route of this gateway leads to a model"
NO_MODEL: Final = "this gateway has no such model"
NO_STRETCH: Final = "window is a number of seconds: /evidence?model=chat&window=600"
WINDOW: Final = re.compile(r"[0-9]{1,8}", re.ASCII)
USUAL: Final = "600"  # seconds
QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


class EvidenceReader(Protocol):
    def knows(self, model: str) -> bool: ...

    async def lately(self, model: str, window: int) -> Mapping[str, Evidence]:
        """Of the last so many seconds. Raises StoreUnavailable."""


def evidence_route(reader: EvidenceReader | None, guard: Guard) -> Route:
    async def evidence(request: Request) -> Response:
        model, window = request.query_params.get("model", ""), request.query_params.get("window", USUAL)
        if reader is None:
            return problem(HTTPStatus.CONFLICT, "no_models", NO_MODELS)
        if not reader.knows(model):
            return problem(HTTPStatus.NOT_FOUND, "unknown_model", NO_MODEL)
        if not WINDOW.fullmatch(window):
            return problem(HTTPStatus.BAD_REQUEST, "invalid_request", NO_STRETCH)
        try:
            found = await reader.lately(model, int(window))
        except StoreUnavailable as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, error.reason, str(error))
        versions = {version: told(one) for version, one in sorted(found.items())}
        return JSONResponse({"model": model, "window": int(window), "versions": versions}, headers=SECRET)

    return Route("/evidence", guard(evidence), methods=["GET"])


def told(evidence: Evidence) -> dict[str, float | None]:
    """Latencies in seconds; null is what nobody measured."""
    quantiles = {name: evidence.quantile(q) for name, q in QUANTILES}
    latencies = {name: None if math.isnan(value) else round(value, 6) for name, value in quantiles.items()}
    counted = {"requests": evidence.requests, "errors": evidence.errors, "tokens": evidence.tokens}
    mean = round(evidence.score_sum / evidence.scores, 6) if evidence.scores else None
    return {**counted, **latencies, "scores": evidence.scores, "mean_score": mean}
