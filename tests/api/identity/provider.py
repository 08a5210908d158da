"""An identity provider: publishes keys over HTTP, and signs with them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from deploy.local.ports import free_port

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Provider:
    """Its keys by id; tests change them, and what it answers."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.keys: dict[str, PrivateKey] = {}
        self.extra: list[Any] = []
        self.asked = 0
        self.status = 200
        self.body: bytes | None = None
        self.headers: dict[str, str] = {}
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jwks.json"

    def add_rsa(self, key_id: str, bits: int = 2048) -> None:
        self.keys[key_id] = rsa.generate_private_key(public_exponent=65537, key_size=bits)

    def add_ec(self, key_id: str) -> None:
        self.keys[key_id] = ec.generate_private_key(ec.SECP256R1())

    def sign(self, key_id: str, **changed: object) -> str:
        """A token of that key's."""
        claims = {"sub": "alice", "exp": int(time.time()) + 600, **changed}
        key = self.keys[key_id]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": key_id})

    def jwk(self, key_id: str) -> dict[str, Any]:
        key = self.keys[key_id]
        if isinstance(key, rsa.RSAPrivateKey):
            written = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            return {**written, "kid": key_id, "alg": "RS256", "use": "sig"}
        written = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {**written, "kid": key_id}

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        await self.goes_on.wait()
        document = {"keys": [*self.extra, *(self.jwk(key_id) for key_id in self.keys)]}
        body = json.dumps(document).encode() if self.body is None else self.body
        return web.Response(body=body, status=self.status, headers=self.headers)


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[None]:
    """It can be reached meanwhile."""
    application = web.Application()
    application.router.add_get("/jwks.json", provider.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", provider.port).start()
        yield
    finally:
        provider.goes_on.set()
        await runner.cleanup()


def a_provider() -> Provider:
    return Provider(free_port())
