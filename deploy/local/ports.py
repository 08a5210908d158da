"""Loopback ports: which are free, and which are taken."""

import random
import socket

LOOPBACK = "127.0.0.1"

# Below the range from which operating systems give out ports for outgoing connections, so
# that a port chosen now is not taken by a passing connection before its server binds it.
_RANGE = (20_000, 32_000)


def is_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections that closed a moment ago do not hinder a new server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def free_port(excluding: frozenset[int] = frozenset()) -> int:
    """Return a loopback port that is free now. Raises OSError when 200 tries find none."""
    for _ in range(200):
        port = random.randint(*_RANGE)  # noqa: S311, a port is no secret
        if port not in excluding and is_free(port):
            return port
    msg = f"no free port between {_RANGE[0]} and {_RANGE[1]}"
    raise OSError(msg)
