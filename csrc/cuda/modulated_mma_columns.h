// The modulated family on tensor cores, for grids of x1 and more. A warp renders 8 columns of pixels between two
// LR centre rows; a lane has one column, so that all its pixels share their four cells.
//
// A tile is 8 columns x 2 rows: rows g and g + 8 of the fragments are two pixels of column g. Up to six tiles go
// through the network together, from the first layer to the last in registers. A layer's FiLM is loaded once for all of
// them and applied to the products in halves, by one multiply-add with ReLU; as soon as it has been used, that of the
// next corner is loaded into the same registers. The four corners are evaluated in a fixed order, and the lane that
// stores a pixel sums them.
#pragma once

#include "modulated_column_heads.h"
#include "modulated_column_pixels.h"
#include "modulated_plan.h"

namespace lmf::modulated {

constexpr int kMostTiles = kMmaItem.rows / 2;

// FiLM of the layers that come next: layer l is in place l % kAhead. The layers of a corner are followed by those of
// the next one.
template <int kDepth, int kAhead>
struct FilmAhead {
  static_assert(kDepth % kAhead == 0, "each corner must begin at the same place");
  Film layers[kAhead];

  LMF_DEVICE FilmAhead(const uint16_t* params, int) {
    LMF_UNROLL
    for (int layer = 0; layer < kAhead; ++layer) layers[layer] = load_film(params, layer, kDepth);
  }
  LMF_DEVICE const Film& operator[](int layer) const { return layers[layer % kAhead]; }

  // Loads into the place of a layer that has been used. next: the record of the next corner; last: there is none.
  LMF_DEVICE void advance(int layer, const uint16_t* params, const uint16_t* next, bool last) {
    const int coming = layer + kAhead;
    if (coming < kDepth) {
      layers[layer % kAhead] = load_film(params, coming, kDepth);
    } else if (!last) {
      layers[layer % kAhead] = load_film(next, coming - kDepth, kDepth);
    }
  }
};

// With any depth only the first layer's is loaded ahead.
template <>
struct FilmAhead<0, 0> {
  Film first;
  int depth;

  LMF_DEVICE FilmAhead(const uint16_t* params, int depth) : first(load_film(params, 0, depth)), depth(depth) {}
  LMF_DEVICE const Film& operator[](int) const { return first; }
  LMF_DEVICE void advance(int, const uint16_t*, const uint16_t* next, bool last) {
    if (!last) first = load_film(next, 0, depth);
  }
};

// Layers whose FiLM is held in registers: as many as fit. With many tiles a layer takes long enough that few suffice.
// bfloat16 has float32 sums, which take registers too.
template <class Half, int kDepth, int N>
constexpr int kLayersAhead = N > 4 && kDepth > 2     ? 2
                             : N <= 2 && kDepth <= 6 ? kDepth
                                                     : kDepth / 2;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 1000
constexpr int kLayersAheadOfMany = 2;  // one would spill registers there, and two elsewhere (nvcc 13.0)
#else
constexpr int kLayersAheadOfMany = 1;
#endif
template <int kDepth, int N>
constexpr int kLayersAhead<warp::BF16, kDepth, N> =
    N > 4 && kDepth > 2 ? kLayersAheadOfMany : kLayersAhead<warp::F16, kDepth, N>;

// One modulated layer of N tiles.
template <class Half, int N>
LMF_DEVICE void column_layer(uint32_t (&act)[N][4], const MatrixFragment& w, uint2 factor, uint2 shift) {
  LMF_UNROLL
  for (int i = 0; i < N; ++i) {
    uint32_t y[4];
    multiply_tile(Half{}, y, act[i], w);
    act[i][0] = warp::fma_relu_pair<Half>(y[0], factor.x, shift.x);
    act[i][1] = warp::fma_relu_pair<Half>(y[1], factor.x, shift.x);
    act[i][2] = warp::fma_relu_pair<Half>(y[2], factor.y, shift.y);
    act[i][3] = warp::fma_relu_pair<Half>(y[3], factor.y, shift.y);
  }
}

// The last of them, with sums and FiLM in float32: what it rounds goes straight into the output, and the roundings of
// earlier layers count little beside it.
template <class Half, int N>
LMF_DEVICE void last_column_layer(uint32_t (&act)[N][4], const MatrixFragment& w, const Film& film) {
  const Modulation<Half> modulation(film);
  LMF_UNROLL
  for (int i = 0; i < N; ++i) {
    float left[4], right[4];
    multiply_tile<Half>(left, right, act[i], w);
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) modulation.apply(&act[i][r], &act[i][2 + r], left + 2 * r, right + 2 * r);
  }
}

