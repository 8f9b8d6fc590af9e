// Small scales and free points on tensor cores: a warp renders 16 pixels of an output row, each with cells of its own.
//
// A lane holds two pixels and four channels of them, reads their FiLM per pixel, and applies it in float32.
#pragma once

#include "fragments.h"
#include "sincospi.h"

namespace lmf {

// The linear head before its FiLM, for one pixel and this lane's four columns.
template <class Half>
LMF_DEVICE void head_row(float (&x)[4], const ModulatedMlp& mlp, const Fragments<Half, Head::linear>& weights,
                         const uint16_t* record, float rel_y, float rel_x, const PixelPlace& at) {
  const int t2 = 2 * (warp::lane() & 3);
  LMF_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int c = 8 * half + t2;
    const float2 a = load_pair<Half>(record, 2 * mlp.depth * kWidth + c);
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

// The Fourier product of one pixel: columns 2t, 2t + 1 (cosines) and 2t + 8, 2t + 9 (sines).
template <class Half>
LMF_DEVICE void head_row(float (&x)[4], const ModulatedMlp& mlp, const Fragments<Half, Head::fourier>& weights,
                         const uint16_t* record, float rel_y, float rel_x, const PixelPlace& at) {
  const int t2 = 2 * (warp::lane() & 3), coef = 2 * mlp.depth * kWidth, freq = coef + kWidth;
  const float2 cosine = load_pair<Half>(record, coef + t2), sine = load_pair<Half>(record, coef + 8 + t2);
  const float2 f0 = load_pair<Half>(record, freq + 2 * t2), f1 = load_pair<Half>(record, freq + 2 * t2 + 2);
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

// x * (1 + s) + t of one pixel's four columns; the activation function comes with the packing.
template <class Half>
LMF_DEVICE void modulate_row(float (&x)[4], const uint16_t* record, int layer, int depth) {
  const int t2 = 2 * (warp::lane() & 3);
  LMF_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int c = 8 * half + t2;
    const float2 s = load_pair<Half>(record, layer * kWidth + c);
    const float2 t = load_pair<Half>(record, (depth + layer) * kWidth + c);
    x[2 * half] = warp::fma(x[2 * half], 1.0f + s.x, t.x);
    x[2 * half + 1] = warp::fma(x[2 * half + 1], 1.0f + s.y, t.y);
  }
}

// What the network gives for two pixels of this lane at one corner each: channels 2t, 2t + 1 of row g, then of g + 8.
template <class Half, Head head>
LMF_DEVICE void evaluate_rows(float (&y)[4], const ModulatedMlp& mlp, const Fragments<Half, head>& weights,
                              const uint16_t* const (&record)[2], const float (&rel_y)[2], const float (&rel_x)[2],
                              const PixelPlace (&at)[2]) {
  const float zero[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  uint32_t act[4];
  LMF_UNROLL
  for (int r = 0; r < 2; ++r) {
    float x[4];
    head_row<Half>(x, mlp, weights, record[r], rel_y[r], rel_x[r], at[r]);
    if constexpr (head == Head::linear) {
      modulate_row<Half>(x, record[r], 0, mlp.depth);
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
      modulate_row<Half>(x, record[r], head == Head::linear ? m + 1 : m, mlp.depth);
      act[r] = warp::pack_relu<Half>(x[0], x[1]);
      act[2 + r] = warp::pack_relu<Half>(x[2], x[3]);
    }
  }
  uint32_t out[2];
  weights.out(out);
  warp::mma<Half>(y, act, out, zero);
}

template <class Half, Head head>
LMF_DEVICE void render_strip(const ModulatedCall& call, const Fragments<Half, head>& weights, int64_t batch,
                             int64_t row, int64_t first_col) {
  const int g = warp::lane() >> 2, t = warp::lane() & 3;
  int64_t col[2];
  PixelPlace at[2];
  LMF_UNROLL
  for (int r = 0; r < 2; ++r) {
    col[r] = first_col + g + 8 * r;
    at[r] = place_pixel(call, batch, row, col[r] < call.out.cols ? col[r] : call.out.cols - 1);
  }
  const uint16_t* fields = static_cast<const uint16_t*>(call.fields.data);
  float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  LMF_KEEP_LOOP
  for (int corner = 0; corner < (call.mlp.ensemble ? 4 : 1); ++corner) {
    const uint16_t* record[2];
    float rel_y[2], rel_x[2], w[2];
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      const AxisCorners &y = at[r].y, &x = at[r].x;
      const int a = call.mlp.ensemble ? corner >> 1 : y.nearest, b = call.mlp.ensemble ? corner & 1 : x.nearest;
      const int64_t cell_y = pick(a, y.cell[0], y.cell[1]), cell_x = pick(b, x.cell[0], x.cell[1]);
      record[r] = fields + record_offset(call.fields, batch, cell_y, cell_x);
      rel_y[r] = pick(a, y.rel[0], y.rel[1]);
      rel_x[r] = pick(b, x.rel[0], x.rel[1]);
      w[r] = call.mlp.ensemble ? pick(a, y.weight[0], y.weight[1]) * pick(b, x.weight[0], x.weight[1]) : 1.0f;
    }
    float y[4];
    evaluate_rows<Half>(y, call.mlp, weights, record, rel_y, rel_x, at);
    LMF_UNROLL
    for (int i = 0; i < 4; ++i) sum[i] = warp::fma(w[i >> 1], y[i], sum[i]);
  }
  if (t > 1) return;  // channels 2t and 2t + 1 are here; there are three
  const float2 bias = weights.bias(t);
  LMF_UNROLL
  for (int r = 0; r < 2; ++r) {
    if (col[r] >= call.out.cols) continue;
    LMF_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int channel = 2 * t + i;
      if (channel > 2) continue;
      float value = sum[2 * r + i] + (i ? bias.y : bias.x);
      if (call.skip.data) value += skip_between(call, batch, at[r], channel);
      store_channel(call.out, place_of(call.out, batch, channel, row, col[r]), value);
    }
  }
}

// Row and first column of piece `item` of the window, its rows cut into pieces `width` pixels long.
struct Piece {
  int64_t batch, row, col;

  LMF_DEVICE Piece(const Output& o, int64_t item, int width) {
    const int64_t across = quotient(o.cols + width - 1, width), line = quotient(item, across);
    batch = quotient(line, o.rows);
    row = line - batch * o.rows;
    col = (item - line * across) * width;
  }
};

template <class Half, Head head>
LMF_DEVICE void render(Strips<Half, head>, const ModulatedCall& call, unsigned char* shared, warp::Place place) {
  const Fragments<Half, head> weights(call.mlp, shared, place);
  warp::block_barrier();
  const int64_t items = call.fields.batch * call.out.rows * ((call.out.cols + kTileRows - 1) / kTileRows);
  for (int64_t item = int64_t(place.block) * place.warps + place.warp; item < items;
       item += int64_t(place.blocks) * place.warps) {
    const Piece piece(call.out, item, kTileRows);
    render_strip(call, weights, piece.batch, piece.row, piece.col);
  }
}

}  // namespace lmf
