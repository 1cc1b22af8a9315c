/* SPDX-License-Identifier: MIT */
/* Runs the program of 2006, which is a shared library here: its main by another name. */

int main_of_2006(void);
int main(void) { return main_of_2006(); }
