# SPDX-License-Identifier: MIT
"""What pyproject.toml cannot say: the extension module, and the version, which the header has."""

import glob
import os
import re
import shlex
import subprocess

from setuptools import Extension, setup

HERE = os.path.dirname(os.path.abspath(__file__))
# CPython's names for the first version that it runs with.
STABLE_ABI, TAG = "0x030b0000", "cp311"


def pkg_config(*options):
    """What pkg-config says of libkevent; nothing where it does not know it.

    Then the compiler looks where it looks for any library, and where CFLAGS and LDFLAGS say.
    """
    try:
        output = subprocess.run(
            [os.environ.get("PKG_CONFIG", "pkg-config"), *options, "kevent"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return shlex.split(output)


def version():
    """That of libkevent: in a source distribution by itself, else by the header beside it."""
    try:
        with open(os.path.join(HERE, "PKG-INFO")) as file:
            return re.search(r"^Version: (.+)$", file.read(), re.MULTILINE).group(1)
    except FileNotFoundError:
        with open(os.path.join(HERE, "..", "include", "kevent", "kevent.h")) as file:
            return re.search(r'^#define KEVENT_VERSION "(.+)"$', file.read(), re.MULTILINE).group(1)


os.chdir(HERE)
setup(
    version=version(),
    ext_modules=[
        Extension(
            "kevent._kevent",
            sources=sorted(glob.glob("module/*.c")),
            depends=["module/binding.h"],
            define_macros=[("Py_LIMITED_API", STABLE_ABI), ("PY_SSIZE_T_CLEAN", None)],
            extra_compile_args=["-fvisibility=hidden", *pkg_config("--cflags")],
            extra_link_args=pkg_config("--libs") or ["-lkevent"],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": TAG}},
)
