"""Fills in the tables of docs/configuration.md, from what the models say of themselves, and of docs/audit.md.

`python docs/generate.py` rewrites the pages, `--check` says whether they are current. What stands outside the markers
is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from extproc.audit.catalogue import ENVOY, GATEWAY
from extproc.audit.envoy import Envoy
from extproc.audit.gateway import Gateway
from extproc.audit.rule import Rule
from extproc.config.described import DEFINITIONS
from extproc.config.expressions import BEFORE_ANSWERS, BEHIND_ANSWERS, MAPPED, OF_EVENTS, OF_PARTS, OF_REQUESTS
from extproc.config.schema import language_schema
from extproc.core.variables import TYPES
from extproc.plugins.registry import built_in

PAGE: Final = Path(__file__).with_name("configuration.md")
AUDIT: Final = Path(__file__).with_name("audit.md")
RULES: Final = re.compile(r"(<!-- rules: (?P<name>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
MARKED: Final = re.compile(r"(<!-- table: (?P<name>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
HEAD: Final = "| key | type | default | meaning |\n|---|---|---|---|\n"
MEANINGS: Final = {
    "request.method": "the HTTP method, as `GET`",
    "request.path": "the path, normalised, without the query",
    "request.query": "what stands behind the `?`, undecoded",
    "request.params": "the parameters of the query by name, decoded; of several of one name the first",
    "request.host": "the host that the client asks for",
    "request.scheme": "`http` or `https`",
    "request.headers": "the headers by name in lower case; several of one name are joined by a comma",
    "request.address": "the client's IP address",
    "route.name": "the name of the route",
    "consumer.id": "who is asking; empty where nobody was asked, or who asks is anonymous",
    "consumer.tier": "the consumer's tier, or empty",
    "consumer.method": "the name of the method of `authentication` that vouches for the consumer",
    "consumer.scopes": "what the consumer may do",
    "consumer.anonymous": "whether nobody said who they are",
    "consumer.groups": "the groups that it is in",
    "consumer.claims": "all that its token says",
    "response.status": "the status of the upstream's answer",
    "response.headers": "its headers, as `request.headers`",
    "response.json": "its body, where that is a JSON object and the policy reads it; else null",
    "request.json": "the request's body, where that is a JSON object or list; else null",
    "event.type": "the type of an event; `message` where it says none",
    "event.json": "the data of an event, a JSON object",
    "value": "in `map`: what stands at the path",
    "parts": "in an aggregate: what the parts gave that are named, as `parts.profile`",
}
Schema = dict[str, Any]


def filled(page: str) -> str:
    """The page with every table as it must be."""
    schema = language_schema(built_in().settings)
    tables = {"variables": variables(), **{name: table(schema, name) for name in names(schema)}}
    return MARKED.sub(lambda found: f"{found[1]}{tables[found['name']]}{found[3]}", page)


def audited(page: str) -> str:
    """The page of rules with its tables as they must be."""
    tables = {"gateway": rules(GATEWAY), "envoy": rules(ENVOY)}
    return RULES.sub(lambda found: f"{found[1]}{tables[found['name']]}{found[3]}", page)


def rules(every: Sequence[Rule[Gateway]] | Sequence[Rule[Envoy]]) -> str:
    head = "| rule | severity | what it weakens | how to mend it |\n|---|---|---|---|\n"
    return head + "".join(
        f"| {rule.id} | {rule.severity} | {rule.weakens} ([why]({rule.reference})) | {rule.mend} |\n" for rule in every
    )


def names(schema: Schema) -> list[str]:
    """Everything that has a table: the keys of the file, and each kind of authentication and policy."""
    kinds = [name for name in schema["$defs"] if re.fullmatch(r"(policy|authentication)\.[a-z_]+", name)]
    return [*(key for key in schema["properties"] if key != "authentication"), *kinds]


def table(schema: Schema, name: str) -> str:
    """One row for each key below `name`, by its dotted path. A route's table leaves out what `defaults` has."""
    place = schema["properties"].get(name) or schema["$defs"][name]
    shared = mapping_in(schema, schema["properties"]["defaults"])["properties"] if name == "routes" else {}
    return HEAD + "".join(rows(schema, place, "", {"use", *shared}, set()))


