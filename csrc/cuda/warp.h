// A thin layer over the hardware of a warp: everything that the kernels use and standard C++ does not have. Device
// bodies are ordinary per-lane code over these names. With LMF_EMULATE the same bodies compile for the CPU, where 32
// lanes run in lockstep.
#pragma once

#ifdef LMF_EMULATE
#include "../emulator/warp.h"
#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#define LMF_DEVICE __device__ __forceinline__

namespace lmf::warp {

constexpr int kSize = 32;  // lanes

// Tags of the half types. Halves are passed as bits: one in a uint16_t, or two in a uint32_t with the lower index in
// the low half.
struct F16 {
  using Value = __half;
  using Pair = __half2;
};
struct BF16 {
  using Value = __nv_bfloat16;
  using Pair = __nv_bfloat162;
};

// Index of a warp in its block and of the block in the grid, with their numbers.
struct Position {
  int warp, warps;
  int block, blocks;
};

LMF_DEVICE int lane() { return threadIdx.x & 31; }

// ---- memory ---------------------------------------------------------------------------------------------------------
template <class T>
LMF_DEVICE T load(const T* p) {
  return __ldg(p);
}
template <class T>
LMF_DEVICE void store(T* p, T value) {
  *p = value;
}
template <class T>
LMF_DEVICE T shared_load(const T* p) {
  return *p;
}
template <class T>
LMF_DEVICE void shared_store(T* p, T value) {
  *p = value;
}

// Copies 16 bytes from global to shared memory without waiting. The copies of a lane since its last copy_commit() form
// a group. copy_wait<n>() waits until at most the lane's n youngest groups are on their way. Other lanes may read what
// has arrived after a barrier.
LMF_DEVICE void copy_async(uint4* shared, const uint4* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(uint32_t(__cvta_generic_to_shared(shared))),
               "l"(global)
               : "memory");
}
LMF_DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
LMF_DEVICE void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// ---- synchronisation ------------------------------------------------------------------------------------------------
LMF_DEVICE void block_barrier() { __syncthreads(); }

LMF_DEVICE void warp_barrier() { __syncwarp(); }

template <class T>
LMF_DEVICE T shuffle(T value, int source_lane) {
  return __shfl_sync(0xffffffffu, value, source_lane);
}

// Returns x, in a way that the compiler cannot see through.
LMF_DEVICE int opaque(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

// ---- float32 --------------------------------------------------------------------------------------------------------
LMF_DEVICE float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }

// a * b, which the compiler does not contract with a following sum.
LMF_DEVICE float multiply(float a, float b) { return __fmul_rn(a, b); }

LMF_DEVICE int bits_of(float x) { return __float_as_int(x); }

// max(x, 0). NaN stays NaN, unlike with fmaxf.
LMF_DEVICE float relu(float x) {
  float y;
  asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(y) : "f"(x));
  return y;
}

// x limited to [low, high]. NaN stays NaN.
LMF_DEVICE float clamp(float x, float low, float high) {
  float y;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(x), "f"(low));
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(y), "f"(high));
  return y;
}

LMF_DEVICE uint8_t round_to_byte(float x) { return uint8_t(__float2uint_rn(x)); }

// ---- halves ---------------------------------------------------------------------------------------------------------
template <class H>
LMF_DEVICE uint32_t pack(float low, float high);
template <>
LMF_DEVICE uint32_t pack<F16>(float low, float high) {
  uint32_t d;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
  return d;
}
template <>
LMF_DEVICE uint32_t pack<BF16>(float low, float high) {
  uint32_t d;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
  return d;
}

// pack(relu(low), relu(high)) in one instruction. NaN stays NaN.
template <class H>
LMF_DEVICE uint32_t pack_relu(float low, float high);
template <>
LMF_DEVICE uint32_t pack_relu<F16>(float low, float high) {
  uint32_t d;
  asm("cvt.rn.relu.f16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
  return d;
}
template <>
LMF_DEVICE uint32_t pack_relu<BF16>(float low, float high) {
  uint32_t d;
  asm("cvt.rn.relu.bf16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
  return d;
}

template <class H>
LMF_DEVICE float widen(uint16_t bits);
template <>
LMF_DEVICE float widen<F16>(uint16_t bits) {
  return __half2float(__ushort_as_half(bits));
}
template <>
LMF_DEVICE float widen<BF16>(uint16_t bits) {
  return __uint_as_float(uint32_t(bits) << 16);
}
template <class H>
LMF_DEVICE float widen_low(uint32_t pair) {
  return widen<H>(uint16_t(pair));
}
template <class H>
LMF_DEVICE float widen_high(uint32_t pair) {
  return widen<H>(uint16_t(pair >> 16));
}

// a * b + c of two pairs of halves, rounded once.
template <class H>
LMF_DEVICE uint32_t fma_pair(uint32_t a, uint32_t b, uint32_t c);
template <>
LMF_DEVICE uint32_t fma_pair<F16>(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t d;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}
template <>
LMF_DEVICE uint32_t fma_pair<BF16>(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t d;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

// relu(a * b + c) of two pairs of halves, rounded once. NaN stays NaN.
template <class H>
LMF_DEVICE uint32_t fma_relu_pair(uint32_t a, uint32_t b, uint32_t c);
template <>
LMF_DEVICE uint32_t fma_relu_pair<F16>(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t d;
  asm("fma.rn.relu.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}
template <>
LMF_DEVICE uint32_t fma_relu_pair<BF16>(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t d;
  asm("fma.rn.relu.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

// ---- tensor cores ---------------------------------------------------------------------------------------------------
// D (16 x 8) = A (16 x 16) B (16 x 8) + C, with float32 sums. With g = lane / 4 and t = lane % 4, a lane holds
//   A: [g][2t, 2t+1], [g+8][2t, 2t+1], [g][2t+8, 2t+9], [g+8][2t+8, 2t+9]
//   B: [2t, 2t+1][g], [2t+8, 2t+9][g]          C, D: [g][2t], [g][2t+1], [g+8][2t], [g+8][2t+1]
// (PTX ISA, mma.m16n8k16).
template <class H>
LMF_DEVICE void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4]);
template <>
LMF_DEVICE void mma<F16>(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}
template <>
LMF_DEVICE void mma<BF16>(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}

// The same without C, with each sum rounded to float16 once: D [g][2t, 2t+1], [g+8][2t, 2t+1] in two registers.
LMF_DEVICE void mma_half(uint32_t (&d)[2], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0,%1}, {%2,%3,%4,%5}, {%6,%7}, {%8,%8};"
      : "=r"(d[0]), "=r"(d[1])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(0));
}

}  // namespace lmf::warp

#endif
