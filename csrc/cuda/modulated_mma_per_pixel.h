// The modulated family on tensor cores, for small scale factors and free points. A warp renders a run of 16 pixels of
// an output row, or 16 query points, each with cells of its own.
//
// A lane computes four channels of two pixels. It reads their FiLM per pixel and applies it in float32.
#pragma once

#include "modulated_plan.h"
#include "sincospi.h"

namespace lmf::modulated {

// The linear head of one pixel before its FiLM, for this lane's four columns.
template <class Half>
LMF_DEVICE void head_columns(float (&x)[4], const ModulatedLayout<int>& layout,
                             const WeightFragments<Half, Head::linear>& weights, const uint16_t* params, float rel_y,
                             float rel_x, const PixelCoordinates& at) {
  const int t2 = 2 * (warp::lane() & 3);
  LMF_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int c = 8 * half + t2;
    const float2 a = load_pair<Half>(params, layout.base() + c);
    const float2 ry = weights.head_pair(0, c), rx = weights.head_pair(1, c), cy = weights.head_pair(2, c),
                 cx = weights.head_pair(3, c);
    const auto affine = [&](float a, float ry, float rx, float cy, float cx) {
      a = warp::fma(cx, at.rel_cell_x, warp::fma(cy, at.rel_cell_y, a));
      return warp::fma(rx, rel_x, warp::fma(ry, rel_y, a));
    };
    x[2 * half] = affine(a.x, ry.x, rx.x, cy.x, cx.x);
    x[2 * half + 1] = affine(a.y, ry.y, rx.y, cy.y, cx.y);
  }
}

// The Fourier product of one pixel: columns 2t and 2t + 1 (cosines), then 2t + 8 and 2t + 9 (sines).
template <class Half>
LMF_DEVICE void head_columns(float (&x)[4], const ModulatedLayout<int>& layout,
                             const WeightFragments<Half, Head::fourier>& weights, const uint16_t* params, float rel_y,
                             float rel_x, const PixelCoordinates& at) {
  const int t2 = 2 * (warp::lane() & 3), coef = layout.coef(), freq = layout.freq();
  const float2 cosine = load_pair<Half>(params, coef + t2), sine = load_pair<Half>(params, coef + 8 + t2);
  const float2 f0 = load_pair<Half>(params, freq + 2 * t2), f1 = load_pair<Half>(params, freq + 2 * t2 + 2);
  const float2 py = weights.head_pair(0, t2), px = weights.head_pair(1, t2);
  const auto angle = [&](float2 f, float py, float px) {
    return warp::fma(f.x, rel_y, warp::fma(f.y, rel_x, warp::fma(px, at.rel_cell_x, py * at.rel_cell_y)));
  };
  float c0, s0, c1, s1;
  sincospi(angle(f0, py.x, px.x), &c0, &s0);
  sincospi(angle(f1, py.y, px.y), &c1, &s1);
  x[0] = cosine.x * c0;
  x[1] = cosine.y * c1;
  x[2] = sine.x * s0;
  x[3] = sine.y * s1;
}

// x * (1 + scale) + shift of one pixel's four columns. The ReLU follows when the halves are packed.
template <class Half>
LMF_DEVICE void modulate_columns(float (&x)[4], const uint16_t* params, const ModulatedLayout<int>& layout, int layer) {
  const int t2 = 2 * (warp::lane() & 3);
  LMF_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int c = 8 * half + t2;
    const float2 scale = load_pair<Half>(params, layout.scale(layer) + c);
    const float2 shift = load_pair<Half>(params, layout.shift(layer) + c);
    x[2 * half] = warp::fma(x[2 * half], 1.0f + scale.x, shift.x);
    x[2 * half + 1] = warp::fma(x[2 * half + 1], 1.0f + scale.y, shift.y);
  }
}

