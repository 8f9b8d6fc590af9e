// Where the slices and pixels of a warp lie (DIIF, arXiv 2306.12321).
#pragma once

#include "c2f_plan.h"
#include "coordinates.h"

namespace lmf::c2f {

// floor(a / b) for 0 <= a < 2^53, where per_b = 1 / b: the product is off by one at most. A division of 64-bit integers
// is a call, before which registers are saved.
LMF_DEVICE int64_t floor_quotient(int64_t a, int64_t b, double per_b) {
  const int64_t q = int64_t(double(a) * per_b), rest = a - q * b;
  return rest < 0 ? q - 1 : rest >= b ? q + 1 : q;
}

// The functions of SliceAxis.
LMF_DEVICE int64_t owner(const Axis& a, int64_t position) {
  return floor_quotient((2 * position + 1) * a.n_in, 2 * a.n_out, a.per_two_out);
}
LMF_DEVICE int64_t first_position(const Axis& a, int64_t cell) {
  return floor_quotient(2 * cell * a.n_out + a.n_in - 1, 2 * a.n_in, a.per_two_in);
}
LMF_DEVICE float rel(const Axis& a, int64_t position, int64_t cell) {
  return float(double((2 * position + 1) * a.n_in - a.n_out - 2 * cell * a.n_out) * (2.0 * a.per_two_out));
}

// Cells and weights for the skip: those of corners_on_grid (coordinates.h). rel and nearest are not set.
LMF_DEVICE AxisCorners skip_corners(const Axis& a, int64_t position) {
  const int64_t cell = owner(a, position);
  const float from_centre = 0.5f * rel(a, position, cell);  // in cells
  const int64_t k0 = from_centre < 0.0f ? cell - 1 : cell;
  AxisCorners c{};
  c.cell[0] = clamp_cell(k0, a.n_in);
  c.cell[1] = clamp_cell(k0 + 1, a.n_in);
  c.weight[1] = from_centre < 0.0f ? 1.0f + from_centre : from_centre;
  c.weight[0] = 1.0f - c.weight[1];
  return c;
}

// What a warp renders at a time, in shared memory: registers are scarce.
struct Unit {
  int64_t warp;         // index in the block
  int64_t batch, row;   // of cells
  int64_t first, last;  // column of its first cell, and of the last cell of the window
  int64_t top, left;    // its first pixel, in the whole output
  int64_t rows, cols;   // of its pixels; 0: none
  float first_y;        // rel of its slices' first row
};
static_assert(sizeof(Unit) <= kUnitBytes);

// Computes the warp's unit of a job, which has no pixels if there are fewer. Barriers of the warp must be around it.
LMF_DEVICE void fill(const C2fArguments& c, int job, Unit* to) {
  if (warp::lane() != 0) return;
  int64_t index = int64_t(job) * kWarps + warp::shared_load(&to->warp);
  const RenderCall& call = c.render;
  const Output& o = call.out;
  const Axis &y = c.y, &x = c.x;
  const bool none = index >= c.units;
  if (none) index = c.units - 1;
  const int64_t line_of_all = quotient(index, c.groups), group = index - line_of_all * c.groups;
  const int64_t batch = quotient(line_of_all, c.lines), line = line_of_all - batch * c.lines;
  const int64_t first = c.low_x + group * cells_of(c.rows);
  const int64_t beyond = first + cells_of(c.rows) <= c.high_x ? first + cells_of(c.rows) : c.high_x + 1;
  const int64_t row = c.linear_slices ? owner(y, o.y0 + line) : c.low_y + line;
  int64_t start = first_position(y, row), top = o.y0 + line, bottom = top + 1;
  if (!c.linear_slices) {
    const int64_t end = first_position(y, row + 1);
    top = start > o.y0 ? start : o.y0;
    bottom = end < o.y0 + o.rows ? end : o.y0 + o.rows;
  } else {
    start = top;  // a row is a slice
  }
  int64_t left = first_position(x, first), right = first_position(x, beyond);
  left = left > o.x0 ? left : o.x0;
  right = right < o.x0 + o.cols ? right : o.x0 + o.cols;
  const bool empty = none || top >= bottom || left >= right;
  warp::shared_store(&to->batch, batch);
  warp::shared_store(&to->row, row);
  warp::shared_store(&to->first, first);
  warp::shared_store(&to->last, c.high_x);
  warp::shared_store(&to->top, top);
  warp::shared_store(&to->left, left);
  warp::shared_store(&to->rows, empty ? int64_t(0) : bottom - top);
  warp::shared_store(&to->cols, empty ? int64_t(0) : right - left);
  warp::shared_store(&to->first_y, rel(y, start, row));
}

// A row of a warp's tile in the coarse layers, a slice as seen from a vertex: a Row of dense_heads.h.
struct SliceRow {
  int64_t offset;  // of the vertex's parameters in the fields, in elements
  float y, x;      // the slice's first pixel; for a Fourier head the size of a pixel is added
  float last_y, last_x;

  // W . [cell, first, last]
  LMF_DEVICE float affine(float base, const float4& w) const {
    return warp::fma(w.y, x, warp::fma(w.x, y, base + w.z));
  }
  // freq (cell + first) + phase last
  LMF_DEVICE float angle(float freq_y, float freq_x, float phase_y, float phase_x) const {
    return warp::fma(freq_y, y, warp::fma(freq_x, x, warp::fma(phase_x, last_x, phase_y * last_y)));
  }
};

// This lane's row g + 8 r, g = lane / 4. side: of the cells, for Rows::ends.
template <Head head>
LMF_DEVICE SliceRow slice_row(const C2fArguments& c, const Unit* unit, int side, int r) {
  const int g = warp::lane() >> 2;
  const bool ends = c.rows == Rows::ends, vertices = c.rows == Rows::vertices;
  const int cell_of_unit = ends ? g : vertices ? g >> 1 : g + 8 * r;
  // Which of the two vertices of an axis, and where it lies as seen from the cell's centre.
  const int index_y = ends || vertices ? r : 0, index_x = ends ? side : vertices ? g & 1 : 0;
  const float vertex_y = ends || vertices ? float(2 * index_y - 1) : 0.0f;
  const float vertex_x = ends || vertices ? float(2 * index_x - 1) : 0.0f;
  int64_t cell = warp::shared_load(&unit->first) + cell_of_unit;
  const int64_t last = warp::shared_load(&unit->last);
  cell = cell < last ? cell : last;  // beyond the last one nobody reads what comes out
  const float first_y = warp::shared_load(&unit->first_y) - vertex_y;
  const float first_x = rel(c.x, first_position(c.x, cell), cell) - vertex_x;
  const bool fourier = head == Head::fourier;
  return {cell_offset(c.render.fields, warp::shared_load(&unit->batch), warp::shared_load(&unit->row) + index_y,
                      cell + index_x),
          fourier ? c.cell_y + first_y : first_y, fourier ? c.cell_x + first_x : first_x, first_y + c.length_y,
          first_x + c.length_x};
}

// A pixel of the unit.
struct Pixel {
  int cell;  // of the unit
  float rel_y, rel_x;
};

// Pixel `index` of the unit, of which there are fewer than 2^32; beyond the last one, any.
LMF_DEVICE Pixel pixel_at(const C2fArguments& c, const Unit* unit, int64_t index) {
  const int64_t rows = warp::shared_load(&unit->rows), cols = warp::shared_load(&unit->cols);
  if (index >= rows * cols) index = rows * cols > 0 ? rows * cols - 1 : 0;
  const int64_t row = c.linear_slices || cols == 0 ? 0 : uint32_t(index) / uint32_t(cols);
  const int64_t position = warp::shared_load(&unit->left) + index - row * cols;
  const int64_t first = warp::shared_load(&unit->first);
  const int64_t cell = owner(c.x, position), number = cell - first;
  return {number < 0                  ? 0
          : number < cells_of(c.rows) ? int(number)
                                      : cells_of(c.rows) - 1,
          rel(c.y, warp::shared_load(&unit->top) + row, warp::shared_load(&unit->row)), rel(c.x, position, cell)};
}

// The pixels of rows g and g + 8 of a tile. One lane computes a pixel and hands it to the four lanes with its row.
LMF_DEVICE void pixels_of_tile(const C2fArguments& c, const Unit* unit, int tile, Pixel (&pixels)[2]) {
  const Pixel own = pixel_at(c, unit, int64_t(tile) * dense::kRows + (warp::lane() & 15));
  const int g = warp::lane() >> 2;
  LMF_UNROLL
  for (int r = 0; r < 2; ++r) {
    pixels[r].cell = warp::shuffle(own.cell, g + 8 * r);
    pixels[r].rel_y = warp::shuffle(own.rel_y, g + 8 * r);
    pixels[r].rel_x = warp::shuffle(own.rel_x, g + 8 * r);
  }
}

}  // namespace lmf::c2f
