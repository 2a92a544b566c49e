"""The script that starts a program on a phone and sees to its end, and how to read what it reports.

adb offers less than it seems: no exit status without shell protocol 2, one stream for both outputs, no end for what
was started when the cable is pulled, and no word on whether all bytes arrived. So every program runs under this
script, in the phone's own shell (mksh) with toybox's tools, which

- does nothing unless it arrived as it was sent, and nothing twice: adb over TCP has no checksum of its own;
- starts the program in a session of its own, so that one signal reaches all of its children, and marks them in their
  environment, for those that made sessions of their own;
- kills it when the script's own standard input ends, which is when the host is gone, or when its time is up;
- ends with a trailer: a marker nobody else can know, the exit status, the reason of the end, the sizes of both outputs,
  and a sha256 over all of that. Without a trailer nothing is believed.
"""

import hashlib
import math
import re
import secrets
from dataclasses import dataclass, field
from typing import Literal

from android_bench.transport import MAX_KEPT_BYTES
from pocketnas_base.errors import DeviceError

DEVICE_FOLDER = "/data/local/tmp/pocketnas"
RUN_VARIABLE = "POCKETNAS_RUN"

# The adb program tells its server the length in four hexadecimal digits; what it puts before the script counts too.
MAX_SCRIPT_BYTES = 0xFFFF - 100
MAX_TRAILER_BYTES = 256
# How long the phone's shell waits for somebody to read its last words.
_LAST_WORDS_S = 60
_STEP_S = 5

End = Literal["done", "late", "gone"]


@dataclass(frozen=True, slots=True)
class Trailer:
    """How a program ended: by itself, killed because its time was up, or because the host was gone."""

    exit_status: int
    end: End
    stdout_bytes: int
    stderr_bytes: int
    sha256: str

    def fits(self, output: bytes) -> bool:
        """Whether `output` is what the phone sent: both outputs, one after the other, and this trailer's own fields."""
        told = f"{self.exit_status} {self.end} {self.stdout_bytes} {self.stderr_bytes}\n".encode()
        whole = len(output) == self.stdout_bytes + self.stderr_bytes
        return whole and hashlib.sha256(output + told).hexdigest() == self.sha256


@dataclass(frozen=True, slots=True)
class Supervised:
    """One program to run. tag: found in the environment of everything that it starts. Both are random."""

    argv: tuple[str, ...]
    timeout_s: float
    streamed: bool
    tag: str = field(default_factory=lambda: secrets.token_hex(8))
    marker: str = field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        if any("\0" in word for word in self.argv):
            raise ValueError("a word of a command cannot hold a null byte")

    def script(self) -> str:
        """The script, for `sh -c`, which first compares its hash. Raises DeviceError for one that is too long."""
        work = self._work()
        quoted = work.replace("'", "'\\''")
        sha256 = hashlib.sha256(work.encode()).hexdigest()
        script = f's=\'{quoted}\'\ncase $(print -nr -- "$s"|sha256sum) in {sha256}*) eval "$s";; esac'
        if len(script.encode()) > MAX_SCRIPT_BYTES:
            raise DeviceError(f"{self.argv[0]} cannot be started: its arguments are longer than a phone takes")
        return script

    def _work(self) -> str:
        """What is to be done. The marker stands in two halves: a list of processes must not show it whole."""
        half = len(self.marker) // 2
        output = '2>"$e"' if self.streamed else '>"$o" 2>"$e"'
        return "\n".join(
            (
                f"a={self.marker[:half]};b={self.marker[half:]};d={DEVICE_FOLDER}/run/{self.tag}",
                f"export {RUN_VARIABLE}={self.tag}",
                # The watcher says why before it kills: its exit status might come too late.
                "r=done;trap r=late USR1;trap r=gone USR2",
                "trap '' HUP;umask 022;exec 2>/dev/null 3<&0 </dev/null",
                *(_STREAMED_START if self.streamed else _BUFFERED_START),
                f"setsid {' '.join(map(_quote, self.argv))} {output} 3<&- & p=$!",
                "trap '' PIPE",
                # It waits in steps, to notice when this script itself is gone: nobody else would end the stream then.
                f"(t={max(1, math.ceil(self.timeout_s))};while read -t $((t<{_STEP_S}?t:{_STEP_S})) x <&3;q=$?;"
                f"[ $q -gt 1 ] && [ $t -gt {_STEP_S} ] && kill -0 $$;do t=$((t-{_STEP_S}));done;"
                "[ $q -gt 1 ] && kill -USR1 $$ || kill -USR2 $$;kill -9 -$p;kill -9 $p;"
                f'kill -0 $$ || {{ {kill_tagged(self.tag)};rm -rf "$d"; }}) >/dev/null & w=$!',
                "wait $p;s=$?",
                "[ $r = done ] || { kill -9 -$p;kill -9 $p;wait $p; }",
                "kill -9 $w;wait $w;trap '' USR1 USR2",
                "kill -9 -$p",
                f"{'' if self.streamed else '[ $r = done ] || '}{kill_tagged(self.tag)}",
                f'(read -t {_LAST_WORDS_S} x <&3;kill -9 $$;rm -rf "$d") >/dev/null & g=$!',
                *(_STREAMED_END if self.streamed else _BUFFERED_END),
                "kill -9 $g",
            )
        )

    def split(self, received: bytes) -> tuple[bytes, Trailer] | None:
        """What was printed, and the trailer at its very end; None when that is missing or damaged."""
        last = received[-MAX_TRAILER_BYTES:]
        pattern = rb"%s (\d{1,3}) (done|late|gone) (\d{1,10}) (\d{1,10}) ([0-9a-f]{64})\n\Z" % self.marker.encode()
        found = re.search(pattern, last)
        if found is None:
            return None
        status, end, stdout_bytes, stderr_bytes, sha256 = (group.decode() for group in found.groups())
        ends: dict[str, End] = {"done": "done", "late": "late", "gone": "gone"}
        trailer = Trailer(int(status), ends[end], int(stdout_bytes), int(stderr_bytes), sha256)
        return received[: len(received) - len(last) + found.start()], trailer

    def refused(self, data: bytes | bytearray) -> bool:
        """Whether the phone had no room to start."""
        return data.endswith(f"{self.marker} refused\n".encode())

    @property
    def stderr_mark(self) -> bytes:
        """What stands between a stream and its standard error."""
        return f"{self.marker} stderr\n".encode()


