// The modulated family on tensor cores, for large scale factors. A warp renders the pixels between four LR centres,
// which share their four cells.
//
// A cell's FiLM is folded into the weights, relu(x (W * (1 + scale)) + shift), once for up to kTiles tiles of 16
// pixels, whose activations stay in registers from the first layer to the last. So a layer costs two matrix
// instructions and four conversions per tile. The four corners are evaluated in a fixed order, and the lane that stores
// a pixel sums them.
#pragma once

#include "modulated_plan.h"
#include "sincospi.h"

namespace lmf::modulated {

// Tiles that share a folding. More tiles need more registers, and the same code needs more of them on Blackwell.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr int kTiles = 4;
#else
constexpr int kTiles = 5;
#endif

// One axis of a call.
struct Axis {
  int64_t n_in, n_out;    // LR cells and output pixels of the whole picture
  int64_t origin, size;   // window of the output
  int64_t cell0, stride;  // first LR cell of the fields, and the step between cells in elements
};

LMF_DEVICE Axis axis_y(const Fields& f, const Output& o) {
  return {f.lr_h, o.height, o.y0, o.rows, f.lr_y0, f.stride_y};
}
LMF_DEVICE Axis axis_x(const Fields& f, const Output& o) {
  return {f.lr_w, o.width, o.x0, o.cols, f.lr_x0, f.stride_x};
}

// The pairs of neighbouring LR cells (k, k + 1) whose pixels a window contains along an axis. The first pair is k = -1,
// before the first LR centre.
struct PairRange {
  int first, count;

  LMF_DEVICE explicit PairRange(const Axis& a) {
    const auto k0 = [&](int64_t pos) { return floor_div((2 * pos + 1) * a.n_in - a.n_out, 2 * a.n_out); };
    first = int(k0(a.origin));
    count = int(k0(a.origin + a.size - 1)) - first + 1;
  }
};

// Output position of the first pixel after the LR centre of cell k. This is a 64-bit division, and four lanes compute
// one each.
LMF_DEVICE int64_t first_pixel(int64_t k, int64_t n_in, int64_t n_out) {
  const int64_t num = (2 * k + 1) * n_out - n_in;
  return num <= 0 ? 0 : quotient(num + 2 * n_in - 1, 2 * n_in);
}

// Two neighbouring LR cells along one axis, and the output pixels between their centres. Positions are 32-bit numbers
// relative to the window, because this kernel is short of registers.
struct CellPair {
  int first;           // position of the first pixel, negative if it lies before the window
  int count;           // number of pixels in the window
  int k0;              // index of the first cell before clamping
  float offset[2];     // k0 minus each clamped cell: rel = 2 * (f + offset)
  uint32_t params[2];  // offset of each cell's parameters along this axis, in units of 16 bytes
  float start, step;   // pixel i of the pair has f = start + i * step: the same bits for any window

  LMF_DEVICE CellPair(const Axis& a, int k, int64_t begin, int64_t end) : k0(k) {
    const int64_t stop = a.origin + a.size, from = begin < a.origin ? a.origin : begin, to = end > stop ? stop : end;
    first = int(begin - a.origin);
    count = to > from ? int(to - from) : 0;
    LMF_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int64_t cell = clamp_cell(k + i, a.n_in);
      offset[i] = float(k - cell);
      params[i] = uint32_t((cell - a.cell0) * a.stride / 8);
    }
    const float scale = 1.0f / float(2 * a.n_out);
    start = float((2 * begin + 1) * a.n_in - a.n_out - 2 * a.n_out * k) * scale;
    step = float(2 * a.n_in) * scale;
  }

  LMF_DEVICE int before() const { return first < 0 ? -first : 0; }  // number of pixels before the window
};

// Four neighbouring LR cells, and the output pixels between their centres.
struct CellQuad {
  int batch;
  CellPair y, x;
  float inverse_cols;  // 1 / x.count

  LMF_DEVICE uint32_t count() const { return uint32_t(y.count) * uint32_t(x.count); }  // can exceed 2^31

  // Row and column in the quad of the p-th of its pixels in the window.
  LMF_DEVICE void split(uint32_t p, int* row, int* col) const {
    int r = int((float(p) + 0.5f) * inverse_cols);
    int c = int(p - uint32_t(r) * uint32_t(x.count));
    if (c < 0) --r, c += x.count;
    if (c >= x.count) ++r, c -= x.count;
    *row = r + y.before();
    *col = c + x.before();
  }
};

LMF_DEVICE CellQuad find_quad(const RenderCall& call, PairRange rows, PairRange cols, uint32_t item) {
  const uint32_t across = uint32_t(cols.count), line = item / across, batch = line / uint32_t(rows.count);
  const int ky = rows.first + int(line - batch * uint32_t(rows.count)), kx = cols.first + int(item - line * across);
  const Axis y = axis_y(call.fields, call.out), x = axis_x(call.fields, call.out);
  const int role = warp::lane() & 3;
  const bool along_x = role & 1;
  const int64_t bound =
      first_pixel(int64_t(along_x ? kx : ky) + (role >> 1), along_x ? x.n_in : y.n_in, along_x ? x.n_out : y.n_out);
  CellQuad q = {int(batch), CellPair(y, ky, warp::shuffle(bound, 0), warp::shuffle(bound, 2)),
                CellPair(x, kx, warp::shuffle(bound, 1), warp::shuffle(bound, 3)), 0.0f};
  q.y.params[0] += uint32_t(batch * call.fields.stride_b / 8);
  q.y.params[1] += uint32_t(batch * call.fields.stride_b / 8);
  q.inverse_cols = 1.0f / float(q.x.count);
  return q;
}

// The first layer with a linear head and folded FiLM: relu(constant + y * f_y + x * f_x) for this lane's four columns.
template <class Half, int N>
LMF_DEVICE void linear_head(uint32_t (&act)[N][4], const ModulatedCall& c,
                            const WeightFragments<Half, Head::linear>& weights, const uint16_t* params, float offset_y,
                            float offset_x, const float (&fy)[N][2], const float (&fx)[N][2]) {
  const RenderCall& call = c.render;
  const ModulatedLayout<int> layout = make_layout(Head::linear, c.mlp.depth);
  // Opaque, because the compiler would otherwise load the head's weights once for the whole kernel and spill registers.
  const int t2 = warp::opaque(2 * (warp::lane() & 3)), shift0 = layout.shift(0), base = layout.base();
  LMF_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int o = 8 * half + t2;
    const float2 a = load_pair<Half>(params, base + o), scales = load_pair<Half>(params, o),
                 shifts = load_pair<Half>(params, shift0 + o);
    const float2 ry = weights.head_pair(0, o), rx = weights.head_pair(1, o), cy = weights.head_pair(2, o),
                 cx = weights.head_pair(3, o);
    const auto fold = [&](float a, float scale, float shift, float ry, float rx, float cy, float cx, float* y,
                          float* x) {
      const float one_plus_scale = 1.0f + scale;
      *y = 2.0f * ry * one_plus_scale;
      *x = 2.0f * rx * one_plus_scale;
      a = warp::fma(cx, call.rel_cell_x, warp::fma(cy, call.rel_cell_y, a));
      return warp::fma(*x, offset_x, warp::fma(*y, offset_y, warp::fma(a, one_plus_scale, shift)));
    };
    float y0, x0, y1, x1;
    const float k0 = fold(a.x, scales.x, shifts.x, ry.x, rx.x, cy.x, cx.x, &y0, &x0);
    const float k1 = fold(a.y, scales.y, shifts.y, ry.y, rx.y, cy.y, cx.y, &y1, &x1);
    LMF_UNROLL
    for (int i = 0; i < N; ++i) {
      LMF_UNROLL
      for (int r = 0; r < 2; ++r) {
        act[i][2 * half + r] = warp::pack_relu<Half>(warp::fma(y0, fy[i][r], warp::fma(x0, fx[i][r], k0)),
                                                     warp::fma(y1, fy[i][r], warp::fma(x1, fx[i][r], k1)));
      }
    }
  }
}

