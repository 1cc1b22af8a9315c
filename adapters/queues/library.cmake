# SPDX-License-Identifier: MIT

# kevent_library_over_queues(NAME HEADER): adapters/NAME/*.cc become libkevent-NAME.so, a library to
# link with that stands over the public interface alone; of the engine's sources it may include
# headers of core/base/.  It exports what adapters/NAME/exports.map says.  HEADER is in
# include/kevent-NAME/, a folder of its own: no program finds it that does not ask for it.
function(kevent_library_over_queues name header)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(target kevent_${name})
  set(map ${CMAKE_CURRENT_SOURCE_DIR}/exports.map)
  add_library(${target} SHARED ${sources})
  add_library(kevent::${name} ALIAS ${target})
  kevent_guest_options(${target})
  target_sources(${target} PUBLIC
    FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include
    FILES ${PROJECT_SOURCE_DIR}/include/kevent-${name}/${header})
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include/kevent-${name}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/kevent-${name}>)
  set_target_properties(${target} PROPERTIES
    EXPORT_NAME ${name}
    LINKER_LANGUAGE CXX
    LINK_DEPENDS ${map}
    OUTPUT_NAME kevent-${name}
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
    SOVERSION ${PROJECT_VERSION_MAJOR}
    VERSION ${PROJECT_VERSION})
  kevent_guest_link_options(${target} ${map})
  target_link_libraries(${target} PUBLIC kevent)
  # A program is linked with libkevent itself, lest its calls of close be the C library's alone: by
  # default gcc of Debian and Ubuntu leaves out what a program names no symbol of.
  target_link_libraries(${target} INTERFACE
    "-Wl,--push-state,--no-as-needed,$<TARGET_FILE:kevent::kevent>,--pop-state")
endfunction()
