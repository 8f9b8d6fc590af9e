// Grid mode of the modulated family: a task is a block of output columns (at most sixteen LR columns wide) over a run
// of rows. It walks down the rows and keeps the transposed parameters of the two LR rows in use, so that each cell is
// transposed about once per block.
#pragma once

#include "columns.h"
#include "modulated_worker.h"
#include "store.h"
#include "team.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// Cache lines that are fetched ahead before each layer.
constexpr int kLinesAhead = 8;

template <int N>
struct Count {
  static constexpr int value = N;
};

struct GridWorker : Worker {
  Scratch<Block> block_memory;
  Block* block;
  int64_t params_row[2] = {-1, -1};  // LR row in params[0] and params[1]
  const char* ahead = nullptr;       // the part of the next LR row's parameters that is not in the cache yet
  int64_t bytes_ahead = 0;
  bool fetching = false;

  GridWorker(const ModulatedCall& c, const float* weights)
      : Worker(c, weights), block_memory(sizeof(Block)), block(block_memory.get()) {}

  // Transposed parameters of LR row `row` for the current block, reused from the output row above if they are still
  // there. The buffer that holds LR row `keep` is not overwritten.
  const float* row_params(int64_t b, int64_t row, int64_t keep) {
    for (int i = 0; i < 2; ++i)
      if (params_row[i] == row) return params[i];
    const int i = params_row[0] == keep && keep >= 0 ? 1 : 0;
    const void *cells[kLanes], *skips[kLanes];
    for (int k = 0; k < kLanes; ++k) {
      const int64_t col = block->cell0 + (k < block->cells ? k : block->cells - 1);
      cells[k] = cell_params(b, row, col);
      skips[k] = skip_pixel(b, row, col);
    }
    fill_params(cells, block->cells, params[i]);
    if (call.skip.data) fill_skip(skips, block->cells, params[i]);
    params_row[i] = row;
    const bool last = row + 1 >= call.fields.lr_y0 + call.fields.rows || call.fields.stride_x != channels;
    bytes_ahead = last ? 0 : block->cells * channels * element_size(call.fields.element);
    if (!last) ahead = static_cast<const char*>(cell_params(b, row + 1, block->cell0));
    return params[i];
  }

  static void store_step(Lanes* rgb, const Step& st, const Output& out, int64_t offset) {
    if (st.gaps)
      store_apart(rgb, out, offset, st.at, st.count);
    else
      store_pixels(rgb, out, offset, st.count);
  }

  // Fetches some of the next LR row's parameters to the cache while the pixels above it are computed. Without it, small
  // scale factors would spend more time waiting for memory than computing. A few lines at a time, because a core has a
  // limited number of outstanding cache misses, and at the first lines of a page it may drop others.
  void fetch_ahead() {
    if (!fetching) return;
    for (int i = 0; i < kLinesAhead && bytes_ahead > 0; ++i, ahead += 64, bytes_ahead -= 64)
      __builtin_prefetch(ahead, 0, 2);
  }

  // Steps in which all of `bytes_ahead` is fetched, and one more. What is fetched earlier may have left the cache again
  // before it is used.
  int64_t steps_ahead() const {
    const int64_t bytes_per_step = 64 * kLinesAhead * net.depth * (ensemble ? 4 : 1);
    return 2 + bytes_ahead / bytes_per_step;
  }

  // Adds rows of sixteen pixels at one ensemble corner to their sums: the network's value, the skip or both.
  template <int ROWS>
  void add_corner(const float* params, const Select& select, const float* rel_y, const float* rel_x,
                  const float* weight_y, const float* weight_x, bool network, bool skip, Lanes (*sum)[3]) {
    Corner<ROWS> at{params, {select}, {}, {load(rel_x)}};
    Lanes weight[ROWS];
    for (int r = 0; r < ROWS; ++r) {
      at.rel_y[r] = set(rel_y[r]);
      weight[r] = mul(set(weight_y[r]), load(weight_x));
    }
    if (network) {
      Lanes rgb[ROWS][3];
      evaluate(net, at, head, x, y, rgb, [this] { fetch_ahead(); });
      for (int r = 0; r < ROWS; ++r)
        for (int c = 0; c < 3; ++c) sum[r][c] = fma(weight[r], rgb[r][c], sum[r][c]);
    }
    if (skip)
      for (int r = 0; r < ROWS; ++r) add_skip(params, select, weight[r], sum[r]);
  }

