// mma.sync.aligned.m16n8k16.row.col with float32 sums, and the form with float16 sums, of the lanes' fragments. The
// layout is that of the PTX ISA, "Matrix fragments for mma.m16n8k16 with floating point type": g = lane / 4, t = lane %
// 4, and the low half of a register has the lower index.
#pragma once

#include "half.h"
#include "lockstep.h"

namespace lmf::emulator {

struct MmaOperands {
  const uint32_t* a;  // 4: rows g and g + 8 of columns 2t and 2t + 1, then of columns 2t + 8 and 2t + 9
  const uint32_t* b;  // 2: rows 2t and 2t + 1 of column g, then rows 2t + 8 and 2t + 9
  const float* c;     // 4: row g, columns 2t and 2t + 1, then the same of row g + 8; nullptr: zeros
};

// A deliberate mistake for a test that must detect it: two registers of A are swapped.
#ifdef LMF_EMULATE_WRONG_FRAGMENT
constexpr int kRegisterOfA[2][2] = {{0, 2}, {1, 3}};
#else
constexpr int kRegisterOfA[2][2] = {{0, 1}, {2, 3}};  // [half of the columns][half of the rows]
#endif

// Products are exact and sums are in double. Each element is rounded once, at the end.
template <class Half>
void multiply(const Lane* warp, double (&d)[16][8]) {
  double a[16][16], b[16][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const MmaOperands& own = *static_cast<const MmaOperands*>(warp[lane].in);
    const int g = lane / 4, t = lane % 4;
    for (int k = 0; k < 2; ++k) {
      for (int half = 0; half < 2; ++half) {
        const int column = 8 * k + 2 * t + half, shift = 16 * half;
        for (int m = 0; m < 2; ++m)
          a[g + 8 * m][column] = widened(uint16_t(own.a[kRegisterOfA[k][m]] >> shift), Half{});
        b[column][g] = widened(uint16_t(own.b[k] >> shift), Half{});
      }
    }
    for (int i = 0; i < 4; ++i) d[g + 8 * (i / 2)][2 * t + i % 2] = own.c ? own.c[i] : 0.0f;
  }
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      for (int column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
    }
  }
}

template <class Half>
void complete_mma(Lane* warp) {
  double d[16][8];
  multiply<Half>(warp, d);
  for (int lane = 0; lane < kWarp; ++lane) {
    float* own = static_cast<float*>(warp[lane].out);
    for (int i = 0; i < 4; ++i) own[i] = float(d[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2]);
  }
}

// The form with float16 sums.
inline void complete_mma_half(Lane* warp) {
  double d[16][8];
  multiply<warp::F16>(warp, d);
  const auto rounded = [](double x) { return uint32_t(round_to(round_to_odd(x), warp::F16{})); };
  for (int lane = 0; lane < kWarp; ++lane) {
    uint32_t* own = static_cast<uint32_t*>(warp[lane].out);
    for (int m = 0; m < 2; ++m) {
      const double* pair = &d[lane / 4 + 8 * m][2 * (lane % 4)];
      own[m] = rounded(pair[0]) | rounded(pair[1]) << 16;
    }
  }
}

}  // namespace lmf::emulator
