// Sixteen float32 values side by side: one AVX-512 vector, two AVX2 vectors, four SSE or NEON vectors. A lane is a
// pixel in a forward pass and a channel in a backward pass.
//
// Compiled once per instruction set, in namespace lmf::LMF_ISA with internal linkage. The build uses -ffp-contract=off:
// a multiply-add is fused only where the code calls fma, so the bits of a result do not depend on inlining.
#pragma once

#include <cstdint>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace lmf {
namespace LMF_ISA {
namespace {

constexpr int kLanes = 16;

#if defined(__AVX512F__)
constexpr int kVectorWidth = 16;
#elif defined(__AVX2__)
constexpr int kVectorWidth = 8;
#else
constexpr int kVectorWidth = 4;
#endif
constexpr int kVectors = kLanes / kVectorWidth;

typedef float Vec __attribute__((vector_size(kVectorWidth * 4)));
typedef int32_t VecI __attribute__((vector_size(kVectorWidth * 4)));

inline Vec vec_set(float x) { return x - Vec{}; }  // compiles to a broadcast

// A broadcast of a float in memory, in a register of its own: the compiler does not make it an operand of the
// multiply-add that uses it.
inline Vec vec_broadcast(const float* p) {
  Vec r = vec_set(*p);
#if defined(__AVX512F__)
  asm("" : "+v"(r));
#endif
  return r;
}

inline Vec vec_fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__ARM_NEON)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}

// max(0, x). NaN stays NaN, as in torch.relu.
inline Vec vec_relu(Vec x) {
#if defined(__AVX512F__)
  return _mm512_max_ps(_mm512_setzero_ps(), x);
#elif defined(__AVX2__)
  return _mm256_max_ps(_mm256_setzero_ps(), x);
#else
  return (Vec)((VecI)x & ~(x < Vec{}));
#endif
}

// Gradient of y = relu(x): d where y > 0 or y is NaN, else 0, as in torch.
inline Vec vec_relu_gradient(Vec y, Vec d) {
#if defined(__AVX512F__)
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_NLE_UQ), d);
#else
  return (Vec)((VecI)d & ~(y <= Vec{}));
#endif
}

struct Lanes {
  Vec v[kVectors];
};

// Which of sixteen cells each lane reads: cell offset[i] + index[i][j] for lane j of vector i.
struct Select {
  VecI index[kVectors];
  int32_t offset[kVectors];  // lets an 8-wide vector read any 8 neighbouring cells
};

#define LMF_EACH_VECTOR _Pragma("GCC unroll 4") for (int i = 0; i < kVectors; ++i)

inline Lanes set(float x) {
  Lanes r;
  LMF_EACH_VECTOR r.v[i] = vec_set(x);
  return r;
}
inline Lanes broadcast(const float* p) {  // set(*p), never as an operand of another instruction: see vec_broadcast
  const Vec v = vec_broadcast(p);
  Lanes r;
  LMF_EACH_VECTOR r.v[i] = v;
  return r;
}
inline Lanes load(const float* p) {  // p: 64-byte aligned
  Lanes r;
  LMF_EACH_VECTOR r.v[i] = *reinterpret_cast<const Vec*>(p + i * kVectorWidth);
  return r;
}
inline void store(float* p, const Lanes& a) {  // p: 64-byte aligned
  LMF_EACH_VECTOR { *reinterpret_cast<Vec*>(p + i * kVectorWidth) = a.v[i]; }
}
inline Lanes fma(const Lanes& a, const Lanes& b, const Lanes& c) {
  Lanes r;
  LMF_EACH_VECTOR r.v[i] = vec_fma(a.v[i], b.v[i], c.v[i]);
  return r;
}
inline Lanes mul(const Lanes& a, const Lanes& b) {
  Lanes r;
  LMF_EACH_VECTOR r.v[i] = a.v[i] * b.v[i];
  return r;
}
inline Lanes add(const Lanes& a, const Lanes& b) {
  Lanes r;
  LMF_EACH_VECTOR r.v[i] = a.v[i] + b.v[i];
  return r;
}
inline Lanes relu(const Lanes& a) {
  Lanes r;
  LMF_EACH_VECTOR r.v[i] = vec_relu(a.v[i]);
  return r;
}
inline Lanes relu_gradient(const Lanes& y, const Lanes& d) {
  Lanes r;
  LMF_EACH_VECTOR r.v[i] = vec_relu_gradient(y.v[i], d.v[i]);
  return r;
}
inline Lanes clamp_unit(const Lanes& a) {
  const Lanes one = set(1.0f);
  Lanes r = relu(a);
  LMF_EACH_VECTOR r.v[i] = r.v[i] > one.v[i] ? one.v[i] : r.v[i];
  return r;
}

// Vector i of select(cells, s).
inline Vec select_vector(const float* cells, const Select& s, int i) {
#if defined(__AVX512F__)
  return _mm512_permutexvar_ps((__m512i)s.index[0], _mm512_load_ps(cells));
#elif defined(__AVX2__)
  return _mm256_permutevar8x32_ps(_mm256_loadu_ps(cells + s.offset[i]), (__m256i)s.index[i]);
#else
  const float* p = cells + s.offset[i];
  return Vec{p[s.index[i][0]], p[s.index[i][1]], p[s.index[i][2]], p[s.index[i][3]]};
#endif
}

// The cells that each lane reads. cells: one channel of sixteen cells, 64-byte aligned.
inline Lanes select(const float* cells, const Select& s) {
  Lanes r;
  LMF_EACH_VECTOR r.v[i] = select_vector(cells, s, i);
  return r;
}

// How many neighbouring cells one vector can select from.
constexpr int kSelectSpan = kVectorWidth == 8 ? 8 : kLanes;

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf
