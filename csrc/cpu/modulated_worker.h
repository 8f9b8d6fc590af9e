// The cells of a call of the modulated family: where their parameters are, and those of sixteen cells transposed, ready
// for the network of modulated_net.h.
#pragma once

#include "modulated_net.h"
#include "scratch.h"
#include "transpose.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// The most output rows that are rendered together. They lie between the same two LR rows.
#if defined(__AVX512F__)
constexpr int kMaxRows = 4;
#else
constexpr int kMaxRows = 3;
#endif

// The network, the call and the buffers of one thread.
struct Worker {
  Net net;
  const RenderCall& call;
  bool ensemble;
  Scratch<char> memory;
  int64_t channels;  // of a cell's parameters
  float* params[2];  // (channels + 3, 16): parameters of sixteen cells of one LR row, then their skip
  float* head;       // linear head: W_cell rel_cell (hidden, 16); Fourier head: phase rel_cell (in_dim / 2, 16)
  Lanes *x, *y;      // (max(in_dim, hidden), kMaxRows) activations each

  // weights: those of c in float32.
  Worker(const ModulatedCall& c, const float* weights)
      : net(c.mlp, weights),
        call(c.render),
        ensemble(c.mlp.ensemble),
        memory(bytes(net)),
        channels(net.layout.channels()) {
    char* p = memory.get();
    params[0] = reinterpret_cast<float*>(p);
    params[1] = reinterpret_cast<float*>(p += params_bytes(net));
    head = reinterpret_cast<float*>(p += params_bytes(net));
    x = reinterpret_cast<Lanes*>(p += head_width(net) * kLanes * 4);
    y = reinterpret_cast<Lanes*>(p + activation_bytes(net));
  }

  static int64_t params_bytes(const Net& net) { return (net.layout.channels() + 3) * kLanes * 4; }
  static int64_t activation_bytes(const Net& net) {
    return int64_t(net.in_dim > net.hidden ? net.in_dim : net.hidden) * kMaxRows * kLanes * 4;
  }
  static int head_width(const Net& net) { return net.head == Head::linear ? net.hidden : net.in_dim / 2; }
  static int64_t bytes(const Net& net) {
    return 2 * params_bytes(net) + head_width(net) * kLanes * 4 + 2 * activation_bytes(net);
  }

  // Computes `head`, the part of the head that depends on rel_cell alone, for one lane or for all alike.
  void set_rel_cell(int lane, float rel_cell_y, float rel_cell_x) {
    for (int o = 0; o < head_width(net); ++o) head[o * kLanes + lane] = head_part(o, rel_cell_y, rel_cell_x);
  }
  void set_rel_cell(float rel_cell_y, float rel_cell_x) {
    for (int o = 0; o < head_width(net); ++o) store(head + o * kLanes, set(head_part(o, rel_cell_y, rel_cell_x)));
  }
  float head_part(int o, float rel_cell_y, float rel_cell_x) const {
    const float* w = net.head == Head::linear ? net.cell : net.phase;
    return w[o] * rel_cell_y + w[head_width(net) + o] * rel_cell_x;
  }

  // Transposes the parameters of cells and prepares them: scale becomes 1 + scale, base becomes base + W_cell rel_cell.
  void fill_params(const void* const* cells, int used, float* out) {
    const int rounded = (used + 3) & ~3;
    const Element element = call.fields.element;
    if (element == Element::float32) transpose(as<float>(cells), rounded, channels, out);
    if (element == Element::float16) transpose(as<Float16>(cells), rounded, channels, out);
    if (element == Element::bfloat16) transpose(as<BFloat16>(cells), rounded, channels, out);
    const Lanes one = set(1.0f);
    for (float* s = out; s < out + net.layout.shift(0) * kLanes; s += kLanes) store(s, add(load(s), one));
    if (net.head == Head::linear) {
      float* base = out + net.layout.base() * kLanes;
      for (int o = 0; o < net.hidden; ++o)
        store(base + o * kLanes, add(load(base + o * kLanes), load(head + o * kLanes)));
    }
  }

  // Writes the LR pixels of cells after their parameters, for add_skip.
  void fill_skip(const void* const* skips, int used, float* out) {
    float* skip = out + channels * kLanes;
    for (int c = 0; c < 3; ++c)
      for (int i = 0; i < used; ++i)
        skip[c * kLanes + i] = load_element(skips[i], call.skip.element, c * call.skip.stride_c);
  }
  template <class T>
  static const T* const* as(const void* const* cells) {
    return reinterpret_cast<const T* const*>(cells);
  }

  void add_skip(const float* params, const Select& which, const Lanes& weight, Lanes* sum) {
    for (int c = 0; c < 3; ++c) sum[c] = fma(weight, select(params + (channels + c) * kLanes, which), sum[c]);
  }

  // The parameters of LR cell (row, col).
  const void* cell_params(int64_t b, int64_t row, int64_t col) const {
    const Fields& f = call.fields;
    const int64_t at = b * f.stride_b + (row - f.lr_y0) * f.stride_y + (col - f.lr_x0) * f.stride_x;
    return static_cast<const char*>(f.data) + at * element_size(f.element);
  }
  const void* skip_pixel(int64_t b, int64_t row, int64_t col) const {
    const Skip& s = call.skip;
    if (!s.data) return nullptr;
    const int64_t at = b * s.stride_b + (row - call.fields.lr_y0) * s.stride_y + (col - call.fields.lr_x0) * s.stride_x;
    return static_cast<const char*>(s.data) + at * element_size(s.element);
  }
};

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf
