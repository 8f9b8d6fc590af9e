// How the kernel by columns divides a picture: which pixels and cells belong to an item of work. The launcher makes a
// ColumnPlan for each call, so that the kernel needs neither 64-bit arithmetic nor divisions.
//
// An item is 8 neighbouring columns x up to 12 rows between two LR centre rows, or 32 x 4 in float32. Where more rows
// lie between two centres, they are cut into chunks of the same number of rows. Chunks begin at the same rows of the
// picture whatever the window, and a value depends only on its chunk, so that a window has the bits of the whole.
#pragma once

#include "../common/geometry.h"
#include "elements.h"
#include "modulated_shape.h"
#include "unroll.h"

namespace lmf::modulated {

// The most that an item has, and output rows per LR row from which it is faster than the kernel per pixel, by counts of
// instructions: a tile of two rows costs less than half as much there, and two rows in float32 about as much.
struct ItemSize {
  int columns, rows, least_scale;
};
constexpr ItemSize kMmaItem = {8, 12, 1}, kFloat32Item = {32, 4, 2};

LMF_HOST_DEVICE inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// n / divisor for 0 <= n < 2^30, by one multiplication.
struct Divider {
  uint32_t divisor, multiplier;  // multiplier: 2^(31 + shift) / divisor, rounded up
  int32_t shift;                 // 2^shift is the smallest power of two that is not below the divisor

  Divider() = default;
  explicit Divider(int64_t d) : divisor(uint32_t(d)), shift(0) {
    while (int64_t(1) << shift < d) ++shift;
    multiplier = uint32_t(((uint64_t(1) << (31 + shift)) + uint64_t(d) - 1) / uint64_t(d));
  }
  LMF_DEVICE uint32_t quotient(uint32_t n) const { return uint32_t((uint64_t(2 * n) * multiplier) >> 32) >> shift; }
};

// Two cells along an axis, (k, k + 1) before clamping, and where pixels lie between them.
struct CellPair {
  int k0;      // -1 before the first centre
  int cell0;   // clamped
  bool moves;  // whether the second cell is another one
  float f;     // position of a pixel between the centres, in [0, 1)

  // k0 minus each clamped cell: rel = 2 * (f + offset).
  LMF_DEVICE float offset(int second) const { return float(k0 - cell0 - int(second && moves)); }
};

LMF_DEVICE CellPair make_pair(int k0, int n, float f) {
  const int cell = k0 < 0 ? 0 : k0;
  return {k0, cell, k0 >= 0 && k0 + 1 < n, f};
}

// Rows `low` to `high` - 1 of an item's chunk lie in the window. The chunk's rows are numbered from 0.
struct RowChunk {
  CellPair cells;      // f: of row 0
  int row, low, high;  // row: of row 0 relative to the window; high <= low: none

  LMF_DEVICE uint32_t rows() const { return (1u << high) - (1u << low); }  // bit i: row i lies in the window
};

struct ColumnPlan {
  Divider groups, chunks, blocks;  // groups of columns, chunks of a pair of centre rows, chunks of the window
  Divider y_cell, x_cell;          // twice the LR rows; twice the output columns
  uint32_t items;
  int32_t lr_h, lr_w, lr_y0, lr_x0, height, width, y0, x0, rows, cols;
  int32_t first_pair, chunk_rows;
  float y_scale, x_scale, y_step;  // f = integer * scale; a row is y_step further than the one before
  // Offset of a cell's parameters in units of 16 bytes, modulo 2^32.
  uint32_t fields_origin, fields_b, fields_y, fields_x;
  // Strides in bytes.
  int64_t skip_b, skip_c, out_b, out_c;
  int32_t skip_y, skip_x, out_y, out_x;
  // The epilogue as one multiply-add and limits.
  float finish_scale, finish_shift, finish_low, finish_high;

  LMF_DEVICE CellPair column(int col) const {  // of the window
    const int pos = x0 + (col < cols ? col : cols - 1);
    const uint32_t n = uint32_t(2 * pos + 1) * uint32_t(lr_w) + uint32_t(width);
    const uint32_t q = x_cell.quotient(n);
    return make_pair(int(q) - 1, lr_w, warp::multiply(float(int(n - q * x_cell.divisor)), x_scale));
  }

  // First row at or after the centre of LR row k.
  LMF_DEVICE int first_row(int k) const {
    if (k < 0) return 0;
    const int row = int(y_cell.quotient(uint32_t(2 * k + 1) * uint32_t(height) + uint32_t(lr_h - 1)));
    return row < height ? row : height;
  }

  LMF_DEVICE RowChunk chunk(uint32_t block) const {
    const uint32_t pair = chunks.quotient(block);
    const int k = first_pair + int(pair), begin = first_row(k), end = first_row(k + 1);
    const int first = begin + int(block - pair * chunks.divisor) * chunk_rows;
    const int stop = first + chunk_rows < end ? first + chunk_rows : end;
    // Modulo 2^32: the result fits, and not all its terms do.
    const uint32_t remainder = uint32_t(2 * first + 1) * uint32_t(lr_h) - uint32_t(2 * k + 1) * uint32_t(height);
    RowChunk c;
    c.cells = make_pair(k, lr_h, warp::multiply(float(int(remainder)), y_scale));
    c.row = first - y0;
    c.low = c.row < 0 ? -c.row : 0;
    c.high = (stop - y0 < rows ? stop - y0 : rows) - c.row;
    return c;
  }
};

// Whether the kernel by columns renders the call. This depends on the whole picture and not on the window, so that a
// window has the bits of the whole.
inline bool columns_fit(const ModulatedCall& call, ItemSize item) {
  const Fields& f = call.render.fields;
  const Output& o = call.render.out;
  if (call.render.points.coord || !call.mlp.ensemble || f.lr_h == 0 || f.lr_w == 0) return false;
  const int64_t most = int64_t(1) << 30;
  const auto fits = [&](int64_t n_in, int64_t n_out) {
    return n_in < most && n_out < most && 2 * n_in * n_out + 4 * (n_in + n_out) < most;
  };
  for (const int64_t stride : {call.render.skip.stride_y, call.render.skip.stride_x, o.stride_y, o.stride_x}) {
    if (stride < -most / 4 || stride > most / 4) return false;  // in bytes it has 32 bits
  }
  if (!fits(f.lr_h, o.height) || !fits(f.lr_w, o.width)) return false;
  const int64_t chunks = ceil_div(ceil_div(o.height, f.lr_h), item.rows);
  return o.height >= item.least_scale * f.lr_h &&
         (f.lr_h + 1) * chunks < most / (ceil_div(o.width, item.columns) + 1) / (f.batch + 1);
}

inline ColumnPlan make_column_plan(const ModulatedCall& call, ItemSize item) {
  const Fields& f = call.render.fields;
  const Output& o = call.render.out;
  ColumnPlan p{};
  if (o.rows == 0 || o.cols == 0) return p;
  const auto pair_of = [&](int64_t row) { return floor_div((2 * row + 1) * f.lr_h - o.height, 2 * o.height); };
  const int64_t most_rows = ceil_div(o.height, f.lr_h), chunks = ceil_div(most_rows, item.rows);
  const int64_t first = pair_of(o.y0), blocks = (pair_of(o.y0 + o.rows - 1) - first + 1) * chunks;
  const int64_t groups = ceil_div(o.cols, item.columns);
  p.groups = Divider(groups);
  p.chunks = Divider(chunks);
  p.blocks = Divider(blocks);
  p.y_cell = Divider(2 * f.lr_h);
  p.x_cell = Divider(2 * o.width);
  p.items = uint32_t(f.batch * blocks * groups);
  p.lr_h = int32_t(f.lr_h);
  p.lr_w = int32_t(f.lr_w);
  p.height = int32_t(o.height);
  p.width = int32_t(o.width);
  p.y0 = int32_t(o.y0);
  p.x0 = int32_t(o.x0);
  p.rows = int32_t(o.rows);
  p.cols = int32_t(o.cols);
  p.first_pair = int32_t(first);
  p.chunk_rows = int32_t(ceil_div(most_rows, chunks));
  p.y_scale = 1.0f / float(2 * o.height);
  p.x_scale = 1.0f / float(2 * o.width);
  p.y_step = float(2 * f.lr_h) * p.y_scale;
  p.lr_y0 = int32_t(f.lr_y0);
  p.lr_x0 = int32_t(f.lr_x0);
  const Skip& s = call.render.skip;
  const int64_t bytes = s.element == Element::float32 ? 4 : 2, stored = stored_bytes(o.store);
  p.skip_b = s.stride_b * bytes;
  p.skip_c = s.stride_c * bytes;
  p.skip_y = int32_t(s.stride_y * bytes);
  p.skip_x = int32_t(s.stride_x * bytes);
  p.out_b = o.stride_b * stored;
  p.out_c = o.stride_c * stored;
  p.out_y = int32_t(o.stride_y * stored);
  p.out_x = int32_t(o.stride_x * stored);
  p.fields_b = uint32_t(f.stride_b / 8);
  p.fields_y = uint32_t(f.stride_y / 8);
  p.fields_x = uint32_t(f.stride_x / 8);
  p.fields_origin = uint32_t(-(f.lr_y0 * f.stride_y + f.lr_x0 * f.stride_x) / 8);
  const bool unit = o.epilogue == Epilogue::unit;
  p.finish_scale = unit ? 0.5f : 1.0f;
  p.finish_shift = unit ? 0.5f : 0.0f;
  p.finish_low = unit ? 0.0f : -__builtin_inff();
  p.finish_high = unit ? 1.0f : __builtin_inff();
  return p;
}

}  // namespace lmf::modulated