// The network's output for this lane's two pixels, each at one corner: channels 2t and 2t + 1 of pixel g, then of pixel
// g + 8.
template <class Half, Head head>
LMF_DEVICE void evaluate_pair(float (&y)[4], const ModulatedLayout<int>& layout,
                              const WeightFragments<Half, head>& weights, const uint16_t* const (&params)[2],
                              const float (&rel_y)[2], const float (&rel_x)[2], const PixelCoordinates (&at)[2]) {
  const float zero[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  uint32_t act[4];
  LMF_UNROLL
  for (int r = 0; r < 2; ++r) {
    float x[4];
    head_columns<Half>(x, layout, weights, params[r], rel_y[r], rel_x[r], at[r]);
    if constexpr (head == Head::linear) {
      modulate_columns<Half>(x, params[r], layout, 0);
      act[r] = warp::pack_relu<Half>(x[0], x[1]);
      act[2 + r] = warp::pack_relu<Half>(x[2], x[3]);
    } else {
      act[r] = warp::pack<Half>(x[0], x[1]);
      act[2 + r] = warp::pack<Half>(x[2], x[3]);
    }
  }
  LMF_KEEP_LOOP
  for (int m = 0; m < weights.count(); ++m) {
    float left[4], right[4];
    multiply_tile<Half>(left, right, act, weights.matrix(m), zero, zero);
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      float x[4] = {left[2 * r], left[2 * r + 1], right[2 * r], right[2 * r + 1]};
      modulate_columns<Half>(x, params[r], layout, head == Head::linear ? m + 1 : m);
      act[r] = warp::pack_relu<Half>(x[0], x[1]);
      act[2 + r] = warp::pack_relu<Half>(x[2], x[3]);
    }
  }
  uint32_t out[2];
  weights.out(out);
  warp::mma<Half>(y, act, out, zero);
}

// Pixels first_col to first_col + 15 of a row, as far as the window has them.
template <class Half, Head head>
LMF_DEVICE void render_run(const ModulatedCall& c, const WeightFragments<Half, head>& weights, int64_t batch,
                           int64_t row, int64_t first_col) {
  const RenderCall& call = c.render;
  const ModulatedLayout<int> layout = make_layout(head, c.mlp.depth);
  const int g = warp::lane() >> 2, t = warp::lane() & 3;
  int64_t col[2];
  PixelCoordinates at[2];
  LMF_UNROLL
  for (int r = 0; r < 2; ++r) {
    col[r] = first_col + g + 8 * r;
    at[r] = pixel_coordinates(call, batch, row, col[r] < call.out.cols ? col[r] : call.out.cols - 1);
  }
  const uint16_t* fields = static_cast<const uint16_t*>(call.fields.data);
  float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  LMF_KEEP_LOOP
  for (int corner = 0; corner < (c.mlp.ensemble ? 4 : 1); ++corner) {
    const uint16_t* params[2];
    float rel_y[2], rel_x[2], w[2];
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      const AxisCorners &y = at[r].y, &x = at[r].x;
      const int a = c.mlp.ensemble ? corner >> 1 : y.nearest, b = c.mlp.ensemble ? corner & 1 : x.nearest;
      const int64_t cell_y = pick(a, y.cell[0], y.cell[1]), cell_x = pick(b, x.cell[0], x.cell[1]);
      params[r] = fields + cell_offset(call.fields, batch, cell_y, cell_x);
      rel_y[r] = pick(a, y.rel[0], y.rel[1]);
      rel_x[r] = pick(b, x.rel[0], x.rel[1]);
      w[r] = c.mlp.ensemble ? pick(a, y.weight[0], y.weight[1]) * pick(b, x.weight[0], x.weight[1]) : 1.0f;
    }
    float y[4];
    evaluate_pair<Half>(y, layout, weights, params, rel_y, rel_x, at);
    LMF_UNROLL
    for (int i = 0; i < 4; ++i) sum[i] = warp::fma(w[i >> 1], y[i], sum[i]);
  }
  if (t > 1) return;  // this lane has channels 2t and 2t + 1, and there are three channels
  const float2 bias = weights.bias(t);
  LMF_UNROLL
  for (int r = 0; r < 2; ++r) {
    if (col[r] >= call.out.cols) continue;
    LMF_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int channel = 2 * t + i;
      if (channel > 2) continue;
      float value = sum[2 * r + i] + (i ? bias.y : bias.x);
      if (call.skip.data) value += bilinear_skip(call, batch, at[r], channel);
      store_channel(call.out, pixel_address(call.out, batch, channel, row, col[r]), value);
    }
  }
}

template <class Half, Head head>
LMF_DEVICE void render(MmaPerPixel<Half, head>, const ModulatedCall& call, unsigned char* shared,
                       warp::Position position) {
  const WeightFragments<Half, head> weights(call.mlp, shared, position);
  warp::block_barrier();
  const Output& o = call.render.out;
  const int64_t items = call.render.fields.batch * o.rows * ((o.cols + kTilePixels - 1) / kTilePixels);
  for (int64_t item = int64_t(position.block) * position.warps + position.warp; item < items;
       item += int64_t(position.blocks) * position.warps) {
    const PixelRun run(o, item, kTilePixels);
    render_run(call, weights, run.batch, run.row, run.col);
  }
}

}  // namespace lmf::modulated
