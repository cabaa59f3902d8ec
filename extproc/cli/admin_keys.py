"""The keys of a running sidecar."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from extproc.cli.admin_address import AdminAddress
from extproc.stores.key_keeper import KeyWish, RotationWish


class AdminKeys:
    """Every method raises AdminFailed."""

    def __init__(self, sidecar: AdminAddress) -> None:
        self._sidecar = sidecar

    def entries(self) -> list[dict[str, Any]]:
        return list(self._sidecar.ask("GET", "/keys")["keys"])

    def create(self, wish: KeyWish) -> dict[str, Any]:
        return self._sidecar.ask("POST", "/keys", wish.model_dump(exclude_none=True))

    def rotate(self, key: str, wish: RotationWish) -> dict[str, Any]:
        return self._sidecar.ask("POST", f"/keys/{quote(key, safe='')}/rotate", wish.model_dump(exclude_none=True))

    def revoke(self, key: str) -> dict[str, Any]:
        return dict(self._sidecar.ask("DELETE", f"/keys/{quote(key, safe='')}")["revoked"])
