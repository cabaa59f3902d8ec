"""Another method, path or query for a request that was let in: what its upstream is asked for.

The route stays the one that was chosen and judged. A path is checked as strictly as a client's own: what an upstream
might take for another path than the one that is written must not be made here either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from extproc.core.errors import InvalidMutation
from extproc.core.message import Request

# RFC 3986 §3.3 and §3.4: pchar and "/", and for a query "?" as well.
PATH: Final = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")
QUERY: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*")
# Segments that some servers walk up by, however the dots are written and whatever parameters follow them; escaped
# slashes; empty segments, which the gateway's own normalisation would have merged.
ODD: Final = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:;[^/]*)?(?:/|$)|%2f|%5c|%00|//", re.IGNORECASE)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
LONGEST: Final = 8192  # of a path and its query: what servers commonly read of a request line


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What is None stays as it is. `path` has no query; both are spelt as on the wire, with `%` where needed."""

    method: str | None = None
    path: str | None = None
    query: str | None = None

    def __post_init__(self) -> None:
        if self.method is not None and self.method not in METHODS:
            raise InvalidMutation("a request is rewritten to a method that is none of " + ", ".join(sorted(METHODS)))
        if self.path is not None and (not PATH.fullmatch(self.path) or ODD.search(self.path)):
            raise InvalidMutation("a request is rewritten to what is no path, or could be taken for another")
        if self.query is not None and not QUERY.fullmatch(self.query):
            raise InvalidMutation("a request is rewritten to what is no query")
        if len(self.path or "") + len(self.query or "") > LONGEST:
            raise InvalidMutation(f"a request is rewritten to a path of more than {LONGEST} characters")

    def then(self, later: Rewrite) -> Rewrite:
        return Rewrite(
            self.method if later.method is None else later.method,
            self.path if later.path is None else later.path,
            self.query if later.query is None else later.query,
        )

    def applied(self, request: Request) -> Request:
        return replace(
            request,
            method=request.method if self.method is None else self.method,
            path=request.path if self.path is None else self.path,
            query=request.query if self.query is None else self.query,
        )

    def line(self, request: Request) -> tuple[tuple[str, str], ...]:
        """The pseudo-headers that make it so: those that change."""
        made = self.applied(request)
        line = [(":method", made.method)] if made.method != request.method else []
        if (made.path, made.query) != (request.path, request.query):
            line.append((":path", f"{made.path}?{made.query}" if made.query else made.path))
        return tuple(line)
