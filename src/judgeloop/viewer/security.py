"""Who may ask the viewer for a page: every request passes here before a page sees it.

On the loopback interface other programs of the machine, and pages of other sites that the user's browser has open, can
send requests too. A name that another site points at 127.0.0.1 (DNS rebinding) shows in the Host header, a form that
another site sends (CSRF) in Origin. Any other interface needs a token.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
COOKIE = "judgeloop_view"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer a form's Origin would be null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Lets a request through if Host is one of `hosts` (None: any, which needs a token), Origin is the viewer's own for
    whatever changes something, and the token is given if there is one: once in the address, then as a cookie."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None = LOOPBACK, token: str | None = None) -> None:
        if hosts is None and token is None:
            raise ValueError("without a list of hosts there must be a token")
        self.app, self.hosts, self.token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._refused(Request(scope))
        await (answer or self.app)(scope, receive, with_headers)

    def _refused(self, request: Request) -> Response | None:
        headers = request.headers
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            return PlainTextResponse("This address is not the viewer's: open it as 127.0.0.1.", 400)
        if request.method not in ("GET", "HEAD") and not _own(headers, host):
            return PlainTextResponse("The request comes from another site.", 403)
        if self.token is None:
            return None
        given = request.query_params.get("token")
        if given is not None and _same(given, self.token):
            rest = request.url.remove_query_params("token")
            answer = RedirectResponse(f"{rest.path}?{rest.query}" if rest.query else rest.path, 303)
            answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
            return answer
        if _same(request.cookies.get(COOKIE, ""), self.token):
            return None
        return PlainTextResponse("Open the address that judgeloop view printed, with its token.", 401)


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _name(host: str) -> str:
    """The name of a Host header, its port left out: "[::1]:80" is "::1"."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _own(headers: Headers, host: str) -> bool:
    """Browsers send Origin with every POST: without it, the request is refused."""
    origin = headers.get("origin")
    return origin is not None and origin in (f"http://{host}", f"https://{host}")
