"""What `extproc up` shows: progress, where everything is, what to try, and a line per decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from extproc.app.local import Running

SIGNS: Final = {"allow": ("✔", "green"), "deny": ("✘", "yellow"), "error": ("!", "bold red")}
LEFT_OUT: Final = frozenset({"allowed"})


class ConsoleReporter:
    """Colours where the terminal has them; NO_COLOR and pipes get plain text (rich)."""

    def __init__(self, *, demo: bool, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._demo = demo

    def step(self, text: str) -> None:
        self._console.print(Text.assemble(("• ", "cyan"), text))

    def ready(self, running: Running) -> None:
        places = {"gateway": running.gateway, "sidecar admin": running.admin, "Envoy admin": running.envoy_admin}
        self._console.print()
        for name, url in places.items():
            self._console.print(Text.assemble(("  ", ""), (f"{name:<14}", "bold"), url))
        if running.credentials is not None:
            self._console.print("\nTry (the keys and tokens are in .extproc/demo.env):\n")
            for line in examples(running):
                self._console.print(Text("  " + line, style="dim" if line.startswith("#") else ""))
        self._console.print("\nDecisions as they are made; Ctrl-C stops everything.\n")

    def decision(self, record: Mapping[str, Any]) -> None:
        self._console.print(decision_line(record))

    def stopping(self) -> None:
        self._console.print(Text("stopping", style="dim"))


def examples(running: Running) -> list[str]:
    """Lines to paste, each with a different outcome."""
    if running.credentials is None:
        return []
    url, free, premium = running.gateway, running.credentials.free_key, running.credentials.premium_key
    statuses = "curl -s --parallel -o /dev/null -w '%{http_code} '"
    return [
        "# 401: nobody says who is asking",
        f"curl -i {url}/api/v2/users",
        "# 200, with RateLimit headers",
        f"curl -i -H 'x-api-key: {free}' {url}/api/v2/users",
        "# 429 once the burst of ten is used up",
        f"{statuses} -H 'x-api-key: {free}' '{url}/api/v2/users?n=[1-40]'; echo",
        "# the model version that this caller sticks to (10 % of callers get v2)",
        f"curl -si -H 'x-api-key: {premium}' {url}/api/v1/recommend | grep -i x-model-version",
        "# an answer edited on its way: served_by, x-shop-edited",
        f'. .extproc/demo.env; curl -i -H "authorization: Bearer $PREMIUM_JWT" {url}/api/v1/orders',
        "# 403: the token lacks the scope orders:read",
        f'. .extproc/demo.env; curl -i -H "authorization: Bearer $FREE_JWT" {url}/api/v1/orders',
    ]


def decision_line(record: Mapping[str, Any]) -> Text:
    """`✔ 200 users-v2 GET /api/v2/users free-by-key (free) 0.41 ms`, the status where the gateway itself answered."""
    sign, colour = SIGNS.get(str(record.get("result")), ("?", "red"))
    who = f"{record['consumer']} ({record.get('tier', 'no tier')})" if record.get("consumer") else "anonymous"
    reason = str(record.get("reason", ""))
    facts = [f"{name}={value}" for name, value in dict(record.get("facts", {})).items()]
    parts = [
        str(record.get("status", "")),
        str(record.get("service", "")),
        str(record.get("route", "")),
        f"{record.get('method', '')} {record.get('path', '')}".strip(),
        who,
        "" if reason in LEFT_OUT else reason,
        *facts,
        f"{int(record.get('duration_us', 0)) / 1000:.2f} ms",
        str(record.get("detail", "")),
    ]
    return Text.assemble((sign + " ", colour), "  ".join(part for part in parts if part))
