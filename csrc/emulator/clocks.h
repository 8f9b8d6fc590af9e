// Which accesses to shared memory come before which: vector clocks of the warps of a block, and for the lanes of one
// warp the number of times that they were synchronised.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace lmf::emulator {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

constexpr int kWarp = 32;
constexpr int kNobody = -1, kMany = -2;  // in place of a thread; kMany: several lanes of a warp

// When a thread did something. epoch: of its warp; sync: of its warp's lanes.
struct Access {
  int thread = kNobody, epoch = 0, sync = 0;
};

class Clocks {
 public:
  using Vector = std::vector<int>;  // an epoch of each warp, up to which everything is known

  explicit Clocks(int warps) : known_(size_t(warps), Vector(size_t(warps))), syncs_(size_t(warps)) {
    for (int w = 0; w < warps; ++w) known_[size_t(w)][size_t(w)] = 1;
  }

  int warps() const { return int(known_.size()); }
  const Vector& known(int warp) const { return known_[size_t(warp)]; }

  Access now(int thread) const {
    const size_t warp = size_t(thread / kWarp);
    return {thread, known_[warp][warp], syncs_[warp]};
  }

  // Whether an earlier access comes before what a thread does now. by: the access's warp where its thread is kMany.
  bool orders(const Access& access, int thread, int by = -1) const {
    const int warp = thread / kWarp, other = access.thread >= 0 ? access.thread / kWarp : by;
    if (access.thread == thread) return true;
    if (other == warp) return syncs_[size_t(warp)] > access.sync;
    return known_[size_t(warp)][size_t(other)] >= access.epoch;
  }

  // A barrier of the lanes of a warp.
  void sync(int warp) { ++syncs_[size_t(warp)]; }

  // What a warp knows and did until now goes to those who acquire `to`.
  void release(int warp, Vector& to) {
    join(to, known_[size_t(warp)]);
    ++known_[size_t(warp)][size_t(warp)];
  }
  void acquire(int warp, const Vector& from) { join(known_[size_t(warp)], from); }

  // A barrier of the block.
  void sync_all() {
    Vector all(known_.size());
    for (const Vector& known : known_) join(all, known);
    for (size_t w = 0; w < known_.size(); ++w) {
      known_[w] = all;
      ++known_[w][w];
      ++syncs_[w];
    }
  }

  static void join(Vector& to, const Vector& from) {
    to.resize(std::max(to.size(), from.size()));
    for (size_t i = 0; i < from.size(); ++i) to[i] = std::max(to[i], from[i]);
  }

 private:
  std::vector<Vector> known_;
  Vector syncs_;
};

}  // namespace lmf::emulator
