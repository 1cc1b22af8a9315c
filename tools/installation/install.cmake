# SPDX-License-Identifier: MIT
#
# What is installed: the one list.  Packages (debian/, tools/rpm/) have the components as they
# are here:
#
#   runtime      libkevent.so.0
#   port         libkevent-port.so.0
#   kqueue       libkevent-kqueue.so.0
#   development  headers, what compilers, CMake and pkg-config look for, pages of sections 3 and 7
#   tools        kevrun and what it preloads, kevsoak, pages of section 1

include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/kevent)
set(pc_names "")
set(other_pages "") # those of libraries that are not built

# kevent_install_library(<target> <component> <pkg-config name> <regular expression>): a library
# that programs link with.  The pages whose names match are its own.
function(kevent_install_library target component pc_name pages)
  if(NOT TARGET ${target})
    set(other_pages ${other_pages} ${pages} PARENT_SCOPE)
    return()
  endif()
  install(TARGETS ${target} EXPORT keventTargets
    LIBRARY COMPONENT ${component} NAMELINK_COMPONENT development
    FILE_SET HEADERS COMPONENT development)
  set(pc_names ${pc_names} ${pc_name} PARENT_SCOPE)
endfunction()

# kevent_install_pages(<section> <component>)
function(kevent_install_pages section component)
  file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/man/*.${section})
  foreach(other IN LISTS other_pages)
    list(FILTER pages EXCLUDE REGEX "/${other}$")
  endforeach()
  install(FILES ${pages}
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT ${component})
endfunction()

# ---- Libraries -------------------------------------------------------------

kevent_install_library(kevent runtime kevent "(kevent|sigev_kevent).*")
kevent_install_library(kevent_port port kevent-port "port(_[a-z]+\\.3|\\.7)")
kevent_install_library(kevent_kqueue kqueue kevent-kqueue "(kqueue[1x]?\\.3|kevent-kqueue\\.7)")

# ---- What build systems look for -------------------------------------------

install(EXPORT keventTargets NAMESPACE kevent::
  DESTINATION ${package_dir} COMPONENT development)
configure_package_config_file(tools/installation/keventConfig.cmake.in keventConfig.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
# As long as the SONAME is the same (docs/abi.md).
write_basic_package_version_file(keventConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/keventConfig.cmake ${PROJECT_BINARY_DIR}/keventConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT development)

# Written when it is installed: `cmake --install --prefix` may say another
# prefix than the one configured, and the directories may be absolute.
install(CODE "
  set(PROJECT_VERSION \"${PROJECT_VERSION}\")
  set(PROJECT_DESCRIPTION \"${PROJECT_DESCRIPTION}\")
  set(PROJECT_HOMEPAGE_URL \"${PROJECT_HOMEPAGE_URL}\")
  cmake_path(ABSOLUTE_PATH CMAKE_INSTALL_PREFIX NORMALIZE OUTPUT_VARIABLE prefix)
  set(libdir \"${CMAKE_INSTALL_LIBDIR}\")
  set(includedir \"${CMAKE_INSTALL_INCLUDEDIR}\")
  cmake_path(ABSOLUTE_PATH libdir BASE_DIRECTORY \"\${prefix}\")
  cmake_path(ABSOLUTE_PATH includedir BASE_DIRECTORY \"\${prefix}\")
  foreach(name IN ITEMS ${pc_names})
    configure_file(
      \"${PROJECT_SOURCE_DIR}/tools/installation/\${name}.pc.in\" \"${PROJECT_BINARY_DIR}/\${name}.pc\" @ONLY)
  endforeach()"
  COMPONENT development)
list(TRANSFORM pc_names PREPEND ${PROJECT_BINARY_DIR}/ OUTPUT_VARIABLE pc_files)
list(TRANSFORM pc_files APPEND .pc)
install(FILES ${pc_files}
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)

# ---- The manual ------------------------------------------------------------

kevent_install_pages(3 development)
kevent_install_pages(7 development)

# ---- Tools -----------------------------------------------------------------

if(KEVENT_BUILD_TOOLS)
  install(TARGETS tool_kevrun tool_kevsoak RUNTIME COMPONENT tools)
  get_property(adapters GLOBAL PROPERTY kevent_adapters)
  if(adapters)
    # A sibling of the library's, where kevrun looks.
    install(TARGETS ${adapters}
      LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/kevent COMPONENT tools)
  endif()
  kevent_install_pages(1 tools)
endif()
