"""Ports for the servers that tests start."""

import random
import socket

BELOW_THE_KERNELS = range(15_000, 32_000)
"""Those from 32768 up the kernel gives to connections, also between a look at a port and the server's start."""


def free_port() -> int:
    """A port of this machine that nobody uses now, and that no connection is given by chance."""
    while True:
        port = random.choice(BELOW_THE_KERNELS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
