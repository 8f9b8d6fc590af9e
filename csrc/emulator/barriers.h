// Barriers in the shared memory of a block that count arrivals and bytes (PTX's mbarrier), and the bulk copies that
// report to them. A copy arrives as late as the program allows, when no warp can go on without it; in blocks of odd
// number it arrives at once. Until then its destination holds NaN and must not be touched.
#pragma once

#include <cstring>
#include <deque>
#include <map>

#include "memory.h"

namespace lmf::emulator {

class Barriers {
 public:
  Barriers(const GlobalMemory& global, SharedMemory& shared, Clocks& clocks, bool at_once)
      : global_(global), shared_(shared), clocks_(clocks), at_once_(at_once) {}

  void init(void* b, int arrivals, int thread) {
    shared_.check_store(b, kBytes, thread);
    State state{};
    state.expected = state.pending = arrivals;
    if (!states_.emplace(shared_.offset(b), state).second)
      throw Error("a second initialisation of the barrier" + at(b));
  }

  // bytes: that are announced with the arrival.
  void arrive(const void* b, int64_t bytes, int thread) {
    State& state = find(b, thread);
    if (state.pending == 0)
      throw Error("the barrier" + at(b) + " has had its " + std::to_string(state.expected) + " arrivals of phase " +
                  std::to_string(state.phase));
    --state.pending;
    state.bytes += bytes;
    clocks_.release(thread / kWarp, state.collected);
    end_phase(state);
  }

  // Whether a phase of that parity was the last one to end.
  bool has_ended(const void* b, int parity, int thread) { return (find(b, thread).phase & 1) != parity; }

  // What those who arrived did comes before what the thread's warp does now.
  void acquire(const void* b, int thread) { clocks_.acquire(thread / kWarp, find(b, thread).ended); }

  void copy(void* to, const void* from, int64_t bytes, const void* b, int thread) {
    find(b, thread);
    if (bytes <= 0 || bytes % 16 != 0) throw Error("a bulk copy of " + std::to_string(bytes) + " bytes");
    for (int64_t i = 0; i < bytes; i += 16) global_.check_load(static_cast<const char*>(from) + i, 16);
    shared_.begin_copy(to, bytes, thread);
    copies_.push_back({to, from, bytes, shared_.offset(b), clocks_.now(thread)});
    if (at_once_) deliver();
  }

  // The oldest copy arrives. Returns false if there is none.
  bool deliver() {
    if (copies_.empty()) return false;
    const Copy copy = copies_.front();
    copies_.pop_front();
    std::memcpy(copy.to, copy.from, size_t(copy.bytes));
    shared_.end_copy(copy.to, copy.bytes, copy.start);
    State& state = states_.at(copy.barrier);
    Clocks::Vector with_copy(size_t(clocks_.warps()));
    with_copy[size_t(copy.start.thread / kWarp)] = copy.start.epoch;
    Clocks::join(state.collected, with_copy);
    state.bytes -= copy.bytes;
    end_phase(state);
    return true;
  }

  // What is wrong when the block ends, or "".
  std::string left() const {
    return copies_.empty() ? "" : "it ends before " + std::to_string(copies_.size()) + " bulk copies have arrived";
  }

 private:
  static constexpr int64_t kBytes = 8;

  struct State {
    int expected, pending, phase;
    int64_t bytes;                    // announced and not yet copied
    Clocks::Vector collected, ended;  // of this phase, and of the last one
  };
  struct Copy {
    void* to;
    const void* from;
    int64_t bytes, barrier;
    Access start;
  };

  std::string at(const void* b) const { return " at offset " + std::to_string(shared_.offset(b)); }

  State& find(const void* b, int thread) {
    shared_.check_load(b, kBytes, thread);
    const auto found = states_.find(shared_.offset(b));
    if (found == states_.end()) throw Error("there is no barrier" + at(b));
    return found->second;
  }

  static void end_phase(State& state) {
    if (state.pending != 0 || state.bytes != 0) return;
    ++state.phase;
    state.pending = state.expected;
    Clocks::join(state.collected, state.ended);
    state.ended = state.collected;
  }

  const GlobalMemory& global_;
  SharedMemory& shared_;
  Clocks& clocks_;
  const bool at_once_;
  std::map<int64_t, State> states_;  // by offset
  std::deque<Copy> copies_;          // oldest first
};

}  // namespace lmf::emulator