// The Fourier product: columns j and j + 8 are coef * cos(pi q_j) and coef * sin(pi q_j), for j = 2t and 2t + 1.
template <class Half, int N>
LMF_DEVICE void fourier_head(uint32_t (&act)[N][4], const ModulatedCall& c,
                             const WeightFragments<Half, Head::fourier>& weights, const uint16_t* params,
                             float offset_y, float offset_x, const float (&fy)[N][2], const float (&fx)[N][2]) {
  const RenderCall& call = c.render;
  const ModulatedLayout<int> layout = make_layout(Head::fourier, c.mlp.depth);
  const int t2 = 2 * (warp::lane() & 3), coef = layout.coef(), freq = layout.freq();
  const float2 cosine = load_pair<Half>(params, coef + t2), sine = load_pair<Half>(params, coef + 8 + t2);
  const float2 f0 = load_pair<Half>(params, freq + 2 * t2), f1 = load_pair<Half>(params, freq + 2 * t2 + 2);
  const float2 py = weights.head_pair(0, t2), px = weights.head_pair(1, t2);
  const float phase0 = warp::fma(px.x, call.rel_cell_x, py.x * call.rel_cell_y);
  const float phase1 = warp::fma(px.y, call.rel_cell_x, py.y * call.rel_cell_y);
  LMF_UNROLL
  for (int i = 0; i < N; ++i) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      const float y = 2.0f * (fy[i][r] + offset_y), x = 2.0f * (fx[i][r] + offset_x);
      float c0, s0, c1, s1;
      sincospi(warp::fma(f0.x, y, warp::fma(f0.y, x, phase0)), &c0, &s0);
      sincospi(warp::fma(f1.x, y, warp::fma(f1.y, x, phase1)), &c1, &s1);
      act[i][r] = warp::pack<Half>(cosine.x * c0, cosine.y * c1);
      act[i][2 + r] = warp::pack<Half>(sine.x * s0, sine.y * s1);
    }
  }
}

// The modulated layers from `layer` on, for N tiles. A cell's FiLM is folded into each matrix as the lanes load it.
template <class Half, Head head, int N>
LMF_DEVICE void folded_layers(uint32_t (&act)[N][4], const WeightFragments<Half, head>& weights, const uint16_t* params,
                              int layer, int depth) {
  const ModulatedLayout<int> layout = make_layout(head, depth);
  const uint16_t* scale = params + layout.scale(layer) + (warp::lane() >> 2);
  const uint16_t* shift = params + layout.shift(layer) + 2 * (warp::lane() & 3);
  const uint4* matrix = weights.matrices() + warp::lane();
  LMF_KEEP_LOOP
  for (; layer < depth; ++layer, scale += kWidth, shift += kWidth, matrix += warp::kSize) {
    const uint32_t left_scale = warp::load(scale), right_scale = warp::load(scale + 8);
    const float2 left_shift = load_pair<Half>(shift, 0), right_shift = load_pair<Half>(shift, 8);
    const uint4 m = warp::shared_load(matrix);
    const uint32_t left = left_scale | left_scale << 16, right = right_scale | right_scale << 16;
    const MatrixFragment w = {{warp::times_one_plus<Half>(m.x, left), warp::times_one_plus<Half>(m.y, left)},
                              {warp::times_one_plus<Half>(m.z, right), warp::times_one_plus<Half>(m.w, right)}};
    const float c_left[4] = {left_shift.x, left_shift.y, left_shift.x, left_shift.y};
    const float c_right[4] = {right_shift.x, right_shift.y, right_shift.x, right_shift.y};
    LMF_UNROLL
    for (int i = 0; i < N; ++i) {
      float y_left[4], y_right[4];
      multiply_tile<Half>(y_left, y_right, act[i], w, c_left, c_right);
      activate<Half>(act[i], y_left, y_right);
    }
  }
}

