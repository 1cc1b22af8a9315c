#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Ruby's interpreter: a timer by signal that has threads take turns, and a
# threaded server.

# shellcheck source=tests/compat/programs/both_ways.sh
source "$(dirname "$0")/both_ways.sh"
needs ruby

same ruby -e '
  counts = Array.new(3, 0)
  finished = false
  workers = 3.times.map { |i| Thread.new { counts[i] += 1 until finished } }
  Thread.pass until counts.all? { |count| count > 1000 }
  finished = true
  workers.each(&:join)
  puts "all had their turns"'

same ruby -rsocket -e '
  server = TCPServer.new("127.0.0.1", 0)
  port = server.addr[1]
  Thread.new { loop { Thread.new(server.accept) { |c| c.puts(c.gets.to_i * 2); c.close } } }
  sums = 20.times.map do |i|
    Thread.new { s = TCPSocket.new("127.0.0.1", port); s.puts(i); s.gets.to_i }
  end
  puts sums.map(&:value).sum'

same ruby -rtimeout -e '
  begin
    Timeout.timeout(0.1) { sleep }
  rescue Timeout::Error => e
    puts e.class
  end
  exit 3'
