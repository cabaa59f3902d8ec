"""A client that keeps cookies as browsers do (RFC 6265bis): by host, path, Secure, SameSite and the `__Host-` prefix.

It takes one step at a time: whoever follows a redirect says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urljoin, urlsplit

from tests.e2e.clients import Client, Field, Reply

PAGE: Final[Field] = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
FETCH: Final[Field] = ("accept", "*/*")
LARGEST: Final = 4_096  # RFC 6265 §6.1
PREFIX: Final = "__Host-"


@dataclass(frozen=True, slots=True)
class Cookie:
    """One that a host has set, with its attributes in lower case."""

    name: str
    value: str = field(repr=False)
    attributes: dict[str, str]

    @classmethod
    def of(cls, written: str) -> Cookie:
        first, *others = [part.strip() for part in written.split(";")]
        name, _, value = first.partition("=")
        named = [part.partition("=") for part in others]
        return cls(name, value, {key.lower(): value for key, _, value in named})

    @property
    def is_over(self) -> bool:
        return self.attributes.get("max-age") == "0"

    def kept_from(self, scheme: str) -> bool:
        """Whether a browser takes it at all."""
        if "secure" in self.attributes and scheme != "https":
            return False
        bound = {"secure", "path"} <= self.attributes.keys() and self.attributes["path"] == "/"
        return len(self.name) + len(self.value) <= LARGEST and (
            not self.name.startswith(PREFIX) or (bound and "domain" not in self.attributes)
        )

    def goes_to(self, scheme: str, path: str, *, crosses: bool, method: str) -> bool:
        if "secure" in self.attributes and scheme != "https":
            return False
        if crosses and (self.attributes.get("samesite", "Lax").lower() == "strict" or method != "GET"):
            return False
        return path.startswith(self.attributes.get("path", "/"))


@dataclass(slots=True)
class Browser:
    """`names` are hosts that stand for a port on loopback, as if something in front spoke TLS for them."""

    names: dict[str, int] = field(default_factory=dict)
    jar: dict[tuple[str, str], Cookie] = field(default_factory=dict)
    at: str = "about:blank"

    def goes(self, url: str, *fields: Field, method: str = "GET", site: str | None = None) -> Reply:
        """One request, as a navigation from `site`: another one than the URL's makes SameSite count."""
        parts = urlsplit(url)
        host = parts.netloc
        crosses = site is not None and urlsplit(site).hostname != parts.hostname
        sent = [
            f"{cookie.name}={cookie.value}" for (owner, _), cookie in self.jar.items()
            if owner == parts.hostname and cookie.goes_to(parts.scheme, parts.path, crosses=crosses, method=method)
        ]  # fmt: skip
        cookies = (("cookie", "; ".join(sent)),) if sent else ()
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        client = Client(self.names.get(host) or int(parts.port or 0))
        reply = client.ask(method, target, *(fields or (PAGE,)), *cookies, host=host)
        self.got(reply, url)
        return reply

    def follows(self, reply: Reply) -> Reply:
        """A redirect, from where it was given."""
        assert reply.status in (302, 303, 307), (reply.status, reply.body)
        return self.goes(self.place(reply), site=self.at)

    def place(self, reply: Reply) -> str:
        """Where a redirect leads, as a browser reads it."""
        (location,) = reply.all("location")
        return urljoin(self.at, location)

    def cookie(self, name: str) -> Cookie:
        (found,) = [cookie for (_, key), cookie in self.jar.items() if key == name]
        return found

    @property
    def cookies(self) -> list[str]:
        return [name for _, name in self.jar]

    def got(self, reply: Reply, url: str) -> None:
        """An answer from there, whoever asked for it."""
        parts = urlsplit(url)
        self.at, host = url, str(parts.hostname)
        for cookie in map(Cookie.of, reply.all("set-cookie")):
            if cookie.is_over:
                self.jar.pop((host, cookie.name), None)
            elif cookie.kept_from(parts.scheme):
                self.jar[host, cookie.name] = cookie
