# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Runs what ctest would run in an emulated machine.  For scripts that have sourced script.sh.

# apt_beside PLACE SUITE ARCHITECTURE: prepares PLACE for an apt beside this system's, which knows
# that release of Debian and has none of its packages installed, and sets the array apt_options.
# Fails where this system's apt knows no archive of Debian.
apt_beside() {
  local place=$1
  mkdir -p "$place"/{lists,archives}/partial
  debian_lines "$2" >"$place/sources.list"
  [[ -s $place/sources.list ]] || return 1
  : >"$place/status"
  apt_options=(-q -o "Dir::State=$place" -o "Dir::State::status=$place/status"
    -o "Dir::Cache=$place" -o "Dir::Etc::sourcelist=$place/sources.list"
    -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root
    -o "APT::Architecture=$3" -o "APT::Architectures=$3")
}

# kernel_of ARCHITECTURE: the package that linux-image-ARCHITECTURE depends on, by apt_options.
kernel_of() {
  apt-cache "${apt_options[@]}" --no-all-versions show "linux-image-$1" |
    sed -n -E 's/^Depends: (linux-image-[^ ,]+).*/\1/p'
}

# unpack_kernel PLACE PACKAGE.deb: vmlinuz, and the modules of a file system on a file: that of a
# machine's disk, not of its memory.
unpack_kernel() {
  local place=$1 module patterns=()
  mkdir -p "$place/files" "$place/modules"
  for module in crc16 'crc32c*' libcrc32c mbcache jbd2 ext4 loop; do
    patterns+=("./*/kernel/*/$module.ko*")
  done
  dpkg-deb --fsys-tarfile "$2" |
    tar -C "$place/files" -x --wildcards './boot/vmlinuz-*' "${patterns[@]}" 2>/dev/null || true
  mv "$place"/files/boot/vmlinuz-* "$place/vmlinuz" || return 1
  find "$place/files" -name '*.ko*' -exec mv -t "$place/modules" {} +
  find "$place/modules" -name '*.xz' -exec unxz {} +
  rm -rf "$place/files"
}

# tests_of BUILD PATTERN: what ctest would run, a line each: name, tab, command.
tests_of() {
  ctest --test-dir "$1" --show-only=json-v1 -R "$2" |
    python3 -c '
import json, os, shlex, sys
name = os.path.basename(sys.argv[1])
for test in json.load(sys.stdin)["tests"]:
    properties = {p["name"]: p["value"] for p in test["properties"]}
    if not properties.get("DISABLED"):
        if "command" not in test: sys.exit(name + ": not built: " + test["name"])
        environment = properties.get("ENVIRONMENT", [])
        print(test["name"], shlex.join(["env", *environment, *test["command"]]), sep="\t")' "$0"
}

# examples_of BUILD: the examples, likewise; those with tests of their own are left out.
examples_of() {
  local build=$1 example
  for example in "$build"/examples/*; do
    case ${example##*/} in
      copy_tree | echo_server | file_server) ;;
      optional)
        printf 'example.optional\t%q\n' "$example"
        printf 'example.optional.preloaded\tenv LD_PRELOAD=%q %q\n' "$build/libkevent.so" "$example"
        ;;
      *) [[ ! -f $example || ! -x $example ]] || printf 'example.%s\t%q\n' "${example##*/}" "$example" ;;
    esac
  done
}

# files_of PROGRAMS: the files that their commands name.
files_of() {
  cut -f 2 "$1" | xargs -n 1 printf '%s\n' | sed 's/^LD_PRELOAD=//' | tr ':' '\n' | grep '^/' | sort -u
}

# Of these the tests' scripts use options that busybox does not know.
# shellcheck disable=SC2034 # for the scripts
tests_programs=(bash cmp diff find grep head mktemp setpriv stat truncate)

# begin_root ROOT BUSYBOX: what is the same on every processor.
begin_root() {
  local root=$1 name
  rm -rf "$root"
  mkdir -p "$root"/{bin,usr,dev,proc,sys,tmp,etc,root,ext4,var}
  ln -s ../bin "$root/usr/bin"
  ln -s ../ext4 "$root/var/tmp" # of a disk, as elsewhere
  cp "$2" "$root/bin/busybox"
  for name in $(busybox --list); do
    [[ $name == busybox ]] || ln -s busybox "$root/bin/$name"
  done
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
  printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
  printf 'hosts: files\nservices: files\n' >"$root/etc/nsswitch.conf"
  printf 'http 80/tcp\n' >"$root/etc/services"
  : >"$root/etc/resolv.conf"
  truncate -s 64M "$root/ext4.img"
  PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -t ext4 -O '^metadata_csum' "$root/ext4.img"
  # Tests read the pages, the header and an example, from where their own sources are.
  mkdir -p "$root$PWD"
  cp -r include man examples tests "$root$PWD/"
  install -m 0755 tests/compat/kernels/init "$root/init"
}

# run_machine NAME PLACE ROOT LOG QEMU...: 0 if all passed there.  PLACE has the kernel, ROOT all
# files of the machine but the kernel's modules.
run_machine() {
  local name=$1 place=$2 root=$3 log=$4 begin=$SECONDS
  shift 4
  local initrd=$log.initrd
  rm -rf "$root/modules"
  cp -r "$place/modules" "$root/modules"
  (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$initrd"
  echo "Booting $(<"$place/name") for $(wc -l <"$root/programs") programs; it takes minutes (tail -f $log) ..."
  timeout --foreground 7200 "$@" -nographic -no-reboot -nic none -kernel "$place/vmlinuz" -initrd "$initrd" \
    </dev/null 2>&1 | sed -u 's/\r//g' | tee "$log" | sed -u -n -e '/^## FAILED/,/^## end/{/^## end/!p}' || true
  rm -f "$initrd"
  local counts
  counts=$(sed -n 's/^## done: //p' "$log")
  if [[ -z $counts ]]; then
    tail -n 20 "$log"
    echo "$name: the machine did not come to its end after $((SECONDS - begin)) s"
    return 1
  fi
  echo "$name ($(<"$place/name")): $counts, $((SECONDS - begin)) s; all of it: $log"
  ! grep -q '^## FAILED' "$log"
}
