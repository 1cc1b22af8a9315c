# SPDX-License-Identifier: MIT
#
# How the tests' CMakeLists.txt register their tests.

# What LD_PRELOAD must be.  ASan's runtime refuses to be anything but the first
# object in a process, so it goes before the library; TSan's too, as it would
# stand when the program is merely linked.
set(KEVENT_PRELOAD "$<TARGET_FILE:kevent>")
if(KEVENT_SANITIZE AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
  foreach(sanitizer IN ITEMS asan tsan)
    if(sanitizer IN_LIST running_under)
      execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=lib${sanitizer}.so
        OUTPUT_VARIABLE runtime OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
      string(PREPEND KEVENT_PRELOAD "${runtime}:")
    endif()
  endforeach()
endif()

set(test_environment
  "ASAN_OPTIONS=detect_stack_use_after_return=1"
  "UBSAN_OPTIONS=print_stacktrace=1"
  # The child of a fork in a threaded process may make threads of its own.  A process that ends
  # waits a second for the races of its last threads, children of tests as well; a while will do.
  "TSAN_OPTIONS=die_after_fork=0:second_deadlock_stack=1:atexit_sleep_ms=50")
set(test_timeout 300)
if("valgrind" IN_LIST running_under)
  set(test_timeout 600)
endif()

# kevent_register(<test> [PRELOAD] COMMAND <target or program> [<argument>...])
#
# Registers a run of a program: by the launcher if there is one, and with the
# library preloaded if PRELOAD is given.  77 means skipped.
function(kevent_register test)
  cmake_parse_arguments(PARSE_ARGV 1 arg "PRELOAD" "" "COMMAND")
  list(POP_FRONT arg_COMMAND program)
  if(TARGET ${program})
    set(program $<TARGET_FILE:${program}>)
  endif()
  add_test(NAME ${test} COMMAND ${KEVENT_TEST_LAUNCHER} ${program} ${arg_COMMAND})
  set(environment ${test_environment})
  if(arg_PRELOAD)
    list(APPEND environment "LD_PRELOAD=${KEVENT_PRELOAD}")
  endif()
  set_tests_properties(${test} PROPERTIES
    ENVIRONMENT "${environment}"
    SKIP_RETURN_CODE 77
    TIMEOUT ${test_timeout})
  get_property(traps GLOBAL PROPERTY kevent_traps_of_${test})
  set_property(TEST ${test} APPEND PROPERTY LABELS ${traps})
  set_property(GLOBAL APPEND PROPERTY kevent_registered_tests ${test})
endfunction()

# kevent_register_script(<test> <script> [<argument>...]): the same for a Bash
# script, which no launcher starts.
function(kevent_register_script test script)
  set(KEVENT_TEST_LAUNCHER "")
  kevent_register(${test} COMMAND bash ${script} ${ARGN})
endfunction()

# kevent_exclude(<why> <asan|tsan|valgrind>... TESTS <test>...)
#
# These tests are disabled, and shown as such, in a build that runs under one
# of the named tools.  Everywhere they have the labels no-asan and so on.
function(kevent_exclude why)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "TESTS")
  foreach(tool IN LISTS arg_UNPARSED_ARGUMENTS)
    set_property(TEST ${arg_TESTS} APPEND PROPERTY LABELS "no-${tool}")
    if(tool IN_LIST running_under)
      set_tests_properties(${arg_TESTS} PROPERTIES DISABLED TRUE)
    endif()
  endforeach()
endfunction()

# kevent_precompile(<group> [<compile option>...] LIBRARIES <library>...): GoogleTest's
# headers, which are most of what a test's compiler reads, for the targets that have
# these options and libraries; kevent_precompiled(<target> <group>) uses them.  With
# CMAKE_DISABLE_PRECOMPILE_HEADERS every file shows that it includes what it needs.
add_custom_target(kevent_precompiled_headers)
set(kevent_nothing ${CMAKE_CURRENT_BINARY_DIR}/nothing.cc)
file(CONFIGURE OUTPUT ${kevent_nothing} CONTENT "")
function(kevent_precompile group)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LIBRARIES")
  set(target kevent_precompiled_${group})
  add_library(${target} OBJECT ${kevent_nothing})
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${target} PRIVATE ${arg_LIBRARIES} kevent_test_libraries)
  target_compile_options(${target} PRIVATE ${arg_UNPARSED_ARGUMENTS})
  target_precompile_headers(${target} PRIVATE <gtest/gtest.h>)
  add_dependencies(kevent_precompiled_headers ${target})
endfunction()
function(kevent_precompiled target group)
  target_precompile_headers(${target} REUSE_FROM kevent_precompiled_${group})