// Pixels 16 * first to 16 * (first + N) - 1 of the quad, as far as the window has them.
template <int N, class Half, Head head>
LMF_DEVICE void render_tiles(const ModulatedCall& c, const WeightFragments<Half, head>& weights, const CellQuad& quad,
                             int first) {
  const RenderCall& call = c.render;
  const int g = warp::lane() >> 2, t = warp::lane() & 3;
  const uint32_t last = quad.count() - 1;
  float fy[N][2], fx[N][2], sum[N][4];
  uint32_t row_col[N][2];  // row and column in the quad, 16 bits each
  LMF_UNROLL
  for (int i = 0; i < N; ++i) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      const uint32_t p = uint32_t(first + i) * kTilePixels + g + 8 * r;
      int row, col;
      quad.split(p < last ? p : last, &row, &col);
      fy[i][r] = warp::fma(float(row), quad.y.step, quad.y.start);
      fx[i][r] = warp::fma(float(col), quad.x.step, quad.x.start);
      row_col[i][r] = uint32_t(row) << 16 | uint32_t(col);
      sum[i][2 * r] = sum[i][2 * r + 1] = 0.0f;
    }
  }
  uint32_t out[2];
  weights.out(out);
  const float2 bias = weights.bias(t);
  LMF_KEEP_LOOP
  for (int corner = 0; corner < 4; ++corner) {
    const int a = corner >> 1, b = corner & 1;
    const float offset_y = pick(a, quad.y.offset[0], quad.y.offset[1]);
    const float offset_x = pick(b, quad.x.offset[0], quad.x.offset[1]);
    const uint32_t offset = pick(a, quad.y.params[0], quad.y.params[1]) + pick(b, quad.x.params[0], quad.x.params[1]);
    const uint16_t* params = reinterpret_cast<const uint16_t*>(static_cast<const uint4*>(call.fields.data) + offset);
    uint32_t act[N][4];
    if constexpr (head == Head::linear) {
      linear_head<Half>(act, c, weights, params, offset_y, offset_x, fy, fx);
    } else {
      fourier_head<Half>(act, c, weights, params, offset_y, offset_x, fy, fx);
    }
    folded_layers<Half>(act, weights, params, head == Head::linear ? 1 : 0, c.mlp.depth);
    // The output layer starts from the bias and this corner's skip, because the ensemble's weights sum to 1.
    float2 from = bias;
    if (call.skip.data && t < 2) {
      const int64_t cell_y = clamp_cell(quad.y.k0 + a, call.fields.lr_h);
      const int64_t cell_x = clamp_cell(quad.x.k0 + b, call.fields.lr_w);
      from.x += skip_at_cell(call, quad.batch, cell_y, cell_x, 2 * t);
      if (t == 0) from.y += skip_at_cell(call, quad.batch, cell_y, cell_x, 1);
    }
    const float start[4] = {from.x, from.y, from.x, from.y};
    const float slope_y = a ? 1.0f : -1.0f, rest_y = a ? 0.0f : 1.0f;  // the weight is f, or 1 - f
    const float slope_x = b ? 1.0f : -1.0f, rest_x = b ? 0.0f : 1.0f;
    LMF_UNROLL
    for (int i = 0; i < N; ++i) {
      float y[4];
      warp::mma<Half>(y, act[i], out, start);
      LMF_UNROLL
      for (int r = 0; r < 2; ++r) {
        const float w = warp::fma(fy[i][r], slope_y, rest_y) * warp::fma(fx[i][r], slope_x, rest_x);
        sum[i][2 * r] = warp::fma(w, y[2 * r], sum[i][2 * r]);
        sum[i][2 * r + 1] = warp::fma(w, y[2 * r + 1], sum[i][2 * r + 1]);
      }
    }
  }
  if (t > 1) return;  // this lane has channels 2t and 2t + 1, and there are three channels
  const Output& o = call.out;
  unsigned char* origin = pixel_address(o, quad.batch, 2 * t, quad.y.first, quad.x.first);
  const int64_t bytes = stored_bytes(o.store), down = o.stride_y * bytes, right = o.stride_x * bytes;
  LMF_UNROLL
  for (int i = 0; i < N; ++i) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      if (uint32_t(first + i) * kTilePixels + g + 8 * r > last) continue;
      unsigned char* pixel = origin + (row_col[i][r] >> 16) * down + (row_col[i][r] & 0xffff) * right;
      store_channel(o, pixel, sum[i][2 * r]);
      if (t == 0) store_channel(o, pixel + o.stride_c * bytes, sum[i][2 * r + 1]);
    }
  }
}

template <class Half, Head head>
LMF_DEVICE void render(MmaFolded<Half, head>, const ModulatedCall& c, unsigned char* shared, warp::Position position) {
  const RenderCall& call = c.render;
  const WeightFragments<Half, head> weights(c.mlp, shared, position);
  warp::block_barrier();
  const PairRange rows(axis_y(call.fields, call.out)), cols(axis_x(call.fields, call.out));
  const uint32_t items = uint32_t(call.fields.batch) * uint32_t(rows.count) * uint32_t(cols.count);
  for (uint32_t item = position.block * position.warps + position.warp; item < items;
       item += position.blocks * position.warps) {
    const CellQuad quad = find_quad(call, rows, cols, item);
    const int tiles = int((quad.count() + kTilePixels - 1) / kTilePixels);
    if (tiles == 0) continue;
    const int rounds = (tiles + kTiles - 1) / kTiles, each = (tiles + rounds - 1) / rounds;
    for (int first = 0; first < tiles; first += each) {
      switch (tiles - first < each ? tiles - first : each) {
        case 1: render_tiles<1>(c, weights, quad, first); break;
        case 2: render_tiles<2>(c, weights, quad, first); break;
        case 3: render_tiles<3>(c, weights, quad, first); break;
        case 4: render_tiles<4>(c, weights, quad, first); break;
        default: render_tiles<kTiles>(c, weights, quad, first);
      }
    }
  }
}

}  // namespace lmf::modulated
