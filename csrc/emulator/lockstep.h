// Runs the blocks of a grid lane by lane. A lane runs until it reaches an operation of its whole warp or block, and
// waits there. When all lanes have arrived, the operation is carried out for all of them at once. If lanes wait for
// different operations, or end while others wait, the error says which lanes wait where.
#pragma once

#include <array>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "async_copy.h"
#include "fiber.h"
#include "memory.h"

namespace lmf::emulator {

constexpr int kWarp = 32;

struct Lane;

// An operation of all lanes of a warp. complete: reads each lane's `in` and writes each lane's `out`.
struct Collective {
  const char* name;
  void (*complete)(Lane* warp);  // takes kWarp lanes; nullptr: a barrier of the block
};

// The place in the source code where a lane called an operation.
struct Site {
  const char* file;
  int line;
  bool operator==(const Site& other) const {
    return line == other.line && (file == other.file || std::string_view(file) == std::string_view(other.file));
  }
  std::string describe() const {
    const std::string path(file);
    return path.substr(path.find_last_of('/') + 1) + ":" + std::to_string(line);
  }
};

struct Lane {
  enum class State { fresh, running, waiting, ended };
  Fiber fiber;
  int thread = 0;  // index in the block
  State state = State::ended;
  const Collective* waits_for = nullptr;
  Site site{"", 0};
  const void* in = nullptr;
  void* out = nullptr;
  std::string failure;

  bool at_barrier() const { return state == State::waiting && waits_for->complete == nullptr; }
  std::string describe() const {
    return state == State::ended ? "ended" : std::string("waiting for ") + waits_for->name + " at " + site.describe();
  }
};

struct Grid {
  int64_t blocks;
  int warps;             // per block
  int64_t shared_bytes;  // per block
};

class Machine {
 public:
  // What a lane runs: given the index of the block, the index of the warp in it, and the block's shared memory.
  using Body = std::function<void(int64_t block, int warp, unsigned char* shared)>;

  // Throws Error with the block, the warp and the lane at fault. One launch runs at a time.
  static void launch(const Grid& grid, GlobalMemory& memory, const Body& body) {
    static std::mutex one_at_a_time;
    std::lock_guard<std::mutex> guard(one_at_a_time);
    static Machine machine;
    current_ = &machine;
    machine.memory_ = &memory;
    machine.body_ = &body;
    machine.grow(grid.warps * kWarp);
    for (int64_t block = 0; block < grid.blocks; ++block) machine.run_block(block, grid);
    memory.check_complete();
  }

  static Machine& current() { return *current_; }

  int lane() const { return lane_->thread % kWarp; }
  GlobalMemory& global() { return *memory_; }
  SharedMemory& shared() { return *shared_; }
  AsyncCopies& copies() { return *copies_; }
  int thread() const { return lane_->thread; }

  // Called on a lane's fiber. Returns when the operation is complete.
  void wait(const Collective& collective, const void* in, void* out, Site site) {
    Lane& lane = *lane_;
    lane.waits_for = &collective;
    lane.in = in;
    lane.out = out;
    lane.site = site;
    lane.state = Lane::State::waiting;
    lane.fiber.suspend();
    if (abandoned_) throw Abandoned{};
  }

 private:
  struct Abandoned {};  // unwinds a lane's fiber after another lane failed

  void grow(int threads) {
    for (int t = int(lanes_.size()) / kWarp; t * kWarp < threads; ++t) {
      warps_.push_back(std::make_unique<std::array<Lane, kWarp>>());
      for (Lane& lane : *warps_.back()) {
        lane.thread = int(lanes_.size());
        lanes_.push_back(&lane);
      }
    }
  }

  void run_block(int64_t block, const Grid& grid) {
    SharedMemory shared(grid.shared_bytes);
    const int threads = grid.warps * kWarp;
    AsyncCopies copies(*memory_, shared, threads);
    shared_ = &shared;
    copies_ = &copies;
    block_ = block;
    for (int t = 0; t < threads; ++t) {
      lanes_[size_t(t)]->fiber.prepare(&Machine::enter, this);
      lanes_[size_t(t)]->state = Lane::State::fresh;
    }
    try {
      do {
        for (int w = 0; w < grid.warps; ++w) run_warp(w);
      } while (passes_barrier(grid.warps));
    } catch (...) {
      abandon(threads);
      throw;
    }
  }

