#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# HAProxy, a threaded server: a timer on the CPU time of each of its threads
# watches over it, by signal.

# shellcheck source=tests/compat/programs/both_ways.sh
source "$(dirname "$0")/both_ways.sh"
haproxy=$(PATH=$PATH:/usr/sbin command -v haproxy || true)
if [[ -z $haproxy ]]; then
  echo "Skipped: there is no haproxy here."
  exit 77
fi

cat >"$directory/haproxy.cfg" <<EOF
global
  nbthread 2
defaults
  mode http
  timeout client 5s
  timeout connect 5s
  timeout server 5s
frontend web
  bind unix@$directory/socket
  http-request return status 200 content-type text/plain string "hello" if { path /hello }
  http-request return status 404 content-type text/plain string "nothing here"
EOF

# request PATH...: the first line of each answer and its body.
request() {
  python3 - "$directory/socket" "$@" <<'EOF'
import socket, sys
for path in sys.argv[2:]:
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.sendall(b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
    answer = b""
    while chunk := s.recv(65536):
        answer += chunk
    lines = answer.decode().split("\r\n")
    print(lines[0], lines[-1])
EOF
}

# Starts it, asks it many times, and ends it in good order.
serve() {
  "$@" "$haproxy" -db -f "$directory/haproxy.cfg" 2>/dev/null &
  local server=$!
  until [[ -S $directory/socket ]]; do
    kill -0 "$server" || return 1
    read -r -t 0.05 <> <(:) || true
  done
  request /hello /nothing /hello /hello /nothing /hello /hello /hello /hello /nothing /hello /hello
  kill -USR1 "$server"
  local status=0
  wait "$server" || status=$?
  rm -f "$directory/socket"
  echo "ended with $status"
}

serve env >"$directory/expected"
serve env "LD_PRELOAD=$preload" >"$directory/found"
diff -u --label plain --label preloaded "$directory/expected" "$directory/found"
echo "same: $(grep -c ' 200 ' "$directory/found") answers, $(tail -n 1 "$directory/found")"
