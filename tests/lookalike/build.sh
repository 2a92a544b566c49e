#!/usr/bin/env bash
# Builds the phone lookalike's testbed once: adbd with authentication from Debian's source, an Android-shaped root without the
# host's libraries, and what tests need beside it (adb and qemu-user-static, unpacked and not installed; an arm64 compiler, installed).
#
# usage: build.sh            build unless it is there; needs root, Debian 12 and apt
#        build.sh --where    print the testbed's folder: $POCKETNAS_TESTBED or one named by a hash of what goes into it
set -eEuo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
release=bookworm
source_release=trixie # whose version of adbd's source is the one that bookworm-backports is built from
triplet=x86_64-linux-gnu

# What Android 8 takes from toybox, less tr, so that nothing comes to need more than every phone has. Debian's lacks a few of them.
toybox_commands="acpi base64 basename blockdev cal cat chgrp chmod chown chroot chrt cksum clear cmp comm cp cpio cut date dd df diff
  dirname dmesg dos2unix du echo egrep env expand expr fallocate false fgrep file find flock free grep groups gunzip gzip head hostname
  hwclock id ifconfig inotifyd insmod ionice iorenice kill killall ln logname losetup ls lsmod lsof lspci lsusb md5sum microcom
  mkdir mkfifo mknod mkswap mktemp modinfo modprobe more mount mountpoint mv netstat nice nl nohup od paste patch pgrep pidof pkill
  pmap printenv printf ps pwd readlink realpath renice rm rmdir rmmod sed seq setsid sha1sum sha224sum sha256sum sha384sum
  sha512sum sleep sort split stat strings swapoff swapon sync sysctl tac tail tar taskset tee time timeout top touch true truncate
  tty ulimit umount uname uniq unix2dos uptime usleep uudecode uuencode vmstat wc which whoami xargs xxd yes zcat"

say() { echo "testbed: $*" >&2; }
stop() { say "cannot build the phone lookalike: $*"; exit 1; }
trap 'stop "line $LINENO of build.sh failed${log:+; see $log}"' ERR

commands() { find "$here/stubs" -type f ! -name '*.sh' -printf '%f\n' | LC_ALL=C sort; }

where() { # the same name as testbed.py makes
  local inputs
  inputs=$({ cat "$here/build.sh" "$here/adbd.patch" "$here/init.c"; commands; } | sha256sum | cut -c1-16)
  realpath -ms "${POCKETNAS_TESTBED:-${HOME:-/root}/.cache/pocketnas-testbed/$inputs}"
}

