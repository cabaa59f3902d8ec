"""Plain data -> YAML that every reader understands alike: each text is quoted, a bare `n` is a boolean to Envoy."""

from __future__ import annotations

from typing import Any, Final

import yaml

from extproc.bootstrap.version import OLDEST, spelled

NOTE: Final = (
    "# Generated from gateway.yaml by `extproc render`. Edit that file, not this one.\n"
    f"# For Envoy {spelled(OLDEST)} or later.\n"
)
WIDE: Final = 10_000


class _Quoting(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Key(str):
    __slots__ = ()


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


_Quoting.add_representer(str, _quoted)
_Quoting.add_representer(_Key, lambda dumper, key: dumper.represent_scalar("tag:yaml.org,2002:str", str(key)))


def render(bootstrap: dict[str, Any]) -> str:
    return NOTE + yaml.dump(_plain_keys(bootstrap), Dumper=_Quoting, sort_keys=False, width=WIDE, allow_unicode=False)


def _plain_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {_Key(key) if len(key) > 1 else key: _plain_keys(item) for key, item in value.items()}
    return [_plain_keys(item) for item in value] if isinstance(value, list) else value
