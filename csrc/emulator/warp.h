// The names of csrc/cuda/warp.h for a C++ compiler. Device bodies that use them run on the emulator of lockstep.h.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "half.h"
#include "lockstep.h"
#include "mma.h"

#define LMF_DEVICE inline

// CUDA's vector types, with the same alignment.
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};

namespace lmf {
namespace warp {

using emulator::Collective;
using emulator::Machine;
using emulator::Site;

constexpr int kSize = emulator::kWarp;

struct Position {
  int warp, warps, block, blocks;
};

inline int lane() { return Machine::current().lane(); }

// ---- memory ---------------------------------------------------------------------------------------------------------

template <class T>
T load(const T* p) {
  Machine::current().global().check_load(p, sizeof(T));
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

template <class T>
void store(T* p, T value) {
  Machine::current().global().check_store(p, sizeof(T));
  std::memcpy(p, &value, sizeof value);
}

template <class T>
T shared_load(const T* p) {
  static_assert(sizeof(T) >= emulator::SharedMemory::kWord, "the race detector works on 32-bit words");
  Machine& machine = Machine::current();
  machine.shared().check_load(p, sizeof(T), machine.thread());
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

template <class T>
void shared_store(T* p, T value) {
  static_assert(sizeof(T) >= emulator::SharedMemory::kWord, "the race detector works on 32-bit words");
  Machine& machine = Machine::current();
  machine.shared().check_store(p, sizeof(T), machine.thread());
  std::memcpy(p, &value, sizeof value);
}

inline void copy_async(uint4* shared, const uint4* global) {
  Machine& machine = Machine::current();
  machine.copies().start(shared, global, sizeof *shared, machine.thread());
}

inline void copy_commit() {
  Machine& machine = Machine::current();
  machine.copies().commit(machine.thread());
}

template <int kPending>
void copy_wait() {
  Machine& machine = Machine::current();
  machine.copies().wait(kPending, machine.thread());
}

// ---- operations of all lanes. file and line are the caller's, because all lanes must call from the same place. ------

inline void block_barrier(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static constexpr Collective barrier{"block_barrier", nullptr, emulator::Scope::block};
  Machine::current().wait(barrier, nullptr, nullptr, Site{file, line});
}

inline void complete_warp_barrier(emulator::Lane* warp) {
  Machine::current().clocks().sync(warp[0].thread / emulator::kWarp);
}

inline void warp_barrier(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static constexpr Collective barrier{"warp_barrier", &complete_warp_barrier};
  Machine::current().wait(barrier, nullptr, nullptr, Site{file, line});
}

template <class T>
struct Shuffled {
  T value;
  int source;
};

template <class T>
void complete_shuffle(emulator::Lane* warp) {
  for (int lane = 0; lane < emulator::kWarp; ++lane) {
    const int source = static_cast<const Shuffled<T>*>(warp[lane].in)->source;
    if (source < 0 || source >= emulator::kWarp)
      throw emulator::Error("lane " + std::to_string(lane) + " shuffles from lane " + std::to_string(source) + " at " +
                            warp[lane].site.describe());
    *static_cast<T*>(warp[lane].out) = static_cast<const Shuffled<T>*>(warp[source].in)->value;
  }
}

template <class T>
T shuffle(T value, int source_lane, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static constexpr Collective exchange{"shuffle", &complete_shuffle<T>};
  const Shuffled<T> in{value, source_lane};
  T out;
  Machine::current().wait(exchange, &in, &out, Site{file, line});
  return out;
}

constexpr const char* mma_name(F16) { return "mma<F16>"; }
constexpr const char* mma_name(BF16) { return "mma<BF16>"; }

template <class H>
void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4],
         const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static constexpr Collective product{mma_name(H{}), &emulator::complete_mma<H>};
  const emulator::MmaOperands in{a, b, c};
  float out[4];  // d may be c
  Machine::current().wait(product, &in, out, Site{file, line});
  for (int i = 0; i < 4; ++i) d[i] = out[i];
}

inline void mma_half(uint32_t (&d)[2], const uint32_t (&a)[4], const uint32_t (&b)[2],
                     const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static constexpr Collective product{"mma_half", &emulator::complete_mma_half};
  const emulator::MmaOperands in{a, b, nullptr};
  uint32_t out[2];
  Machine::current().wait(product, &in, out, Site{file, line});
  for (int i = 0; i < 2; ++i) d[i] = out[i];
}

// ---- arithmetic of one lane -----------------------------------------------------------------------------------------

inline int opaque(int x) { return x; }  // only nvcc's optimiser needs it

inline float fma(float a, float b, float c) { return std::fma(a, b, c); }

inline float multiply(float a, float b) { return a * b; }

inline int bits_of(float x) { return int(emulator::bits_of(x)); }

inline float relu(float x) { return x <= 0.0f ? 0.0f : x; }

template <class H>
uint32_t pack(float low, float high) {
  return emulator::round_to(low, H{}) | uint32_t(emulator::round_to(high, H{})) << 16;
}

template <class H>
uint32_t pack_relu(float low, float high) {
  return pack<H>(relu(low), relu(high));
}

template <class H>
float widen(uint16_t bits) {
  return emulator::widened(bits, H{});
}

template <class H>
float widen_low(uint32_t pair) {
  return widen<H>(uint16_t(pair));
}

template <class H>
float widen_high(uint32_t pair) {
  return widen<H>(uint16_t(pair >> 16));
}

template <class H>
uint32_t fma_pair(uint32_t a, uint32_t b, uint32_t c) {
  return pack<H>(emulator::product_plus(widen_low<H>(a), widen_low<H>(b), widen_low<H>(c)),
                 emulator::product_plus(widen_high<H>(a), widen_high<H>(b), widen_high<H>(c)));
}

template <class H>
uint32_t fma_relu_pair(uint32_t a, uint32_t b, uint32_t c) {
  return pack_relu<H>(emulator::product_plus(widen_low<H>(a), widen_low<H>(b), widen_low<H>(c)),
                      emulator::product_plus(widen_high<H>(a), widen_high<H>(b), widen_high<H>(c)));
}

inline float clamp(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

inline uint8_t round_to_byte(float x) {
  if (x != x) return 0;
  if (!(x >= 0.0f && x <= 255.0f)) throw emulator::Error("round_to_byte of " + std::to_string(x));
  return uint8_t(std::nearbyint(x));
}

}  // namespace warp
}  // namespace lmf
