// Runs the blocks of a grid lane by lane. A lane runs until it reaches an operation of its whole warp, warpgroup or
// block, and waits there. When all lanes have arrived, the operation is carried out for all of them at once. The warps
// of a block take turns: each runs until it has to wait for others. If lanes of a warp wait for different operations,
// or no warp can go on, the error says who waits where.
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
#include "barriers.h"
#include "fiber.h"
#include "group_mma.h"
#include "memory.h"

namespace lmf::emulator {

constexpr int kGroup = 4;  // warps of a warpgroup

struct Lane;

// Whose operation a Collective is. Its lanes all have to call it, from one place.
enum class Scope { warp, group, block };

// An operation of many lanes. complete: takes the kWarp lanes of a warp, reads each lane's `in` and writes each lane's
// `out`; it is called for each warp in turn. nullptr: nothing but a barrier.
struct Collective {
  const char* name;
  void (*complete)(Lane* warp);
  Scope scope = Scope::warp;
  bool (*ready)(Lane* warp) = nullptr;  // whether it can be carried out now; nullptr: at once
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

  bool at(Scope scope) const { return state == State::waiting && waits_for->scope == scope; }
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
  Barriers& barriers() { return *barriers_; }
  GroupProducts& products() { return *products_; }
  Clocks& clocks() { return *clocks_; }
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
    const int threads = grid.warps * kWarp;
    Clocks clocks(grid.warps);
    SharedMemory shared(grid.shared_bytes, clocks);
    AsyncCopies copies(*memory_, shared, clocks);
    Barriers barriers(*memory_, shared, clocks, block % 2 == 1);
    GroupProducts products(shared, grid.warps);
    clocks_ = &clocks;
    products_ = &products;
    barriers_ = &barriers;
    shared_ = &shared;
    copies_ = &copies;
    block_ = block;
    for (int t = 0; t < threads; ++t) {
      lanes_[size_t(t)]->fiber.prepare(&Machine::enter, this);
      lanes_[size_t(t)]->state = Lane::State::fresh;
    }
    try {
      for (bool ended = false; !ended;) {
        bool moved = false;
        ended = true;
        for (int w = 0; w < grid.warps; ++w) {
          moved |= run_warp(w);
          ended &= first(w).state == Lane::State::ended;
        }
        for (int w = 0; w + kGroup <= grid.warps; w += kGroup) moved |= pass_together(Scope::group, w, w + kGroup);
        moved |= pass_together(Scope::block, 0, grid.warps);
        if (!moved && !ended && !barriers.deliver())
          throw Error("block " + std::to_string(block_) + describe_stuck(grid.warps));
      }
      for (const std::string& left : {barriers.left(), products.left()}) {
        if (!left.empty()) throw Error("block " + std::to_string(block_) + ": " + left);
      }
    } catch (...) {
      abandon(threads);
      throw;
    }
  }

  Lane& first(int warp) { return (*warps_[size_t(warp)])[0]; }

  // Runs a warp until all its lanes have ended or must wait for others. Returns whether it did anything.
  bool run_warp(int warp) {
    Lane* lanes = warps_[size_t(warp)]->data();
    for (bool moved = false;; moved = true) {
      if (lanes[0].at(Scope::warp)) {
        if (!ready(lanes, warp)) return moved;
        pass(warp);
      }
      if (lanes[0].state != Lane::State::fresh && lanes[0].state != Lane::State::running) return moved;
      for (int l = 0; l < kWarp; ++l) resume(lanes[l]);
      for (int l = 1; l < kWarp; ++l) {
        if (!together(lanes[l], lanes[0])) {
          throw Error(position(warp) + ": its lanes diverged: " + describe_lanes(lanes));
        }
      }
    }
  }

  // Carries out what the lanes of a warp wait for.
  void pass(int warp) {
    Lane* lanes = warps_[size_t(warp)]->data();
    if (lanes[0].waits_for->complete) located(warp, [&] { lanes[0].waits_for->complete(lanes); });
    for (int l = 0; l < kWarp; ++l) lanes[l].state = Lane::State::running;
  }

  // Carries out an operation of the warps begin to end - 1, if all of them wait for the same one.
  bool pass_together(Scope scope, int begin, int end) {
    for (int w = begin; w < end; ++w) {
      if (!first(w).at(scope) || !together(first(w), first(begin))) return false;
    }
    for (int w = begin; w < end; ++w) pass(w);
    if (scope == Scope::block) clocks_->sync_all();
    return true;
  }

  bool ready(Lane* lanes, int warp) const {
    return located(warp, [&] { return !lanes[0].waits_for->ready || lanes[0].waits_for->ready(lanes); });
  }

  // f(), whose errors say which warp they concern.
  template <class F>
  auto located(int warp, F f) const -> decltype(f()) {
    try {
      return f();
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

  // Why no warp can go on. Warps that wait for the same are named together.
  std::string describe_stuck(int warps) {
    bool diverged = true;  // at barriers of the block; others may be waited for in vain in many ways
    std::string text;
    for (int begin = 0; begin < warps;) {
      int end = begin + 1;
      while (end < warps && together(first(end), first(begin))) ++end;
      diverged &= first(begin).at(Scope::block) || first(begin).state == Lane::State::ended;
      text += begin > 0 ? "; warp" : ": warp";
      text += (end > begin + 1 ? "s " + std::to_string(begin) + " to " : " ") + std::to_string(end - 1) + ": " +
              first(begin).describe();
      begin = end;
    }
    return (diverged ? ": its warps diverged" : ": no warp can go on") + text;
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
  Barriers* barriers_ = nullptr;
  GroupProducts* products_ = nullptr;
  Clocks* clocks_ = nullptr;
  const Body* body_ = nullptr;
  Lane* lane_ = nullptr;
  int64_t block_ = 0;
  bool abandoned_ = false;
};

}  // namespace lmf::emulator
