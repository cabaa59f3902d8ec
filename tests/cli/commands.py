"""The command as an operator runs it: a process of its own, with nothing of ours in its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GOOD: Final = """\
listeners: [{name: public, address: "0.0.0.0:8080"}]
upstreams: {users: {endpoints: ["127.0.0.1:9101"]}}
tiers: {free: {rate: 10/s}}
authentication: {partners: {api_key: {}}}
routes:
  - {name: users, match: {path_prefix: /users}, upstream: users, authenticate: partners, limits: [tier]}
  - name: status
    match: {path: /status}
    upstream: users
    authenticate: none
    limits: [{per: address, rate: 5/s}]
    policies: [{use: transform, response: {json: {set: {served_by: route.name}}}}]
"""
BAD: Final = GOOD.replace("upstream: users, auth", "upstream: user, auth").replace("rate: 10/s", "rate: 0/s")


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    output: str
    errors: str

    @property
    def said(self) -> list[str]:
        return self.errors.splitlines()


def extproc(
    *arguments: str | Path, folder: Path, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> Ended:
    inherited = {"PATH": os.defpath, "NO_COLOR": "1", "COLUMNS": "200"}
    ended = subprocess.run(
        [sys.executable, "-m", "extproc", *map(str, arguments)],
        input=stdin,
        cwd=folder,
        env={**inherited, **(environment or {})},
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def written(folder: Path, text: str, name: str = "gateway.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file
