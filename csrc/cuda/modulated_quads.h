// Large scales on tensor cores: a warp renders the pixels between four LR centres, which share their four cells.
//
// A cell's FiLM is folded into the weights, relu(x (W * (1 + s)) + t), once for up to kTiles tiles of 16 pixels whose
// activations stay in registers from the first layer to the last. So a layer costs a tile two matrix instructions and
// four conversions. The four corners follow each other in a fixed order and are summed by the lane that stores them.
#pragma once

#include "fragments.h"
#include "sincospi.h"

namespace lmf {

// Tiles in flight: more share a folding, and take registers, of which the same code needs more on Blackwell.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr int kTiles = 4;
#else
constexpr int kTiles = 5;
#endif

// What one axis of a call is.
struct Axis {
  int64_t n_in, n_out;   // LR cells and output pixels of the whole picture
  int64_t origin, size;  // the window of the output
  int64_t cell0, stride; // the fields' first LR cell, and the step from cell to cell in elements
};

LMF_DEVICE Axis axis_y(const Fields& f, const Output& o) { return {f.lr_h, o.H, o.y0, o.rows, f.lr_y0, f.stride[1]}; }
LMF_DEVICE Axis axis_x(const Fields& f, const Output& o) { return {f.lr_w, o.W, o.x0, o.cols, f.lr_x0, f.stride[2]}; }

// The quads that a window touches along an axis, counted from the one before the first LR centre: k0 = -1.
struct QuadRange {
  int first, count;

  LMF_DEVICE explicit QuadRange(const Axis& a) {
    const auto k0 = [&](int64_t pos) { return floor_div((2 * pos + 1) * a.n_in - a.n_out, 2 * a.n_out); };
    first = int(k0(a.origin));
    count = int(k0(a.origin + a.size - 1)) - first + 1;
  }
};

// Output position of the first pixel of quad k. A 64-bit division: four lanes do one each.
LMF_DEVICE int64_t quad_bound(int64_t k, int64_t n_in, int64_t n_out) {
  const int64_t num = (2 * k + 1) * n_out - n_in;
  return num <= 0 ? 0 : quotient(num + 2 * n_in - 1, 2 * n_in);
}

// One axis of a quad. 32-bit numbers, counted from the window's corner: registers are what this kernel is short of.
struct QuadAxis {
  int first;           // its first pixel, negative where that lies before the window
  int count;           // of pixels in the window
  int k0;              // its first LR centre, before clamping
  float offset[2];     // k0 less its two cells: rel = 2 (f + offset)
  uint32_t record[2];  // where the records of its two cells begin along this axis, in units of 16 bytes
  float start, step;   // f of the quad's pixel i is start + i * step: the same bits whatever the window cuts off

  LMF_DEVICE QuadAxis(const Axis& a, int k, int64_t begin, int64_t end) : k0(k) {
    const int64_t stop = a.origin + a.size, from = begin < a.origin ? a.origin : begin, to = end > stop ? stop : end;
    first = int(begin - a.origin);
    count = to > from ? int(to - from) : 0;
    LMF_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int64_t cell = clamp_cell(k + i, a.n_in);
      offset[i] = float(k - cell);
      record[i] = uint32_t((cell - a.cell0) * a.stride / 8);
    }
    const float scale = 1.0f / float(2 * a.n_out);
    start = float((2 * begin + 1) * a.n_in - a.n_out - 2 * a.n_out * k) * scale;
    step = float(2 * a.n_in) * scale;
  }

  LMF_DEVICE int hidden() const { return first < 0 ? -first : 0; }  // pixels before the window
};

struct Quad {
  int batch;
  QuadAxis y, x;
  float inverse_cols;

  // Unsigned: it can pass 2^31 (kMostAcross).
  LMF_DEVICE uint32_t count() const { return uint32_t(y.count) * uint32_t(x.count); }

