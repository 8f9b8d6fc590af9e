// Kernels that break a rule on purpose. tests/test_emulator_primitives.py has the error that each must raise.
#include <functional>
#include <map>
#include <stdexcept>

#include "kernels.h"
#include "warp.h"

namespace lmf::emulator {
namespace {

constexpr int kWarps = 2, kSharedBytes = 1024;

struct Thread {
  float *in, *out, *shared;  // in: (4, 16), of which rows 0 and 2 may be read; out: (64)
  int thread, warp, lane;
};

using Kernel = std::function<void(const Thread&)>;

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
  alignas(16) float in[4 * 16] = {}, out[kWarps * kWarp] = {};
  GlobalMemory memory({Range("in", in, 4, {{2, 32}, {16, 1}}), Range("out", out, 4, {{kWarps * kWarp, 1}}, true)});
  Machine::launch({1, kWarps, kSharedBytes}, memory, [&](int64_t, int warp, unsigned char* shared) {
    const int lane = warp::lane();
    found->second({in, out, reinterpret_cast<float*>(shared), warp * kWarp + lane, warp, lane});
  });
}

}  // namespace lmf::emulator
