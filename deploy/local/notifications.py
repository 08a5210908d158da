"""What a part tells of itself: the receiving end of systemd's notification protocol."""

import asyncio
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

_LONGEST_STATUS = 120


class Notifications(asyncio.DatagramProtocol):
    """A socket for one part: `READY=1` sets `ready`, `STATUS=…` goes to `on_status`.

    Use it as an async context; `address` is what the part gets as `NOTIFY_SOCKET`.
    """

    def __init__(self, on_status: Callable[[str], None]) -> None:
        self.ready = asyncio.Event()
        self._on_status = on_status
        self._transport: asyncio.DatagramTransport | None = None
        self._folder: Path | None = None
        self.address = ""

    async def __aenter__(self) -> Self:
        if sys.platform == "linux":
            # An abstract address leaves no file, and fits whatever the data folder is called.
            self.address = f"@weir-{secrets.token_hex(16)}"
            bound = "\0" + self.address[1:]
        else:
            self._folder = Path(tempfile.mkdtemp(prefix="weir-"))
            self.address = bound = str(self._folder / "notify")
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        channel.bind(bound)
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, sock=channel
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            self._transport.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
        for line in data.decode(errors="replace").splitlines():
            name, _, value = line.partition("=")
            if name == "READY" and value == "1":
                self.ready.set()
            elif name == "STATUS":
                printable = "".join(one for one in value if one.isprintable())
                self._on_status(printable[:_LONGEST_STATUS])
