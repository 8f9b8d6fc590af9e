// Gradients of the modulated family on the CPU: fields, weights and skip, from nothing but the call and the gradient
// that arrives. Compiled once per instruction set with -DLMF_ISA=<name>; dispatch.cpp chooses at run time.
//
// The LR cells are cut into chunks, the same ones for any number of threads. A chunk walks through its cells and each
// cell's readers in order: a cell's gradient is summed and written by one thread, the chunks' shares of the weights'
// gradient are added in order at the end. So the bits do not depend on the threads, and nothing is atomic.
#include "kernels.h"
#include "modulated_gradient.h"
#include "readers.h"
#include "scratch.h"

namespace lmf {
namespace LMF_ISA {
namespace {

constexpr int64_t kMaxChunks = 64;
constexpr int kTilesInFloat = 64;  // a float32 sum over more evaluations than these tiles' would lose digits

template <class T>
inline void set_zero(T* p, int64_t n) {
  __builtin_memset(p, 0, size_t(n) * sizeof(T));
}

// The weights as every thread reads them.
struct Weights {
  PaddedNet net;
  Scratch<float> padded, transposed;

  explicit Weights(const ModulatedMlp& m)
      : net(m), padded(net.weights * int64_t(sizeof(float))), transposed(net.weights * int64_t(sizeof(float))) {
    float *w = padded.get(), *t = transposed.get();
    set_zero(w, net.weights);
    set_zero(t, net.weights);
    const float* flat = static_cast<const float*>(m.weights);
    net.each_weight([&](int64_t from, int64_t to) { w[to] = flat[from]; });
    for (int l = 1; l < net.depth; ++l) transpose(net.layer(l), net.wide);
    transpose(net.cosines, net.waves);
    transpose(net.sines, net.waves);
  }

  void transpose(int64_t at, int rows) {  // (rows, wide) -> (wide, rows)
    const float* from = padded.get() + at;
    float* to = transposed.get() + at;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < net.wide; ++c) to[c * rows + r] = from[r * net.wide + c];
  }
};

// What one thread owns while it works.
template <int WIDE>
class Worker {
 public:
  Worker(const ModulatedCall& call, const ModulatedGradients& wanted, const Weights& weights)
      : call_(call),
        wanted_(wanted),
        net_(weights.net),
        memory_(floats(net_) * int64_t(sizeof(float))),
        totals_(net_.weights * int64_t(sizeof(double))),
        carry_(net_.record * int64_t(sizeof(double))),
        tile_(net_, weights.padded.get(), weights.transposed.get(), zeroed(memory_.get(), floats(net_))) {
    float* records = memory_.get() + Tile<WIDE>::floats(net_);
    for (int i = 0; i < kTile; ++i, records += 2 * net_.record) {
      pool_[i] = Slot{records, records + net_.record, {0, 0, 0}, 0};
      slots_[i] = &pool_[i];
    }
  }

  // Cells [first, end) of all images; share (net.weights): their part of the weights' gradient.
  template <class Readers>
  void run(const Readers& readers, int64_t first, int64_t end, float* share) {
    set_zero(tile_.weight_sums(), net_.weights);
    set_zero(totals_.get(), net_.weights);
    const Fields& f = call_.fields;
    for (int64_t cell = first; cell < end; ++cell) {
      const int64_t b = cell / (f.rows * f.cols), row = cell / f.cols % f.rows, col = cell % f.cols;
      bool open = false;
      readers.for_each(b, row, col, [&](const Reader& reader) {
        if (!open) begin(cell, b, row, col);
        open = true;
        add(b, reader);
      });
      if (!open) write_nothing(cell);
    }
    finish_tile();
    retire(used_);
    drain();
    for (int64_t i = 0; i < net_.weights; ++i) share[i] = float(totals_.get()[i]);
  }

 private:
  static int64_t floats(const PaddedNet& net) { return Tile<WIDE>::floats(net) + 2 * kTile * net.record; }
  static float* zeroed(float* p, int64_t n) {
    set_zero(p, n);
    return p;
  }

  // Takes a slot for the cell; the last slot in use is the open one.
  void begin(int64_t cell, int64_t b, int64_t row, int64_t col) {
    if (used_ == kTile) {
      finish_tile();
      retire(used_);
    }
    Slot& s = *slots_[used_++];
    s.cell = cell;
    s.skip[0] = s.skip[1] = s.skip[2] = 0.0;
    const Fields& f = call_.fields;
    const float* record = static_cast<const float*>(f.data) + b * f.stride[0] + row * f.stride[1] + col * f.stride[2];
    float* to = s.record;
    net_.each_channel([=](int64_t from, int64_t at) { to[at] = record[from]; });
    for (int64_t i = 0; i < net_.shift; ++i) to[i] += 1.0f;
    set_zero(s.grad, net_.record);
  }

  void add(int64_t b, const Reader& reader) {
    const Output& out = call_.out;
    const float* from = static_cast<const float*>(out.data) + b * out.stride[0] + reader.at;
    const float grad[3] = {from[0], from[out.stride[1]], from[2 * out.stride[1]]};
    if (call_.skip.data)
      for (int c = 0; c < 3; ++c) slots_[used_ - 1]->skip[c] += double(reader.skip * grad[c]);
    if (reader.share == 0.0f) return;
    tile_.push(used_ - 1, reader, grad);
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

  // Writes the first `count` slots' gradients; what is in use behind them moves to the front.
  void retire(int count) {
    for (int i = 0; i < count; ++i) write(*slots_[i]);
    for (int i = count; i < used_; ++i) {
      Slot* open = slots_[i];
      slots_[i] = slots_[i - count];
      slots_[i - count] = open;
    }
    used_ -= count;
  }

  // Moves the float32 sums that grow from tile to tile, the weights' and the open cell's, to double.
  void drain() {
    move(tile_.weight_sums(), totals_.get(), net_.weights);
    tiles_ = 0;
    if (used_ == 0) return;
    Slot* open = slots_[used_ - 1];
    if (carried_ != open) set_zero(carry_.get(), net_.record);
    carried_ = open;
    move(open->grad, carry_.get(), net_.record);
  }

  static void move(float* sums, double* totals, int64_t n) {
    for (int64_t i = 0; i < n; ++i) totals[i] += double(sums[i]);
    set_zero(sums, n);
  }

  void write(const Slot& s) {
    if (carried_ == &s) {
      for (int64_t i = 0; i < net_.record; ++i) s.grad[i] = float(carry_.get()[i] + double(s.grad[i]));
      carried_ = nullptr;
    }
    if (wanted_.fields) {
      float* to = wanted_.fields + s.cell * channels();
      const float* from = s.grad;
      net_.each_channel([=](int64_t flat, int64_t at) { to[flat] = from[at]; });
    }
    write_skip(s.cell, s.skip);
  }

  void write_nothing(int64_t cell) {
    if (wanted_.fields) set_zero(wanted_.fields + cell * channels(), channels());
    const double none[3] = {0, 0, 0};
    write_skip(cell, none);
  }

  void write_skip(int64_t cell, const double* grad) {
    if (!wanted_.skip) return;
    const int64_t area = call_.fields.rows * call_.fields.cols, b = cell / area;
    for (int c = 0; c < 3; ++c) wanted_.skip[(3 * b + c) * area + cell % area] = float(grad[c]);
  }

  int64_t channels() const { return record_channels(call_.mlp); }

  const ModulatedCall& call_;
  const ModulatedGradients& wanted_;
  const PaddedNet& net_;
  Scratch<float> memory_;
  Scratch<double> totals_;  // of the weights' gradient
  Scratch<double> carry_;   // of the record's gradient of the slot `carried_`
  Slot* carried_ = nullptr;
  Tile<WIDE> tile_;
  Slot pool_[kTile];
  Slot* slots_[kTile];
  int used_ = 0, tiles_ = 0;
};

template <int WIDE, class Readers>
void run_over(const ModulatedCall& call, const ModulatedGradients& wanted, const Weights& weights) {
  const Readers readers(call);
  const PaddedNet& net = weights.net;
  const int64_t cells = call.fields.batch * call.fields.rows * call.fields.cols;
  const int64_t chunks = cells < kMaxChunks ? cells : kMaxChunks;
  Scratch<float> shares(chunks * net.weights * int64_t(sizeof(float)));
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
  {
    Worker<WIDE> worker(call, wanted, weights);
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < chunks; ++i)
      worker.run(readers, cells * i / chunks, cells * (i + 1) / chunks, shares.get() + i * net.weights);
  }
  if (!wanted.weights) return;
  Scratch<double> totals(net.weights * int64_t(sizeof(double)));
  double* total = totals.get();
  set_zero(total, net.weights);
  for (int64_t i = 0; i < chunks; ++i)
    for (int64_t k = 0; k < net.weights; ++k) total[k] += double(shares.get()[i * net.weights + k]);
  float* to = wanted.weights;
  net.each_weight([=](int64_t flat, int64_t padded) { to[flat] = float(total[padded]); });
}

template <int WIDE>
void run(const ModulatedCall& call, const ModulatedGradients& wanted, const Weights& weights) {
  if (call.points.coord)
    run_over<WIDE, PointReaders>(call, wanted, weights);
  else
    run_over<WIDE, GridReaders>(call, wanted, weights);
}

}  // namespace

// As in the forward pass, the papers' width is compiled for itself where there are registers for it.
void modulated_backward(const ModulatedCall& call, const ModulatedGradients& wanted) {
  const Weights weights(call.mlp);
#if defined(__AVX512F__)
  const PaddedNet& net = weights.net;
  if (net.wide == 16 && (net.linear || net.waves == 16)) return run<16>(call, wanted, weights);
#endif
  run<0>(call, wanted, weights);
}

}  // namespace LMF_ISA
}  // namespace lmf