  // Row and column in the quad of the p-th of its pixels that the window shows.
  LMF_DEVICE void split(uint32_t p, int* row, int* col) const {
    int r = int((float(p) + 0.5f) * inverse_cols);
    int c = int(p - uint32_t(r) * uint32_t(x.count));
    if (c < 0) --r, c += x.count;
    if (c >= x.count) ++r, c -= x.count;
    *row = r + y.hidden();
    *col = c + x.hidden();
  }
};

LMF_DEVICE Quad find_quad(const ModulatedCall& call, QuadRange rows, QuadRange cols, uint32_t item) {
  const uint32_t across = uint32_t(cols.count), line = item / across, batch = line / uint32_t(rows.count);
  const int ky = rows.first + int(line - batch * uint32_t(rows.count)), kx = cols.first + int(item - line * across);
  const Axis y = axis_y(call.fields, call.out), x = axis_x(call.fields, call.out);
  const int role = warp::lane() & 3;
  const bool wide = role & 1;
  const int64_t bound = quad_bound(int64_t(wide ? kx : ky) + (role >> 1), wide ? x.n_in : y.n_in,
                                   wide ? x.n_out : y.n_out);
  Quad q = {int(batch), QuadAxis(y, ky, warp::shuffle(bound, 0), warp::shuffle(bound, 2)),
            QuadAxis(x, kx, warp::shuffle(bound, 1), warp::shuffle(bound, 3)), 0.0f};
  q.y.record[0] += uint32_t(batch * call.fields.stride[0] / 8);
  q.y.record[1] += uint32_t(batch * call.fields.stride[0] / 8);
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

// The modulated layers from `layer` on, for N tiles: a cell's FiLM is folded into each matrix on its way to the lanes.
template <class Half, Head head, int N>
LMF_DEVICE void folded_layers(uint32_t (&act)[N][4], const Fragments<Half, head>& weights, const uint16_t* record,
                              int layer, int depth) {
  const uint16_t* scale = record + layer * kWidth + (warp::lane() >> 2);
  const uint16_t* shift = record + (depth + layer) * kWidth + 2 * (warp::lane() & 3);
  const uint4* matrix = weights.matrices() + warp::lane();
  LMF_KEEP_LOOP
  for (; layer < depth; ++layer, scale += kWidth, shift += kWidth, matrix += kLanes) {
    const uint32_t s0 = warp::load(scale), s1 = warp::load(scale + 8);
    const float2 u = load_pair<Half>(shift, 0), v = load_pair<Half>(shift, 8);
    const uint4 m = warp::shared_load(matrix);
    const uint32_t left = s0 | s0 << 16, right = s1 | s1 << 16;
    const MatrixFragment w = {{warp::times_one_plus<Half>(m.x, left), warp::times_one_plus<Half>(m.y, left)},
                              {warp::times_one_plus<Half>(m.z, right), warp::times_one_plus<Half>(m.w, right)}};
    const float c_left[4] = {u.x, u.y, u.x, u.y}, c_right[4] = {v.x, v.y, v.x, v.y};
    LMF_UNROLL
    for (int i = 0; i < N; ++i) {
      float y_left[4], y_right[4];
      multiply_tile<Half>(y_left, y_right, act[i], w, c_left, c_right);
      activate<Half>(act[i], y_left, y_right);
    }
  }
}

// Pixels [16 * first, 16 * (first + N)) of the quad, as far as there are so many.
template <int N, class Half, Head head>
LMF_DEVICE void render_tiles(const ModulatedCall& call, const Fragments<Half, head>& weights, const Quad& quad,
                             int first) {
  const int g = warp::lane() >> 2, t = warp::lane() & 3;
  const uint32_t last = quad.count() - 1;
  float fy[N][2], fx[N][2], sum[N][4];
  uint32_t place[N][2];  // row and column in the quad, 16 bits each
  LMF_UNROLL
  for (int i = 0; i < N; ++i) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      const uint32_t p = uint32_t(first + i) * kTileRows + g + 8 * r;
      int row, col;
      quad.split(p < last ? p : last, &row, &col);
      fy[i][r] = warp::fma(float(row), quad.y.step, quad.y.start);
      fx[i][r] = warp::fma(float(col), quad.x.step, quad.x.start);
      place[i][r] = uint32_t(row) << 16 | uint32_t(col);
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
    const uint32_t at = pick(a, quad.y.record[0], quad.y.record[1]) + pick(b, quad.x.record[0], quad.x.record[1]);
    const uint16_t* record = reinterpret_cast<const uint16_t*>(static_cast<const uint4*>(call.fields.data) + at);
    uint32_t act[N][4];
    if constexpr (head == Head::linear) {
      linear_head<Half>(act, call, weights, record, offset_y, offset_x, fy, fx);
    } else {
      fourier_head<Half>(act, call, weights, record, offset_y, offset_x, fy, fx);
    }
    folded_layers<Half>(act, weights, record, head == Head::linear ? 1 : 0, call.mlp.depth);
    // The output layer begins at the bias and this corner's skip: the ensemble's weights sum to 1.
    float2 c = bias;
    if (call.skip.data && t < 2) {
      const int64_t cell_y = clamp_cell(quad.y.k0 + a, call.fields.lr_h);
      const int64_t cell_x = clamp_cell(quad.x.k0 + b, call.fields.lr_w);
      c.x += skip_cell(call, quad.batch, cell_y, cell_x, 2 * t);
      if (t == 0) c.y += skip_cell(call, quad.batch, cell_y, cell_x, 1);
    }
    const float start[4] = {c.x, c.y, c.x, c.y};
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
  if (t > 1) return;  // channels 2t and 2t + 1 are here; there are three
  const Output& o = call.out;
  unsigned char* origin = place_of(o, quad.batch, 2 * t, quad.y.first, quad.x.first);
  const int64_t bytes = stored_bytes(o.store), down = o.stride[2] * bytes, right = o.stride[3] * bytes;
  LMF_UNROLL
  for (int i = 0; i < N; ++i) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      if (uint32_t(first + i) * kTileRows + g + 8 * r > last) continue;
      unsigned char* pixel = origin + (place[i][r] >> 16) * down + (place[i][r] & 0xffff) * right;
      store_channel(o, pixel, sum[i][2 * r]);
      if (t == 0) store_channel(o, pixel + o.stride[1] * bytes, sum[i][2 * r + 1]);
    }
  }
}