def variables() -> str:
    head = "| variable | type | meaning | in `authorize` | for requests | for answers | for events | in `map` |"
    head += " for parts |\n|---|---|---|---|---|---|---|---|---|\n"
    hidden = (BEFORE_ANSWERS, OF_REQUESTS, BEHIND_ANSWERS, OF_EVENTS, MAPPED, OF_PARTS)
    told = [
        (name, f"`{kind}`", MEANINGS[name], *("" if name.startswith(one) else "yes" for one in hidden))
        for name, kind in TYPES.items()
    ]
    return head + "".join(f"| `{name}` | {' | '.join(rest)} |\n" for name, *rest in told)


def rows(schema: Schema, place: Schema, prefix: str, left_out: set[str], told: set[str]) -> Iterator[str]:
    """`told` are the mappings whose keys stand in the table already, under another path."""
    inner = mapping_in(schema, place)
    needed = inner.get("required", [])
    for key, value in inner.get("properties", {}).items():
        if key in left_out:
            continue
        default = "required" if key in needed else spelled(value)
        yield f"| `{prefix}{key}` | {type_of(value)} | {default} | {value['description']} |\n"
        below = mapping_in(schema, value).get("properties", {})
        if str(below) not in told and below.keys() != {"use"}:
            told.add(str(below))
            yield from rows(schema, value, f"{prefix}{key}{step(value)}", set(), told)


def mapping_in(schema: Schema, value: Schema) -> Schema:
    """The mapping that a value is, or that its members are; else nothing."""
    if "$ref" in value:
        return mapping_in(schema, schema["$defs"][value["$ref"].removeprefix(DEFINITIONS)])
    if "properties" in value:
        return value
    inside = [value.get("items"), value.get("additionalProperties"), *value.get("anyOf", [])]
    found = (mapping_in(schema, one) for one in inside if isinstance(one, dict))
    return next((one for one in found if one), {})


def step(value: Schema) -> str:
    """How a path goes on below: into a list, into a mapping of names, or into the mapping itself."""
    alternatives = [value, *value.get("anyOf", [])]
    if any(one.get("type") == "array" for one in alternatives):
        return "[]."
    return ".NAME." if any(isinstance(one.get("additionalProperties"), dict) for one in alternatives) else "."


def type_of(value: Schema) -> str:
    if "title" in value:
        return str(value["title"])
    if "enum" in value or "const" in value:
        return listed([f"`{json_word(one)}`" for one in value.get("enum", [value.get("const")])])
    if "anyOf" in value:
        words = (type_of(one) for one in value["anyOf"] if one.get("type") != "null")
        return ", or ".join(dict.fromkeys(words))
    return "mapping" if "$ref" in value else plain_type(value)


def plain_type(value: Schema) -> str:
    kind, members = value.get("type"), value.get("additionalProperties")
    if kind == "array":
        return f"list of {plural(type_of(value.get('items', {})))}"
    if kind == "object":
        return f"mapping of names to {plural(type_of(members))}" if isinstance(members, dict) else "mapping"
    words = {"string": "text", "boolean": "true or false", "integer": "whole number", "number": "number"}
    return words.get(str(kind), "anything") + bounds(value)


def listed(words: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def bounds(value: Schema) -> str:
    low, high = value.get("minimum"), value.get("maximum")
    if low is None or high is None:
        return ""
    return f" from {low:g}" if high >= 10**6 else f", {low:g} to {high:g}"


def plural(word: str) -> str:
    """Of one word; a list of alternatives stays as it is."""
    if word.startswith("`") or ", or " in word:
        return word
    return f"{word}es" if word.endswith("s") else f"{word}s"


def spelled(value: Schema) -> str:
    return f"`{json_word(value['default'])}`" if "default" in value else ""


def json_word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> int:
    pages: dict[Path, Callable[[str], str]] = {PAGE: filled, AUDIT: audited}
    stale = [page for page, fill in pages.items() if page.read_text("utf-8") != fill(page.read_text("utf-8"))]
    if "--check" in sys.argv:
        return int(bool(stale))
    for page in stale:
        page.write_text(pages[page](page.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
