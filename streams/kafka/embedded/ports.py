"""Ports of 127.0.0.1 for what a demo or a test starts. In: a port. Out: whether it is used, or a free one."""

import random
import socket
from typing import Final

HOST: Final = "127.0.0.1"
# Below the ephemeral ports of Linux (32768) and macOS (49152): a client that keeps reconnecting while the broker is
# down would otherwise, sooner or later, be given the broker's own port as its source port, and keep it.
PORTS: Final = range(20_000, 32_000)


def listens(port: int) -> bool:
    """Whether a program accepts connections on that port of 127.0.0.1 now."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def is_free(port: int) -> bool:
    """Whether nobody listens on that port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # As Java does: connections of the broker's last life that linger in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port(*taken: int) -> int:
    """A port of 127.0.0.1 on which nobody listens now, none of `taken`. Raises OSError if there is none."""
    for port in random.SystemRandom().sample(PORTS, 200):
        if port not in taken and is_free(port):
            return port
    raise OSError(f"No free port in {PORTS.start}-{PORTS.stop - 1} of {HOST}: end other programs.")
