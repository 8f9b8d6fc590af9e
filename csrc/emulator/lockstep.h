// Runs the blocks of a grid lane by lane. A lane goes on until it reaches an operation that its whole warp, or its
// whole block, takes part in, and waits there; when all have come the operation happens for all of them at once. Lanes
// that wait for different things, or end while others wait, are an error that says who waits where.
#pragma once

#include <array>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "fiber.h"
#include "memory.h"

namespace lmf::emulator {

constexpr int kWarp = 32;

struct Lane;

// An operation of all lanes of a warp. complete: reads each lane's `in`, writes each lane's `out`.
struct Collective {
  const char* name;
  void (*complete)(Lane* warp);  // kWarp lanes; nullptr: a barrier of the block
};

// Where in the source a lane called it.
struct Site {
  const char* file;
  int line;
  bool operator==(const Site& other) const {
    return line == other.line && (file == other.file || std::string_view(file) == std::string_view(other.file));
  }
  std::string words() const {
    const std::string path(file);
    return path.substr(path.find_last_of('/') + 1) + ":" + std::to_string(line);
  }
};

struct Lane {
  enum class State { fresh, running, waiting, ended };
  Fiber fiber;
  int thread = 0;  // of the block
  State state = State::ended;
  const Collective* waits_for = nullptr;
  Site site{"", 0};
  const void* in = nullptr;
  void* out = nullptr;
  std::string failure;

  bool at_barrier() const { return state == State::waiting && waits_for->complete == nullptr; }
  std::string words() const {
    return state == State::ended ? "ended" : std::string("waits for ") + waits_for->name + " at " + site.words();
  }
};

struct Grid {
  int64_t blocks;
  int warps;  // a block
  int64_t shared_bytes;
};

class Machine {
 public:
  // One block's way through: the block's index and its shared memory.
  using Body = std::function<void(int64_t block, int warp, unsigned char* shared)>;

  // Throws Error with the block, the warp and the lane that went wrong. One launch at a time.
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
  int thread() const { return lane_->thread; }

  // Called on a lane's fiber: returns when the operation has happened.
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
  struct Abandoned {};  // unwinds a lane's fiber after another one failed

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
    shared_ = &shared;
    block_ = block;
    const int threads = grid.warps * kWarp;
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

  // Until its lanes have all ended or all reached a barrier of the block.
  void run_warp(int warp) {
    Lane* lanes = warps_[size_t(warp)]->data();
    for (;;) {
      for (int l = 0; l < kWarp; ++l) {
        if (lanes[l].state == Lane::State::fresh || lanes[l].state == Lane::State::running) resume(lanes[l]);
      }
      for (int l = 1; l < kWarp; ++l) {
        if (!together(lanes[l], lanes[0])) {
          throw Error(place(warp) + ": its lanes parted: " + who_is_where(lanes));
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
      throw Error(place(warp) + ": " + error.what());
    }
  }

  std::string place(int warp) const {
    return "block " + std::to_string(block_) + ", warp " + std::to_string(warp);
  }

  static bool together(const Lane& a, const Lane& b) {
    if (a.state != b.state) return false;
    return a.state == Lane::State::ended || (a.waits_for == b.waits_for && a.site == b.site);
  }

  // "lanes 0 to 15: waits for mma<F16> at body.h:3; lanes 16 to 31: ended"
  static std::string who_is_where(const Lane* lanes) {
    std::string text;
    for (int first = 0; first < kWarp;) {
      int end = first + 1;
      while (end < kWarp && together(lanes[end], lanes[first])) ++end;
      if (first > 0) text += "; ";
      text += end > first + 1 ? "lanes " + std::to_string(first) + " to " + std::to_string(end - 1)
                              : "lane " + std::to_string(first);
      text += ": " + lanes[first].words();
      first = end;
    }
    return text;
  }

  // False: all warps have ended. True: all were at one barrier and may go on.
  bool passes_barrier(int warps) {
    for (int w = 1; w < warps; ++w) {
      const Lane &first = (*warps_[0])[0], &other = (*warps_[size_t(w)])[0];
      if (!together(other, first))
        throw Error("block " + std::to_string(block_) + ": its warps parted: warp 0: " + first.words() + "; warp " +
                    std::to_string(w) + ": " + other.words());
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
      throw Error(place(lane.thread / kWarp) + ", lane " + std::to_string(lane.thread % kWarp) + ": " + text);
    }
  }

  // A lane's fiber from its first step to its last.
  static void enter(void* machine) {
    Machine& self = *static_cast<Machine*>(machine);
    Lane& lane = *self.lane_;
    lane.state = Lane::State::running;
    try {
      (*self.body_)(self.block_, lane.thread / kWarp, self.shared_->begin());
    } catch (const Abandoned&) {
    } catch (const std::exception& error) {
      lane.failure = error.what();
    } catch (...) {
      lane.failure = "an exception that is no std::exception";
    }
    lane.state = Lane::State::ended;
  }

  // Unwinds every fiber that is in the middle, so that each can begin anew.
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
  const Body* body_ = nullptr;
  Lane* lane_ = nullptr;
  int64_t block_ = 0;
  bool abandoned_ = false;
};

}  // namespace lmf::emulator
