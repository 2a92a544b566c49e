# Read first by every command here. State lies in files of /data/property, one value each; a reboot forgets what lies in its run/.
# Tests write the same files: see Lookalike.set, refuse and answer in ../lookalike.py.
state=/data/property
command=${0##*/}

value() { # NAME DEFAULT
  if [ -e "$state/$1" ]; then cat "$state/$1"; else echo "$2"; fi
}

keep() { # NAME VALUE
  echo "$2" >"$state/$1"
}

# An answer that a test prepared for exactly these words.
canned=$state/answers/$command
for word; do canned="$canned ${word//\//_}"; done
if [ -e "$canned" ]; then
  sleep "$(<"$canned.delay")"
  cat "$canned.stderr" >&2
  cat "$canned"
  exit "$(<"$canned.status")"
fi

# denied WHAT ACTION PERMISSION: ends the command where this phone's maker refuses it, aloud as a missing permission or by doing nothing.
denied() {
  [ ! -e "$state/ignore.$1" ] || exit 0
  [ -e "$state/refuse.$1" ] || return 0
  {
    echo
    echo "Exception occurred while executing '$2':"
    echo "java.lang.SecurityException: Permission denial: requires:android.permission.$3"
    echo "	at android.os.Parcel.createExceptionOrNull(Parcel.java:2438)"
    echo "	at android.os.BasicShellCommandHandler.exec(BasicShellCommandHandler.java:97)"
  } >&2
  exit 255
}

setting() { # NAMESPACE NAME DEFAULT
  value "settings/$1.$2" "$3"
}
