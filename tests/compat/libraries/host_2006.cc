// SPDX-License-Identifier: MIT
//
// host_2006.c for the program in C++, whose main has the name of a C++ function.

int main_of_2006();
int main() { return main_of_2006(); }
