# SPDX-License-Identifier: MIT
#
# Builds for arm64 by Debian's cross compiler, with the headers and libraries of KEVENT_ARM64_ROOM,
# which tools/on-arm64 makes.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES KEVENT_ARM64_ROOM)
set(CMAKE_FIND_ROOT_PATH ${KEVENT_ARM64_ROOM} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
# Libraries that those linked with want themselves.
add_link_options(-Wl,-rpath-link,${KEVENT_ARM64_ROOM}/usr/lib/aarch64-linux-gnu)
add_link_options(-Wl,-rpath-link,${KEVENT_ARM64_ROOM}/lib/aarch64-linux-gnu)
