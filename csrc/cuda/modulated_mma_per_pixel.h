// The modulated family on tensor cores, for reduced pictures, points and the nearest cell alone. A warp renders a run
// of 16 pixels of an output row, or 16 query points, each with cells of its own.
//
// A lane computes four channels of two pixels. It reads their FiLM per pixel and applies it in halves.
#pragma once

#include "modulated_plan.h"
#include "sincospi.h"

namespace lmf::modulated {

// Two neighbouring values of a row of the head's weights, which are as in the flat weights: rel (2, 16) and cell (2,
// 16), or phase (2, 8).
LMF_DEVICE float2 head_pair(const float* values, int width, int row, int column) {
  return warp::shared_load(reinterpret_cast<const float2*>(values + row * width + column));
}

// The linear head of one pixel before its FiLM, for this lane's four channels.
template <class Half>
LMF_DEVICE void head_columns(float (&x)[4], const ModulatedLayout<int>& layout,
                             const WeightFragments<Half, Head::linear>& weights, const uint16_t* params, float rel_y,
                             float rel_x, const PixelCoordinates& at) {
  LMF_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int c = 4 * (warp::lane() & 3) + 2 * half;
    const float2 a = load_pair<Half>(params, layout.base() + c);
    const auto row = [&](int r) { return head_pair(weights.head_values(), kWidth, r, c); };
    const float2 ry = row(0), rx = row(1), cy = row(2), cx = row(3);
    const auto affine = [&](float a, float ry, float rx, float cy, float cx) {
      a = warp::fma(cx, at.rel_cell_x, warp::fma(cy, at.rel_cell_y, a));
      return warp::fma(rx, rel_x, warp::fma(ry, rel_y, a));
    };
    x[2 * half] = affine(a.x, ry.x, rx.x, cy.x, cx.x);
    x[2 * half + 1] = affine(a.y, ry.y, rx.y, cy.y, cx.y);
  }
}

// The Fourier product of one pixel: values 2t and 2t + 1 (cosines), then 2t + 8 and 2t + 9 (sines).
template <class Half>
LMF_DEVICE void head_columns(float (&x)[4], const ModulatedLayout<int>& layout,
                             const WeightFragments<Half, Head::fourier>& weights, const uint16_t* params, float rel_y,
                             float rel_x, const PixelCoordinates& at) {
  const int t2 = 2 * (warp::lane() & 3), coef = layout.coef(), freq = layout.freq();
  const float2 cosine = load_pair<Half>(params, coef + t2), sine = load_pair<Half>(params, coef + 8 + t2);
  const float2 f0 = load_pair<Half>(params, freq + 2 * t2), f1 = load_pair<Half>(params, freq + 2 * t2 + 2);
  const float2 py = head_pair(weights.head_values(), kWidth / 2, 0, t2),
               px = head_pair(weights.head_values(), kWidth / 2, 1, t2);
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

// relu(x * (1 + scale) + shift) of one pixel's four channels, in halves.
template <class Half>
LMF_DEVICE void modulate(uint32_t* low, uint32_t* high, Film film) {
  const uint2 factor = one_plus<Half>(film.scale);
  *low = warp::fma_relu_pair<Half>(*low, factor.x, film.shift.x);
  *high = warp::fma_relu_pair<Half>(*high, factor.y, film.shift.y);
}

// The network's output for this lane's two pixels, each at one corner: channel t < 3 of pixels g and g + 8.
template <class Half, Head head>
LMF_DEVICE void evaluate_pair(float (&y)[2], const ModulatedLayout<int>& layout,
                              const WeightFragments<Half, head>& weights, const uint16_t* const (&params)[2],
                              const float (&rel_y)[2], const float (&rel_x)[2], const PixelCoordinates (&at)[2]) {
  const int first = head == Head::linear ? 1 : 0, c = 4 * (warp::lane() & 3);
  uint32_t act[4];
  Film film[2];
  LMF_UNROLL
  for (int r = 0; r < 2; ++r) {
    film[r] = load_film(params[r] + c, 0, layout.depth);
    float x[4];
    head_columns<Half>(x, layout, weights, params[r], rel_y[r], rel_x[r], at[r]);
    act[r] = warp::pack<Half>(x[0], x[1]);
    act[2 + r] = warp::pack<Half>(x[2], x[3]);
    if (head == Head::linear) modulate<Half>(&act[r], &act[2 + r], film[r]);
  }
  const int last = weights.count() - 1;
  LMF_KEEP_LOOP
  for (int m = 0; m <= last; ++m) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      if (m + first > 0) film[r] = load_film(params[r] + c, m + first, layout.depth);
    }
    if (m == last) break;
    uint32_t product[4];
    multiply_tile(Half{}, product, act, weights.matrix(m));
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      act[r] = product[r];
      act[2 + r] = product[2 + r];
      modulate<Half>(&act[r], &act[2 + r], film[r]);
    }
  }
  if (last >= 0) {  // the last layer's FiLM in float32, as in the kernel by columns
    float left[4], right[4];
    multiply_tile<Half>(left, right, act, weights.matrix(last));
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      Modulation<Half>(film[r]).apply(&act[r], &act[2 + r], left + 2 * r, right + 2 * r);
    }
  }
  uint32_t out[2];
  weights.out(out);
  const float zero[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  float v[4];
  warp::mma<Half>(v, act, out, zero);
  y[0] = v[0];
  y[1] = v[2];
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
  float sum[2] = {0.0f, 0.0f};
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
    float y[2];
    evaluate_pair<Half>(y, layout, weights, params, rel_y, rel_x, at);
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) sum[r] = warp::fma(w[r], y[r], sum[r]);
  }
  if (t > 2) return;  // this lane has channel t, and there are three channels
  LMF_UNROLL
  for (int r = 0; r < 2; ++r) {
    if (col[r] >= call.out.cols) continue;
    float value = sum[r] + weights.bias(t);
    if (call.skip.data) value += bilinear_skip(call, batch, at[r], t);
    store_channel(call.out, pixel_address(call.out, batch, t, row, col[r]), value);
  }
}

template <class Half, Head head>
LMF_DEVICE void render(MmaPerPixel<Half, head>, const ModulatedCall& call, const ColumnPlan&, unsigned char* shared,
                       warp::Position position) {
  const WeightFragments<Half, head> weights(call.mlp, shared, position);
  for (int i = position.warp * warp::kSize + warp::lane(); i < first_matrix(head); i += position.warps * warp::kSize) {
    warp::shared_store(weights.head_values() + i, read_element(call.mlp.weights, call.mlp.element, i));
  }
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
