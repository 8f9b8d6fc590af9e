// The coarse-to-fine family on the CPU (DIIF and DLTE): renders every output pixel without an intermediate picture.
//
// Compiled once per instruction set with -DLMF_ISA=<name>. dispatch.cpp chooses one at run time.
//
// A task is some neighbouring cells of one row of cells. For each of its output rows a thread runs the coarse MLP on
// the cells' slices, blends along y, runs fine layer 0 on the two ends of each slice, and then takes the row's pixels
// through the other fine layers in blocks: their first activation is affine in rel_x, `relu(mean + rel_x * half)`. With
// constant slices the coarse MLP and fine layer 0 run once a task, and their results are blended for each output row.
// Everything between fields and pixels lies in buffers of a thread, a few hundred kilobytes.
#include "../common/slices.h"
#include "c2f_net.h"
#include "kernels.h"
#include "store.h"

namespace lmf {
namespace LMF_ISA {
namespace {

constexpr int kSlices = 24;  // with four vertices 96 rows, a multiple of every kRows
constexpr int kBlock = 96;   // pixels that go through the fine layers together

// Buffers of one thread.
template <class T>
class Worker {
 public:
  Worker(const C2fNet<T>& net, const C2fCall& c)
      : net_(net),
        call_(c.render),
        mlp_(c.mlp),
        y_axis_{c.render.fields.lr_h, c.render.out.height},
        x_axis_{c.render.fields.lr_w, c.render.out.width},
        sides_(c.mlp.slice_ensemble ? 2 : 1),
        a_(kBlock * net.widest() * int64_t(sizeof(T))),
        b_(kBlock * net.widest() * int64_t(sizeof(T))),
        along_(2 * (kSlices + 1) * net.head_width() * 4),
        ends_(4 * kSlices * net.fine_width() * 4),
        mean_(kSlices * net.fine_width() * 4),
        half_(kSlices * net.fine_width() * 4),
        last_(kBlock * net.last() * 4) {
    // Padding that no layer writes must not hold NaN.
    for (int64_t i = 0; i < kBlock * net.widest(); ++i) a_.get()[i] = b_.get()[i] = T{};
    for (int64_t i = 0; i < kBlock * net.last(); ++i) last_.get()[i] = 0.0f;
  }

  // Renders the pixels of image `b` that the cells [first, first + count) of a row of cells own.
  void task(int64_t b, int64_t row, int64_t first, int count) {
    b_index_ = b;
    row_ = row;
    first_ = first;
    count_ = count;
    const Output& out = call_.out;
    const int64_t top = larger(y_axis_.first_position(row), out.y0);
    const int64_t bottom = smaller(y_axis_.first_position(row + 1), out.y0 + out.rows);
    const int64_t left = larger(x_axis_.first_position(first), out.x0);
    const int64_t right = smaller(x_axis_.first_position(first + count), out.x0 + out.cols);
    if (top >= bottom || left >= right) return;
    for (int s = 0; s < count; ++s) {
      const float from = x_axis_.rel(x_axis_.first_position(first + s), first + s);
      for (int x = 0; x < sides_; ++x) {
        const float move = vertex(x);
        place_x_[2 * s + x] = {mlp_.cell_x, from - move, from + x_axis_.length() - move};
        net_.along(1, place_x_[2 * s + x], along_x(s, x));
      }
    }
    if (!mlp_.linear_slices) {
      const float from = y_axis_.rel(y_axis_.first_position(row), row);
      net_.project(coarse(from, from + y_axis_.length()), ends_.get(), rows());
    }
    for (int64_t y = top; y < bottom; ++y) {
      const float rel_y = y_axis_.rel(y, row);
      if (mlp_.linear_slices) linear_slices(rel_y);
      first_fine_layer(rel_y);
      pixels(y, left, right);
    }
  }

 private:
  static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
  static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
  float vertex(int side) const { return sides_ == 2 ? float(2 * side - 1) : 0.0f; }
  int rows() const { return count_ * sides_ * sides_; }
  float* along_y(int y) const { return along_.get() + y * net_.head_width(); }
  float* along_x(int s, int x) const { return along_.get() + (2 + 2 * s + x) * net_.head_width(); }

  // The vectors of the task's slices, row (s * sides + x) * sides + y for vertex (y, x).
  const T* coarse(float first_y, float last_y) {
    switch (call_.fields.element) {
      case Element::float32: heads(static_cast<const float*>(call_.fields.data), first_y, last_y); break;
      case Element::float16: heads(static_cast<const Float16*>(call_.fields.data), first_y, last_y); break;
      case Element::bfloat16: heads(static_cast<const BFloat16*>(call_.fields.data), first_y, last_y); break;
    }
    return net_.run_coarse(a_.get(), b_.get(), rows());
  }

  template <class F>
  void heads(const F* fields, float first_y, float last_y) {
    const Fields& f = call_.fields;
    for (int y = 0; y < sides_; ++y) {
      const SlicePlace place_y = {mlp_.cell_y, first_y - vertex(y), last_y - vertex(y)};
      net_.along(0, place_y, along_y(y));
      for (int s = 0; s < count_; ++s)
        for (int x = 0; x < sides_; ++x) {
          const int64_t record =
              b_index_ * f.stride_b + (row_ + y - f.lr_y0) * f.stride_y + (first_ + s + x - f.lr_x0) * f.stride_x;
          net_.run_head(fields + record, place_y, place_x_[2 * s + x], along_y(y), along_x(s, x),
                        a_.get() + ((s * sides_ + x) * sides_ + y) * net_.widest());
        }
    }
  }

  // ends_: fine layer 0 of the two ends of each slice of an output row, (count * sides).
  void linear_slices(float rel_y) {
    const T* vectors = coarse(rel_y, rel_y);
    if (sides_ == 1) return net_.project(vectors, ends_.get(), count_);
    T* blended = vectors == a_.get() ? b_.get() : a_.get();
    const Lanes lower = set((1.0f - rel_y) / 2), upper = set((1.0f + rel_y) / 2);
    const int64_t ld = net_.widest(), width = net_.slice_width();
    for (int r = 0; r < 2 * count_; ++r)
      for (int64_t c = 0; c < width; c += kLanes)
        store_as(blended + r * ld + c,
                 fma(upper, load_any(vectors + (2 * r + 1) * ld + c), mul(lower, load_any(vectors + 2 * r * ld + c))));
    net_.project(blended, ends_.get(), 2 * count_);
  }

  // mean_ and half_ of an output row: fine layer 0 at rel_x = 0, and its slope along rel_x.
  void first_fine_layer(float rel_y) {
    const int64_t width = net_.fine_width();
    const Lanes y = set(rel_y), lower = set((1.0f - rel_y) / 2), upper = set((1.0f + rel_y) / 2), by_two = set(0.5f),
                minus = set(-1.0f);
    for (int s = 0; s < count_; ++s)
      for (int64_t c = 0; c < width; c += kLanes) {
        const Lanes constant = fma(y, load(net_.rel_y() + c), load(net_.bias() + c)), on_x = load(net_.rel_x() + c);
        float *mean = mean_.get() + s * width + c, *half = half_.get() + s * width + c;
        if (sides_ == 1) {
          store(mean, add(load(ends_.get() + s * width + c), constant));
          store(half, on_x);
          continue;
        }
        Lanes end[2];
        for (int x = 0; x < 2; ++x) {
          if (mlp_.linear_slices) {
            end[x] = load(ends_.get() + (2 * s + x) * width + c);
          } else {
            const float* two = ends_.get() + (4 * s + 2 * x) * width + c;
            end[x] = fma(upper, load(two + width), mul(lower, load(two)));
          }
        }
        store(mean, fma(by_two, add(end[0], end[1]), constant));
        store(half, fma(by_two, fma(minus, end[0], end[1]), on_x));
      }
  }

  // The pixels [left, right) of output row y.
  void pixels(int64_t y, int64_t left, int64_t right) {
    const Output& out = call_.out;
    const int64_t width = net_.fine_width();
    AxisCorners skip_y;
    if (call_.skip.data) skip_y = grid_corners(y, y_axis_.n_in, y_axis_.n_out);
    int64_t cell = x_axis_.owner(left), end = x_axis_.first_position(cell + 1);
    for (int64_t x = left; x < right; x += kBlock) {
      const int n = int(smaller(right - x, kBlock));
      for (int i = 0; i < n; ++i) {
        while (x + i >= end) end = x_axis_.first_position(++cell + 1);
        const Lanes rel_x = set(x_axis_.rel(x + i, cell));
        const float *mean = mean_.get() + (cell - first_) * width, *half = half_.get() + (cell - first_) * width;
        if (net_.has_fine_layers()) {
          T* row = a_.get() + i * net_.widest();
          for (int64_t c = 0; c < width; c += kLanes)
            store_as(row + c, relu(fma(rel_x, load(half + c), load(mean + c))));
        } else {
          float* row = last_.get() + i * width;
          for (int64_t c = 0; c < width; c += kLanes) store(row + c, relu(fma(rel_x, load(half + c), load(mean + c))));
        }
      }
      if (net_.has_fine_layers()) net_.run_fine(a_.get(), b_.get(), last_.get(), n);
      for (int i = 0; i < n; i += kLanes) {
        const int some = n - i < kLanes ? n - i : kLanes;
        alignas(64) float value[3][kLanes] = {};
        for (int j = 0; j < some; ++j) {
          float rgb[3];
          net_.pixel(last_.get() + (i + j) * net_.last(), rgb);
          if (call_.skip.data) add_skip(skip_y, x + i + j, rgb);
          for (int c = 0; c < 3; ++c) value[c][j] = rgb[c];
        }
        Lanes rgb[3] = {load(value[0]), load(value[1]), load(value[2])};
        store_pixels(rgb, out, b_index_ * out.stride_b + (y - out.y0) * out.stride_y + (x + i - out.x0) * out.stride_x,
                     some);
      }
    }
  }

  void add_skip(const AxisCorners& cy, int64_t x, float* rgb) const {
    const Skip& s = call_.skip;
    const AxisCorners cx = grid_corners(x, x_axis_.n_in, x_axis_.n_out);
    const int64_t y0 = larger(call_.fields.lr_y0 - 1, 0), x0 = larger(call_.fields.lr_x0 - 1, 0);
    for (int a = 0; a < 2; ++a)
      for (int b = 0; b < 2; ++b) {
        const int64_t at = b_index_ * s.stride_b + (cy.cell[a] - y0) * s.stride_y + (cx.cell[b] - x0) * s.stride_x;
        const float weight = cy.weight[a] * cx.weight[b];
        for (int c = 0; c < 3; ++c) rgb[c] += weight * load_element(s.data, s.element, at + c * s.stride_c);
      }
  }

  const C2fNet<T>& net_;
  const RenderCall& call_;
  const C2fMlp& mlp_;
  SliceAxis y_axis_, x_axis_;
  int sides_;
  Scratch<T> a_, b_;
  Scratch<float> along_;  // (2 + 2 * kSlices, head_width()): of the vertices' y, then of each slice's x
  Scratch<float> ends_;   // (4 * kSlices, fine_width())
  Scratch<float> mean_, half_;
  Scratch<float> last_;
  SlicePlace place_x_[2 * kSlices];
  int64_t b_index_ = 0, row_ = 0, first_ = 0;
  int count_ = 0;
};

template <class T>
void run(const C2fCall& c) {
  const RenderCall& call = c.render;
  const Output& out = call.out;
  if (call.fields.batch * out.rows * out.cols == 0) return;
  const C2fNet<T> net(c.mlp);
  const SliceAxis y{call.fields.lr_h, out.height}, x{call.fields.lr_w, out.width};
  const int64_t top = y.owner(out.y0), rows = y.owner(out.y0 + out.rows - 1) + 1 - top;
  const int64_t left = x.owner(out.x0), cells = x.owner(out.x0 + out.cols - 1) + 1 - left;
  const int64_t across = (cells + kSlices - 1) / kSlices, tasks = call.fields.batch * rows * across;
#pragma omp parallel num_threads(call.threads) if (call.threads > 1 && tasks > 1)
  {
    Worker<T> worker(net, c);
#pragma omp for schedule(dynamic, 1)
    for (int64_t t = 0; t < tasks; ++t) {
      const int64_t first = t % across * kSlices;
      const int count = int(cells - first < kSlices ? cells - first : kSlices);
      worker.task(t / across / rows, top + t / across % rows, left + first, count);
    }
  }
}

}  // namespace

// bfloat16 weights are multiplied as such where the machine has the instruction; everything else is float32.
void c2f_mlp(const C2fCall& call) {
#if LMF_BFLOAT16_PRODUCTS
  if (call.mlp.element == Element::bfloat16 && has_bfloat16_products()) return run<BFloat16>(call);
#endif
  run<float>(call);
}

}  // namespace LMF_ISA
}  // namespace lmf
