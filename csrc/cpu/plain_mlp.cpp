// The plain family on the CPU (LIIF and LTE): renders every output pixel without an intermediate picture.
//
// Compiled once per instruction set with -DLMF_ISA=<name>. dispatch.cpp chooses one at run time.
//
// The pixels of a call, grid or points, are one long list, cut into tasks. A thread collects its pixels' ensemble
// corners as rows until a block is full, runs the network on the block in its L2 cache, and stores the finished pixels.
// Corners of weight 0 (at x3, a third of the rows and columns lie on LR centres) and the second of two equal corners at
// the border cost nothing.
#include "../common/geometry.h"
#include "kernels.h"
#include "plain_net.h"
#include "store.h"

namespace lmf {
namespace LMF_ISA {
namespace {

constexpr int kBlockRows = 96;  // a multiple of every kRows; two activations of 256 channels are 200 KB
constexpr int kTaskPixels = 192;

struct Pixel {
  int first, rows;  // its rows in the block
  float weight[4], skip[3];
};

// The corners of one axis that count: one or two, with weights that sum to 1.
struct AxisRows {
  int count = 0;
  int64_t cell[2];
  float rel[2], weight[2];

  explicit AxisRows(const AxisCorners& c) {
    if (c.cell[0] == c.cell[1]) {  // beyond the outermost centres
      add(c, 0, c.weight[0] + c.weight[1]);
    } else {
      for (int a = 0; a < 2; ++a)
        if (c.weight[a] != 0.0f) add(c, a, c.weight[a]);
    }
  }
  void add(const AxisCorners& c, int a, float w) {
    cell[count] = c.cell[a];
    rel[count] = c.rel[a];
    weight[count++] = w;
  }
};

// Buffers and state of one thread.
template <class T>
class Worker {
 public:
  Worker(const PlainNet<T>& net, const PlainCall& c)
      : net_(net),
        call_(c.render),
        ensemble_(c.mlp.ensemble),
        x_(kBlockRows * net.widest() * int64_t(sizeof(T))),
        y_(kBlockRows * net.widest() * int64_t(sizeof(T))),
        last_(kBlockRows * net.last() * 4) {
    // Padding that no layer writes must not hold NaN.
    for (int64_t i = 0; i < kBlockRows * net.widest(); ++i) x_.get()[i] = y_.get()[i] = T{};
    for (int64_t i = 0; i < kBlockRows * net.last(); ++i) last_.get()[i] = 0.0f;
  }

  // Renders pixels [begin, end) of the list.
  void task(int64_t begin, int64_t end) {
    start_ = begin;
    for (int64_t p = begin; p < end; ++p) {
      add_pixel(p);
      if (rows_ + 4 > kBlockRows) flush();
    }
    flush();
  }

 private:
  struct Place {
    int64_t b, row, col;
  };

  Place place(int64_t p) const {
    const Output& out = call_.out;
    const int64_t b = p / (out.rows * out.cols), rest = p % (out.rows * out.cols);
    return {b, rest / out.cols, rest % out.cols};
  }

  void add_pixel(int64_t p) {
    const Fields& f = call_.fields;
    const Output& out = call_.out;
    const Place at = place(p);
    AxisCorners cy, cx;
    float cell_y = call_.rel_cell_y, cell_x = call_.rel_cell_x;
    if (call_.points.coord) {
      const float *coord = call_.points.coord + 2 * p, *cell = call_.points.cell + 2 * p;
      cy = point_corners(coord[0], f.lr_h);
      cx = point_corners(coord[1], f.lr_w);
      cell_y = cell[0] * float(f.lr_h);
      cell_x = cell[1] * float(f.lr_w);
    } else {
      cy = grid_corners(out.y0 + at.row, f.lr_h, out.height);
      cx = grid_corners(out.x0 + at.col, f.lr_w, out.width);
    }
    Pixel& pixel = pixels_[pixel_count_++];
    pixel = {rows_, 0, {}, {}};
    if (!ensemble_) {
      const int a = cy.nearest, c = cx.nearest;
      pixel.weight[pixel.rows++] = 1.0f;
      row_[rows_++] = {record(at.b, cy.cell[a], cx.cell[c]), cy.rel[a], cx.rel[c], cell_y, cell_x};
    }
    if (!ensemble_ && !call_.skip.data) return;
    const AxisRows ys(cy), xs(cx);
    for (int a = 0; a < ys.count; ++a)
      for (int c = 0; c < xs.count; ++c) {
        const float weight = ys.weight[a] * xs.weight[c];
        if (ensemble_) {
          pixel.weight[pixel.rows++] = weight;
          row_[rows_++] = {record(at.b, ys.cell[a], xs.cell[c]), ys.rel[a], xs.rel[c], cell_y, cell_x};
        }
        if (call_.skip.data) add_skip(at.b, ys.cell[a], xs.cell[c], weight, pixel.skip);
      }
  }

  // Where the parameters of LR cell (row, col) begin in the fields.
  int64_t record(int64_t b, int64_t row, int64_t col) const {
    const Fields& f = call_.fields;
    return b * f.stride_b + (row - f.lr_y0) * f.stride_y + (col - f.lr_x0) * f.stride_x;
  }

  void add_skip(int64_t b, int64_t row, int64_t col, float weight, float* sum) const {
    const Skip& s = call_.skip;
    const Fields& f = call_.fields;
    const int64_t at = b * s.stride_b + (row - f.lr_y0) * s.stride_y + (col - f.lr_x0) * s.stride_x;
    for (int c = 0; c < 3; ++c) sum[c] += weight * load_element(s.data, s.element, at + c * s.stride_c);
  }

  // Renders and stores the collected pixels.
  void flush() {
    const void* data = call_.fields.data;
    switch (call_.fields.element) {
      case Element::float32: run(static_cast<const float*>(data)); break;
      case Element::float16: run(static_cast<const Float16*>(data)); break;
      case Element::bfloat16: run(static_cast<const BFloat16*>(data)); break;
    }
    for (int i = 0; i < pixel_count_;) {
      const Place at = place(start_ + i);
      const int64_t in_row = call_.out.cols - at.col;
      int count = pixel_count_ - i < kLanes ? pixel_count_ - i : kLanes;
      if (in_row < count) count = int(in_row);
      store_run(pixels_ + i, count, at);
      i += count;
    }
    start_ += pixel_count_;
    pixel_count_ = rows_ = 0;
  }

  template <class F>
  void run(const F* fields) {
    net_.run(fields, row_, rows_, x_.get(), y_.get(), last_.get());
  }

  // Up to sixteen neighbouring pixels of an output row.
  void store_run(const Pixel* pixels, int count, const Place& at) {
    alignas(64) float value[3][kLanes] = {};
    for (int i = 0; i < count; ++i) {
      float rgb[3];
      net_.pixel(last_.get() + pixels[i].first * net_.last(), pixels[i].weight, pixels[i].rows, rgb);
      for (int c = 0; c < 3; ++c) value[c][i] = rgb[c] + pixels[i].skip[c];
    }
    Lanes rgb[3] = {load(value[0]), load(value[1]), load(value[2])};
    const Output& out = call_.out;
    store_pixels(rgb, out, at.b * out.stride_b + at.row * out.stride_y + at.col * out.stride_x, count);
  }

  const PlainNet<T>& net_;
  const RenderCall& call_;
  bool ensemble_;
  Scratch<T> x_, y_;
  Scratch<float> last_;
  HeadRow row_[kBlockRows];
  Pixel pixels_[kBlockRows];
  int rows_ = 0, pixel_count_ = 0;
  int64_t start_ = 0;  // index of the first collected pixel
};

template <class T>
void run(const PlainCall& c) {
  const RenderCall& call = c.render;
  const int64_t pixels = call.fields.batch * call.out.rows * call.out.cols;
  if (pixels == 0) return;
  const PlainNet<T> net(c.mlp);
  int64_t task = pixels / (8 * call.threads);
  if (task > kTaskPixels) task = kTaskPixels;
  if (task < kBlockRows / 4) task = kBlockRows / 4;
  const int64_t tasks = (pixels + task - 1) / task;
#pragma omp parallel num_threads(call.threads) if (call.threads > 1 && tasks > 1)
  {
    Worker<T> worker(net, c);
#pragma omp for schedule(dynamic, 1)
    for (int64_t t = 0; t < tasks; ++t) worker.task(t * task, (t + 1) * task < pixels ? (t + 1) * task : pixels);
  }
}

}  // namespace

// bfloat16 weights are multiplied as such where the machine has the instruction; everything else is float32.
void plain_mlp(const PlainCall& call) {
#if LMF_BFLOAT16_PRODUCTS
  if (call.mlp.element == Element::bfloat16 && has_bfloat16_products()) return run<BFloat16>(call);
#endif
  run<float>(call);
}

}  // namespace LMF_ISA
}  // namespace lmf
