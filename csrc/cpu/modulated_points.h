// Points mode of the modulated family: sixteen query points at a time, each with cells of its own.
#pragma once

#include "../common/geometry.h"
#include "columns.h"
#include "modulated_channels.h"
#include "modulated_worker.h"
#include "store.h"
#include "team.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// Sixteen query points. The corners are those of the ensemble, in their order: the upper left, the upper right, ...
struct PointGroup {
  AxisCorners y[kLanes], x[kLanes];
  alignas(64) float rel_cell_y[kLanes], rel_cell_x[kLanes];
  const void* params[4][kLanes];  // of the cell at each corner
  int nearest[kLanes];            // index of the corner with the nearest cell
};

struct PointsWorker : Worker {
  bool by_channel;  // lanes are channels while the network is evaluated, else points
  PointGroup group;
  alignas(64) float from_cell[kLanes][kLanes];  // by_channel: see cell_parts

  PointsWorker(const ModulatedCall& c, const float* weights)
      : Worker(c, weights), by_channel(has_sixteen_channels(net)) {}

  // Finds the corners of `count` points from q0 on. The last one is repeated.
  void gather(int64_t b, int64_t q0, int count) {
    const Fields& f = call.fields;
    const Points& pt = call.points;
    for (int lane = 0; lane < kLanes; ++lane) {
      const int64_t q = b * call.out.cols + q0 + (lane < count ? lane : count - 1);
      const AxisCorners y = point_corners(pt.coord[2 * q], f.lr_h), x = point_corners(pt.coord[2 * q + 1], f.lr_w);
      group.y[lane] = y;
      group.x[lane] = x;
      group.nearest[lane] = 2 * y.nearest + x.nearest;
      for (int c = 0; c < 4; ++c) group.params[c][lane] = cell_params(b, y.cell[c / 2], x.cell[c % 2]);
      group.rel_cell_y[lane] = pt.cell[2 * q] * float(f.lr_h);
      group.rel_cell_x[lane] = pt.cell[2 * q + 1] * float(f.lr_w);
    }
    if (by_channel) return cell_parts(net, group.rel_cell_y, group.rel_cell_x, from_cell);
    for (int lane = 0; lane < kLanes; ++lane) set_rel_cell(lane, group.rel_cell_y[lane], group.rel_cell_x[lane]);
  }

  template <class T>
  void evaluate_by_channel(const void* const* cells, const void* const* next, const float* rel_y, const float* rel_x,
                           Lanes (&rgb)[1][3]) {
    evaluate(net, Evaluations<T>{as<T>(cells), as<T>(next), rel_y, rel_x, from_cell}, rgb);
  }

  // The network at one corner of each point. next: cells whose parameters come after.
  void network(const void* const* cells, const void* const* next, const float* rel_y, const float* rel_x,
               Lanes (&rgb)[1][3]) {
    if (!by_channel) {
      fill_params(cells, kLanes, params[0]);
      return evaluate(net, Corner<1>{params[0], identity(), {load(rel_y)}, load(rel_x)}, head, x, y, rgb);
    }
    const Element element = call.fields.element;
    if (element == Element::float32) evaluate_by_channel<float>(cells, next, rel_y, rel_x, rgb);
    if (element == Element::float16) evaluate_by_channel<Float16>(cells, next, rel_y, rel_x, rgb);
    if (element == Element::bfloat16) evaluate_by_channel<BFloat16>(cells, next, rel_y, rel_x, rgb);
  }

  void task(int64_t b, int64_t q0, int count) {
    gather(b, q0, count);
    Lanes sum[3] = {set(0.0f), set(0.0f), set(0.0f)};
    // The corners in a fixed order. Without the ensemble, turn -1 is the nearest cell and the others serve the skip.
    const int first = ensemble ? 0 : -1, last = ensemble || call.skip.data ? 4 : 0;
    for (int turn = first; turn < last; ++turn) {
      alignas(64) float rel_y[kLanes], rel_x[kLanes], weight[kLanes];
      const void *cells[kLanes], *skips[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) {
        const int corner = turn < 0 ? group.nearest[lane] : turn, a = corner / 2, c = corner % 2;
        const AxisCorners &y = group.y[lane], &x = group.x[lane];
        rel_y[lane] = y.rel[a];
        rel_x[lane] = x.rel[c];
        weight[lane] = turn < 0 ? 1.0f : y.weight[a] * x.weight[c];
        cells[lane] = group.params[corner][lane];
        skips[lane] = skip_pixel(b, y.cell[a], x.cell[c]);
      }
      if (turn < 0 || ensemble) {
        Lanes rgb[1][3];
        network(cells, turn + 1 < last ? group.params[turn + 1] : cells, rel_y, rel_x, rgb);
        for (int k = 0; k < 3; ++k) sum[k] = fma(load(weight), rgb[0][k], sum[k]);
      }
      if (turn >= 0 && call.skip.data) {
        fill_skip(skips, kLanes, params[0]);
        add_skip(params[0], identity(), load(weight), sum);
      }
    }
    const Output& out = call.out;
    store_pixels(sum, out, b * out.stride_b + q0 * out.stride_x, count);
  }

  // Lane i reads cell i.
  static Select identity() {
    int32_t cell[kLanes];
    for (int i = 0; i < kLanes; ++i) cell[i] = i;
    Select s;
    make_select(cell, kLanes, &s);
    return s;
  }
};

void run_points(const ModulatedCall& c, const float* weights) {
  const RenderCall& call = c.render;
  const int64_t q = call.out.cols, steps = (q + kLanes - 1) / kLanes, tasks = steps * call.fields.batch;
  const int threads = useful_threads(call.threads, 4 * kLanes * tasks * ModulatedLayout<int64_t>(c.mlp).weights());
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    PointsWorker worker(c, weights);
#pragma omp for schedule(dynamic, 16)
    for (int64_t t = 0; t < tasks; ++t) {
      const int64_t q0 = t % steps * kLanes;
      worker.task(t / steps, q0, int(q - q0 < kLanes ? q - q0 : kLanes));
    }
  }
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf
