"""The certificate that a server of ours shows, and the authority of those whom it lets in: read again once replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from extproc.certificates import check_authorities, check_pair

Seen = tuple[tuple[int, int, int, int], ...]


class UnusableCertificate(Exception):
    """A certificate, key or authority that cannot be used, in a sentence with the file's name and none of its text."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """With `client_ca`, whoever connects must show a certificate of that authority."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        return (self.certificate, self.key, *([self.client_ca] if self.client_ca else []))


class ServerCertificates:
    """gRPC asks at every handshake, in threads of its own; files that cannot be used leave those before them."""

    def __init__(self, files: TlsFiles, refused: Callable[[str], object]) -> None:
        """`refused` hears why, once for each state of the files. Raises UnusableCertificate."""
        self._files = files
        self._refused = refused
        self._seen = self._look()
        self._first = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        asked = self._files.client_ca is not None
        # grpc's types do not know of None, by which it goes on with what it has.
        return grpc.dynamic_ssl_server_credentials(self._first, self.changed, asked)  # type: ignore[arg-type]

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """None where they are as they were."""
        seen = self._look()
        if seen == self._seen:
            return None
        self._seen = seen
        try:
            return self._read()
        except UnusableCertificate as error:
            self._refused(str(error))
            return None

    def _look(self) -> Seen:
        try:
            found = [path.stat() for path in self._files.all]
        except OSError:
            return ()
        return tuple((one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) for one in found)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        certificate, key, *authority = map(_content, self._files.all)
        _checked(self._files.certificate, lambda: check_pair(certificate, key))
        if authority and self._files.client_ca is not None:
            _checked(self._files.client_ca, lambda: check_authorities(authority[0]))
        return grpc.ssl_server_certificate_configuration([(key, certificate)], authority[0] if authority else None)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableCertificate(f"{path}: cannot be read: {error.strerror}") from None


def _checked(path: Path, check: Callable[[], None]) -> None:
    try:
        check()
    except ValueError as error:
        raise UnusableCertificate(f"{path}: {error}") from None
