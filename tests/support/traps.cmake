# SPDX-License-Identifier: MIT
#
# A trap is a fault that others have met; this file names the tests that would find it here:
# `ctest -L trap.P6.1` runs them.  The first part of a trap's number is its kind, which has a
# heading below.  Traps that cannot be avoided are in BUGS of kevent(7), such as P1.6, which is
# about 32-bit systems.  P3.6 and P6.8 are avoided as far as the manual promises.

# Before the tests are registered, which gives them their labels.
function(kevent_trap number)
  foreach(test IN LISTS ARGN)
    set_property(GLOBAL APPEND PROPERTY kevent_traps_of_${test} trap.${number})
    set_property(GLOBAL APPEND PROPERTY kevent_tests_of_traps ${test})
  endforeach()
endfunction()

# At the end: whether all that are named here have been registered.  In some builds
# not all are.
function(kevent_check_traps)
  get_property(named GLOBAL PROPERTY kevent_tests_of_traps)
  get_property(registered GLOBAL PROPERTY kevent_registered_tests)
  list(REMOVE_ITEM named ${registered})
  if(named)
    message(FATAL_ERROR "traps.cmake names tests that do not exist: ${named}")
  endif()
endfunction()

# P1: symbol versions and the export map
set(bindings interpose.bound_to_2.3.3 interpose.bound_to_2.34)
kevent_trap(P1.1 interpose.object ${bindings})
kevent_trap(P1.2 interpose.object)
kevent_trap(P1.3 ${bindings})
kevent_trap(P1.4 interpose.object interpose.preloaded)
kevent_trap(P1.5 interpose.which_version)

# P2: values of timer_t
kevent_trap(P2.1 danger.handles_test)
kevent_trap(P2.2 danger.handles_test)
kevent_trap(P2.3 danger.reuse_test danger.handles_test)

# P3: delivery
kevent_trap(P3.1 failure.limits_test)
kevent_trap(P3.2 acceptance.scale_test acceptance.process_test)
kevent_trap(P3.3 acceptance.scale_test)
kevent_trap(P3.4 acceptance.take_back_test danger.reuse_test)
kevent_trap(P3.5 failure.limits_test)
kevent_trap(P3.6 interpose.object)
kevent_trap(P3.8 acceptance.signal_test)
kevent_trap(P3.9 guest.handler_storm_test)
kevent_trap(P3.10 interpose.plain_timers transparent.haproxy)

# P4: overruns, periods, zero
kevent_trap(P4.1 unit.timers_test conformance)
kevent_trap(P4.2 unit.timers_test acceptance.phase_test)
kevent_trap(P4.3 unit.model_test acceptance.phase_test)
kevent_trap(P4.4 danger.already_due_test unit.timers_test)
kevent_trap(P4.5 unit.model_test)

# P5: early calls
kevent_trap(P5.1 strange.jemalloc strange.under_asan)
kevent_trap(P5.2 strange.edges_of_an_object_before_us strange.edges_of_an_object_after_us)
kevent_trap(P5.3 interpose.object)

# P6: fork, exec, vfork
kevent_trap(P6.1 guest.forks_test acceptance.fork_test)
kevent_trap(P6.2 guest.forks_test danger.forking_test)
kevent_trap(P6.3 danger.forking_test)
kevent_trap(P6.4 danger.forking_test)
kevent_trap(P6.5 guest.forks_test danger.vfork_test)
kevent_trap(P6.6 guest.forks_test danger.vfork_test interpose.object)
kevent_trap(P6.7 acceptance.descriptor_test)
kevent_trap(P6.8 acceptance.descriptor_test danger.closing_test guest.lost_numbers_test
  guest.strangers_test)

# P7: timerfd and event loops
kevent_trap(P7.1 acceptance.scale_test)
kevent_trap(P7.2 interpose.settime_system_calls)
kevent_trap(P7.4 acceptance.readiness_test acceptance.readiness_edge_test)
kevent_trap(P7.5 unit.model_test fuzz.corpus)
kevent_trap(P7.8 acceptance.take_back_test)

# P8: clocks
kevent_trap(P8.2 unit.clock_steps_test guest.clock_set_test)
kevent_trap(P8.3 unit.model_test unit.clock_steps_test)

# P9: being preloaded
kevent_trap(P9.1 strange.deepbind)
kevent_trap(P9.5 interpose.object strange.environment)
kevent_trap(P9.7 interpose.object)
kevent_trap(P9.8 interpose.preloaded)

# P10, P11: what is inside
kevent_trap(P10.1 interpose.object)
kevent_trap(P10.2 interpose.object)
kevent_trap(P10.3 interpose.object guest.handler_storm_test)
kevent_trap(P11.1 failure.limits_test)