  // Runs a warp until all its lanes have ended or reached a barrier of the block.
  void run_warp(int warp) {
    Lane* lanes = warps_[size_t(warp)]->data();
    for (;;) {
      for (int l = 0; l < kWarp; ++l) {
        if (lanes[l].state == Lane::State::fresh || lanes[l].state == Lane::State::running) resume(lanes[l]);
      }
      for (int l = 1; l < kWarp; ++l) {
        if (!together(lanes[l], lanes[0])) {
          throw Error(position(warp) + ": its lanes diverged: " + describe_lanes(lanes));
        }
      }
      if (lanes[0].state == Lane::State::ended || lanes[0].at_barrier()) return;
      complete(lanes, warp);
      for (int l = 0; l < kWarp; ++l) lanes[l].state = Lane::State::running;
    }
  }

  void complete(Lane* lanes, int warp) const {
    try {
      lanes[0].waits_for->complete(lanes);
    } catch (const Error& error) {
      throw Error(position(warp) + ": " + error.what());
    }
  }

  std::string position(int warp) const { return "block " + std::to_string(block_) + ", warp " + std::to_string(warp); }

  static bool together(const Lane& a, const Lane& b) {
    if (a.state != b.state) return false;
    return a.state == Lane::State::ended || (a.waits_for == b.waits_for && a.site == b.site);
  }

  // "lanes 0 to 15: waiting for mma<F16> at body.h:3; lanes 16 to 31: ended"
  static std::string describe_lanes(const Lane* lanes) {
    std::string text;
    for (int first = 0; first < kWarp;) {
      int end = first + 1;
      while (end < kWarp && together(lanes[end], lanes[first])) ++end;
      if (first > 0) text += "; ";
      text += end > first + 1 ? "lanes " + std::to_string(first) + " to " + std::to_string(end - 1)
                              : "lane " + std::to_string(first);
      text += ": " + lanes[first].describe();
      first = end;
    }
    return text;
  }

  // Returns false if all warps have ended, and true if all have passed the same barrier.
  bool passes_barrier(int warps) {
    for (int w = 1; w < warps; ++w) {
      const Lane &first = (*warps_[0])[0], &other = (*warps_[size_t(w)])[0];
      if (!together(other, first))
        throw Error("block " + std::to_string(block_) + ": its warps diverged: warp 0: " + first.describe() +
                    "; warp " + std::to_string(w) + ": " + other.describe());
    }
    if (lanes_[0]->state == Lane::State::ended) return false;
    for (int t = 0; t < warps * kWarp; ++t) lanes_[size_t(t)]->state = Lane::State::running;
    shared_->barrier();
    return true;
  }

  void resume(Lane& lane) {
    lane_ = &lane;
    lane.fiber.resume();
    if (!lane.failure.empty()) {
      const std::string text = lane.failure;
      lane.failure.clear();
      throw Error(position(lane.thread / kWarp) + ", lane " + std::to_string(lane.thread % kWarp) + ": " + text);
    }
  }

  // The function of a lane's fiber.
  static void enter(void* machine) {
    Machine& self = *static_cast<Machine*>(machine);
    Lane& lane = *self.lane_;
    lane.state = Lane::State::running;
    try {
      (*self.body_)(self.block_, lane.thread / kWarp, self.shared_->begin());
      self.copies_->check_ended(lane.thread);
    } catch (const Abandoned&) {
    } catch (const std::exception& error) {
      lane.failure = error.what();
    } catch (...) {
      lane.failure = "an exception that is not a std::exception";
    }
    lane.state = Lane::State::ended;
  }

  // Unwinds every fiber that has started and not ended, so that each can start again.
  void abandon(int threads) {
    abandoned_ = true;
    for (int t = 0; t < threads; ++t) {
      Lane& lane = *lanes_[size_t(t)];
      if (lane.state == Lane::State::running || lane.state == Lane::State::waiting) {
        lane_ = &lane;
        lane.fiber.resume();
      }
      lane.state = Lane::State::ended;
      lane.failure.clear();
    }
    abandoned_ = false;
  }

  inline static Machine* current_ = nullptr;
  std::vector<std::unique_ptr<std::array<Lane, kWarp>>> warps_;
  std::vector<Lane*> lanes_;
  GlobalMemory* memory_ = nullptr;
  SharedMemory* shared_ = nullptr;
  AsyncCopies* copies_ = nullptr;
  const Body* body_ = nullptr;
  Lane* lane_ = nullptr;
  int64_t block_ = 0;
  bool abandoned_ = false;
};

}  // namespace lmf::emulator
