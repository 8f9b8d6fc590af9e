// Kernels that break a rule on purpose. tests/test_emulator_primitives.py has the error that each must raise.
#include <functional>
#include <map>
#include <set>
#include <stdexcept>

#include "kernels.h"
#include "warp.h"
#include "warpgroup.h"

namespace lmf::emulator {
namespace {

constexpr int kWarps = 2, kSharedBytes = 1024;
constexpr int kGroupWarps = 6, kGroupSharedBytes = 16384;  // of those about a warpgroup

struct Thread {
  float *in, *out, *shared;  // in: (4, 16), of which rows 0 and 2 may be read; out: (threads)
  int thread, warp, lane, threads;
};

using Kernel = std::function<void(const Thread&)>;

// Names of the kernels that need a warpgroup, beside those with "product" in their name.
const std::set<std::string> kOfWarpgroups = {
    "sums touched before the wait",     "an operand changed before the wait",
    "a matrix written before the wait", "another swizzle",
    "a lane with another descriptor",   "a warpgroup without one of its warps"};

void store_one(const Thread& a) { warp::store(a.out + a.thread, 1.0f); }  // writes every output element once

float shuffle_here(float x) { return warp::shuffle(x, 0); }

// Each lane copies four floats.
void start_copy(const Thread& a) {
  warp::copy_async(reinterpret_cast<uint4*>(a.shared) + a.thread, reinterpret_cast<uint4*>(a.in) + a.lane % 4);
  warp::copy_commit();
}

void use_copy(const Thread& a, bool wait, bool barrier) {
  start_copy(a);
  if (wait) warp::copy_wait<0>();
  if (barrier) warp::block_barrier();
  const float x = warp::shared_load(a.shared + 4 * (a.thread ? a.thread - 1 : 0));
  warp::store(a.out + a.thread, x);
}

// How the use of a matrix instruction of a warpgroup may be wrong.
enum class Product { right, no_fence, early_sums, early_operand, early_matrix, no_wait, swizzle, other_lane, one_warp };

// A product of a warpgroup with a matrix of zeros; the sums go to `out`. It has six warps, of which four multiply.
void product(const Thread& a, Product wrong) {
  constexpr int kMatrix = 2048;  // floats: 256 rows of 64 bytes, of which a product reads 32
  for (int i = a.thread; i < 2 * kMatrix; i += a.threads) warp::shared_store(a.shared + i, 0.0f);
  warp::block_barrier();
  if (a.warp >= 4) {
    for (int i = a.thread - 128; i < 64; i += 64) warp::store(a.out + 128 + i, 1.0f);
    return;
  }
  if (wrong == Product::one_warp && a.warp == 1) return;
  float sums[32][4];
  for (auto& tile : sums) {
    for (float& sum : tile) sum = 1.0f;
  }
  uint32_t operand[4] = {};
  uint64_t descriptor = uint64_t(512 >> 4) << 32 | uint64_t(wrong == Product::swizzle ? 1 : 2) << 62;
  if (wrong == Product::other_lane && a.lane == 9) descriptor += 2;
  if (wrong != Product::no_fence) warp::group_fence();
  warp::group_mma<warp::F16>(sums, operand, descriptor);
  warp::group_commit();
  if (wrong == Product::early_sums) sums[3][1] += 1.0f;
  if (wrong == Product::early_operand) operand[2] = 7;
  if (wrong == Product::early_matrix && a.thread == 5) warp::shared_store(a.shared, 1.0f);
  if (wrong != Product::no_wait) warp::group_wait<0>();
  warp::store(a.out + a.thread, sums[3][1]);
}

// Each lane reads what the lane before it in its warp wrote.
void exchange(const Thread& a, bool barrier) {
  warp::shared_store(a.shared + a.thread, float(a.lane));
  if (barrier) warp::warp_barrier();
  const float x = warp::shared_load(a.shared + 32 * a.warp + (a.lane ? a.lane - 1 : 0));
  warp::store(a.out + a.thread, x);
}

// How a pipeline of two stages may be wrong.
constexpr int kStageBytes = 128, kStages = 2;
struct Pipeline {
  bool waits_full = true, waits_empty = true, releases = true;
  int announced = kStageBytes, arrivals = 1, shift = 0;
};

// Warp 0 copies 32 floats four times into a ring of two stages, warp 1 reads them. Both write their out elements.
void pipeline(const Thread& a, const Pipeline& p) {
  warp::Barrier *full = reinterpret_cast<warp::Barrier*>(a.shared + 128), *empty = full + kStages;
  if (a.thread == 0) {
    for (int i = 0; i < kStages; ++i) {
      warp::barrier_init(full + i, 1);
      warp::barrier_init(empty + i, p.arrivals);
    }
  }
  warp::block_barrier();
  float sum = 0.0f;
  for (int i = 0; i < 4; ++i) {
    const int stage = i % kStages, parity = i / kStages % 2;
    float* data = a.shared + 32 * stage;
    if (a.warp == 0) {
      if (p.waits_empty) {
        warp::barrier_wait(empty + stage, parity ^ 1);
      } else if (i >= kStages) {
        warp::barrier_wait(full + stage, parity ^ 1);  // only for its own last copy
      }
      if (a.lane == 0) {
        warp::barrier_expect(full + stage, p.announced);
        for (int row = 0; row < 2; ++row) {  // 16 floats each
          warp::bulk_copy(data + 16 * row, a.in + 32 * row + p.shift, kStageBytes / 2, full + stage);
        }
      }
    } else {
      if (p.waits_full) warp::barrier_wait(full + stage, parity);
      sum += warp::shared_load(data + a.lane);
      if (p.releases) warp::barrier_arrive(empty + stage);
    }
  }
  warp::store(a.out + a.thread, sum);
}

const std::map<std::string, Kernel>& kernels() {
  static const std::map<std::string, Kernel> all = {
      {"nothing wrong",
       [](const Thread& a) {
         warp::shared_store(a.shared + a.thread, warp::load(a.in + a.lane % 16));
         warp::block_barrier();
         const float x = warp::shared_load(a.shared + 63 - a.thread);
         warp::store(a.out + a.thread, shuffle_here(x));
       }},
      {"a lane ends early",
       [](const Thread& a) {
         if (a.lane != 7) shuffle_here(1.0f);
         store_one(a);
       }},
      {"two operations at once",
       [](const Thread& a) {
         float d[4] = {};
         const uint32_t x[4] = {}, y[2] = {};
         if (a.lane < 16) {
           warp::mma<warp::F16>(d, x, y, d);
         } else {
           shuffle_here(1.0f);
         }
         store_one(a);
       }},
      {"one operation in two places",
       [](const Thread& a) {
         if (a.lane < 4) {
           warp::shuffle(1.0f, 0);
         } else {
           warp::shuffle(2.0f, 0);
         }
         store_one(a);
       }},
      {"a warp misses the barrier",
       [](const Thread& a) {
         if (a.warp == 0) warp::block_barrier();
         store_one(a);
       }},
      {"a source lane of 32", [](const Thread& a) { warp::store(a.out + a.thread, warp::shuffle(1.0f, a.lane + 1)); }},
      {"a load past the end", [](const Thread& a) { warp::load(a.in + 64 + a.thread); }},
      {"a load between the rows", [](const Thread& a) { warp::load(a.in + 16 + a.lane % 16); }},
      {"a load across a row's end",
       [](const Thread& a) { warp::load(reinterpret_cast<const float4*>(a.in + 4 * (a.lane % 5))); }},
      {"a misaligned load", [](const Thread& a) { warp::load(reinterpret_cast<const float2*>(a.in + 1)); }},
      {"a load of the output", [](const Thread& a) { warp::load(a.out + a.thread); }},
      {"a store to an input", [](const Thread& a) { warp::store(a.in, 1.0f); }},
      {"a store past the end", [](const Thread& a) { warp::store(a.out + 1 + a.thread, 1.0f); }},
      {"two stores to one place", [](const Thread& a) { warp::store(a.out + a.thread / 2, 1.0f); }},
      {"a store left out",
       [](const Thread& a) {
         if (a.thread != 5) store_one(a);
       }},
      {"shared memory never written",
       [](const Thread& a) {
         if (a.thread != 3) warp::shared_store(a.shared + a.thread, 1.0f);
         warp::block_barrier();
         warp::shared_load(a.shared + a.thread);
       }},
      {"shared memory past the end", [](const Thread& a) { warp::shared_store(a.shared + 200 + a.thread, 1.0f); }},
      {"misaligned shared memory",
       [](const Thread& a) { warp::shared_store(reinterpret_cast<uint2*>(a.shared + 1), uint2{0, 0}); }},
      {"a shared load without a barrier",
       [](const Thread& a) {
         warp::shared_store(a.shared + a.thread, 1.0f);
         if (a.thread > 0) warp::shared_load(a.shared + a.thread - 1);
         warp::block_barrier();
       }},
      {"two shared stores without a barrier", [](const Thread& a) { warp::shared_store(a.shared, float(a.thread)); }},
      {"a shared store after another's load",
       [](const Thread& a) {
         if (a.thread == 0) warp::shared_store(a.shared, 1.0f);
         warp::block_barrier();
         warp::shared_load(a.shared);
         if (a.thread == 40) warp::shared_store(a.shared, 2.0f);
       }},
      {"copies that are waited for", [](const Thread& a) { use_copy(a, true, true); }},
      {"a load before the copy arrived", [](const Thread& a) { use_copy(a, false, true); }},
      {"a copy read without a barrier", [](const Thread& a) { use_copy(a, true, false); }},
      {"a store before the copy arrived",
       [](const Thread& a) {
         start_copy(a);
         warp::shared_store(a.shared + 4 * a.thread, 1.0f);
       }},
      {"a copy over what another reads",
       [](const Thread& a) {
         if (a.thread < 8) warp::shared_store(a.shared + a.thread, 1.0f);
         warp::block_barrier();
         warp::shared_load(a.shared + a.thread % 8);
         if (a.thread == 40) warp::copy_async(reinterpret_cast<uint4*>(a.shared), reinterpret_cast<uint4*>(a.in));
       }},
      {"a wait for too few groups",
       [](const Thread& a) {
         start_copy(a);
         warp::copy_wait<1>();
         warp::shared_load(a.shared + 4 * a.thread);
       }},
      {"a copy outside the input",
       [](const Thread& a) {
         warp::copy_async(reinterpret_cast<uint4*>(a.shared) + a.thread, reinterpret_cast<uint4*>(a.in + 16));
       }},
      {"copies left on their way", [](const Thread& a) { start_copy(a); }},
      {"a pipeline", [](const Thread& a) { pipeline(a, {}); }},
      {"a stage read before it is full", [](const Thread& a) { pipeline(a, {false}); }},
      {"a stage filled before it is empty", [](const Thread& a) { pipeline(a, {true, false}); }},
      {"a stage that is never released", [](const Thread& a) { pipeline(a, {true, true, false}); }},
      {"more bytes announced than copied", [](const Thread& a) { pipeline(a, {true, true, true, kStageBytes + 16}); }},
      {"fewer bytes announced than copied", [](const Thread& a) { pipeline(a, {true, true, true, kStageBytes - 16}); }},
      {"more arrivals expected than come", [](const Thread& a) { pipeline(a, {true, true, true, kStageBytes, 2}); }},
      {"a bulk copy outside the input", [](const Thread& a) { pipeline(a, {true, true, true, kStageBytes, 1, 4}); }},
      {"more arrivals than expected",
       [](const Thread& a) {
         warp::Barrier* b = reinterpret_cast<warp::Barrier*>(a.shared);
         if (a.thread == 0) warp::barrier_init(b, 1);
         warp::block_barrier();
         if (a.thread == 0) warp::barrier_expect(b, 64);
         warp::barrier_arrive(b);
       }},
      {"a barrier used before it is there",
       [](const Thread& a) {
         warp::Barrier* b = reinterpret_cast<warp::Barrier*>(a.shared);
         if (a.thread == 0) warp::barrier_init(b, 1);
         if (a.warp == 1) warp::barrier_arrive(b);
       }},
      {"lanes at different barriers",
       [](const Thread& a) {
         warp::Barrier* b = reinterpret_cast<warp::Barrier*>(a.shared);
         if (a.thread < 2) warp::barrier_init(b + a.thread, 1);
         warp::block_barrier();
         warp::barrier_wait(b + a.lane % 2, 1);
       }},
      {"a bulk copy left on its way",
       [](const Thread& a) {
         warp::Barrier* b = reinterpret_cast<warp::Barrier*>(a.shared);
         if (a.thread == 0) {
           warp::barrier_init(b, 1);
           warp::bulk_copy(a.shared + 4, a.in, 64, b);
         }
       }},
      {"lanes without a barrier of their warp", [](const Thread& a) { exchange(a, false); }},
      {"lanes with a barrier of their warp", [](const Thread& a) { exchange(a, true); }},
      {"a barrier of the warp for another warp",
       [](const Thread& a) {
         warp::shared_store(a.shared + a.thread, 1.0f);
         warp::warp_barrier();
         warp::shared_load(a.shared + a.thread % 32);
       }},
      {"a product of a warpgroup", [](const Thread& a) { product(a, Product::right); }},
      {"a product without a fence", [](const Thread& a) { product(a, Product::no_fence); }},
      {"sums touched before the wait", [](const Thread& a) { product(a, Product::early_sums); }},
      {"an operand changed before the wait", [](const Thread& a) { product(a, Product::early_operand); }},
      {"a matrix written before the wait", [](const Thread& a) { product(a, Product::early_matrix); }},
      {"a product without a wait", [](const Thread& a) { product(a, Product::no_wait); }},
      {"another swizzle", [](const Thread& a) { product(a, Product::swizzle); }},
      {"a lane with another descriptor", [](const Thread& a) { product(a, Product::other_lane); }},
      {"a warpgroup without one of its warps", [](const Thread& a) { product(a, Product::one_warp); }},
      {"a byte above 255",
       [](const Thread& a) { warp::store(a.out + a.thread, float(warp::round_to_byte(255.0f + float(a.thread)))); }},
      {"a foreign exception", [](const Thread&) { throw 1; }},
  };
  return all;
}

}  // namespace

std::vector<std::string> misuses() {
  std::vector<std::string> names;
  for (const auto& [name, kernel] : kernels()) names.push_back(name);
  return names;
}

void misuse(const std::string& name) {
  const auto found = kernels().find(name);
  if (found == kernels().end()) throw std::invalid_argument("there is no misuse \"" + name + "\".");
  const bool group = name.find("product") != std::string::npos || kOfWarpgroups.count(name) > 0;
  const int warps = group ? kGroupWarps : kWarps;
  alignas(16) float in[4 * 16] = {}, out[kGroupWarps * kWarp] = {};
  GlobalMemory memory({Range("in", in, 4, {{2, 32}, {16, 1}}), Range("out", out, 4, {{warps * kWarp, 1}}, true)});
  Machine::launch(
      {1, warps, group ? kGroupSharedBytes : kSharedBytes}, memory, [&](int64_t, int warp, unsigned char* shared) {
        const int lane = warp::lane();
        found->second({in, out, reinterpret_cast<float*>(shared), warp * kWarp + lane, warp, lane, warps * kWarp});
      });
}

}  // namespace lmf::emulator
