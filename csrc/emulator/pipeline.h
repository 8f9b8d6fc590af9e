// The names of csrc/cuda/pipeline.h for a C++ compiler.
#pragma once

#include "warp.h"

namespace lmf {
namespace warp {

using Barrier = uint64_t;

inline void barrier_init(Barrier* b, int arrivals) {
  Machine& machine = Machine::current();
  machine.barriers().init(b, arrivals, machine.thread());
}

inline void barrier_expect(Barrier* b, int bytes) {
  Machine& machine = Machine::current();
  machine.barriers().arrive(b, bytes, machine.thread());
}

inline void bulk_copy(void* shared, const void* global, int bytes, Barrier* b) {
  Machine& machine = Machine::current();
  machine.barriers().copy(shared, global, bytes, b, machine.thread());
}

struct BarrierUse {
  Barrier* barrier;
  int parity;
};

// What all lanes of a warp use alike.
inline const BarrierUse& same_use(emulator::Lane* warp) {
  const BarrierUse& first = *static_cast<const BarrierUse*>(warp[0].in);
  for (int lane = 1; lane < emulator::kWarp; ++lane) {
    const BarrierUse& other = *static_cast<const BarrierUse*>(warp[lane].in);
    if (other.barrier != first.barrier || other.parity != first.parity)
      throw emulator::Error("lane " + std::to_string(lane) + " uses another barrier or parity than lane 0 at " +
                            warp[0].site.describe());
  }
  return first;
}

inline void complete_arrive(emulator::Lane* warp) {
  Machine& machine = Machine::current();
  machine.clocks().sync(warp[0].thread / emulator::kWarp);
  machine.barriers().arrive(same_use(warp).barrier, 0, warp[0].thread);
}

inline bool phase_has_ended(emulator::Lane* warp) {
  const BarrierUse& use = same_use(warp);
  return Machine::current().barriers().has_ended(use.barrier, use.parity, warp[0].thread);
}

inline void complete_wait(emulator::Lane* warp) {
  Machine::current().barriers().acquire(same_use(warp).barrier, warp[0].thread);
}

inline void barrier_arrive(Barrier* b, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static constexpr Collective arrive{"barrier_arrive", &complete_arrive};
  const BarrierUse use{b, 0};
  Machine::current().wait(arrive, &use, nullptr, Site{file, line});
}

inline void barrier_wait(Barrier* b, int parity, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static constexpr Collective wait{"barrier_wait", &complete_wait, emulator::Scope::warp, &phase_has_ended};
  const BarrierUse use{b, parity};
  Machine::current().wait(wait, &use, nullptr, Site{file, line});
}

}  // namespace warp
}  // namespace lmf
