"""Documents of envoyproxy/ratelimit -> the trees that limits are looked up in, or the first mistake in its words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from extproc.config.ratelimit_document import Document, WrittenDescriptor, WrittenLimit
from extproc.core.descriptors import ANY, DescriptorLimit, Node, joined
from extproc.core.errors import RefusedLimits
from extproc.core.windows import Unit

UNITS: Final = {unit.name: unit for unit in Unit}


def build_domains(documents: Iterable[Document], *, merge: bool = False) -> dict[str, Node]:
    """`merge` lets several files hold parts of one domain. Raises RefusedLimits."""
    domains: dict[str, Node] = {}
    for document in documents:
        if not document.domain:
            raise RefusedLimits(document.file, "config file cannot have empty domain", document.line)
        if document.domain in domains and not merge:
            said = f"duplicate domain '{document.domain}' in config file"
            raise RefusedLimits(document.file, said, document.line)
        root = domains.get(document.domain) or Node()
        _Builder(document.file).add_all(root, document.domain, document.descriptors)
        domains[document.domain] = root
    return domains


@dataclass(frozen=True, slots=True)
class _Builder:
    file: str

    def add_all(self, parent: Node, above: str, descriptors: Iterable[WrittenDescriptor]) -> None:
        for written in descriptors:
            self._add(parent, above, written)

    def _add(self, parent: Node, above: str, written: WrittenDescriptor) -> None:
        if not written.key:
            self._refuse("descriptor has empty key", written.line)
        path = f"{above}.{joined(written.key, written.value)}"
        if (written.key, written.value) in parent.children:
            self._refuse(f"duplicate descriptor composite key '{path}'", written.line)
        limit = self._limit(written, written.limit, path) if written.limit is not None else None
        own = joined(written.key, written.value)
        if written.shared and ANY not in own:
            said = "share_threshold can only be used with wildcard values (containing '*'), but found key"
            self._refuse(f"{said} '{own}'", written.line)
        node = Node(written.key, written.value, limit, written.shared, written.value_told)
        self.add_all(node, path, written.descriptors)
        parent.add(node)

    def _limit(self, descriptor: WrittenDescriptor, limit: WrittenLimit, path: str) -> DescriptorLimit:
        unit = UNITS.get(limit.unit.upper())
        if limit.unlimited and unit is not None:
            self._refuse("should not specify rate limit unit when unlimited", limit.line)
        if not limit.unlimited and unit is None:
            self._refuse(f"invalid rate limit unit '{limit.unit}'", limit.line)
        for replaced in limit.replaces:
            if not replaced.name:
                self._refuse("should not have an empty replaces entry", replaced.line)
            if replaced.name == limit.name:
                self._refuse("replaces should not contain name of same descriptor", replaced.line)
        return DescriptorLimit(
            limit.requests, unit, path, limit.name, tuple(replaced.name for replaced in limit.replaces),
            descriptor.shadow, descriptor.quota, descriptor.detailed, descriptor.metadata,
        )  # fmt: skip

    def _refuse(self, said: str, line: int) -> None:
        raise RefusedLimits(self.file, said, line)
