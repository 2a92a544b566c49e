"""Ports on 127.0.0.1 for phones and adb servers."""

import random
import socket
from pathlib import Path

# Outside the ports that adb servers look for emulators on and those that the kernel gives to outgoing connections: a
# client that tries again and again to reach a phone that is off must not find itself.
PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A port that nothing listens on; picked at random, so that tests side by side do not meet."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port between {PORTS.start} and {PORTS.stop}")


def is_listening(port: int) -> bool:
    """Whether something listens on the port of 127.0.0.1, found without connecting to it."""
    wanted = [f"0100007F:{port:04X}", "0A"]
    return any(line.split()[1:4:2] == wanted for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
