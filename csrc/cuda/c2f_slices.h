// Slice vectors of a warp, from the coarse layers to the first activation of its pixels. Rows of operands and sums are
// those of dense_pass.h; a lane has its own channels of rows g and g + 8, and keeps them in every table.
#pragma once

#include "c2f_units.h"
#include "dense_heads.h"

namespace lmf::c2f {

using dense::InGlobal;
using dense::Operand;
using dense::Sums;

constexpr int kChunks = dense::kWidth / 32;  // of 32 channels, 8 of which are a lane's: a vector of a row

// 16 rows of 256 halves in shared memory, for each warp.
class RowTable {
 public:
  LMF_DEVICE explicit RowTable(unsigned char* of_warp) : vectors_(reinterpret_cast<uint4*>(of_warp)) {}

  // This lane's vector of chunk m of a row. The rows lie in different banks.
  LMF_DEVICE uint4* at(int row, int m) const {
    return vectors_ + row * (dense::kWidth / 8) + ((m ^ (row & 7)) * 4 + (warp::lane() & 3));
  }
  // Space for 8 vectors of this lane alone, in the same memory.
  LMF_DEVICE uint4* own(int m) const { return vectors_ + m * dense::kLanes + warp::lane(); }

 private:
  uint4* vectors_;
};

LMF_DEVICE uint4 vector_of(const uint32_t (&words)[4]) { return {words[0], words[1], words[2], words[3]}; }

// Word q of a vector of row r (0 or 1: g or g + 8) of an operand's chunk m.
LMF_DEVICE uint32_t& word_of(Operand& x, int m, int q, int r) { return x[2 * m + q / 2][2 * (q % 2) + r]; }

// ---- Rows::ends: the coarse layers run for the left vertices of the cells, then for the right ones. Rows g and g + 8
// ---- are the slice as seen from the vertex above and below.

// lower * (1 - rel) / 2 + upper * (1 + rel) / 2 of pairs of halves.
template <class Half>
LMF_DEVICE uint32_t blend(uint32_t lower, uint32_t upper, float rel) {
  const float from_lower = 0.5f - 0.5f * rel, from_upper = 0.5f + 0.5f * rel;
  const float low = warp::fma(from_upper, warp::widen_low<Half>(upper), from_lower * warp::widen_low<Half>(lower));
  const float high = warp::fma(from_upper, warp::widen_high<Half>(upper), from_lower * warp::widen_high<Half>(lower));
  return warp::pack<Half>(low, high);
}

// Blends the rows along y, into row g + 8. The left side is kept in the table; the right side then gets it back as row
// g, and both are the operand of fine layer 0: the two ends of the slice.
template <class Half>
LMF_DEVICE void blend_rows(Operand& x, const RowTable& table, bool left, float rel_y) {
  LMF_UNROLL
  for (int m = 0; m < kChunks; ++m) {
    LMF_UNROLL
    for (int q = 0; q < 4; ++q) {
      word_of(x, m, q, 1) = blend<Half>(word_of(x, m, q, 0), word_of(x, m, q, 1), rel_y);
    }
  }
  if (left) {
    LMF_UNROLL
    for (int m = 0; m < kChunks; ++m) {
      const uint4 v{word_of(x, m, 0, 1), word_of(x, m, 1, 1), word_of(x, m, 2, 1), word_of(x, m, 3, 1)};
      warp::shared_store(table.own(m), v);
    }
  } else {
    LMF_UNROLL
    for (int m = 0; m < kChunks; ++m) {
      const uint4 v = warp::shared_load(table.own(m));
      LMF_UNROLL
      for (int q = 0; q < 4; ++q) word_of(x, m, q, 0) = dense::word(v, q);
    }
  }
}

// Fine layer 0 at rel_x = 0 into row g of the table, and its slope along rel_x into row g + 8.
template <class Half>
LMF_DEVICE void keep_ends(const Sums& sums, const RowTable& table, float rel_y, const float4* rel) {
  const int g = warp::lane() >> 2, t = warp::lane() & 3;
  LMF_UNROLL
  for (int m = 0; m < kChunks; ++m) {
    uint32_t mean[4], half[4];
    LMF_UNROLL
    for (int q = 0; q < 4; ++q) {
      const float (&ends)[4] = sums[4 * m + q];  // left, left, right, right
      const float4 w = InGlobal::load(rel + (4 * m + q) * 4 + t);
      mean[q] = warp::pack<Half>(warp::fma(0.5f, ends[0] + ends[2], rel_y * w.x),
                                 warp::fma(0.5f, ends[1] + ends[3], rel_y * w.z));
      half[q] = warp::pack<Half>(warp::fma(0.5f, ends[2] - ends[0], w.y), warp::fma(0.5f, ends[3] - ends[1], w.w));
    }
    warp::shared_store(table.at(g, m), vector_of(mean));
    warp::shared_store(table.at(g + 8, m), vector_of(half));
  }
}

// relu(mean + rel_x * half)
template <class Half>
LMF_DEVICE void pixels_between_ends(Operand& x, const RowTable& table, const Pixel (&pixels)[2]) {
  const uint32_t rel[2] = {warp::pack<Half>(pixels[0].rel_x, pixels[0].rel_x),
                           warp::pack<Half>(pixels[1].rel_x, pixels[1].rel_x)};
  LMF_UNROLL
  for (int m = 0; m < kChunks; ++m) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      const uint4 mean = warp::shared_load(table.at(pixels[r].cell, m));
      const uint4 half = warp::shared_load(table.at(pixels[r].cell + 8, m));
      LMF_UNROLL
      for (int q = 0; q < 4; ++q) {
        word_of(x, m, q, r) = warp::fma_relu_pair<Half>(rel[r], dense::word(half, q), dense::word(mean, q));
      }
    }
  }
}

