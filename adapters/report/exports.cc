// SPDX-License-Identifier: MIT

#include <cerrno>

#include "adapters/observe/next.h"
#include "adapters/report/observer.h"

using kevent::observe::Observer;  // which all of these go to
#include "adapters/observe/exports.inc"