check_machine() {
  [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || stop "it is made for x86_64 Linux, this is $(uname -s) on $(uname -m)"
  [ "$(id -u)" = 0 ] || stop "it needs root: namespaces, mounts and apt"
  [ "$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)" = "$release" ] || stop "it needs Debian 12 ($release)"
  local program
  for program in apt-get dpkg dpkg-query unshare nsenter setpriv mount chroot; do
    command -v "$program" >/dev/null || stop "the program $program is missing"
  done
}

find_mirror() { # sets uri: the address that this machine's own apt configuration gives for the release
  uri=$({ cat /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
    awk -v r="$release" '/^URIs:/ {u = $2} /^Suites:/ {for (i = 2; i <= NF; i++) if ($i == r) found = u} END {print found}')
  [ -n "$uri" ] || uri=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
    awk -v r="$release" '$1 == "deb" {for (i = 2; i < NF; i++) if ($i ~ "^[a-z+]+:" && $(i + 1) == r) found = $i} END {print found}')
  [ -n "$uri" ] || stop "no entry for $release in /etc/apt/sources.list or sources.list.d"
}

make_apt() { # an apt of our own that knows no installed package, so that it brings every library, and has backports and sources
  local uri suite key=/usr/share/keyrings/debian-archive-keyring.gpg
  find_mirror
  mkdir -p "$apt"/state/lists/partial "$apt"/cache/archives/partial "$apt"/etc/parts
  : >"$apt/state/status"
  {
    for suite in "$release" "$release-backports"; do echo "deb [signed-by=$key] $uri $suite main"; done
    echo "deb-src [signed-by=$key] $uri $source_release main"
  } >"$apt/etc/sources.list"
  printf 'Package: adb adbd android-* qemu-user\nPin: release n=%s-backports\nPin-Priority: 900\n' "$release" >"$apt/etc/parts/backports.pref"
  cat >"$apt/apt.conf" <<CONF
Dir::State "$apt/state"; Dir::State::status "$apt/state/status"; Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/etc/sources.list"; Dir::Etc::sourceparts "$apt/etc/parts"; Dir::Etc::preferencesparts "$apt/etc/parts";
APT::Sandbox::User "root"; Acquire::Retries "3";
CONF
  APT_CONFIG=$apt/apt.conf apt-get update -qq -o APT::Update::Error-Mode=any >>"$log" 2>&1 ||
    stop "apt cannot read the package lists of $release, $release-backports and $source_release (no network?); see $log"
}

unpack() { # FOLDER PACKAGE...: the packages with everything they depend on, unpacked there
  local folder=$1 deb
  shift
  rm -f "$apt"/cache/archives/*.deb
  APT_CONFIG=$apt/apt.conf apt-get install -y -qq --download-only --no-install-recommends "$@" >>"$log" 2>&1 ||
    stop "apt cannot bring $*; see $log"
  mkdir -p "$folder"
  for deb in "$apt"/cache/archives/*.deb; do dpkg -x "$deb" "$folder"; done
}

install_missing() { # PACKAGE...: into the system, where a compiler has to lie
  local package missing=()
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >>"$log" 2>&1 ||
    stop "apt cannot install ${missing[*]} (no network?); see $log"
}

build_adbd() { # leaves $work/adbd
  local tree=$work/source/tree android=$work/packages/usr/lib/$triplet/android name
  mkdir -p "$work/source"
  (cd "$work/source" && APT_CONFIG=$apt/apt.conf apt-get source -qq android-platform-tools) >>"$log" 2>&1 ||
    stop "apt cannot bring the source of android-platform-tools; see $log"
  mv "$work"/source/android-platform-tools-*/ "$tree"
  patch -s -p1 -d "$tree" <"$here/adbd.patch" >>"$log" 2>&1 || stop "adbd.patch does not fit the source of adbd any more; see $log"
  for name in base cutils log crypto ssl; do ln -sf "lib$name.so.0" "$android/lib$name.so"; done
  (
    cd "$tree"
    mkdir -p debian/out/system
    (cd packages/modules/adb/proto && protoc --cpp_out=. ./*.proto) || exit 1
    export PLATFORM_TOOLS_VERSION=34.0.5 DEB_VERSION=34.0.5 DEB_HOST_MULTIARCH=$triplet DEB_HOST_ARCH=amd64 CC=clang CXX=clang++
    export CPPFLAGS="-DNDEBUG -UDEBUG -fno-strict-aliasing -w -I$work/packages/usr/include/android -Iexternal/fmtlib/include -D_FILE_OFFSET_BITS=64"
    export CXXFLAGS="-O2 -fPIC -std=gnu++2a" LDFLAGS="-fuse-ld=lld -L$android"
    for name in libcrypto_utils.a libadb.a adbd; do
      make -j"$(nproc)" -f "debian/system/${name%.a}.mk" "debian/out/system/$name" || exit 1
    done
  ) >>"$log" 2>&1 || stop "adbd does not compile; see $log"
  cp "$tree/debian/out/system/adbd" "$work/adbd"
}

add_libraries() { # FROM TO SKIPPED FILE...: what the files need, and what that needs, copied from unpacked packages into one folder
  local from=$1 to=$2 skipped=$3 file name found
  shift 3
  for file in "$@"; do
    for name in $(readelf -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
      [[ ! -e $to/$name && ! $name =~ ^($skipped)\.so ]] || continue
      found=$(find "$from" \( -path "*/lib/$triplet/$name" -o -path "*/lib/$triplet/android/$name" -o -path "*/lib64/$name" \) | head -n1)
      [ -n "$found" ] || stop "no package brings $name, which ${file##*/} needs"
      cp -L "$found" "$to/$name"
      [[ $name =~ ^(libc|ld-linux.*)\.so ]] || patch_elf --remove-rpath "$to/$name"
      add_libraries "$from" "$to" "$skipped" "$to/$name"
    done
  done
}

patch_elf() { # patchelf out of its unpacked package
  "$work/packages/lib64/ld-linux-x86-64.so.2" --library-path "$work/packages/lib/$triplet:$work/packages/usr/lib/$triplet" \
    "$work/packages/usr/bin/patchelf" "$@" 2>>"$log"
}

make_image() { # shared read-only by every lookalike. No /lib, no /usr, no loader under its usual name: as on a phone
  local image=$work/image libraries=/apex/com.android.adbd/lib64 programs program command
  mkdir -p "$image"/{acct,config,data,debug_ramdisk,dev,linkerconfig,metadata,mnt,odm,oem,proc,product,sdcard,storage,sys,system_ext,vendor} \
    "$image"/system/{bin,etc,lib64,stubs} "$image"/apex/com.android.adbd/{bin,lib64}
  ln -s /system/bin "$image/bin"
  ln -s /system/etc "$image/etc"
  ln -s /system/bin/init "$image/init"
  : >"$image/adb_keys"
  programs=("$image/apex/com.android.adbd/bin/adbd" "$image/system/bin/sh" "$image/system/bin/toybox")
  cp "$work/adbd" "${programs[0]}"
  cp "$work/packages/bin/mksh" "${programs[1]}"
  cp "$work/packages/bin/toybox" "${programs[2]}"
  cc -static -O2 -Wall -Wextra -Werror -o "$image/system/bin/init" "$here/init.c" >>"$log" 2>&1 || stop "init.c does not compile; see $log"
  add_libraries "$work/packages" "$image$libraries" nothing "${programs[@]}"
  for program in "${programs[@]}"; do
    patch_elf --set-interpreter "$libraries/ld-linux-x86-64.so.2" "$program"
    patch_elf --force-rpath --set-rpath "$libraries" "$program"
  done
  for command in $(chroot "$image" /system/bin/toybox); do
    [[ " ${toybox_commands//$'\n'/ } " != *" $command "* ]] || ln -s toybox "$image/system/bin/$command"
  done
  for command in $(commands); do ln -sfn "/system/stubs/$command" "$image/system/bin/$command"; done
  printf '%s\n' root:x:0:0::/:/system/bin/sh system:x:1000:1000::/:/system/bin/sh shell:x:2000:2000::/:/system/bin/sh >"$image/system/etc/passwd"
  printf '%s\n' root:x:0: system:x:1000: input:x:1004: log:x:1007: adb:x:1011: sdcard_rw:x:1015: sdcard_r:x:1028: shell:x:2000: \
    net_bt_admin:x:3001: net_bt:x:3002: inet:x:3003: net_bw_stats:x:3006: readproc:x:3009: >"$image/system/etc/group"
  chmod -R u=rwX,go=rX "$image"
  chmod 711 "$image/apex" "$image/apex/com.android.adbd"
}

bring_tools() { # adb for a machine without one, and a qemu that is able to run LiteRT (bookworm's own, 7.2, is not)
  local tools=$work/tools
  mkdir -p "$tools/bin" "$tools/adb"
  unpack "$work/tool-packages" adb qemu-user
  cp "$work/tool-packages/usr/lib/android-sdk/platform-tools/adb" "$tools/adb/adb"
  add_libraries "$work/tool-packages" "$tools/adb" 'libc|libm|libdl|librt|libpthread|libresolv|ld-linux.*' "$tools/adb/adb"
  patch_elf --force-rpath --set-rpath "\$ORIGIN" "$tools/adb/adb"
  ln -s ../adb/adb "$tools/bin/adb"
  cp -L "$work/tool-packages/usr/bin/qemu-aarch64" "$tools/bin/qemu-aarch64-static"
  env -i "$tools/bin/adb" version >>"$log" 2>&1 || stop "the unpacked adb does not start; see $log"
  env -i "$tools/bin/qemu-aarch64-static" --version >>"$log" 2>&1 || stop "the unpacked qemu-aarch64-static does not start; see $log"
  [ -z "$(readelf -d "$tools/bin/qemu-aarch64-static" | grep NEEDED)" ] || stop "the unpacked qemu-aarch64-static is not static"
}

main() {
  testbed=$(where)
  [ "${1:-}" != --where ] || { echo "$testbed"; exit 0; }
  [ ! -e "$testbed/complete" ] || { say "ready in $testbed"; exit 0; }
  check_machine
  mkdir -p "${testbed%/*}" 2>/dev/null || stop "the folder ${testbed%/*} cannot be made"
  exec 9>"$testbed.lock"
  flock 9
  [ ! -e "$testbed/complete" ] || { say "ready in $testbed"; exit 0; }
  [ ! -e "$testbed" ] || stop "$testbed exists and is no testbed; move it away or set POCKETNAS_TESTBED"
  work=$testbed.part apt=$testbed.part/apt log=$testbed.part/build.log
  rm -rf "$work"
  mkdir -p "$work"
  : >"$log"

  install_missing clang lld gcc make patch binutils dpkg-dev libc6-dev protobuf-compiler libprotobuf-dev libbrotli-dev liblz4-dev \
    libzstd-dev libsystemd-dev libcap-dev g++-aarch64-linux-gnu
  say "package lists of $release, $release-backports and $source_release"
  make_apt
  say "packages of adbd, the shell and the tools"
  unpack "$work/packages" adbd android-libboringssl-dev mksh toybox patchelf
  say "adbd from source, up to 3 minutes"
  build_adbd
  say "the phone's root"
  make_image
  say "adb and qemu-user-static"
  bring_tools
  rm -rf "$work"/{apt,packages,tool-packages,source,adbd}
  : >"$work/complete"
  mv "$work" "$testbed"
  say "built: $(du -sh "$testbed" | cut -f1) in $testbed"
}

main "$@"
