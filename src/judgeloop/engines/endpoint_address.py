"""The address of an OpenAI-compatible API."""

from __future__ import annotations

import re
import urllib.parse

from judgeloop.errors import InputError

LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # never asked for through a proxy


def completions_url(base: str | None) -> str:
    """The address that requests go to. Raises InputError where the base URL is missing, wrong or holds a password."""
    if not base:
        raise InputError("endpoint.url: no URL; give the API's base URL, such as http://localhost:8000/v1")
    try:
        parts = urllib.parse.urlsplit(base.strip())
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        port_is_right = False
    if not port_is_right or parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"endpoint.url: '{base}' is no http address; give one such as http://localhost:8000/v1")
    if (
        parts.username
        or parts.password
        or any(name != "api-version" for name, _ in urllib.parse.parse_qsl(parts.query))
    ):
        raise InputError(
            "endpoint.url: holds a password or a query other than api-version; put the key into the environment instead"
        )
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    path = re.sub(r"(?<=/v1)/(?:completions|responses|models)$", "", path) + "/chat/completions"
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def is_azure(url: str) -> bool:
    """Whether the key goes into the header `api-key`, as Azure wants it."""
    parts = urllib.parse.urlsplit(url)
    return (parts.hostname or "").endswith(".azure.com") or "api-version" in parts.query


def address_doubt(url: str) -> str:
    """What may be wrong with an address at which no API is found, as words after "the URL"."""
    path = urllib.parse.urlsplit(url).path
    return "" if re.search(r"/v\d|/openai/", path) or is_azure(url) else " (most end with /v1)"
