/* SPDX-License-Identifier: MIT */
/* As a configuration script has it: the functions by their names alone. */
char kqueue(void);
char kevent(void);

int main(int count, char **arguments) {
  (void)arguments;
  return count == 0 ? kqueue() + kevent() : 0;
}
