"""`version.adapt_to` of a route: bodies of the version that clients speak become those of the one that the upstream
speaks, and back.

Only a good answer is a document of the API: whatever has a status below 200 or above 299, no body or another media type
than JSON passes as it is. A good one that cannot be adapted is 502: as it is, it would be another version's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from extproc import (
    CONTINUE,
    AdaptSpec,
    Context,
    Continue,
    Decision,
    HeaderEdits,
    Headers,
    Lens,
    Memory,
    NotAdaptable,
    Phase,
    Policy,
    Ports,
    Request,
    Response,
    adapt_body,
    refusal,
)

LOWEST_GOOD, LOWEST_OTHER = 200, 300
PROBLEM: Final = "application/problem+json"
# They are of the body that the upstream sent (RFC 9530; the older two RFC 3230), or of parts of it (RFC 9110 §14).
OF_THE_OLD_BODY: Final = HeaderEdits(
    remove=("content-digest", "repr-digest", "digest", "content-md5", "accept-ranges"),
)


def _phases(settings: AdaptSpec) -> frozenset[Phase]:
    seen = {Phase.RESPONSE_BODY} if settings.response.steps else set()
    return frozenset(seen)


@dataclass(frozen=True, slots=True)
class Adapt(Policy):
    served: str
    spoken: str
    there: Lens
    back: Lens

    name: ClassVar[str] = "adapt"
    Settings: ClassVar[type[AdaptSpec]] = AdaptSpec
    phases: ClassVar[Any] = staticmethod(_phases)

    @staticmethod
    def build(settings: AdaptSpec, ports: Ports) -> Policy:
        return Adapt(settings.served, settings.spoken, settings.request, settings.response.inverse())

    async def on_forward(self, request: Request, context: Context) -> Decision:
        if not request.body or not self.there.steps:
            return CONTINUE
        if not _is_plain_json(request.headers):
            return refusal(415, "body_not_json", f"version {self.served} of this API takes JSON, without an encoding")
        try:
            return Continue(body=adapt_body(request.body, self.there, Memory()))
        except NotAdaptable as error:
            return refusal(422, "body_not_adaptable", f"no document of version {self.served}: {error}")

    async def on_response(self, response: Response, request: Request, context: Context) -> Decision:
        if not LOWEST_GOOD <= response.status < LOWEST_OTHER or not response.body or not self.back.steps:
            return CONTINUE
        if not _claims_json(response.headers):
            return CONTINUE
        try:
            if not _is_plain_json(response.headers) or "content-range" in response.headers:
                raise NotAdaptable((), "encoded, or only a part of it")
            adapted = adapt_body(response.body, self.back, Memory())
        except NotAdaptable as error:
            said = f"the upstream's answer is no document of version {self.spoken}"
            return replace(refusal(502, "answer_not_adaptable", said), facts={"not_adaptable": str(error)})
        return Continue(response=OF_THE_OLD_BODY, body=adapted)


def _is_plain_json(headers: Headers) -> bool:
    return _claims_json(headers) and headers.get("content-encoding") in (None, "", "identity")


def _claims_json(headers: Headers) -> bool:
    media_type = (headers.get("content-type") or "").split(";")[0].strip().lower()
    return media_type != PROBLEM and (media_type == "application/json" or media_type.endswith("+json"))
