// SPDX-License-Identifier: MIT
//
// Who chooses what happens in a random life: chance, or a fuzzer's bytes.

#ifndef KEVENT_TESTS_UNIT_CHOICES_H_
#define KEVENT_TESTS_UNIT_CHOICES_H_

#include <cstdint>
#include <cstdlib>
#include <random>

namespace kevent_test {

class Choices {
 public:
  virtual ~Choices() = default;
  virtual uint64_t Below(uint64_t limit) = 0;
};

class RandomChoices final : public Choices {
 public:
  explicit RandomChoices(uint64_t seed) : random_(seed) {}
  uint64_t Below(uint64_t limit) override { return random_() % limit; }

 private:
  std::mt19937_64 random_;
};

inline uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

}  // namespace kevent_test

#endif  // KEVENT_TESTS_UNIT_CHOICES_H_
