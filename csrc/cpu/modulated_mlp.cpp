// The modulated family on the CPU: every output pixel in one pass, no intermediate picture.
// Compiled once per instruction set with -DLMF_ISA=<name>; dispatch.cpp chooses at run time.
//
// Grid: a task is a block of output columns (at most sixteen LR columns wide) over a run of rows. Walking down the rows
// it keeps the planes of the two LR rows in use, so each cell's record is transposed about once per block.
// Points: each lane has cells of its own, so each corner's sixteen records are transposed for it.
#include "columns.h"
#include "kernels.h"
#include "modulated_net.h"
#include "planes.h"
#include "scratch.h"
#include "store.h"

namespace lmf {
namespace LMF_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kBlock = 16;
#elif defined(__AVX2__)
constexpr int kBlock = 4;
#else
constexpr int kBlock = 2;
#endif

// What one thread owns while it works.
struct Worker {
  Net net;
  const ModulatedCall& call;
  Scratch<char> memory;
  float* planes[2];      // (channels + 3 of the skip, 16) each
  float* head;           // linear: what the cell adds to base (hidden, 16); fourier: phase (in_dim / 2, 16)
  Lanes *x, *y;
  Block* block;
  int64_t plane_row[2] = {-1, -1};  // LR row each plane set holds

  explicit Worker(const ModulatedCall& c) : net(c.mlp), call(c), memory(bytes(c)) {
    char* p = memory.get();
    const int64_t plane = (net.channels + 3) * kLanes * 4;
    const int64_t wide = net.in_dim > net.hidden ? net.in_dim : net.hidden;
    planes[0] = reinterpret_cast<float*>(p);
    planes[1] = reinterpret_cast<float*>(p += plane);
    head = reinterpret_cast<float*>(p += plane);
    x = reinterpret_cast<Lanes*>(p += wide * kLanes * 4);
    y = reinterpret_cast<Lanes*>(p += wide * kLanes * 4);
    block = reinterpret_cast<Block*>(p + wide * kLanes * 4);
  }

  static int64_t bytes(const ModulatedCall& c) {
    const int64_t wide = c.mlp.in_dim > c.mlp.hidden ? c.mlp.in_dim : c.mlp.hidden;
    return (2 * (record_channels(c.mlp) + 3) + 3 * wide) * kLanes * 4 + int64_t(sizeof(Block));
  }

  // The head's part that depends on the cell alone, for one lane.
  void set_rel_cell(int lane, float cell_y, float cell_x) {
    const float* w = net.head == Head::linear ? net.cell : net.phase;
    const int n = net.head == Head::linear ? net.hidden : net.in_dim / 2;
    for (int o = 0; o < n; ++o) head[o * kLanes + lane] = w[o] * cell_y + w[n + o] * cell_x;
  }

  // Transposes records and prepares them: s becomes 1 + s, base takes the cell's part.
  void fill_planes(const float* const* cells, const float* const* skips, int used, float* out) {
    const int rounded = (used + 3) & ~3;
    transpose(cells, rounded, net.channels, out);
    const Lanes one = set(1.0f);
    for (float* s = out; s < out + net.shift(0) * kLanes; s += kLanes) store(s, add(load(s), one));
    if (net.head == Head::linear) {
      float* base = out + net.first() * kLanes;
      for (int o = 0; o < net.hidden; ++o)
        store(base + o * kLanes, add(load(base + o * kLanes), load(head + o * kLanes)));
    }
    if (call.skip.data) {
      float* plane = out + net.channels * kLanes;
      for (int c = 0; c < 3; ++c)
        for (int i = 0; i < rounded; ++i) plane[c * kLanes + i] = skips[i][c * call.skip.stride[1]];
    }
  }

  template <int HID>
  void evaluate_corner(const Corner& at, Lanes* rgb) {
    evaluate<HID, kBlock>(net, at, head, x, y, rgb);
  }

  void add_skip(const Corner& at, const Lanes& weight, Lanes* sum) {
    for (int c = 0; c < 3; ++c)
      sum[c] = fma(weight, select(at.planes + (net.channels + c) * kLanes, at.select), sum[c]);
  }

