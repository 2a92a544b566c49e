"""What native libraries print while they load, kept out of the user's terminal and inside the error if there is one."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from pocketnas_base.errors import ExportError


@contextmanager
def captured(doing: str) -> Iterator[None]:
    """Collect what this process prints on standard error meanwhile, and drop it if the block succeeds.

    File descriptor 2 itself is redirected, because C++ libraries write there: keep the block short.
    Raises ExportError, with `doing` and the last line printed, when a library fails (RuntimeError, ValueError).
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as stream:
        kept = os.dup(2)
        os.dup2(stream.fileno(), 2)
        try:
            yield
        except (RuntimeError, ValueError) as error:
            stream.seek(0)
            lines = stream.read().decode(errors="replace").strip().splitlines()
            said = f"{str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
            raise ExportError(f"{doing}: {said}" + (f" ({lines[-1].strip()})" if lines else "")) from error
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
