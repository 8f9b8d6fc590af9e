// Copies from global to shared memory that a lane starts and waits for later (cp.async). They arrive as late as the
// program allows: when the lane waits for their group. Until then their destination holds NaN and must not be touched.
#pragma once

#include <cstring>
#include <deque>
#include <vector>

#include "memory.h"

namespace lmf::emulator {

class AsyncCopies {
 public:
  AsyncCopies(const GlobalMemory& global, SharedMemory& shared, const Clocks& clocks)
      : global_(global), shared_(shared), clocks_(clocks), queues_(size_t(clocks.warps() * kWarp)) {}

  void start(void* to, const void* from, int64_t bytes, int thread) {
    global_.check_load(from, bytes);
    shared_.begin_copy(to, bytes, thread);
    queues_[size_t(thread)].open.push_back({to, from, bytes});
  }

  // Makes a group of what the lane started since its last commit.
  void commit(int thread) {
    Queue& queue = queues_[size_t(thread)];
    queue.groups.push_back(std::move(queue.open));
    queue.open.clear();
  }

  // The copies of all but the lane's `pending` youngest groups arrive.
  void wait(int pending, int thread) {
    std::deque<Group>& groups = queues_[size_t(thread)].groups;
    for (; int64_t(groups.size()) > pending; groups.pop_front()) {
      for (const Copy& copy : groups.front()) {
        std::memcpy(copy.to, copy.from, size_t(copy.bytes));
        shared_.end_copy(copy.to, copy.bytes, clocks_.now(thread));
      }
    }
  }

  // Throws Error if a lane ends while its copies are on their way.
  void check_ended(int thread) const {
    const Queue& queue = queues_[size_t(thread)];
    if (!queue.open.empty() || !queue.groups.empty()) throw Error("it ends before its copies have arrived");
  }

 private:
  struct Copy {
    void* to;
    const void* from;
    int64_t bytes;
  };
  using Group = std::vector<Copy>;
  struct Queue {
    Group open;
    std::deque<Group> groups;  // oldest first
  };

  const GlobalMemory& global_;
  SharedMemory& shared_;
  const Clocks& clocks_;
  std::vector<Queue> queues_;
};

}  // namespace lmf::emulator
