"""Several command lines of a device's shell in one round trip."""

import secrets
from collections.abc import Sequence

from android_bench.errors import UnreadableOutputError
from android_bench.transport import Transport


def run_batch(transport: Transport, commands: Sequence[str], *, timeout_s: float) -> list[bytes]:
    """What each of the command lines prints on its standard output; how each of them ends is not told.

    Raises DeviceError when the device cannot be reached, UnreadableOutputError when it answers something else.
    """
    mark = secrets.token_hex(8)
    # The mark is printed in two halves: a list of processes in some service's dump must not show it whole.
    between = f"echo; echo {mark[:8]}''{mark[8:]}"
    done = transport.run(("sh", "-c", f"; {between}; ".join(commands)), timeout_s=timeout_s)
    outputs = done.stdout.split(f"\n{mark}\n".encode())
    if len(outputs) != len(commands):
        raise UnreadableOutputError(f"the device's state came in {len(outputs)} parts instead of {len(commands)}")
    return outputs
