# SPDX-License-Identifier: MIT
"""A test that hangs says where; a slow machine is no warning of asyncio's development mode."""

import faulthandler
import logging

faulthandler.dump_traceback_later(500, exit=True)
logging.getLogger("asyncio").setLevel(logging.ERROR)
