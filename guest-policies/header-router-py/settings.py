"""The operator's settings: JSON text to meaning. Every error names its key."""

import json
import re
from dataclasses import dataclass, field

# What the contract keeps for the host; told here, so that the mistake shows when the policy is loaded.
HOST_FIELDS = {
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
}  # fmt: skip
FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}")
# Below space, DEL, and U+0080 to U+009F.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class Refused(Exception):
    """Why the settings are refused."""


@dataclass
class Edits:
    """Edits of header fields, made in this order."""

    remove: list[str] = field(default_factory=list)
    set: list[tuple[str, bytes]] = field(default_factory=list)
    append: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass
class Settings:
    """What the operator wants."""

    header: str
    # Values as they come in a request: bytes.
    routes: dict[bytes, str]
    hashes: bool
    request: Edits
    response: Edits


def parse(text: str) -> Settings:
    try:
        given = json.loads(text)
    except ValueError as error:
        raise Refused(f"settings: not JSON: {error}") from error
    table(given, "settings")
    only(given, "", ["header", "routes", "fallback", "request", "response"])
    if "header" not in given:
        raise Refused("header: missing; name the field that chooses the backend")
    return Settings(
        header=field_name(string(given["header"], "header"), "header"),
        routes=routes(given.get("routes", {})),
        hashes=fallback(given.get("fallback", "none")) == "hash",
        request=edits(given.get("request", {}), "request"),
        response=edits(given.get("response", {}), "response"),
    )


def routes(value) -> dict[bytes, str]:
    named = strings(value, "routes")
    for one, target in named.items():
        if not target:
            raise Refused(f"routes.{one}: is empty; give an address or the name label of a backend")
    return {one.encode(): target for one, target in named.items()}


def fallback(value) -> str:
    given = string(value, "fallback")
    if given not in ("none", "hash"):
        raise Refused(f'fallback: "{given}" is neither "none" nor "hash"')
    return given


def edits(value, key: str) -> Edits:
    given = table(value, key)
    only(given, f"{key}.", ["set", "append", "remove"])
    return Edits(
        remove=names(given.get("remove", []), f"{key}.remove"),
        set=fields(given.get("set", {}), f"{key}.set"),
        append=fields(given.get("append", {}), f"{key}.append"),
    )


def names(value, key: str) -> list[str]:
    if not isinstance(value, list):
        raise Refused(f"{key}: has to be a list of field names")
    return [writable(string(name, key), key) for name in value]


def fields(value, key: str) -> list[tuple[str, bytes]]:
    made = []
    for name, text in strings(value, key).items():
        made.append((writable(name, key), text.encode()))
        if CONTROL.search(text):
            raise Refused(f"{key}.{name}: a field value has no control characters")
    return made


def strings(value, key: str) -> dict[str, str]:
    return {name: string(text, f"{key}.{name}") for name, text in table(value, key).items()}


def table(value, key: str) -> dict:
    if not isinstance(value, dict):
        raise Refused(f"{key}: has to be a table")
    return value


def string(value, key: str) -> str:
    if not isinstance(value, str):
        raise Refused(f"{key}: has to be a string")
    return value


def writable(given: str, key: str) -> str:
    name = field_name(given, key)
    if name in HOST_FIELDS:
        raise Refused(f"{key}: \"{name}\" belongs to the proxy, a policy can't write it")
    return name


def field_name(name: str, key: str) -> str:
    if not FIELD_NAME.fullmatch(name):
        raise Refused(f'{key}: "{name}" is not a field name')
    return name.lower()


def only(given: dict, prefix: str, known: list[str]) -> None:
    for key in given:
        if key not in known:
            raise Refused(f"{prefix}{key}: unknown key; there are {', '.join(known)}")
