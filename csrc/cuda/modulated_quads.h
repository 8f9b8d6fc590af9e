// Large scales on tensor cores: a warp renders the pixels between four LR centres, which share their four cells.
//
// A cell's FiLM is folded into the weights, relu(x (W * (1 + s)) + t), once for up to kTiles tiles of 16 pixels whose
// activations stay in registers from the first layer to the last. So a layer costs a tile two matrix instructions and
// four conversions. The four corners follow each other in a fixed order and are summed by the lane that stores them.
#pragma once

#include "fragments.h"
#include "sincospi.h"

namespace lmf {

constexpr int kTiles = 3;  // tiles in flight: more share a folding, and take registers

// The quads that a window touches, counted from the one before the first LR centre: k0 = -1.
struct QuadGrid {
  int y, x;  // k0 of the first
  int rows, cols;
};

LMF_DEVICE QuadGrid quads_of(const Fields& f, const Output& o) {
  const auto k0 = [](int64_t pos, int64_t n_in, int64_t n_out) {
    return floor_div((2 * pos + 1) * n_in - n_out, 2 * n_out);
  };
  QuadGrid q;
  q.y = int(k0(o.y0, f.lr_h, o.H));
  q.x = int(k0(o.x0, f.lr_w, o.W));
  q.rows = int(k0(o.y0 + o.rows - 1, f.lr_h, o.H) - q.y + 1);
  q.cols = int(k0(o.x0 + o.cols - 1, f.lr_w, o.W) - q.x + 1);
  return q;
}

// One axis of a quad. 32-bit numbers, counted from the window's corner: registers are what this kernel is short of.
struct QuadAxis {
  int first;          // its first pixel in the window
  int count;          // of pixels in the window
  int k0;             // its first LR centre, before clamping
  float start, step;  // f of pixel i is start + i * step
};

// Output positions of the quads' bounds take 64-bit divisions: four lanes do one each.
LMF_DEVICE int64_t quad_bound(int64_t k, int64_t n_in, int64_t n_out) {
  const int64_t num = (2 * k + 1) * n_out - n_in;
  return num <= 0 ? 0 : quotient(num + 2 * n_in - 1, 2 * n_in);
}

LMF_DEVICE QuadAxis quad_axis(int64_t k0, int64_t begin, int64_t end, int64_t origin, int64_t size, int64_t n_in,
                              int64_t n_out) {
  QuadAxis q;
  begin = begin < origin ? origin : begin;
  end = end > origin + size ? origin + size : end;
  q.first = int(begin - origin);
  q.count = end > begin ? int(end - begin) : 0;
  q.k0 = int(k0);
  const float scale = 1.0f / float(2 * n_out);
  q.start = float((2 * begin + 1) * n_in - n_out - 2 * n_out * k0) * scale;
  q.step = float(2 * n_in) * scale;
  return q;
}

struct Quad {
  int batch;
  QuadAxis y, x;
  float inverse_cols;

  LMF_DEVICE int count() const { return y.count * x.count; }