template <class Half, Head head>
LMF_DEVICE void render(Quads<Half, head>, const ModulatedCall& call, unsigned char* shared, warp::Place place) {
  const Fragments<Half, head> weights(call.mlp, shared, place);
  warp::block_barrier();
  const QuadRange rows(axis_y(call.fields, call.out)), cols(axis_x(call.fields, call.out));
  const uint32_t items = uint32_t(call.fields.batch) * uint32_t(rows.count) * uint32_t(cols.count);
  for (uint32_t item = place.block * place.warps + place.warp; item < items; item += place.blocks * place.warps) {
    const Quad quad = find_quad(call, rows, cols, item);
    const int tiles = int((quad.count() + kTileRows - 1) / kTileRows);
    if (tiles == 0) continue;
    const int rounds = (tiles + kTiles - 1) / kTiles, each = (tiles + rounds - 1) / rounds;
    for (int first = 0; first < tiles; first += each) {
      switch (tiles - first < each ? tiles - first : each) {
        case 1: render_tiles<1>(call, weights, quad, first); break;
        case 2: render_tiles<2>(call, weights, quad, first); break;
        case 3: render_tiles<3>(call, weights, quad, first); break;
        case 4: render_tiles<4>(call, weights, quad, first); break;
        default: render_tiles<kTiles>(call, weights, quad, first);
      }
    }
  }
}

}  // namespace lmf
