// Gradients of the modulated family on the CPU with respect to fields, weights and skip. They are computed from the
// call and the gradient with respect to its output alone.
//
// Compiled once per instruction set with -DLMF_ISA=<name>. dispatch.cpp chooses one at run time.
//
// The LR cells are split into chunks, the same chunks for any number of threads. A chunk walks over its cells, and over
// the pixels that each cell contributes to, in a fixed order. One thread sums and writes a cell's gradient. The chunks'
// partial gradients of the weights are added in order at the end. So the bits do not depend on the number of threads,
// and nothing is atomic.
#include "contributing_pixels.h"
#include "kernels.h"
#include "modulated_gradient.h"
#include "scratch.h"

namespace lmf {
namespace LMF_ISA {
namespace {

constexpr int64_t kMaxChunks = 64;
constexpr int kTilesInFloat = 64;  // tiles that are summed in float32; a longer sum would lose precision

template <class T>
inline void set_zero(T* p, int64_t n) {
  __builtin_memset(p, 0, size_t(n) * sizeof(T));
}

// The padded weights, which all threads read.
struct Weights {
  PaddedLayout layout;
  Scratch<float> padded, transposed;

  explicit Weights(const ModulatedMlp& m)
      : layout(m),
        padded(layout.weights * int64_t(sizeof(float))),
        transposed(layout.weights * int64_t(sizeof(float))) {
    float *w = padded.get(), *t = transposed.get();
    set_zero(w, layout.weights);
    set_zero(t, layout.weights);
    const float* flat = static_cast<const float*>(m.weights);
    layout.for_each_weight([&](int64_t from, int64_t to) { w[to] = flat[from]; });
    for (int l = 1; l < layout.depth; ++l) transpose(layout.layer(l), layout.wide);
    transpose(layout.cosines, layout.waves);
    transpose(layout.sines, layout.waves);
  }

  void transpose(int64_t offset, int rows) {  // (rows, wide) -> (wide, rows)
    const float* from = padded.get() + offset;
    float* to = transposed.get() + offset;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < layout.wide; ++c) to[c * rows + r] = from[r * layout.wide + c];
  }
};

// Buffers and state of one thread.
template <int WIDTH>
class Worker {
 public:
  Worker(const ModulatedCall& call, const ModulatedGradients& gradients, const Weights& weights)
      : call_(call.render),
        gradients_(gradients),
        layout_(weights.layout),
        memory_(floats(layout_) * int64_t(sizeof(float))),
        totals_(layout_.weights * int64_t(sizeof(double))),
        carry_(layout_.channels * int64_t(sizeof(double))),
        tile_(layout_, weights.padded.get(), weights.transposed.get(), zeroed(memory_.get(), floats(layout_))) {
    float* memory = memory_.get() + Tile<WIDTH>::floats(layout_);
    for (int i = 0; i < kTile; ++i, memory += 2 * layout_.channels) {
      pool_[i] = CellSlot{memory, memory + layout_.channels, {0, 0, 0}, 0};
      slots_[i] = &pool_[i];
    }
  }

  // Cells [first, end), counted over all images. partial: (layout.weights), their part of the weights' gradient.
  template <class Pixels>
  void run(const Pixels& pixels, int64_t first, int64_t end, float* partial) {
    set_zero(tile_.weight_sums(), layout_.weights);
    set_zero(totals_.get(), layout_.weights);
    const Fields& f = call_.fields;
    for (int64_t cell = first; cell < end; ++cell) {
      const int64_t b = cell / (f.rows * f.cols), row = cell / f.cols % f.rows, col = cell % f.cols;
      bool open = false;
      pixels.for_each(b, row, col, [&](const ContributingPixel& pixel) {
        if (!open) begin(cell, b, row, col);
        open = true;
        add(b, pixel);
      });
      if (!open) write_zero(cell);
    }
    finish_tile();
    retire(used_);
    drain();
    for (int64_t i = 0; i < layout_.weights; ++i) partial[i] = float(totals_.get()[i]);
  }

 private:
  static int64_t floats(const PaddedLayout& layout) {
    return Tile<WIDTH>::floats(layout) + 2 * kTile * layout.channels;
  }
  static float* zeroed(float* p, int64_t n) {
    set_zero(p, n);
    return p;
  }

  // Takes a slot for the cell. The last used slot is the open one, to which pixels are added.
  void begin(int64_t cell, int64_t b, int64_t row, int64_t col) {
    if (used_ == kTile) {
      finish_tile();
      retire(used_);
    }
    CellSlot& s = *slots_[used_++];
    s.cell = cell;
    s.skip[0] = s.skip[1] = s.skip[2] = 0.0;
    const Fields& f = call_.fields;
    const float* from = static_cast<const float*>(f.data) + b * f.stride_b + row * f.stride_y + col * f.stride_x;
    float* to = s.params;
    layout_.for_each_channel([=](int64_t flat, int64_t padded) { to[padded] = from[flat]; });
    for (int64_t i = 0; i < layout_.shift; ++i) to[i] += 1.0f;
    set_zero(s.grad, layout_.channels);
  }

