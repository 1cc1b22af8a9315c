/* SPDX-License-Identifier: MIT */
/* A shared object that contains nothing, for kevbench to preload. */
typedef int nothing;