def _quote(word: str) -> str:
    """One word for a shell, without single quotes around it: the whole script stands in those."""
    return '"' + re.sub(r'([\\"$`])', r"\\\1", word) + '"'


def kill_tagged(tag: str) -> str:
    """The command that kills everything with a tag in its environment, whatever session it is in, and what it has
    started while it was looked for."""
    find = f"{RUN_VARIABLE}= grep -l {RUN_VARIABLE}={tag} /proc/[0-9]*/environ 2>/dev/null"
    kill = "for f in $l; do f=${f#/proc/};kill -9 ${f%/environ}; done"
    return f'for i in 1 2 3 4 5; do l=$({find}); [ -n "$l" ] || break; {kill}; done'


# A folder that is there already is that of the same message, which came twice.
_FOLDER = 'mkdir "$d" || { [ -e "$d" ] && exit 0;mkdir -p "${d%/*}" && mkdir "$d"; }'
_BUFFERED_START = (
    'o="$d/o";e="$d/e"',
    f'{{ {_FOLDER}; }} && : >"$o" && : >"$e" || {{ echo "$a$b refused";exit 0; }}',
)
_STREAMED_START = ('e="$d/e"', f'{{ {_FOLDER}; }} && : >"$e" || e=/dev/null')
_KEPT = f"tail -c {MAX_KEPT_BYTES}"
_CAP = f"[ $n -gt {MAX_KEPT_BYTES} ] && n={MAX_KEPT_BYTES};[ $m -gt {MAX_KEPT_BYTES} ] && m={MAX_KEPT_BYTES}"
_BUFFERED_END = (
    # A full disk cuts output off without a word, so room for one more block is made sure of.
    'printf %4096s x >"$d/p" || { rm -rf "$d";echo "$a$b refused";kill -9 $g;exit 0; }',
    f'n=$(stat -c %s "$o");m=$(stat -c %s "$e");{_CAP}',
    f'h=$({{ {_KEPT} "$o";{_KEPT} "$e";echo "$s $r $n $m"; }} | sha256sum)',
    f'{_KEPT} "$o";{_KEPT} "$e"',
    'rm -rf "$d"',
    'echo "$a$b $s $r $n $m ${h%% *}"',
)
_STREAMED_END = (
    f'm=0;[ "$e" = /dev/null ] || m=$({_KEPT} "$e" | wc -c);m=$((m))',
    f'h=$({{ {_KEPT} "$e";echo "$s $r 0 $m"; }} | sha256sum)',
    'echo "$a$b stderr"',
    f'{_KEPT} "$e"',
    'rm -rf "$d"',
    'echo "$a$b $s $r 0 $m ${h%% *}"',
)
