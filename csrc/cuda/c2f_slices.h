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
  static constexpr int kRowBytes = 2 * dense::kWidth;

  LMF_DEVICE explicit RowTable(unsigned char* of_warp) : bytes_(of_warp) {}

  // Where this lane's vectors of a row lie, for at(). Rows lie in different banks.
  LMF_DEVICE static int place(int row) { return row * kRowBytes + (row & 7) * 64 + (warp::lane() & 3) * 16; }
  // Its vector of chunk m.
  LMF_DEVICE uint4* at(int place, int m) const { return reinterpret_cast<uint4*>(bytes_ + (place ^ 64 * m)); }
  // The same memory as 16 vectors of each lane by itself.
  LMF_DEVICE uint4* own(int i) const { return reinterpret_cast<uint4*>(bytes_) + i * dense::kLanes + warp::lane(); }

 private:
  unsigned char* bytes_;
};

constexpr int kEightRows = 8 * RowTable::kRowBytes / 16;  // vectors

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

// Keeps the slice vectors of one side of the cells, blended along y: as row g of an operand, or row g + 8.
template <class Half>
LMF_DEVICE void keep_side(const Operand& x, const RowTable& table, int side, float rel_y) {
  LMF_UNROLL
  for (int step = 0; step < dense::kSteps; ++step) {
    uint32_t* to = reinterpret_cast<uint32_t*>(table.own(step)) + side;
    warp::shared_store(to, blend<Half>(x[step][0], x[step][1], rel_y));
    warp::shared_store(to + 2, blend<Half>(x[step][2], x[step][3], rel_y));
  }
}

// ---- Other Rows: the coarse layers run once.

// Keeps the slice vectors.
LMF_DEVICE void keep_slices(const Operand& x, const RowTable& table) {
  LMF_UNROLL
  for (int step = 0; step < dense::kSteps; ++step) warp::shared_store(table.own(step), vector_of(x[step]));
}

// ---- Then fine layer 0, with what was kept as its operand. Rows::ends: row g is the left end of slice g, row g + 8
// the
// ---- right one.
LMF_DEVICE void load_slices(Operand& x, const RowTable& table) {
  LMF_UNROLL
  for (int step = 0; step < dense::kSteps; ++step) {
    const uint4 v = warp::shared_load(table.own(step));
    x[step][0] = v.x;
    x[step][1] = v.y;
    x[step][2] = v.z;
    x[step][3] = v.w;
  }
}

// Rows::ends: fine layer 0 at rel_x = 0 into row g of the table, and its slope along rel_x into row g + 8.
template <class Half>
LMF_DEVICE void keep_ends(const Sums& sums, const RowTable& table, float rel_y, const float4* rel) {
  const int lane = warp::opaque(warp::lane());  // else the addresses are kept in registers all the time
  const int t = lane & 3, place = table.place(lane >> 2);
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
    warp::shared_store(table.at(place, m), vector_of(mean));
    warp::shared_store(table.at(place, m) + kEightRows, vector_of(half));
  }
}

// relu(mean + rel_x * half)
template <class Half>
LMF_DEVICE void pixels_between_ends(Operand& x, const RowTable& table, const Pixel (&pixels)[2]) {
  const uint32_t rel[2] = {warp::pack<Half>(pixels[0].rel_x, pixels[0].rel_x),
                           warp::pack<Half>(pixels[1].rel_x, pixels[1].rel_x)};
  const int places[2] = {table.place(pixels[0].cell), table.place(pixels[1].cell)};
  LMF_UNROLL
  for (int m = 0; m < kChunks; ++m) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      const uint4 mean = warp::shared_load(table.at(places[r], m));
      const uint4 half = warp::shared_load(table.at(places[r], m) + kEightRows);
      LMF_UNROLL
      for (int q = 0; q < 4; ++q) {
        word_of(x, m, q, r) = warp::fma_relu_pair<Half>(rel[r], dense::word(half, q), dense::word(mean, q));
      }
    }
  }
}

// Other Rows: fine layer 0 of all rows. Those of cell k are 2 k + side (above) and 2 k + side + 8 (below) for
// Rows::vertices, row k for Rows::centres.
template <class Half>
LMF_DEVICE void keep_rows(const Sums& sums, const RowTable& table) {
  const int place = table.place(warp::opaque(warp::lane() >> 2));
  LMF_UNROLL
  for (int m = 0; m < kChunks; ++m) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      uint32_t words[4];
      LMF_UNROLL
      for (int q = 0; q < 4; ++q) words[q] = warp::pack<Half>(sums[4 * m + q][2 * r], sums[4 * m + q][2 * r + 1]);
      warp::shared_store(table.at(place, m) + r * kEightRows, vector_of(words));
    }
  }
}

// relu(blend of a cell's rows + rel)
template <class Half>
LMF_DEVICE void pixels_among_rows(Operand& x, const RowTable& table, const Pixel (&pixels)[2], bool vertices,
                                  const float4* rel) {
  const int t = warp::opaque(warp::lane()) & 3;
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
      LMF_KEEP_LOOP
      for (int corner = 0; corner < (vertices ? 4 : 1); ++corner) {
        const int below = corner >> 1, right = corner & 1;
        const float along_y = 0.5f + (below ? 0.5f : -0.5f) * at.rel_y;
        const float along_x = 0.5f + (right ? 0.5f : -0.5f) * at.rel_x;
        const float weight = vertices ? along_y * along_x : 1.0f;
        const int row = vertices ? 2 * at.cell + right + 8 * below : at.cell;
        const uint4 v = warp::shared_load(table.at(table.place(row), m));
        LMF_UNROLL
        for (int q = 0; q < 4; ++q) {
          sums[q][0] = warp::fma(weight, warp::widen_low<Half>(dense::word(v, q)), sums[q][0]);
          sums[q][1] = warp::fma(weight, warp::widen_high<Half>(dense::word(v, q)), sums[q][1]);
        }
      }
      LMF_UNROLL
      for (int q = 0; q < 4; ++q) word_of(x, m, q, r) = warp::pack_relu<Half>(sums[q][0], sums[q][1]);
    }
  }
}

}  // namespace lmf::c2f
