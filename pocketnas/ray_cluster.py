"""A Ray cluster: several machines that take work from this one."""

import logging
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from pocketnas_base.errors import InputError, MissingDependencyError, PocketNASError

LOCAL, AUTO = "local", "auto"
_CLIENT = "ray://"
_CONNECT_TIMEOUT_S = 10.0


def check_ray_installed() -> None:
    """Raises MissingDependencyError without the package."""
    if find_spec("ray") is None:
        raise MissingDependencyError("--ray needs the package ray: pip install 'pocketnas[ray]'")


@contextmanager
def connected(address: str, devices: Sequence[str] = ()) -> Iterator[None]:
    """Connected to the cluster at an address: HOST:PORT of its head, `auto` for the one that this host belongs to, or
    `local` for one of this host alone, which ends with this block. devices: what a local one says that it has.

    Raises MissingDependencyError without Ray, InputError where no cluster is.
    """
    check_ray_installed()
    if address not in (LOCAL, AUTO):
        _check_reachable(address)
    # Ray reports its use to its makers unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handler = signal.getsignal(signal.SIGTERM)
    import ray

    try:
        if address == LOCAL:
            resources = dict.fromkeys(devices, 1.0)
            ray.init(
                LOCAL, include_dashboard=False, resources=resources, logging_level=logging.ERROR, log_to_driver=False
            )
        else:
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _unreachable(address, str(error).strip().splitlines()[0]) from error
    finally:
        signal.signal(signal.SIGTERM, handler)  # Ray ends the program at once
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself would wait for minutes."""
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"--ray takes HOST:PORT, {AUTO} or {LOCAL}, not {address!r}")
    try:
        socket.create_connection((host, int(port)), _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from error


def _unreachable(address: str, reason: str) -> InputError:
    return InputError(
        f"--ray {address}: no cluster can be reached ({reason}); start one with ray start --head, or use --ray {LOCAL}"
    )


def check_room(cpus: int, gpus: int) -> None:
    """Raises InputError where no machine of the cluster has so many cores and GPUs: Ray would wait for one forever."""
    import ray

    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(machine.get("CPU", 0) >= cpus and machine.get("GPU", 0) >= gpus for machine in machines):
        wanted = f"{cpus} cores" + (f" and {gpus} GPU" if gpus else "")
        raise InputError(f"no machine of the Ray cluster has the {wanted} that one candidate takes (host_threads)")


def answer_of(reference: object) -> object:
    """Wait for a task. Raises what it raised where that is ours, and PocketNASError where it was lost."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        found: object = ray.get(reference)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, PocketNASError):
            raise type(cause)(str(cause)) from None
        raise
    except RayError as error:
        reason = str(error).strip().splitlines()[0]
        raise PocketNASError(f"a worker of the Ray cluster is gone ({reason}); the same command goes on") from error
    return found