// ---- Rows::vertices, rows 2 k + side (above) and 2 k + side + 8 (below) of cell k; Rows::centres, row k.

// Keeps fine layer 0 of all rows.
template <class Half>
LMF_DEVICE void keep_rows(const Sums& sums, const RowTable& table) {
  LMF_UNROLL
  for (int m = 0; m < kChunks; ++m) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      uint32_t words[4];
      LMF_UNROLL
      for (int q = 0; q < 4; ++q) words[q] = warp::pack<Half>(sums[4 * m + q][2 * r], sums[4 * m + q][2 * r + 1]);
      warp::shared_store(table.at((warp::lane() >> 2) + 8 * r, m), vector_of(words));
    }
  }
}

// relu(blend of kCorners rows + rel)
template <class Half, int kCorners>
LMF_DEVICE void pixels_among_rows(Operand& x, const RowTable& table, const Pixel (&pixels)[2], const float4* rel) {
  const int t = warp::lane() & 3;
  LMF_UNROLL
  for (int m = 0; m < kChunks; ++m) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      const Pixel& at = pixels[r];
      float sums[4][2];
      LMF_UNROLL
      for (int q = 0; q < 4; ++q) {
        const float4 w = InGlobal::load(rel + (4 * m + q) * 4 + t);
        sums[q][0] = warp::fma(at.rel_x, w.y, at.rel_y * w.x);
        sums[q][1] = warp::fma(at.rel_x, w.w, at.rel_y * w.z);
      }
      LMF_UNROLL
      for (int corner = 0; corner < kCorners; ++corner) {
        const int below = corner >> 1, right = corner & 1;
        const float along_y = below ? 0.5f + 0.5f * at.rel_y : 0.5f - 0.5f * at.rel_y;
        const float along_x = right ? 0.5f + 0.5f * at.rel_x : 0.5f - 0.5f * at.rel_x;
        const uint4 v = warp::shared_load(table.at(kCorners == 1 ? at.cell : 2 * at.cell + right + 8 * below, m));
        LMF_UNROLL
        for (int q = 0; q < 4; ++q) {
          const float low = warp::widen_low<Half>(dense::word(v, q)), high = warp::widen_high<Half>(dense::word(v, q));
          sums[q][0] = kCorners == 1 ? sums[q][0] + low : warp::fma(along_y * along_x, low, sums[q][0]);
          sums[q][1] = kCorners == 1 ? sums[q][1] + high : warp::fma(along_y * along_x, high, sums[q][1]);
        }
      }
      LMF_UNROLL
      for (int q = 0; q < 4; ++q) word_of(x, m, q, r) = warp::pack_relu<Half>(sums[q][0], sums[q][1]);
    }
  }
}

}  // namespace lmf::c2f