  // Row and column of pixel p of the quad.
  LMF_DEVICE void split(int p, int* row, int* col) const {
    int r = int((float(p) + 0.5f) * inverse_cols);
    int c = p - r * x.count;
    if (c < 0) --r, c += x.count;
    if (c >= x.count) ++r, c -= x.count;
    *row = r;
    *col = c;
  }
};

LMF_DEVICE Quad find_quad(const ModulatedCall& call, const QuadGrid& grid, uint32_t item) {
  const Fields& f = call.fields;
  const Output& o = call.out;
  const uint32_t per_image = uint32_t(grid.rows) * uint32_t(grid.cols);
  const uint32_t batch = item / per_image, within = item - batch * per_image;
  const uint32_t row = within / uint32_t(grid.cols);
  const int ky = grid.y + int(row), kx = grid.x + int(within - row * uint32_t(grid.cols));
  const int role = warp::lane() & 3;
  const bool wide = role & 1;
  const int64_t bound = quad_bound(int64_t(wide ? kx : ky) + (role >> 1), wide ? f.lr_w : f.lr_h, wide ? o.W : o.H);
  Quad q;
  q.batch = int(batch);
  q.y = quad_axis(ky, warp::shuffle(bound, 0), warp::shuffle(bound, 2), o.y0, o.rows, f.lr_h, o.H);
  q.x = quad_axis(kx, warp::shuffle(bound, 1), warp::shuffle(bound, 3), o.x0, o.cols, f.lr_w, o.W);
  q.inverse_cols = 1.0f / float(q.x.count);
  return q;
}

// The linear head's first layer, FiLM folded in: relu(constant + y * f_y + x * f_x) for this lane's four columns.
template <class Half, int N>
LMF_DEVICE void linear_head(uint32_t (&act)[N][4], const ModulatedCall& call,
                            const Fragments<Half, Head::linear>& weights, const uint16_t* record, float offset_y,
                            float offset_x, const float (&fy)[N][2], const float (&fx)[N][2]) {
  // Opaque, else the compiler would load the head's weights once for the whole kernel, into registers it has not.
  const int t2 = warp::opaque(2 * (warp::lane() & 3)), shift = call.mlp.depth * kWidth, base = 2 * shift;
  LMF_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int c = 8 * half + t2;
    const float2 a = load_pair<Half>(record, base + c), s = load_pair<Half>(record, c),
                 shifts = load_pair<Half>(record, shift + c);
    const float2 ry = weights.head_pair(0, c), rx = weights.head_pair(1, c), cy = weights.head_pair(2, c),
                 cx = weights.head_pair(3, c);
    const auto fold = [&](float a, float s, float shift, float ry, float rx, float cy, float cx, float* y, float* x) {
      const float factor = 1.0f + s;
      *y = 2.0f * ry * factor;
      *x = 2.0f * rx * factor;
      a = warp::fma(cx, call.rel_cell[1], warp::fma(cy, call.rel_cell[0], a));
      return warp::fma(*x, offset_x, warp::fma(*y, offset_y, warp::fma(a, factor, shift)));
    };
    float y0, x0, y1, x1;
    const float k0 = fold(a.x, s.x, shifts.x, ry.x, rx.x, cy.x, cx.x, &y0, &x0);
    const float k1 = fold(a.y, s.y, shifts.y, ry.y, rx.y, cy.y, cx.y, &y1, &x1);
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

// The Fourier head: columns j and j + 8 of the product are coef * cos(pi q_j) and coef * sin(pi q_j), j = 2t, 2t + 1.
template <class Half, int N>
LMF_DEVICE void fourier_head(uint32_t (&act)[N][4], const ModulatedCall& call,
                             const Fragments<Half, Head::fourier>& weights, const uint16_t* record, float offset_y,
                             float offset_x, const float (&fy)[N][2], const float (&fx)[N][2]) {
  const int t2 = 2 * (warp::lane() & 3), coef = 2 * call.mlp.depth * kWidth, freq = coef + kWidth;
  const float2 cosine = load_pair<Half>(record, coef + t2), sine = load_pair<Half>(record, coef + 8 + t2);
  const float2 f0 = load_pair<Half>(record, freq + 2 * t2), f1 = load_pair<Half>(record, freq + 2 * t2 + 2);
  const float2 py = weights.head_pair(0, t2), px = weights.head_pair(1, t2);
  const float phase0 = warp::fma(px.x, call.rel_cell[1], py.x * call.rel_cell[0]);
  const float phase1 = warp::fma(px.y, call.rel_cell[1], py.y * call.rel_cell[0]);
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

// A modulated layer on N tiles, the FiLM of one cell folded into the matrix.
template <class Half, int N>
LMF_DEVICE void folded_layer(uint32_t (&act)[N][4], MatrixFragment w, const uint16_t* record, int layer, int depth) {
  const int g = warp::lane() >> 2, t2 = 2 * (warp::lane() & 3), scale = layer * kWidth, shift = (depth + layer) * kWidth;
  const float s0 = 1.0f + warp::widen<Half>(warp::load(record + scale + g));
  const float s1 = 1.0f + warp::widen<Half>(warp::load(record + scale + 8 + g));
  const uint32_t left = warp::pack<Half>(s0, s0), right = warp::pack<Half>(s1, s1);
  LMF_UNROLL
  for (int k = 0; k < 2; ++k) {
    w.left[k] = warp::multiply<Half>(w.left[k], left);
    w.right[k] = warp::multiply<Half>(w.right[k], right);
  }
  const float2 u = load_pair<Half>(record, shift + t2), v = load_pair<Half>(record, shift + 8 + t2);
  const float c_left[4] = {u.x, u.y, u.x, u.y}, c_right[4] = {v.x, v.y, v.x, v.y};
  LMF_UNROLL
  for (int i = 0; i < N; ++i) {
    float y_left[4], y_right[4];
    multiply_tile<Half>(y_left, y_right, act[i], w, c_left, c_right);
    activate<Half>(act[i], y_left, y_right);
  }
}

// Pixels [16 * first, 16 * (first + N)) of the quad, as far as there are so many.
template <int N, class Half, Head head>
LMF_DEVICE void render_tiles(const ModulatedCall& call, const Fragments<Half, head>& weights, const Quad& quad,
                             int first) {
  const int g = warp::lane() >> 2, t = warp::lane() & 3, last = quad.count() - 1, depth = call.mlp.depth;
  float fy[N][2], fx[N][2], sum[N][4];
  LMF_UNROLL
  for (int i = 0; i < N; ++i) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      const int p = (first + i) * kTileRows + g + 8 * r;
      int row, col;
      quad.split(p < last ? p : last, &row, &col);
      fy[i][r] = warp::fma(float(row), quad.y.step, quad.y.start);
      fx[i][r] = warp::fma(float(col), quad.x.step, quad.x.start);
      sum[i][2 * r] = sum[i][2 * r + 1] = 0.0f;
    }
  }
  uint32_t out[2];
  weights.out(out);
  const float2 bias = weights.bias(t);
  LMF_KEEP_LOOP
  for (int corner = 0; corner < 4; ++corner) {
    const int a = corner >> 1, b = corner & 1;
    const int cell_y = int(clamp_cell(quad.y.k0 + a, call.fields.lr_h));
    const int cell_x = int(clamp_cell(quad.x.k0 + b, call.fields.lr_w));
    const float offset_y = float(quad.y.k0 - cell_y), offset_x = float(quad.x.k0 - cell_x);  // rel = 2 (f + offset)
    const uint16_t* record =
        static_cast<const uint16_t*>(call.fields.data) + record_offset(call.fields, quad.batch, cell_y, cell_x);
    uint32_t act[N][4];
    if constexpr (head == Head::linear) {
      linear_head<Half>(act, call, weights, record, offset_y, offset_x, fy, fx);
    } else {
      fourier_head<Half>(act, call, weights, record, offset_y, offset_x, fy, fx);
    }
    LMF_KEEP_LOOP
    for (int m = 0; m < weights.count(); ++m) {
      folded_layer<Half>(act, weights.matrix(m), record, head == Head::linear ? m + 1 : m, depth);
    }
    // The output layer begins at the bias and this corner's skip: the ensemble's weights sum to 1.
    float2 c = bias;
    if (call.skip.data && t < 2) {
      c.x += skip_cell(call, quad.batch, cell_y, cell_x, 2 * t);
      if (t == 0) c.y += skip_cell(call, quad.batch, cell_y, cell_x, 1);
    }
    const float start[4] = {c.x, c.y, c.x, c.y};
    LMF_UNROLL
    for (int i = 0; i < N; ++i) {
      float y[4];
      warp::mma<Half>(y, act[i], out, start);
      LMF_UNROLL
      for (int r = 0; r < 2; ++r) {
        const float w = (a ? fy[i][r] : 1.0f - fy[i][r]) * (b ? fx[i][r] : 1.0f - fx[i][r]);
        sum[i][2 * r] = warp::fma(w, y[2 * r], sum[i][2 * r]);
        sum[i][2 * r + 1] = warp::fma(w, y[2 * r + 1], sum[i][2 * r + 1]);
      }
    }
  }
  if (t > 1) return;  // channels 2t and 2t + 1 are here; there are three
  first = warp::opaque(first);  // else the pixels' places would be kept in registers all the way
  LMF_UNROLL
  for (int i = 0; i < N; ++i) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      const int p = (first + i) * kTileRows + g + 8 * r;
      if (p > last) continue;
      int row, col;
      quad.split(p, &row, &col);
      row += quad.y.first;
      col += quad.x.first;
      store_channel(call.out, quad.batch, 2 * t, row, col, sum[i][2 * r]);
      if (t == 0) store_channel(call.out, quad.batch, 1, row, col, sum[i][2 * r + 1]);
    }
  }
}

template <class Half, Head head>
LMF_DEVICE void render(Quads<Half, head>, const ModulatedCall& call, unsigned char* shared, warp::Place place) {
  const Fragments<Half, head> weights(call.mlp, shared, place);
  warp::block_barrier();
  const QuadGrid grid = quads_of(call.fields, call.out);
  const uint32_t items = uint32_t(call.fields.batch) * uint32_t(grid.rows) * uint32_t(grid.cols);
  for (uint32_t item = place.block * place.warps + place.warp; item < items; item += place.blocks * place.warps) {
    const Quad quad = find_quad(call, grid, item);
    const int tiles = (quad.count() + kTileRows - 1) / kTileRows;
    if (tiles == 0) continue;
    const int rounds = (tiles + kTiles - 1) / kTiles, each = (tiles + rounds - 1) / rounds;
    for (int first = 0; first < tiles; first += each) {
      switch (tiles - first < each ? tiles - first : each) {
        case 1: render_tiles<1>(call, weights, quad, first); break;
        case 2: render_tiles<2>(call, weights, quad, first); break;
        default: render_tiles<kTiles>(call, weights, quad, first);
      }
    }
  }
}

}  // namespace lmf
