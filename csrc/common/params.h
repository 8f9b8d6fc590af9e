// What a render call is, as plain structs. The CPU and the CUDA kernels take the same ones.
#pragma once

#include <cstdint>

namespace lmf {

enum class Head : int32_t { linear = 0, fourier = 1 };
enum class Finish : int32_t { none = 0, unit = 1 };  // unit: v * 0.5 + 0.5, clamped to [0, 1]
enum class Store : int32_t { f32 = 0, u8 = 1, f16 = 2, bf16 = 3 };  // u8: round half to even of 255 * v
enum class Element : int32_t { f32 = 0, f16 = 1, bf16 = 2 };        // of an input; the CPU kernel takes f32 only

// One parameter record per LR cell, channels last. The records may be a window of the whole LR map.
struct Fields {
  const void* data;
  Element element;
  int64_t stride[3];        // b, y, x in elements; the channel stride is 1
  int64_t batch, rows, cols;
  int64_t lr_h, lr_w;       // the whole LR map
  int64_t lr_y0, lr_x0;     // where the window begins in it
};

// The normalised LR image, over the same window as the fields; data == nullptr: no skip.
struct Skip {
  const void* data;
  Element element;
  int64_t stride[4];        // b, c, y, x
};

// Output pixels [y0, y0 + rows) x [x0, x0 + cols) of an H x W picture. Points: H = W = 0, rows = 1, cols = Q.
struct Output {
  void* data;
  int64_t stride[4];        // b, c, y, x; points: y unused, x steps from query to query
  int64_t H, W;
  int64_t y0, x0, rows, cols;
  Finish finish;
  Store store;
};

// Free query points; coord == nullptr: grid mode.
struct Points {
  const float* coord;       // (B, Q, 2) y, x in [-1, 1]
  const float* cell;        // (B, Q, 2) output pixel size in the same units
};

// Modulated render MLP. Flat weights, matrices input-major (in, out):
//   linear  head: rel (2, hidden) | cell (2, hidden) | W_1 .. W_{depth-1} (hidden, hidden) | W_out (hidden, 3) | b_out
//   fourier head: phase (2, in_dim / 2) | W_0 (in_dim, hidden) | W_1 .. | W_out | b_out
// Record of a cell: s (depth * hidden) | t (depth * hidden) | base (hidden)  or  coef (in_dim) | freq (in_dim).
// t holds the layer's bias already: a layer is relu((W x) * (1 + s) + t).
struct ModulatedMlp {
  const void* weights;
  Element element;
  Head head;
  int32_t in_dim, hidden, depth;
  bool ensemble;
};

struct ModulatedCall {
  Fields fields;
  Skip skip;
  Output out;
  Points points;
  ModulatedMlp mlp;
  float rel_cell[2];        // grid mode: cell * (h, w), one pair for the whole picture
  int32_t threads;          // of the CPU kernel
};

// Where the gradients of a call go, each float32 and contiguous in the shape of its tensor; nullptr: not wanted. The
// call's `out` is then not written: it is the gradient that arrives, float32.
struct ModulatedGradients {
  float *fields, *weights, *skip;
};

inline int64_t record_channels(const ModulatedMlp& m) {
  const int64_t film = 2LL * m.depth * m.hidden;
  return film + (m.head == Head::linear ? m.hidden : 2LL * m.in_dim);
}

}  // namespace lmf
