// The modulated family in float32, for grids of x2 and more. A lane renders up to four pixels of a column between
// two LR centre rows: they share their four cells, and each weight that is read from shared memory is used four times.
#pragma once

#include "modulated_column_pixels.h"
#include "modulated_float32.h"

namespace lmf::modulated {

// acc += x W for P pixels. w: a (16, 16) matrix in shared memory, input-major.
template <int P>
LMF_DEVICE void accumulate(float (&acc)[P][kWidth], const float (&x)[P][kWidth], const float* w) {
  LMF_UNROLL
  for (int k = 0; k < kWidth; ++k) {
    LMF_UNROLL
    for (int n = 0; n < kWidth; n += 4) {
      const float4 v = warp::shared_load(reinterpret_cast<const float4*>(w + k * kWidth + n));
      LMF_UNROLL
      for (int q = 0; q < P; ++q) {
        acc[q][n] = warp::fma(x[q][k], v.x, acc[q][n]);
        acc[q][n + 1] = warp::fma(x[q][k], v.y, acc[q][n + 1]);
        acc[q][n + 2] = warp::fma(x[q][k], v.z, acc[q][n + 2]);
        acc[q][n + 3] = warp::fma(x[q][k], v.w, acc[q][n + 3]);
      }
    }
  }
}

// x = relu(a * (1 + scale) + shift) of one layer, four channels at a time.
template <int P>
LMF_DEVICE void modulate(float (&x)[P][kWidth], const float (&a)[P][kWidth], const float* scale, const float* shift) {
  LMF_UNROLL
  for (int n = 0; n < kWidth; n += 4) {
    const float4 s = warp::load(reinterpret_cast<const float4*>(scale + n));
    const float4 t = warp::load(reinterpret_cast<const float4*>(shift + n));
    const float factor[4] = {1.0f + s.x, 1.0f + s.y, 1.0f + s.z, 1.0f + s.w}, add[4] = {t.x, t.y, t.z, t.w};
    LMF_UNROLL
    for (int j = 0; j < 4; ++j) {
      LMF_UNROLL
      for (int q = 0; q < P; ++q) x[q][n + j] = warp::relu(warp::fma(a[q][n + j], factor[j], add[j]));
    }
  }
}

// The network's output at one corner for rows 0 to P - 1 of a column, without the output bias. rel_y: of row 0; step:
// from row to row.
template <Head head, int P>
LMF_DEVICE void evaluate_column(float (&y)[P][3], const ModulatedLayout<int>& layout, const float* weights,
                                const float* params, float rel_y, float step, float rel_x, const PixelCoordinates& at) {
  const float* matrix = weights + first_matrix(head);
  float x[P][kWidth], a[P][kWidth];
  LMF_UNROLL
  for (int q = 0; q < P; ++q) {
    const float row_y = warp::fma(step, float(q), rel_y);
    if constexpr (head == Head::linear) {
      linear_head(a[q], weights + layout.rel(), weights + layout.cell(), params + layout.base(), row_y, rel_x, at);
    } else {
      fourier_head(x[q], weights + layout.phase(), params + layout.coef(), params + layout.freq(), row_y, rel_x, at);
    }
  }
  if constexpr (head == Head::linear) {
    modulate(x, a, params, params + layout.shift(0));
  }
  params += (head == Head::linear ? 1 : 0) * kWidth;  // now the scale of the next layer
  LMF_KEEP_LOOP
  for (int m = 0; m < matrix_count(head, layout.depth); ++m) {
    LMF_UNROLL
    for (int q = 0; q < P; ++q) {
      LMF_UNROLL
      for (int n = 0; n < kWidth; ++n) a[q][n] = 0.0f;
    }
    accumulate(a, x, matrix);
    modulate(x, a, params, params + layout.shift(0));
    matrix += kWidth * kWidth, params += kWidth;
  }
  LMF_UNROLL
  for (int c = 0; c < 3; ++c) {
    LMF_UNROLL
    for (int q = 0; q < P; ++q) y[q][c] = 0.0f;
    LMF_UNROLL
    for (int k = 0; k < kWidth; ++k) {
      const float w = warp::shared_load(matrix + 3 * k + c);
      LMF_UNROLL
      for (int q = 0; q < P; ++q) y[q][c] = warp::fma(x[q][k], w, y[q][c]);
    }
  }
}

// Where an item of work lies: a chunk of rows, and this lane's column of the window.
struct LaneColumn {
  int batch, col;
  RowChunk chunk;
  CellPair x;

