#!/usr/bin/env bash
# The hardware of one phone lookalike: its file systems, in a mount namespace of their own, and its power button.
#
# usage: unshare --mount hardware.sh IMAGE PHONE PORT STORAGE_KIB
#   IMAGE        the root that all phones share, mounted read-only
#   PHONE        the phone's folder: root/ and storage/ (empty), stubs/, property/, adb_keys, sys/ and proc/ (files and folders shown in place of the host's)
#   STORAGE_KIB  the size of /data/local/tmp
# Standard input: `on` boots (answer: the process id that holds the phone's process namespace), `off` ends every process in it
# (answer: off), `end` ends everything for good, and so does the end of input, which the death of the tests' process brings.
set -euo pipefail
image=$1 phone=$2 port=$3 storage_kib=$4
root=$phone/root
powered=

show() { # FOLDER: each entry under $phone/FOLDER that has a mark `NAME.shown` beside it stands in for /FOLDER/NAME
  local mark entry
  find "$phone/$1" -name '*.shown' | while read -r mark; do
    entry=${mark%.shown}
    mount --bind "$entry" "$root/${entry#"$phone/"}"
  done
}

assemble() {
  local device
  mount --bind "$image" "$root"
  mount -o remount,bind,ro "$root"
  mount --bind "$phone/stubs" "$root/system/stubs"
  mount --bind "$phone/adb_keys" "$root/adb_keys"
  mount -t tmpfs -o mode=755,size=1m dev "$root/dev"
  mkdir "$root/dev/pts" "$root/dev/socket"
  mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
  for device in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"; done
  mknod -m 666 "$root/dev/tty" c 5 0
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  for device in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${device%:*}" "$root/dev/${device#*:}"; done
  mount --rbind /sys "$root/sys"
  show sys
  mount -t tmpfs -o mode=771,uid=1000,gid=1000,nosuid,nodev,size=64m data "$root/data"
  mkdir -m 751 "$root/data/local"
  mkdir -m 771 "$root/data/local/tmp"
  # One page is always taken, out of sight, so that a full storage has none left.
  mount -t tmpfs -o "mode=755,nosuid,nodev,size=${storage_kib}k" storage "$phone/storage"
  echo taken >"$phone/storage/taken"
  mkdir "$phone/storage/tmp"
  chown 2000:2000 "$phone/storage/tmp"
  chmod 771 "$phone/storage/tmp"
  mount --bind "$phone/storage/tmp" "$root/data/local/tmp"
  cp -r "$phone/property" "$root/data/property"
  chown -R 2000:2000 "$root/data/property"
  mount -t tmpfs -o mode=777,noexec,nosuid,nodev,size=64m sdcard "$root/sdcard"
}

boot() { # runs in the phone's new namespaces, as their first process
  mount -t proc proc "$root/proc"
  show proc
  exec chroot "$root" /init "$port"
}

shut() {
  [ -n "$powered" ] || return 0
  local first
  first=$(cat "/proc/$powered/task/$powered/children" 2>/dev/null || true)
  # The kernel ends every process of the namespace before the first one's end is seen, and with that the end of `powered`.
  kill -KILL ${first:-$powered} 2>/dev/null || true
  wait "$powered" 2>/dev/null || true
  powered=
}

if [ "${LOOKALIKE_BOOTS:-}" = yes ]; then boot; fi
assemble
echo ready
while read -r order; do
  case $order in
    on)
      LOOKALIKE_BOOTS=yes setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child=KILL "$BASH" "$0" "$@" \
        </dev/null >/dev/null 2>>"$phone/adbd.log" &
      powered=$!
      echo "$powered"
      ;;
    off)
      shut
      echo off
      ;;
    end) break ;;
  esac
done
shut
