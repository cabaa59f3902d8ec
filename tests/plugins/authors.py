"""What policy authors write: a good kind, and ways of getting one wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Final

GOOD: Final = """\
from dataclasses import dataclass
from typing import ClassVar

from extproc import CONTINUE, Context, Decision, Phase, Policy, Ports, Request, Settings, refusal


class HoursSettings(Settings):
    start: int = 9
    end: int = 17


@dataclass(frozen=True, slots=True)
class Hours(Policy):
    settings: HoursSettings

    name: ClassVar[str] = "hours"
    Settings: ClassVar[type[HoursSettings]] = HoursSettings
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: HoursSettings, ports: Ports) -> Policy:
        return Hours(settings)

    async def on_request(self, request: Request, context: Context) -> Decision:
        return refusal(403, "closed_now", "come back later")
"""
GATEWAY: Final = """\
listeners: [{name: public, address: "127.0.0.1:8080"}]
upstreams: {only: {endpoints: ["127.0.0.1:9000"]}}
routes:
  - name: open
    match: {path_prefix: /}
    upstream: only
    authenticate: none
    policies: [{use: hours}]
"""


def project(folder: Path, gateway: str = GATEWAY, **policies: str) -> Path:
    """A gateway file, with a policies folder beside it that has each text as a file."""
    (folder / "policies").mkdir(exist_ok=True)
    for name, text in policies.items():
        (folder / "policies" / f"{name}.py").write_text(text, encoding="utf-8")
    file = folder / "gateway.yaml"
    file.write_text(gateway, encoding="utf-8")
    return file