  // Adds a single row of sixteen pixels at the two corners in one LR row: as add_corner for one and then the other.
  void add_corners(const float* params, const Step& st, float rel_y, float weight_y, bool skip, Lanes* sum) {
    const Lanes y_of_both = set(rel_y);
    const Corner<2, 2> at{
        params, {st.corner[0], st.corner[1]}, {y_of_both, y_of_both}, {load(st.rel[0]), load(st.rel[1])}};
    Lanes rgb[2][3];
    evaluate(net, at, head, x, y, rgb, [this] { fetch_ahead(); });
    for (int c = 0; c < 2; ++c) {
      const Lanes weight = mul(set(weight_y), load(st.weight[c]));
      for (int k = 0; k < 3; ++k) sum[k] = fma(weight, rgb[c][k], sum[k]);
      if (skip) add_skip(params, st.corner[c], weight, sum);
    }
  }

  // Renders the block's pixels of output rows [row, row + n), which read the same LR rows: see alike. last: the row
  // after them reads other LR rows.
  void grid_rows(int64_t b, int64_t row, const AxisCorners* cy, int n, bool last) {
    const Output& out = call.out;
    const float* rows[2];
    rows[0] = row_params(b, cy->cell[0], cy->cell[1]);
    rows[1] = row_params(b, cy->cell[1], cy->cell[0]);
    float rel_y[2][kMaxRows], weight_y[2][kMaxRows];
    for (int a = 0; a < 2; ++a) {
      for (int r = 0; r < n; ++r) {
        rel_y[a][r] = cy[r].rel[a];
        weight_y[a][r] = cy[r].weight[a];
      }
    }
    const int64_t fetch_from = last ? block->steps - steps_ahead() : block->steps;
    for (int i = 0; i < block->steps; ++i) {
      const Step& st = block->step[i];
      fetching = i >= fetch_from;
      Lanes sum[kMaxRows][3];
      for (int r = 0; r < n; ++r)
        for (int c = 0; c < 3; ++c) sum[r][c] = set(0.0f);
      const bool skip = call.skip.data != nullptr;
      const auto corner = [&](int a, int first, int end, const Select& select, const float* rel_x, const float* weight,
                              const float* weight_x, bool network, bool skip) {
        const auto add = [&](auto rows_alike) {
          add_corner<rows_alike.value>(rows[a], select, rel_y[a] + first, rel_x, weight + first, weight_x, network,
                                       skip, sum + first);
        };
        if constexpr (kMaxRows >= 4)
          if (end - first == 4) add(Count<4>());
        if (end - first == 3) add(Count<3>());
        if (end - first == 2) add(Count<2>());
        if (end - first == 1) add(Count<1>());
      };
      alignas(64) static constexpr float kOnes[kLanes] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
      if (!ensemble) corner(cy->nearest, 0, n, st.nearest, st.rel_nearest, kOnes, kOnes, true, false);
      for (int a = 0; a < 2 && (ensemble || skip); ++a) {
        // The rows with a weight are neighbours: at x3, a third of them lies on LR centres.
        const float* weight = weight_y[a];
        int first = 0, end = n;
        while (first < end && weight[first] == 0.0f) ++first;
        while (first < end && weight[end - 1] == 0.0f) --end;
        if (end - first == 1 && ensemble && st.counts[0] && st.counts[1]) {
          add_corners(rows[a], st, rel_y[a][first], weight[first], skip, sum[first]);
          continue;
        }
        for (int c = 0; c < 2; ++c) {
          if (st.counts[c]) corner(a, first, end, st.corner[c], st.rel[c], weight, st.weight[c], ensemble, skip);
        }
      }
      for (int r = 0; r < n; ++r) {
        const int64_t pixel = (row + r - out.y0) * out.stride_y + (st.x - out.x0) * out.stride_x;
        store_step(sum[r], st, out, b * out.stride_b + pixel);
      }
    }
  }

  // Whether two output rows read the same LR rows.
  bool alike(const AxisCorners& p, const AxisCorners& q) const {
    return p.cell[0] == q.cell[0] && p.cell[1] == q.cell[1] && (ensemble || p.nearest == q.nearest);
  }