// The modulated layers from the first product on, with depth known to the compiler.
template <class Half, Head head, int kDepth, int kAhead, int N>
LMF_DEVICE void column_layers(uint32_t (&act)[N][4], const WeightFragments<Half, head>& weights,
                              FilmAhead<kDepth, kAhead>& film, const uint16_t* params, const uint16_t* next,
                              bool last) {
  constexpr int first = head == Head::linear ? 1 : 0;
  LMF_UNROLL
  for (int layer = first; layer < kDepth; ++layer) {
    const MatrixFragment w = weights.matrix(layer - first);
    if (layer == kDepth - 1) {
      last_column_layer<Half>(act, w, film[layer]);
    } else {
      column_layer<Half>(act, w, one_plus<Half>(film[layer].scale), film[layer].shift);
    }
    film.advance(layer, params, next, last);
  }
}

// The same with any depth: a layer's FiLM is loaded one layer ahead.
template <class Half, Head head, int N>
LMF_DEVICE void column_layers(uint32_t (&act)[N][4], const WeightFragments<Half, head>& weights, const uint16_t* params,
                              int depth) {
  constexpr int first = head == Head::linear ? 1 : 0;
  if (first == depth) return;
  Film film = load_film(params, first, depth);
  LMF_KEEP_LOOP
  for (int layer = first; layer < depth - 1; ++layer) {
    const MatrixFragment w = weights.matrix(layer - first);
    const uint2 factor = one_plus<Half>(film.scale), shift = film.shift;
    film = load_film(params, layer + 1, depth);
    column_layer<Half>(act, w, factor, shift);
  }
  last_column_layer<Half>(act, weights.matrix(depth - 1 - first), film);
}

// This lane's address of a record, from its offset in units of 16 bytes: at channel 4t.
LMF_DEVICE const uint16_t* record_of_lane(const uint16_t* fields_of_lane, uint32_t offset) {
  return fields_of_lane + uint64_t(offset) * 8;
}

// Renders rows 0 to 2 N - 1 of a chunk, in this lane's column of the window.
template <int N, int kDepth, int kUnrolled, class Half, Head head>
LMF_DEVICE void render_columns(const ModulatedCall& c, const ColumnPlan& plan,
                               const WeightFragments<Half, head>& weights, const RowChunk& chunk, int batch, int col) {
  using First = ColumnHead<Half, head>;
  const RenderCall& call = c.render;
  const int t = warp::lane() & 3, channel = t < 3 ? t : 0;
  const CellPair x = plan.column(col), &y = chunk.cells;
  const uint16_t* fields = static_cast<const uint16_t*>(call.fields.data) + 4 * t;
  const uint32_t first_record = plan.fields_origin + uint32_t(batch) * plan.fields_b +
                                uint32_t(y.cell0) * plan.fields_y + uint32_t(x.cell0) * plan.fields_x;
  const uint32_t next_y = y.moves ? plan.fields_y : 0, next_x = x.moves ? plan.fields_x : 0;
  const uint16_t* params = record_of_lane(fields, first_record);
  const int depth = kDepth ? kDepth : c.mlp.depth;
  typename First::Inputs inputs = First::load(params, depth);
  FilmAhead<kDepth, kLayersAhead<Half, kDepth, N>> film(params, depth);
  const uint32_t rows = t == 3 || col >= plan.cols ? 0 : chunk.rows();
  unsigned char* at = column_address(call.out, plan, batch, channel, chunk.row, col);
  float sum[2 * N];  // of the corners, from the bias and the skip on
  start_column(sum, weights.bias(t), call, plan, y, x, batch, channel);
  const auto add_corner = [&](int corner) {
    const int a = corner >> 1, b = corner & 1;
    const bool last = a && b;
    const uint16_t* next = record_of_lane(fields, first_record + (a || b ? next_y : 0) + (b ? 0 : next_x));
    uint32_t act[N][4];
    First::apply(act, weights.head_values(), inputs, film[0], {y.f + y.offset(a), x.f + x.offset(b)});
    if (!last) {
      inputs = First::load(next, depth);
    }
    if (head == Head::linear) film.advance(0, params, next, last);
    if constexpr (kDepth != 0) {
      column_layers<Half, head>(act, weights, film, params, next, last);
    } else {
      column_layers<Half, head>(act, weights, params, depth);
    }
    params = next;
    const float of_x = b ? x.f : 1.0f - x.f;
    const float weight = warp::multiply(of_x, a ? y.f : 1.0f - y.f);
    const float slope = warp::multiply(of_x, a ? plan.y_step : -plan.y_step);
    uint32_t out[2];
    weights.out(out);
    const float zero[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    LMF_UNROLL
    for (int i = 0; i < N; ++i) {
      float v[4];
      warp::mma<Half>(v, act[i], out, zero);
      LMF_UNROLL
      for (int r = 0; r < 2; ++r) {
        sum[2 * i + r] = warp::fma(warp::fma(slope, float(2 * i + r), weight), v[2 * r], sum[2 * i + r]);
      }
    }
  };
  if constexpr (kUnrolled == 4) {
    LMF_UNROLL
    for (int corner = 0; corner < 4; ++corner) add_corner(corner);
  } else {
    LMF_KEEP_LOOP
    for (int corner = 0; corner < 4; corner += kUnrolled) {
      LMF_UNROLL
      for (int i = 0; i < kUnrolled; ++i) add_corner(corner + i);
    }
  }
  store_column(call.out.store, sum, plan, at, rows);
}

// Of the linear head with few rows. All four would spill a register for sm_100 and sm_120 (nvcc 13.0).
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr int kCornersUnrolled = 2;
#else
constexpr int kCornersUnrolled = 4;
#endif

template <class Half, Head head, int kDepth, bool kTall>
LMF_DEVICE void render(MmaColumns<Half, head, kDepth, kTall>, const ModulatedCall& c, const ColumnPlan& plan,
                       unsigned char* shared, warp::Position position) {
  const WeightFragments<Half, head> weights(c.mlp, shared, position);
  ColumnHead<Half, head>::fill(weights.head_values(), c, plan.y_step, position);
  warp::block_barrier();
  for (uint32_t item = position.block * position.warps + position.warp; item < plan.items;
       item += position.blocks * position.warps) {
    const uint32_t line = plan.groups.quotient(item), batch = plan.blocks.quotient(line);
    const RowChunk chunk = plan.chunk(line - batch * plan.blocks.divisor);
    if (chunk.high <= chunk.low) continue;
    const int col = int(item - line * plan.groups.divisor) * kMmaItem.columns + (warp::lane() >> 2);
    if constexpr (kTall) {
      switch ((chunk.high + 1) / 2) {
        case 1:
        case 2: render_columns<2, kDepth, 1>(c, plan, weights, chunk, int(batch), col); break;
        case 3: render_columns<3, kDepth, 1>(c, plan, weights, chunk, int(batch), col); break;
        case 4: render_columns<4, kDepth, 1>(c, plan, weights, chunk, int(batch), col); break;
        case 5: render_columns<5, kDepth, 1>(c, plan, weights, chunk, int(batch), col); break;
        default: render_columns<kMostTiles, kDepth, 1>(c, plan, weights, chunk, int(batch), col);
      }
    } else {
      // More corners at a time save their addresses, and spill registers where they do not fit.
      constexpr int unrolled = head == Head::fourier ? 1 : kCornersUnrolled;
      if (chunk.high <= 2) {
        render_columns<1, kDepth, unrolled>(c, plan, weights, chunk, int(batch), col);
      } else {
        render_columns<2, kDepth, unrolled>(c, plan, weights, chunk, int(batch), col);
      }
    }
  }
}

}  // namespace lmf::modulated
