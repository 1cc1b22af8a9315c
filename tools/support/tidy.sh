# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# clang-tidy on the project's files, for tools/check, whose functions find the files and
# watch the log.

# Slow ones (a third of a test's time, found by --enable-check-profile) for what
# tests, tools and benchmarks hardly do.
unlikely_in_tests=(bugprone-use-after-move bugprone-stringview-nullptr misc-unused-using-decls
  bugprone-unused-return-value bugprone-infinite-loop bugprone-suspicious-string-compare
  bugprone-assert-side-effect bugprone-multiple-statement-macro bugprone-suspicious-semicolon
  bugprone-forward-declaration-namespace)

# The files that clang compiles, each with the options that it is compiled by.
tidy_one() {
  local checks=
  # The names that .clang-tidy asks for are those of C++.
  [[ $1 != *.c ]] || checks+=,-readability-identifier-naming
  # Walking every path through GoogleTest's macros takes minutes a file, and
  # through those of the benchmark's libraries nearly as long.
  [[ $1 != tests/* && $1 != tools/* && $1 != bench/* ]] || checks+=",-clang-analyzer-*$tests_without"
  clang-tidy --quiet -p build-clang "--checks=${checks#,}" "$1" 2>&1
}

# tidy PATTERN [GREP OPTION]: the files whose names have it, as build-clang/ compiles them.
tidy() {
  export -f tidy_one
  tests_without=$(printf ',-%s' "${unlikely_in_tests[@]}")
  export tests_without
  local log=build-clang/check-tidy.log file files=()
  # CMake names the files by the directory's real name.
  while IFS= read -r -d '' file; do
    if grep -q -F "\"file\": \"$(pwd -P)/$file\"" build-clang/compile_commands.json; then
      files+=("$file")
    fi
  done < <(project_files '*.c' '*.cc' | grep -z -E "${@:2}" -e "$1")
  if [[ ${#files[@]} -eq 0 ]]; then
    echo "build-clang/compile_commands.json has none of the files."
    return 1
  fi
  echo "   clang-tidy on ${#files[@]} files, output in $log"
  # shellcheck disable=SC2016 # for the inner shell to expand
  if ! printf '%s\0' "${files[@]}" |
    watched "$log" xargs -0 -n 1 -P "$(nproc)" bash -c 'tidy_one "$1"' tidy_one; then
    # A header's are found once for each file that includes it.
    grep -E ': (error|warning):' "$log" | sort -u
    echo "All of clang-tidy's output: $log"
    return 1
  fi
}

# The module for Python has a build of its own, which leaves no compile_commands.json.
tidy_python() {
  needs pkg-config || return 1
  local log=build-clang/check-tidy-python.log cflags abi
  cflags=$(pkg-config --cflags python3) || return 1
  abi=$(sed -n 's/^STABLE_ABI, .* = "\(0x[0-9a-f]*\)", .*/\1/p' python/setup.py)
  echo "   clang-tidy on python/module, output in $log"
  # The names that .clang-tidy asks for are those of C++.
  # shellcheck disable=SC2086 # several words
  if ! watched "$log" clang-tidy --quiet --checks=-readability-identifier-naming python/module/*.c \
    -- -std=gnu17 -Iinclude $cflags "-DPy_LIMITED_API=$abi"; then
    grep -E ': (error|warning):' "$log" | sort -u
    echo "All of clang-tidy's output: $log"
    return 1
  fi
}
