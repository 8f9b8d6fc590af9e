// The modulated family in float32, for small scales and free points. A lane renders one pixel and reads the weights
// from shared memory as broadcasts.
#pragma once

#include "elements.h"
#include "modulated_plan.h"
#include "modulated_shape.h"
#include "sincospi.h"
#include "unroll.h"

namespace lmf::modulated {

// acc += x W. w: a (16, 16) matrix in shared memory, input-major.
LMF_DEVICE void accumulate(float (&acc)[kWidth], const float (&x)[kWidth], const float* w) {
  LMF_UNROLL
  for (int k = 0; k < kWidth; ++k) {
    LMF_UNROLL
    for (int n = 0; n < kWidth; n += 4) {
      const float4 v = warp::shared_load(reinterpret_cast<const float4*>(w + k * kWidth + n));
      acc[n] = warp::fma(x[k], v.x, acc[n]);
      acc[n + 1] = warp::fma(x[k], v.y, acc[n + 1]);
      acc[n + 2] = warp::fma(x[k], v.z, acc[n + 2]);
      acc[n + 3] = warp::fma(x[k], v.w, acc[n + 3]);
    }
  }
}

// Sixteen channels of a cell's parameters.
LMF_DEVICE void load_channels(float (&row)[kWidth], const float* params) {
  LMF_UNROLL
  for (int n = 0; n < kWidth; n += 4) {
    const float4 v = warp::load(reinterpret_cast<const float4*>(params + n));
    row[n] = v.x;
    row[n + 1] = v.y;
    row[n + 2] = v.z;
    row[n + 3] = v.w;
  }
}

// x = relu(a * (1 + scale) + shift) of one layer.
LMF_DEVICE void modulate(float (&x)[kWidth], const float (&a)[kWidth], const float* params,
                         const ModulatedLayout<int>& layout, int layer) {
  float scale[kWidth], shift[kWidth];
  load_channels(scale, params + layout.scale(layer));
  load_channels(shift, params + layout.shift(layer));
  LMF_UNROLL
  for (int n = 0; n < kWidth; ++n) x[n] = warp::relu(warp::fma(a[n], 1.0f + scale[n], shift[n]));
}

// The linear head before its FiLM. rel, cell: (2, 16) weights in shared memory. base: (16) of the cell's parameters.
LMF_DEVICE void linear_head(float (&a)[kWidth], const float* rel, const float* cell, const float* base, float rel_y,
                            float rel_x, const PixelCoordinates& at) {
  load_channels(a, base);
  LMF_UNROLL
  for (int n = 0; n < kWidth; ++n) {
    a[n] = warp::fma(warp::shared_load(cell + n), at.rel_cell_y, a[n]);
    a[n] = warp::fma(warp::shared_load(cell + kWidth + n), at.rel_cell_x, a[n]);
    a[n] = warp::fma(warp::shared_load(rel + n), rel_y, a[n]);
    a[n] = warp::fma(warp::shared_load(rel + kWidth + n), rel_x, a[n]);
  }
}

// The Fourier product. phase: (2, 8) weights in shared memory. coef, freq: (16) of the cell's parameters.
LMF_DEVICE void fourier_head(float (&x)[kWidth], const float* phase, const float* coef, const float* freq, float rel_y,
                             float rel_x, const PixelCoordinates& at) {
  float f[kWidth];
  load_channels(x, coef);
  load_channels(f, freq);
  LMF_UNROLL
  for (int j = 0; j < kWidth / 2; ++j) {
    float q = warp::shared_load(phase + j) * at.rel_cell_y;
    q = warp::fma(warp::shared_load(phase + kWidth / 2 + j), at.rel_cell_x, q);
    q = warp::fma(f[2 * j], rel_y, warp::fma(f[2 * j + 1], rel_x, q));
    float cosine, sine;
    sincospi(q, &cosine, &sine);
    x[j] *= cosine;
    x[j + kWidth / 2] *= sine;
  }
}

// The network's output for one pixel at one corner, without the output bias. weights: in shared memory.
template <Head head>
LMF_DEVICE void evaluate(float (&y)[3], const ModulatedLayout<int>& layout, const float* weights, const float* params,
                         float rel_y, float rel_x, const PixelCoordinates& at) {
  const float* matrix = weights + first_matrix(head);
  float x[kWidth], a[kWidth];
  if constexpr (head == Head::linear) {
    linear_head(a, weights + layout.rel(), weights + layout.cell(), params + layout.base(), rel_y, rel_x, at);
    modulate(x, a, params, layout, 0);
  } else {
    const float *coef = params + layout.coef(), *freq = coef + (layout.freq() - layout.coef());
    fourier_head(x, weights + layout.phase(), coef, freq, rel_y, rel_x, at);
  }
  LMF_KEEP_LOOP
  for (int layer = head == Head::linear ? 1 : 0; layer < layout.depth; ++layer, matrix += kWidth * kWidth) {
    LMF_UNROLL
    for (int n = 0; n < kWidth; ++n) a[n] = 0.0f;
    accumulate(a, x, matrix);
    modulate(x, a, params, layout, layer);
  }
  LMF_UNROLL
  for (int c = 0; c < 3; ++c) {
    y[c] = 0.0f;
    LMF_UNROLL
    for (int k = 0; k < kWidth; ++k) y[c] = warp::fma(x[k], warp::shared_load(matrix + 3 * k + c), y[c]);
  }
}

template <Head head>
LMF_DEVICE void render_pixel(const ModulatedCall& c, const float* weights, int64_t batch, int64_t row, int64_t col) {
  const RenderCall& call = c.render;
  const ModulatedLayout<int> layout = make_layout(head, c.mlp.depth);
  const PixelCoordinates at = pixel_coordinates(call, batch, row, col);
  const float* fields = static_cast<const float*>(call.fields.data);
  const bool ensemble = c.mlp.ensemble;
  float sum[3] = {0.0f, 0.0f, 0.0f};
  LMF_KEEP_LOOP
  for (int corner = 0; corner < (ensemble ? 4 : 1); ++corner) {
    const int a = ensemble ? corner >> 1 : at.y.nearest, b = ensemble ? corner & 1 : at.x.nearest;
    const float* params = fields + cell_offset(call.fields, batch, pick(a, at.y.cell[0], at.y.cell[1]),
                                               pick(b, at.x.cell[0], at.x.cell[1]));
    const float w = ensemble ? pick(a, at.y.weight[0], at.y.weight[1]) * pick(b, at.x.weight[0], at.x.weight[1]) : 1.0f;
    float y[3];
    evaluate<head>(y, layout, weights, params, pick(a, at.y.rel[0], at.y.rel[1]), pick(b, at.x.rel[0], at.x.rel[1]),
                   at);
    LMF_UNROLL
    for (int i = 0; i < 3; ++i) sum[i] = warp::fma(w, y[i], sum[i]);
  }
  const float* bias = weights + layout.b_out();
  LMF_UNROLL
  for (int i = 0; i < 3; ++i) {
    float value = sum[i] + warp::shared_load(bias + i);
    if (call.skip.data) value += bilinear_skip(call, batch, at, i);
    store_channel(call.out, pixel_address(call.out, batch, i, row, col), value);
  }
}

// Copies the weights into the block's shared memory. A barrier must follow before the first read.
template <Head head>
LMF_DEVICE const float* copy_weights(const ModulatedCall& call, unsigned char* shared, warp::Position position) {
  float* weights = reinterpret_cast<float*>(shared);
  const int count = make_layout(head, call.mlp.depth).weights(), threads = position.warps * warp::kSize;
  for (int i = position.warp * warp::kSize + warp::lane(); i < count; i += threads) {
    warp::shared_store(weights + i, read_element(call.mlp.weights, call.mlp.element, i));
  }
  return weights;
}

template <Head head>
LMF_DEVICE void render(Float32<head>, const ModulatedCall& call, const ColumnPlan&, unsigned char* shared,
                       warp::Position position) {
  const float* weights = copy_weights<head>(call, shared, position);
  warp::block_barrier();
  const Output& o = call.render.out;
  const int64_t items = call.render.fields.batch * o.rows * ((o.cols + warp::kSize - 1) / warp::kSize);
  for (int64_t item = int64_t(position.block) * position.warps + position.warp; item < items;
       item += int64_t(position.blocks) * position.warps) {
    const PixelRun run(o, item, warp::kSize);
    const int64_t col = run.col + warp::lane();
    if (col < o.cols) render_pixel<head>(call, weights, run.batch, run.row, col);
  }
}

}  // namespace lmf::modulated
