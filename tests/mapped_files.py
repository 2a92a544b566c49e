"""Which file a tensor's memory is mapped from, by the kernel's word."""

from pathlib import Path

from torch import Tensor


def mapped_file_of(tensor: Tensor) -> str | None:
    """Path of the mapped file that holds the tensor's first element; None in ordinary memory."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _mode, _offset, _device, inode, *path = line.split(maxsplit=5)
        begin, end = (int(side, 16) for side in span.split("-"))
        if begin <= tensor.data_ptr() < end:
            return path[0] if int(inode) else None
    return None