endfunction()

# kevent_add_unit_test(<name> <source>...): a GoogleTest program of the engine on
# the simulated system, registered as unit.<name>.
function(kevent_add_unit_test name)
  add_executable(unit_${name} ${ARGN})
  set_target_properties(unit_${name} PROPERTIES OUTPUT_NAME ${name})
  target_link_libraries(unit_${name} PRIVATE
    kevent_engine_headers kevent_core kevent_simulated_system kevent_test_libraries)
  target_compile_options(unit_${name} PRIVATE ${unit_options})
  kevent_precompiled(unit_${name} unit)
  kevent_register(unit.${name} COMMAND unit_${name})
endfunction()

# kevent_add_test(<name> <source>...): a GoogleTest program that is linked to
# libkevent.so as any program is, registered under its name.
function(kevent_add_test name)
  add_executable(${name} ${ARGN})
  target_compile_features(${name} PRIVATE cxx_std_20)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE kevent::kevent kevent_test_libraries)
  kevent_register(${name} COMMAND ${name})
endfunction()

add_library(kevent_test_libraries INTERFACE)
target_link_libraries(kevent_test_libraries INTERFACE
  GTest::gmock_main absl::random_random absl::strings absl::str_format absl::time)
# The usual lambda of INSTANTIATE_TEST_SUITE_P, (const auto& info), shadows a
# parameter inside the macro; gcc says so, clang keeps -Wshadow to our own code.
target_compile_options(kevent_test_libraries INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-shadow>)
# Only those of Abseil's libraries that a test really calls.
target_link_options(kevent_test_libraries INTERFACE -Wl,--as-needed)

kevent_precompile(unit ${unit_options} LIBRARIES kevent_engine_headers)
kevent_precompile(library LIBRARIES kevent::kevent)

# kevent_add_tests_of(<prefix> [OPTIONS <compile option>...] DIRECTORIES <directory>...)
#
# Each *_test.cc of the directories is a program, registered as <prefix>.<name>; the other
# files are common to all of them.  <prefix>_tests is the list of the tests.
function(kevent_add_tests_of prefix)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "OPTIONS;DIRECTORIES")
  set(precompiled library)
  if(arg_OPTIONS)
    set(precompiled ${prefix})
    kevent_precompile(${prefix} ${arg_OPTIONS} LIBRARIES kevent::kevent)
  endif()
  list(TRANSFORM arg_DIRECTORIES APPEND "/*_test.cc" OUTPUT_VARIABLE tests)
  list(TRANSFORM arg_DIRECTORIES APPEND "/*.cc" OUTPUT_VARIABLE common)
  file(GLOB tests CONFIGURE_DEPENDS ${tests})
  file(GLOB common CONFIGURE_DEPENDS ${common})
  list(REMOVE_ITEM common ${tests})
  set(common_objects "")
  if(common)
    add_library(kevent_common_${prefix} OBJECT ${common})
    target_compile_features(kevent_common_${prefix} PRIVATE cxx_std_20)
    target_include_directories(kevent_common_${prefix} PRIVATE ${PROJECT_SOURCE_DIR})
    target_link_libraries(kevent_common_${prefix} PRIVATE kevent::kevent kevent_test_libraries)
    target_compile_options(kevent_common_${prefix} PRIVATE ${arg_OPTIONS})
    kevent_precompiled(kevent_common_${prefix} ${precompiled})
    set(common_objects $<TARGET_OBJECTS:kevent_common_${prefix}>)
  endif()
  foreach(source IN LISTS tests)
    cmake_path(GET source STEM name)
    set(test ${prefix}.${name})
    kevent_add_test(${test} ${source} ${common_objects})
    target_compile_options(${test} PRIVATE ${arg_OPTIONS})
    kevent_precompiled(${test} ${precompiled})
    list(APPEND names ${test})
  endforeach()
  set(${prefix}_tests ${names} PARENT_SCOPE)
endfunction()

# kevent_add_program(<target> <source.c>): a program in C that is linked to libkevent.so.
function(kevent_add_program target source)
  add_executable(${target} ${source})
  target_compile_features(${target} PRIVATE c_std_11)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${target} PRIVATE kevent::kevent)
endfunction()

# What runs a program where there is no io_uring, and <test>.without_io_uring, that run of
# a test's program.
add_executable(without_io_uring ${CMAKE_CURRENT_LIST_DIR}/without_io_uring.c)
function(kevent_register_without_io_uring test target)
  kevent_register(${test}.without_io_uring COMMAND without_io_uring $<TARGET_FILE:${target}> ${ARGN})
endfunction()
