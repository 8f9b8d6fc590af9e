// Where the slices and pixels of a warp lie (DIIF, arXiv 2306.12321).
#pragma once

#include "c2f_plan.h"
#include "coordinates.h"

namespace lmf::c2f {

// SliceAxis of csrc/common/slices.h, in arithmetic that is fast on a GPU.
struct Axis {
  int64_t n_in, n_out;

  LMF_DEVICE int64_t owner(int64_t position) const { return quotient((2 * position + 1) * n_in, 2 * n_out); }
  LMF_DEVICE int64_t first_position(int64_t cell) const { return quotient(2 * cell * n_out + n_in - 1, 2 * n_in); }
  LMF_DEVICE float rel(int64_t position, int64_t cell) const {
    return float((2 * position + 1) * n_in - n_out - 2 * cell * n_out) / float(n_out);
  }
};

LMF_DEVICE Axis axis_y(const RenderCall& call) { return {call.fields.lr_h, call.out.height}; }
LMF_DEVICE Axis axis_x(const RenderCall& call) { return {call.fields.lr_w, call.out.width}; }

// What a warp renders at a time, in shared memory: registers are scarce.
struct Unit {
  int64_t batch, row;       // of cells
  int64_t first, last;      // column of its first cell, and of the last cell of the window
  int64_t top, left;        // its first pixel, in the whole output
  int64_t rows, cols;       // of its pixels; 0: none
  float first_y;            // rel of its slices' first row
};
static_assert(sizeof(Unit) <= kUnitBytes);

// Computes unit `index` of the call, which has no pixels if there are fewer. Barriers of the warp must be around it.
LMF_DEVICE void fill(const MmaCall& c, int64_t index, Unit* to) {
  if (warp::lane() != 0) return;
  const RenderCall& call = c.render;
  const Output& o = call.out;
  const Axis y = axis_y(call), x = axis_x(call);
  const bool none = index >= c.units;
  if (none) index = c.units - 1;
  const int64_t line_of_all = quotient(index, c.groups), group = index - line_of_all * c.groups;
  const int64_t batch = quotient(line_of_all, c.lines), line = line_of_all - batch * c.lines;
  const int64_t first = c.low_x + group * cells_of(c.rows);
  const int64_t beyond = first + cells_of(c.rows) <= c.high_x ? first + cells_of(c.rows) : c.high_x + 1;
  const int64_t row = c.linear_slices ? y.owner(o.y0 + line) : c.low_y + line;
  int64_t start = y.first_position(row), top = o.y0 + line, bottom = top + 1;
  if (!c.linear_slices) {
    const int64_t end = y.first_position(row + 1);
    top = start > o.y0 ? start : o.y0;
    bottom = end < o.y0 + o.rows ? end : o.y0 + o.rows;
  } else {
    start = top;  // a row is a slice
  }
  int64_t left = x.first_position(first), right = x.first_position(beyond);
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
  warp::shared_store(&to->first_y, y.rel(start, row));
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
LMF_DEVICE SliceRow slice_row(const MmaCall& c, const Unit* unit, int side, int r) {
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
  const Axis x = axis_x(c.render);
  const float first_y = warp::shared_load(&unit->first_y) - vertex_y;
  const float first_x = x.rel(x.first_position(cell), cell) - vertex_x;
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

// Pixel `index` of the unit; beyond the last one, any.
LMF_DEVICE Pixel pixel_at(const MmaCall& c, const Unit* unit, int64_t index) {
  const int64_t rows = warp::shared_load(&unit->rows), cols = warp::shared_load(&unit->cols);
  if (index >= rows * cols) index = rows * cols > 0 ? rows * cols - 1 : 0;
  const int64_t row = c.linear_slices || cols == 0 ? 0 : quotient(index, cols);
  const int64_t position = warp::shared_load(&unit->left) + index - row * cols;
  const int64_t first = warp::shared_load(&unit->first);
  const Axis y = axis_y(c.render), x = axis_x(c.render);
  const int64_t cell = x.owner(position), number = cell - first;
  return {number < 0 ? 0 : number < cells_of(c.rows) ? int(number) : cells_of(c.rows) - 1,
          y.rel(warp::shared_load(&unit->top) + row, warp::shared_load(&unit->row)), x.rel(position, cell)};
}

// The pixels of rows g and g + 8 of a tile. One lane computes a pixel and hands it to the four lanes with its row.
LMF_DEVICE void pixels_of_tile(const MmaCall& c, const Unit* unit, int tile, Pixel (&pixels)[2]) {
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
