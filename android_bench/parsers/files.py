"""Many small files of a device in one reading: what `grep -s -H "" FILE...` prints, `path:line` for each line."""

import re

from android_bench.parsers.text import Output, excerpt, lines_of, text_of, unreadable

_SOURCE = 'grep -H ""'
_LINE = re.compile(r"(/[^:\0]{1,511}):(.*)", re.DOTALL)
_NOTES = ("grep: ", "Binary file ")


def parse_files(output: Output) -> dict[str, str]:
    """The content of each file by its path, without blanks around it.

    Files that cannot be read do not appear: on a phone that is normal for much of /sys. Raises UnreadableOutputError
    for a line that belongs to no file.
    """
    found: dict[str, list[str]] = {}
    for line in lines_of(text_of(output, _SOURCE)):
        if not line or line.startswith(_NOTES):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise unreadable(_SOURCE, f"a line without its file: {excerpt(line)}")
        found.setdefault(match[1], []).append(match[2])
    return {path: "\n".join(lines).strip() for path, lines in found.items()}
