// The names of csrc/cuda/warpgroup.h for a C++ compiler.
#pragma once

#include "pipeline.h"

namespace lmf {
namespace warp {

inline uint32_t shared_address(const void* p) { return uint32_t(Machine::current().shared().offset(p)); }

template <int kCount>
void more_registers() {}
template <int kCount>
void fewer_registers() {}
template <int kRows, int kColumns>
void pin(uint32_t (&)[kRows][kColumns]) {}

inline int warp_of(const emulator::Lane* lanes) { return lanes[0].thread / emulator::kWarp; }

inline void complete_group_fence(emulator::Lane* warp) { Machine::current().products().fence(warp_of(warp)); }
inline void complete_group_commit(emulator::Lane* warp) { Machine::current().products().commit(warp_of(warp)); }
template <int kPending>
void complete_group_wait(emulator::Lane* warp) {
  Machine::current().products().wait(warp_of(warp), kPending);
}

struct GroupOperands {
  float* d;
  const uint32_t* a;
  uint64_t b;
};

template <class H>
void complete_group_mma(emulator::Lane* warp) {
  std::array<float*, emulator::kWarp> d;
  std::array<const uint32_t*, emulator::kWarp> a;
  const uint64_t b = static_cast<const GroupOperands*>(warp[0].in)->b;
  for (int lane = 0; lane < emulator::kWarp; ++lane) {
    const GroupOperands& own = *static_cast<const GroupOperands*>(warp[lane].in);
    d[size_t(lane)] = own.d;
    a[size_t(lane)] = own.a;
    if (own.b != b) throw emulator::Error("lane " + std::to_string(lane) + " has another descriptor than lane 0");
  }
  Machine::current().products().start<H>(warp_of(warp), d, a, b);
}

inline void group_fence(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static constexpr Collective fence{"group_fence", &complete_group_fence, emulator::Scope::group};
  Machine::current().wait(fence, nullptr, nullptr, Site{file, line});
}

inline void group_commit(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static constexpr Collective commit{"group_commit", &complete_group_commit, emulator::Scope::group};
  Machine::current().wait(commit, nullptr, nullptr, Site{file, line});
}

template <int kPending>
void group_wait(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static constexpr Collective waiting{"group_wait", &complete_group_wait<kPending>, emulator::Scope::group};
  Machine::current().wait(waiting, nullptr, nullptr, Site{file, line});
}

template <class H>
void group_mma(float (&d)[32][4], const uint32_t (&a)[4], uint64_t b, const char* file = __builtin_FILE(),
               int line = __builtin_LINE()) {
  static constexpr Collective product{"group_mma", &complete_group_mma<H>, emulator::Scope::group};
  const GroupOperands in{&d[0][0], a, b};
  Machine::current().wait(product, &in, nullptr, Site{file, line});
}

}  // namespace warp
}  // namespace lmf
