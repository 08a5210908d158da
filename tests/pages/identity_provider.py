"""An identity provider that speaks OpenID Connect: code flow with PKCE, for one public client."""

import base64
import hashlib
import html
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from deploy.local.ports import free_port
from tests.api.identity.provider import Provider

CLIENT: Final = "weir-pages"
AUDIENCE: Final = "weir"
ROLES: Final = ("user", "analyst")
KEY: Final = "first"
COOKIE: Final = "provider-session"


@dataclass(frozen=True)
class Begun:
    """A code that was given out, and what its token is asked for with."""

    redirect_uri: str
    challenge: str
    nonce: str | None
    scope: str


@dataclass
class IdentityProvider:
    """Tests change what it says of a user, and read what it was asked.

    `knows`: the user is signed in already, so that nobody sees its page. `lifetime`: of access
    tokens, in seconds. `answers`: an error in the place of a code. `takes_codes`: gives
    tokens for them. `refreshes`: gives refresh tokens. `ends`: has a page for signing out.
    """

    port: int = field(default_factory=free_port)
    user: str = "alice"
    roles: tuple[str, ...] = ROLES
    audience: str = AUDIENCE
    lifetime: int = 300
    knows: bool = True
    answers: str | None = None
    takes_codes: bool = True
    refreshes: bool = False
    ends: bool = True
    pages: str = ""
    """The origin of the pages: where codes are sent, and who may ask for tokens."""
    authorized: list[Mapping[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    _codes: dict[str, Begun] = field(default_factory=dict)
    _refresh_tokens: dict[str, Begun] = field(default_factory=dict)
    _sessions: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._keys = Provider(self.port)
        self._keys.add_ec(KEY)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/jwks"

    def forget(self) -> None:
        """As it was at first, but for its keys and its address."""
        self.user, self.roles, self.audience = "alice", ROLES, AUDIENCE
        self.lifetime, self.knows, self.answers = 300, True, None
        self.takes_codes, self.refreshes, self.ends = True, False, True
        for kept in (self.authorized, self.tokens, self._codes, self._refresh_tokens):
            kept.clear()
        self._sessions.clear()

    def access_token(self, **changed: object) -> str:
        """A token for the API, as it gives them to pages."""
        claims = {
            "iss": self.url,
            "sub": self.user,
            "aud": self.audience,
            "roles": list(self.roles),
            "exp": int(time.time()) + self.lifetime,
            "jti": secrets.token_hex(8),
            **changed,
        }
        return self._keys.sign(KEY, **claims)

    async def discovery(self, request: web.Request) -> web.Response:
        document = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": self.jwks_url,
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
        }
        if self.ends:
            document["end_session_endpoint"] = f"{self.url}/end-session"
        return self._allowed(request, web.json_response(document))

    async def keys(self, request: web.Request) -> web.Response:
        return await self._keys.answer(request)

    async def authorize(self, request: web.Request) -> web.StreamResponse:
        asked = dict(request.query)
        self.authorized.append(asked)
        wrong = self._wrong_with(asked)
        if wrong:
            # Not sent back: the address may be somebody else's.
            return web.Response(status=400, text=wrong)
        if self.answers is not None:
            return self._back(asked, error=self.answers, error_description="as the test wants")
        if self.knows or request.cookies.get(COOKIE) in self._sessions:
            return self._with_code(asked)
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in asked.items()
        )
        return web.Response(
            text="<!doctype html><html lang='en'><title>The provider</title><link rel='icon' "
            "href='data:,'><h1>Sign in at the provider</h1>"
            f"<form method='post' action='/sign-in'>{hidden}<button>Sign in as "
            f"{html.escape(self.user)}</button></form>",
            content_type="text/html",
        )

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        asked = {name: str(value) for name, value in (await request.post()).items()}
        wrong = self._wrong_with(asked)
        if wrong:
            return web.Response(status=400, text=wrong)
        session = secrets.token_urlsafe()
        self._sessions.add(session)
        answer = self._with_code(asked)
        answer.set_cookie(COOKIE, session, httponly=True, samesite="Lax")
        return answer

    def _wrong_with(self, asked: Mapping[str, str]) -> str | None:
        if asked.get("client_id") != CLIENT:
            return "unknown client"
        if asked.get("redirect_uri") != f"{self.pages}/signed-in":
            return "this redirect_uri is not registered"
        if asked.get("response_type") != "code" or "openid" not in asked.get("scope", "").split():
            return "only the code flow of OpenID Connect is offered"
        if asked.get("code_challenge_method") != "S256" or len(asked["code_challenge"]) != 43:
            return "a public client needs PKCE"
        return None if asked.get("state") else "a state is needed"

    def _with_code(self, asked: Mapping[str, str]) -> web.Response:
        code = secrets.token_urlsafe()
        self._codes[code] = Begun(
            asked["redirect_uri"], asked["code_challenge"], asked.get("nonce"), asked["scope"]
        )
        return self._back(asked, code=code)

    def _back(self, asked: Mapping[str, str], **answer: str) -> web.Response:
        said = urlencode({**answer, "state": asked["state"], "iss": self.url})
        return web.Response(status=303, headers={"Location": f"{asked['redirect_uri']}?{said}"})

    async def token(self, request: web.Request) -> web.Response:
        given = {name: str(value) for name, value in (await request.post()).items()}
        if "client_secret" in given or "Authorization" in request.headers:
            return self._refused(request, "invalid_client")
        if given.get("client_id") != CLIENT:
            return self._refused(request, "invalid_client")
        match given.get("grant_type"):
            case "authorization_code":
                begun = self._codes.pop(given.get("code", ""), None)
                verifier = given.get("code_verifier", "")
                if begun is None or not self.takes_codes:
                    return self._refused(request, "invalid_grant")
                if begun.redirect_uri != given.get("redirect_uri"):
                    return self._refused(request, "invalid_grant")
                if challenge_of(verifier) != begun.challenge:
                    return self._refused(request, "invalid_grant")
            case "refresh_token":
                # Each can be used once, as for every public client.
                begun = self._refresh_tokens.pop(given.get("refresh_token", ""), None)
                if begun is None:
                    return self._refused(request, "invalid_grant")
            case _:
                return self._refused(request, "unsupported_grant_type")
        return self._allowed(request, self._tokens(begun))

    def _tokens(self, begun: Begun) -> web.Response:
        now = int(time.time())
        access = self.access_token()
        self.tokens.append(access)
        said = {"iss": self.url, "sub": self.user, "aud": CLIENT, "iat": now, "exp": now + 300}
        if begun.nonce is not None:
            said["nonce"] = begun.nonce
        document = {
            "access_token": access,
            "id_token": self._keys.sign(KEY, **said),
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "scope": begun.scope,
        }
        if self.refreshes:
            refresh = secrets.token_urlsafe()
            self._refresh_tokens[refresh] = begun
            document["refresh_token"] = refresh
        return web.json_response(document, headers={"Cache-Control": "no-store"})

    async def end_session(self, request: web.Request) -> web.StreamResponse:
        target = request.query.get("post_logout_redirect_uri", "")
        if target != f"{self.pages}/" or "id_token_hint" not in request.query:
            return web.Response(status=400, text="this post_logout_redirect_uri is not registered")
        self._sessions.discard(request.cookies.get(COOKIE, ""))
        self.knows = False
        answer = web.Response(status=303, headers={"Location": target})
        answer.del_cookie(COOKIE)
        return answer

    def _refused(self, request: web.Request, error: str) -> web.Response:
        return self._allowed(request, web.json_response({"error": error}, status=400))

    def _allowed(self, request: web.Request, answer: web.Response) -> web.Response:
        """The answer, which scripts of the pages' origin may read, and no others."""
        if self.pages and request.headers.get("Origin") == self.pages:
            answer.headers["Access-Control-Allow-Origin"] = self.pages
        answer.headers["Vary"] = "Origin"
        return answer


def challenge_of(verifier: str) -> str:
    """What belongs to a verifier by S256 (RFC 7636, 4.2)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@asynccontextmanager
async def serving(provider: IdentityProvider) -> AsyncIterator[IdentityProvider]:
    """It can be reached meanwhile."""
    application = web.Application()
    application.add_routes(
        [
            web.get("/.well-known/openid-configuration", provider.discovery),
            web.get("/jwks", provider.keys),
            web.get("/authorize", provider.authorize),
            web.post("/sign-in", provider.sign_in),
            web.post("/token", provider.token),
            web.get("/end-session", provider.end_session),
        ]
    )
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", provider.port).start()
        yield provider
    finally:
        await runner.cleanup()