  const float* record(int64_t b, int64_t row, int64_t col) const {
    const Fields& f = call.fields;
    return static_cast<const float*>(f.data) + b * f.stride[0] + (row - f.lr_y0) * f.stride[1] +
           (col - f.lr_x0) * f.stride[2];
  }
  const float* skip_pixel(int64_t b, int64_t row, int64_t col) const {
    const Skip& s = call.skip;
    if (!s.data) return nullptr;
    return static_cast<const float*>(s.data) + b * s.stride[0] + (row - call.fields.lr_y0) * s.stride[2] +
           (col - call.fields.lr_x0) * s.stride[3];
  }

  // Planes of LR row `row` for the current block, reused from the pixel row above where they are still there.
  const float* row_planes(int64_t b, int64_t row, int64_t keep) {
    for (int i = 0; i < 2; ++i)
      if (plane_row[i] == row) return planes[i];
    const int i = plane_row[0] == keep && keep >= 0 ? 1 : 0;
    const float *cells[kLanes], *skips[kLanes];
    for (int k = 0; k < kLanes; ++k) {
      const int64_t col = block->cell0 + (k < block->cells ? k : block->cells - 1);
      cells[k] = record(b, row, col);
      skips[k] = skip_pixel(b, row, col);
    }
    fill_planes(cells, skips, block->cells, planes[i]);
    plane_row[i] = row;
    return planes[i];
  }

  template <int HID>
  void grid_row(int64_t b, int64_t row) {
    const Output& out = call.out;
    const AxisCorners cy = grid_corners(row, call.fields.lr_h, out.H);
    const float* rows[2];
    rows[0] = row_planes(b, cy.cell[0], cy.cell[1]);
    rows[1] = row_planes(b, cy.cell[1], cy.cell[0]);
    for (int i = 0; i < block->steps; ++i) {
      const Step& st = block->step[i];
      Lanes sum[3] = {set(0.0f), set(0.0f), set(0.0f)};
      if (!call.mlp.ensemble) {
        const Corner at{rows[cy.nearest], st.nearest, set(cy.rel[cy.nearest]), load(st.rel_nearest)};
        evaluate_corner<HID>(at, sum);
      }
      if (call.mlp.ensemble || call.skip.data) {
        for (int a = 0; a < 2; ++a) {
          if (cy.weight[a] == 0.0f) continue;  // odd scales: a third of the rows and more lie on LR centres
          for (int c = 0; c < 2; ++c) {
            const Corner at{rows[a], st.corner[c], set(cy.rel[a]), load(st.rel[c])};
            const Lanes weight = mul(set(cy.weight[a]), load(st.weight[c]));
            if (call.mlp.ensemble) {
              Lanes rgb[3];
              evaluate_corner<HID>(at, rgb);
              for (int k = 0; k < 3; ++k) sum[k] = fma(weight, rgb[k], sum[k]);
            }
            if (call.skip.data) add_skip(at, weight, sum);
          }
        }
      }
      const int64_t pixel = (row - out.y0) * out.stride[2] + (st.x - out.x0) * out.stride[3];
      finish_and_store(sum, out, b * out.stride[0] + pixel, st.count);
    }
  }

  template <int HID>
  void grid_task(int64_t b, int64_t x, int64_t row0, int64_t row1) {
    const Output& out = call.out;
    for (int lane = 0; lane < kLanes; ++lane) set_rel_cell(lane, call.rel_cell[0], call.rel_cell[1]);
    make_block(x, out.x0 + out.cols, call.fields.lr_w, out.W, block);
    plane_row[0] = plane_row[1] = -1;
    for (int64_t row = row0; row < row1; ++row) grid_row<HID>(b, row);
  }

