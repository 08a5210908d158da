"""Tells whoever started the process that it is ready: systemd's notification protocol."""

import os
import socket


def notify(state: str) -> None:
    """Sends a state such as `READY=1` to `NOTIFY_SOCKET`; does nothing when nobody listens.

    The protocol is sd_notify(3): one datagram, an address beginning with @ is abstract.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect(address)
        channel.sendall(state.encode())
