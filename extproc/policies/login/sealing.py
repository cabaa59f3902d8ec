"""What a browser keeps for us and can neither read nor change: AES-GCM over JSON, with an end."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from extproc import CouldNotDecide

NONCE_BYTES: Final = 12  # SP 800-38D §8.2.2: random, and far fewer than 2**32 cookies under one secret
LONGEST: Final = 3_800  # RFC 6265 §6.1: browsers keep 4096 bytes of a cookie, its name and attributes included


class Sealer:
    """`vouching` is on whose word it is sealed, and `purpose` what for: it opens for nobody and nothing else."""

    def __init__(self, secret: str, vouching: Sequence[str]) -> None:
        info = b"extproc login " + json.dumps(list(vouching)).encode()
        derived = HKDF(SHA256(), 32, salt=None, info=info).derive(secret.encode())
        self._cipher = AESGCM(derived)

    def sealed(self, purpose: str, content: Mapping[str, Any], until: float) -> str:
        """Raises CouldNotDecide where it is more than a cookie holds."""
        text = json.dumps({**content, "until": until}, separators=(",", ":")).encode()
        nonce = secrets.token_bytes(NONCE_BYTES)
        spelled = base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, text, purpose.encode()))
        if len(spelled) > LONGEST:
            raise CouldNotDecide("what the session must hold is more than a cookie can")
        return spelled.rstrip(b"=").decode()

    def opened(self, purpose: str, spelled: str, now: float) -> Mapping[str, Any] | None:
        """None for whatever we did not seal for that purpose, or that is over."""
        if len(spelled) > LONGEST:
            return None
        try:
            raw = base64.urlsafe_b64decode(spelled.encode("ascii") + b"=" * (-len(spelled) % 4))
            content = json.loads(self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], purpose.encode()))
        except (InvalidTag, ValueError):
            return None
        return content if content["until"] > now else None