  template <int HID>
  void points_task(int64_t b, int64_t q0, int count) {
    const Fields& f = call.fields;
    const Points& pt = call.points;
    AxisCorners cy[kLanes], cx[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
      const int64_t q = b * call.out.cols + q0 + (lane < count ? lane : count - 1);
      cy[lane] = point_corners(pt.coord[2 * q], f.lr_h);
      cx[lane] = point_corners(pt.coord[2 * q + 1], f.lr_w);
      set_rel_cell(lane, pt.cell[2 * q] * float(f.lr_h), pt.cell[2 * q + 1] * float(f.lr_w));
    }
    Lanes sum[3] = {set(0.0f), set(0.0f), set(0.0f)};
    // The corners in fixed order; with the ensemble off the first turn is the nearest cell, the others serve the skip.
    const int first = call.mlp.ensemble ? 0 : -1, last = call.mlp.ensemble || call.skip.data ? 4 : 0;
    for (int turn = first; turn < last; ++turn) {
      alignas(64) float rel_y[kLanes], rel_x[kLanes], weight[kLanes];
      const float *cells[kLanes], *skips[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) {
        const int a = turn < 0 ? cy[lane].nearest : turn / 2, c = turn < 0 ? cx[lane].nearest : turn % 2;
        rel_y[lane] = cy[lane].rel[a];
        rel_x[lane] = cx[lane].rel[c];
        weight[lane] = turn < 0 ? 1.0f : cy[lane].weight[a] * cx[lane].weight[c];
        cells[lane] = record(b, cy[lane].cell[a], cx[lane].cell[c]);
        skips[lane] = skip_pixel(b, cy[lane].cell[a], cx[lane].cell[c]);
      }
      fill_planes(cells, skips, kLanes, planes[0]);
      const Corner at{planes[0], identity(), load(rel_y), load(rel_x)};
      if (turn < 0 || call.mlp.ensemble) {
        Lanes rgb[3];
        evaluate_corner<HID>(at, rgb);
        for (int k = 0; k < 3; ++k) sum[k] = fma(load(weight), rgb[k], sum[k]);
      }
      if (turn >= 0 && call.skip.data) add_skip(at, load(weight), sum);
    }
    const Output& out = call.out;
    finish_and_store(sum, out, b * out.stride[0] + q0 * out.stride[3], count);
  }

  static Select identity() {
    int32_t cell[kLanes];
    for (int i = 0; i < kLanes; ++i) cell[i] = i;
    Select s;
    make_select(cell, kLanes, &s);
    return s;
  }
};

// Column blocks differ in width only by rounding, so their starts are found by walking once over the row.
int64_t count_blocks(const ModulatedCall& c, Block* block, int64_t* starts) {
  int64_t n = 0;
  for (int64_t x = c.out.x0, end = c.out.x0 + c.out.cols; x < end; x = block->x_end, ++n) {
    make_block(x, end, c.fields.lr_w, c.out.W, block);
    starts[n] = x;
  }
  return n;
}

template <int HID>
void run_grid(const ModulatedCall& call) {
  const Output& out = call.out;
  Scratch<int64_t> starts(out.cols * int64_t(sizeof(int64_t)));
  int64_t blocks;
  {
    Scratch<Block> block(sizeof(Block));
    blocks = count_blocks(call, block.get(), starts.get());
  }
  // Runs of about sixteen LR rows, shorter where that leaves threads idle.
  int64_t run = 16 * out.H / call.fields.lr_h;
  const int64_t per_run = blocks * call.fields.batch;
  if (call.threads > 1) {
    const int64_t wanted = (8 * call.threads + per_run - 1) / per_run;
    const int64_t balanced = out.rows / wanted;
    if (balanced < run) run = balanced;
  }
  if (run < 1) run = 1;
  const int64_t runs = (out.rows + run - 1) / run, tasks = runs * per_run;
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
  {
    Worker worker(call);
#pragma omp for schedule(dynamic, 1)
    for (int64_t t = 0; t < tasks; ++t) {
      const int64_t b = t / (runs * blocks), r = t / blocks % runs, row0 = out.y0 + r * run;
      const int64_t row_end = out.y0 + out.rows;
      worker.template grid_task<HID>(b, starts.get()[t % blocks], row0, row0 + run < row_end ? row0 + run : row_end);
    }
  }
}

template <int HID>
void run_points(const ModulatedCall& call) {
  const int64_t q = call.out.cols, steps = (q + kLanes - 1) / kLanes, tasks = steps * call.fields.batch;
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
  {
    Worker worker(call);
#pragma omp for schedule(dynamic, 16)
    for (int64_t t = 0; t < tasks; ++t) {
      const int64_t q0 = t % steps * kLanes;
      worker.template points_task<HID>(t / steps, q0, int(q - q0 < kLanes ? q - q0 : kLanes));
    }
  }
}

template <int HID>
void run(const ModulatedCall& call) {
  if (call.points.coord)
    run_points<HID>(call);
  else
    run_grid<HID>(call);
}

}  // namespace

// The papers' width stays in registers where there are 32 of them; every other case keeps activations in the L1 cache.
void modulated_mlp(const ModulatedCall& call) {
#if defined(__AVX512F__)
  if (call.mlp.hidden == 16) return run<16>(call);
#endif
  run<0>(call);
}

}  // namespace LMF_ISA
}  // namespace lmf
