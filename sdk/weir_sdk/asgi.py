"""The types of ASGI 3, which has no package of its own for them."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

# ASGI leaves the values open: servers and frameworks add what they like.
Scope: TypeAlias = MutableMapping[str, Any]
AsgiMessage: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[AsgiMessage]]
Send: TypeAlias = Callable[[AsgiMessage], Awaitable[None]]
AsgiApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