  void add(int64_t b, const ContributingPixel& pixel) {
    const Output& out = call_.out;
    const float* from = static_cast<const float*>(out.data) + b * out.stride_b + pixel.offset;
    const float grad[3] = {from[0], from[out.stride_c], from[2 * out.stride_c]};
    if (call_.skip.data)
      for (int c = 0; c < 3; ++c) slots_[used_ - 1]->skip[c] += double(pixel.skip_weight * grad[c]);
    if (pixel.weight == 0.0f) return;
    tile_.push(used_ - 1, pixel, grad);
    if (tile_.full()) {
      finish_tile();
      retire(used_ - 1);
    }
  }

  void finish_tile() {
    if (tile_.count() == 0) return;
    tile_.run(slots_);
    if (++tiles_ == kTilesInFloat) drain();
  }

  // Writes the gradients of the first `count` slots. The used slots behind them move to the front.
  void retire(int count) {
    for (int i = 0; i < count; ++i) write(*slots_[i]);
    for (int i = count; i < used_; ++i) {
      CellSlot* open = slots_[i];
      slots_[i] = slots_[i - count];
      slots_[i - count] = open;
    }
    used_ -= count;
  }

  // Moves the float32 sums that grow from tile to tile to double: the weights' sums and those of the open cell.
  void drain() {
    move(tile_.weight_sums(), totals_.get(), layout_.weights);
    tiles_ = 0;
    if (used_ == 0) return;
    CellSlot* open = slots_[used_ - 1];
    if (carried_ != open) set_zero(carry_.get(), layout_.channels);
    carried_ = open;
    move(open->grad, carry_.get(), layout_.channels);
  }

  static void move(float* sums, double* totals, int64_t n) {
    for (int64_t i = 0; i < n; ++i) totals[i] += double(sums[i]);
    set_zero(sums, n);
  }

  void write(const CellSlot& s) {
    if (carried_ == &s) {
      for (int64_t i = 0; i < layout_.channels; ++i) s.grad[i] = float(carry_.get()[i] + double(s.grad[i]));
      carried_ = nullptr;
    }
    if (gradients_.fields) {
      float* to = gradients_.fields + s.cell * channels();
      const float* from = s.grad;
      layout_.for_each_channel([=](int64_t flat, int64_t padded) { to[flat] = from[padded]; });
    }
    write_skip(s.cell, s.skip);
  }

  void write_zero(int64_t cell) {
    if (gradients_.fields) set_zero(gradients_.fields + cell * channels(), channels());
    const double zero[3] = {0, 0, 0};
    write_skip(cell, zero);
  }

  void write_skip(int64_t cell, const double* grad) {
    if (!gradients_.skip) return;
    const int64_t area = call_.fields.rows * call_.fields.cols, b = cell / area;
    for (int c = 0; c < 3; ++c) gradients_.skip[(3 * b + c) * area + cell % area] = float(grad[c]);
  }

  int64_t channels() const { return layout_.flat.channels(); }

  const RenderCall& call_;
  const ModulatedGradients& gradients_;
  const PaddedLayout& layout_;
  Scratch<float> memory_;
  Scratch<double> totals_;  // (layout.weights): gradient of the weights
  Scratch<double> carry_;   // (layout.channels): gradient of the cell in slot `carried_`
  CellSlot* carried_ = nullptr;
  Tile<WIDTH> tile_;
  CellSlot pool_[kTile];
  CellSlot* slots_[kTile];
  int used_ = 0, tiles_ = 0;
};

template <int WIDTH, class Pixels>
void run_over(const ModulatedCall& c, const ModulatedGradients& gradients, const Weights& weights) {
  const RenderCall& call = c.render;
  const Pixels pixels(call, c.mlp.ensemble);
  const PaddedLayout& layout = weights.layout;
  const int64_t cells = call.fields.batch * call.fields.rows * call.fields.cols;
  const int64_t chunks = cells < kMaxChunks ? cells : kMaxChunks;
  Scratch<float> partials(chunks * layout.weights * int64_t(sizeof(float)));
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
  {
    Worker<WIDTH> worker(c, gradients, weights);
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < chunks; ++i)
      worker.run(pixels, cells * i / chunks, cells * (i + 1) / chunks, partials.get() + i * layout.weights);
  }
  if (!gradients.weights) return;
  Scratch<double> totals(layout.weights * int64_t(sizeof(double)));
  double* total = totals.get();
  set_zero(total, layout.weights);
  for (int64_t i = 0; i < chunks; ++i)
    for (int64_t k = 0; k < layout.weights; ++k) total[k] += double(partials.get()[i * layout.weights + k]);
  float* to = gradients.weights;
  layout.for_each_weight([=](int64_t flat, int64_t padded) { to[flat] = float(total[padded]); });
}

template <int WIDTH>
void run(const ModulatedCall& call, const ModulatedGradients& gradients, const Weights& weights) {
  if (call.render.points.coord)
    run_over<WIDTH, PointContributingPixels>(call, gradients, weights);
  else
    run_over<WIDTH, GridContributingPixels>(call, gradients, weights);
}

}  // namespace

// As in the forward pass, the papers' width is compiled separately if there are enough vector registers.
void modulated_backward(const ModulatedCall& call, const ModulatedGradients& gradients) {
  const Weights weights(call.mlp);
#if defined(__AVX512F__)
  const PaddedLayout& layout = weights.layout;
  if (layout.wide == 16 && (layout.linear || layout.waves == 16)) return run<16>(call, gradients, weights);
#endif
  run<0>(call, gradients, weights);
}

}  // namespace LMF_ISA
}  // namespace lmf
