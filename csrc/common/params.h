// A render call as plain structs, which the CPU and the CUDA kernels share. RenderCall is common to all families; each
// family adds a struct of its own. Python fills them in by name: params_table.h lists their members.
//
// Strides are in elements. LR rows and columns count cells, output rows and columns count pixels.
#pragma once

#include <cstdint>

namespace lmf {

enum class Head : int32_t { linear, fourier };                     // of the render MLP: how the first layer arises
enum class Epilogue : int32_t { none, unit };                      // unit: clamp(0.5 * v + 0.5, 0, 1)
enum class Element : int32_t { float32, float16, bfloat16 };       // type of an input tensor
enum class Store : int32_t { float32, uint8, float16, bfloat16 };  // type of the output; uint8: rounds 255 * v

// Per-cell parameters (batch, rows, cols, channels), possibly a window of the whole LR map. The channel stride is 1.
struct Fields {
  const void* data;
  Element element;
  int64_t stride_b, stride_y, stride_x;
  int64_t batch, rows, cols;
  int64_t lr_h, lr_w;    // size of the whole LR map
  int64_t lr_y0, lr_x0;  // position of the window in it
};

// The normalised LR image (batch, 3, rows, cols) over the same window as the fields. data == nullptr: no skip.
struct Skip {
  const void* data;
  Element element;
  int64_t stride_b, stride_c, stride_y, stride_x;
};

// Output pixels [y0, y0 + rows) x [x0, x0 + cols) of a height x width picture, 3 channels.
// Points mode: height = width = 0, rows = 1, cols = number of queries, stride_y is not used.
struct Output {
  void* data;
  int64_t stride_b, stride_c, stride_y, stride_x;
  int64_t height, width;
  int64_t y0, x0, rows, cols;
  Epilogue epilogue;
  Store store;
};

// Free query points, float32 and contiguous. coord == nullptr: grid mode.
struct Points {
  const float* coord;  // (batch, queries, 2): y, x in [-1, 1]
  const float* cell;   // (batch, queries, 2): size of the output pixel in the same units
};

struct RenderCall {
  Fields fields;
  Skip skip;
  Output out;
  Points points;
  // Grid mode with at least as many pixels as cells: (batch, fields.rows, fields.cols) bytes. Only pixels whose owner,
  // the cell (floor(y * lr_h / height), floor(x * lr_w / width)), has a byte other than 0 are computed and written.
  // nullptr: all pixels.
  const uint8_t* mask;
  float rel_cell_y, rel_cell_x;  // grid mode: cell * (lr_h, lr_w), the same for the whole picture
  int32_t threads;               // of the CPU kernels, at least 1
};

// The modulated family's render MLP. modulated_layout.h has the layout of its weights and of its fields.
struct ModulatedMlp {
  const void* weights;
  Element element;
  Head head;
  int32_t in_dim, hidden, depth;  // in_dim: width of the Fourier product, 0 with a linear head
  bool ensemble;                  // local ensemble of four cells, else the nearest cell
};

struct ModulatedCall {
  RenderCall render;
  ModulatedMlp mlp;
};

// The plain family's render MLP. plain_layout.h has the layout of its weights and of its fields.
struct PlainMlp {
  const void* weights;
  const int32_t* widths;  // of the hidden layers, (depth); not read if depth is 0
  Element element;
  Head head;
  int32_t in_dim, depth;  // in_dim: width of the Fourier product, 0 with a linear head
  bool ensemble;          // local ensemble of four cells, else the nearest cell
};

struct PlainCall {
  RenderCall render;
  PlainMlp mlp;
};

// A bilinear resizing with half-pixel centres and repeated borders, 3 channels. `out` says which window of which size.
struct BilinearCall {
  Output out;
  const float* source;  // (batch, rows, cols, 3), contiguous: a window of the whole source
  int64_t batch, rows, cols;
  int64_t y0, x0;                // where it begins in the whole source
  int64_t full_rows, full_cols;  // size of the whole source
  int32_t threads;               // at least 1
};

// Gradients of a call's tensors, float32 and contiguous in the shape of their tensor. nullptr: not needed. With them
// the call's `out` holds the float32 gradient with respect to the output, and is only read.
struct ModulatedGradients {
  float *fields, *weights, *skip;
};

}  // namespace lmf