  LMF_DEVICE LaneColumn(const ColumnPlan& plan, uint32_t item) {
    const uint32_t line = plan.groups.quotient(item);
    batch = int(plan.blocks.quotient(line));
    chunk = plan.chunk(line - uint32_t(batch) * plan.blocks.divisor);
    col = int(item - line * plan.groups.divisor) * kFloat32Item.columns + warp::lane();
    x = plan.column(col);
  }
};

// Renders rows 0 to P - 1 of an item's chunk.
template <Head head, int P>
LMF_DEVICE void render_rows(const ModulatedCall& c, const ColumnPlan& plan, const float* weights, uint32_t item) {
  const RenderCall& call = c.render;
  const ModulatedLayout<int> layout = make_layout(head, c.mlp.depth);
  PixelCoordinates at{};
  at.rel_cell_y = call.rel_cell_y;
  at.rel_cell_x = call.rel_cell_x;
  // The activations of P pixels fill the registers, so that all else is computed anew where it is needed.
  const auto place = [&] { return LaneColumn(plan, uint32_t(warp::opaque(int(item)))); };
  float sum[P][3];
  LMF_UNROLL
  for (int q = 0; q < P; ++q) sum[q][0] = sum[q][1] = sum[q][2] = 0.0f;
  LMF_KEEP_LOOP
  for (int corner = 0; corner < 4; ++corner) {
    const int a = corner >> 1, b = corner & 1;
    float v[P][3];
    {
      const LaneColumn here = place();
      const CellPair &y = here.chunk.cells, &x = here.x;
      const float* params = static_cast<const float*>(call.fields.data) +
                            cell_offset(call.fields, here.batch, y.cell0 + (a && y.moves), x.cell0 + (b && x.moves));
      evaluate_column<head>(v, layout, weights, params, 2.0f * (y.f + y.offset(a)), 2.0f * plan.y_step,
                            2.0f * (x.f + x.offset(b)), at);
    }
    const LaneColumn here = place();
    const float fy = here.chunk.cells.f, of_x = b ? here.x.f : 1.0f - here.x.f;
    const float weight = warp::multiply(of_x, a ? fy : 1.0f - fy);
    const float slope = warp::multiply(of_x, a ? plan.y_step : -plan.y_step);
    LMF_UNROLL
    for (int q = 0; q < P; ++q) {
      const float w = warp::fma(slope, float(q), weight);
      LMF_UNROLL
      for (int i = 0; i < 3; ++i) sum[q][i] = warp::fma(w, v[q][i], sum[q][i]);
    }
  }
  const LaneColumn here = place();
  const uint32_t rows = here.col >= plan.cols ? 0 : here.chunk.rows();
  LMF_UNROLL
  for (int i = 0; i < 3; ++i) {
    float value[P];
    start_column(value, warp::shared_load(weights + layout.b_out() + i), call, plan, here.chunk.cells, here.x,
                 here.batch, i);
    LMF_UNROLL
    for (int q = 0; q < P; ++q) value[q] += sum[q][i];
    store_column(call.out.store, value, plan, column_address(call.out, plan, here.batch, i, here.chunk.row, here.col),
                 rows);
  }
}

template <Head head>
LMF_DEVICE void render(Float32Columns<head>, const ModulatedCall& call, const ColumnPlan& plan, unsigned char* shared,
                       warp::Position position) {
  const float* weights = copy_weights<head>(call, shared, position);
  warp::block_barrier();
  for (uint32_t item = position.block * position.warps + position.warp; item < plan.items;
       item += position.blocks * position.warps) {
    const RowChunk chunk = LaneColumn(plan, item).chunk;
    if (chunk.high <= chunk.low) continue;
    switch (chunk.high) {
      case 1:
      case 2: render_rows<head, 2>(call, plan, weights, item); break;
      case 3: render_rows<head, 3>(call, plan, weights, item); break;
      default: render_rows<head, kFloat32Item.rows>(call, plan, weights, item);
    }
  }
}

}  // namespace lmf::modulated