  // Renders the block's pixels of output rows [row, end), up to kMaxRows at a time.
  void grid_range(int64_t b, int64_t row, int64_t end) {
    constexpr int kLookAhead = 2 * kMaxRows;
    AxisCorners cy[kLookAhead];
    while (row < end) {
      int n = 0;  // of the next rows that read the same LR rows
      for (; n < kLookAhead && row + n < end; ++n) {
        cy[n] = grid_corners(row + n, call.fields.lr_h, call.out.height);
        if (!alike(cy[0], cy[n])) break;
      }
      if (n > kMaxRows) n = n == kMaxRows + 1 ? (kMaxRows + 1) / 2 : kMaxRows;  // four are two times two
      const bool last = row + n < end && !alike(cy[0], grid_corners(row + n, call.fields.lr_h, call.out.height));
      grid_rows(b, row, cy, n, last);
      row += n;
    }
  }

  void grid_task(int64_t b, int64_t x, int64_t row0, int64_t row1) {
    const Output& out = call.out;
    set_rel_cell(call.rel_cell_y, call.rel_cell_x);
    make_block(x, out.x0 + out.cols, call.fields.lr_w, out.width, block);
    params_row[0] = params_row[1] = -1;
    if (call.mask) return masked_rows(b, x, row0, row1);
    grid_range(b, row0, row1);
  }

  // The active pixels of a block's rows. The rows that one LR row owns have the same active columns.
  void masked_rows(int64_t b, int64_t x0, int64_t row0, int64_t row1) {
    const Fields& f = call.fields;
    for (int64_t row = row0, end; row < row1; row = end) {
      const int64_t owner = row * f.lr_h / call.out.height;
      end = ((owner + 1) * call.out.height + f.lr_h - 1) / f.lr_h;
      if (end > row1) end = row1;
      const uint8_t* active = call.mask + (b * f.rows + owner - f.lr_y0) * f.cols + block->cell0 - f.lr_x0;
      for (int64_t x = x0; x < block->x_end;) {
        x = fill_active_steps(x, f.lr_w, call.out.width, active, block);
        if (block->steps > 0) grid_range(b, row, end);
      }
    }
  }
};

// Writes the first output column of each block of a row to `starts` and returns the number of blocks. Their widths
// differ by rounding, so the row has to be walked.
int64_t count_blocks(const RenderCall& call, Block* block, int64_t* starts) {
  int64_t n = 0;
  for (int64_t x = call.out.x0, end = call.out.x0 + call.out.cols; x < end; x = block->x_end, ++n) {
    make_block(x, end, call.fields.lr_w, call.out.width, block);
    starts[n] = x;
  }
  return n;
}

void run_grid(const ModulatedCall& c, const float* weights) {
  const RenderCall& call = c.render;
  const Output& out = call.out;
  Scratch<int64_t> starts(out.cols * int64_t(sizeof(int64_t)));
  int64_t blocks;
  {
    Scratch<Block> block(sizeof(Block));
    blocks = count_blocks(call, block.get(), starts.get());
  }
  const int64_t pixels = out.rows * out.cols * call.fields.batch;
  const int threads = useful_threads(call.threads, 4 * pixels * ModulatedLayout<int64_t>(c.mlp).weights());
  // Runs of about 32 LR rows, or shorter ones where threads would be idle. Nothing fetches a run's first two LR rows
  // ahead.
  int64_t run = 32 * out.height / call.fields.lr_h;
  const int64_t per_run = blocks * call.fields.batch;
  if (threads > 1) {
    const int64_t per_thread = call.mask ? 32 : 8;  // tasks; with a mask they differ in size
    const int64_t enough = (per_thread * threads + per_run - 1) / per_run;
    const int64_t balanced = out.rows / enough;
    if (balanced < run) run = balanced;
  }
  if (run < 1) run = 1;
  const int64_t runs = (out.rows + run - 1) / run, tasks = runs * per_run;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    GridWorker worker(c, weights);
#pragma omp for schedule(dynamic, 1)
    for (int64_t t = 0; t < tasks; ++t) {
      const int64_t b = t / (runs * blocks), r = t / blocks % runs, row0 = out.y0 + r * run;
      const int64_t row_end = out.y0 + out.rows;
      worker.grid_task(b, starts.get()[t % blocks], row0, row0 + run < row_end ? row0 + run : row_end);
    }
  }
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf
