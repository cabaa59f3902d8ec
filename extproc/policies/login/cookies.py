"""The cookies of a login: one for the session, and one for each login under way, so that two tabs do not cross."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from extproc import Request, cookie_names

MARK: Final = "~"  # RFC 9110 §5.6.2 has it in a token, and no name of a setting does
SHOWN: Final = 16  # characters of a state: enough to tell logins apart, the whole of it is inside
UNDER_WAY: Final = 6  # logins in one browser; what abandoned ones leave behind must not outgrow a request's headers


@dataclass(frozen=True, slots=True)
class LoginCookies:
    name: str
    secure: bool

    @property
    def session(self) -> str:
        """RFC 6265bis §4.1.3.2: with that prefix a browser takes it from this very host and by https only."""
        return f"__Host-{self.name}" if self.secure else self.name

    def under_way(self, state: str) -> str:
        return f"{self.session}{MARK}{state[:SHOWN]}"

    @property
    def all(self) -> tuple[str, ...]:
        return (self.session, f"{self.session}{MARK}*")

    def kept(self, name: str, value: str, seconds: int) -> tuple[str, str]:
        """Lax: whoever comes back from the provider comes from another site."""
        secure = "; Secure" if self.secure else ""
        return ("set-cookie", f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")

    def gone(self, *names: str) -> tuple[tuple[str, str], ...]:
        return tuple(self.kept(name, "", 0) for name in names)

    def surplus(self, request: Request) -> tuple[str, ...]:
        """Those that make room for one more: browsers send the oldest first (RFC 6265 §5.4)."""
        begun = [name for name in cookie_names(request) if name.startswith(self.session + MARK)]
        return tuple(begun[: max(0, len(begun) + 1 - UNDER_WAY)])
