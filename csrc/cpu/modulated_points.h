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

constexpr int64_t kPointsAtOnce = 256;  // of a task

// Sixteen query points. The corners are those of the ensemble, in their order: the upper left, the upper right, ...
struct PointGroup {
  AxisCorners y[kLanes], x[kLanes];
  alignas(64) float from_cell[kLanes][kLanes];  // by channel: see cell_parts
  float rel_cell_y[kLanes], rel_cell_x[kLanes];
  const void* params[4][kLanes];  // of the cell at each corner
  int nearest[kLanes];            // index of the corner with the nearest cell
};

struct PointsWorker : Worker {
  bool by_channel;  // lanes are channels while the network is evaluated, else points

  PointsWorker(const ModulatedCall& c, const float* weights)
      : Worker(c, weights), by_channel(has_sixteen_channels(net)) {}

  // The group of points from q0 on. Where there are fewer than sixteen before `end`, the last one is repeated.
  void gather(int64_t b, int64_t q0, int64_t end, PointGroup& group) {
    const Fields& f = call.fields;
    const Points& pt = call.points;
    for (int lane = 0; lane < kLanes; ++lane) {
      const int64_t q = b * call.out.cols + (q0 + lane < end ? q0 + lane : end - 1);
      const AxisCorners y = point_corners(pt.coord[2 * q], f.lr_h), x = point_corners(pt.coord[2 * q + 1], f.lr_w);
      group.y[lane] = y;
      group.x[lane] = x;
      group.nearest[lane] = 2 * y.nearest + x.nearest;
      for (int c = 0; c < 4; ++c) group.params[c][lane] = cell_params(b, y.cell[c / 2], x.cell[c % 2]);
      group.rel_cell_y[lane] = pt.cell[2 * q] * float(f.lr_h);
      group.rel_cell_x[lane] = pt.cell[2 * q + 1] * float(f.lr_w);
    }
    if (by_channel) cell_parts(net, group.rel_cell_y, group.rel_cell_x, group.from_cell);
  }

  // The network at one corner of each point. next: parameters that are needed after these.
  void network(const PointGroup& group, const void* const* cells, const void* const* next, const float* rel_y,
               const float* rel_x, Lanes (&rgb)[1][3]) {
    if (!by_channel) {
      fill_params(cells, kLanes, params[0]);
      return evaluate(net, Corner<1>{params[0], {identity()}, {load(rel_y)}, {load(rel_x)}}, head, x, y, rgb, [] {});
    }
    const auto by_channels = [&](auto element) {
      using T = decltype(element);
      evaluate(net, Evaluations<T>{as<T>(cells), as<T>(next), rel_y, rel_x, group.from_cell}, rgb);
    };
    const Element element = call.fields.element;
    if (element == Element::float32) by_channels(float());
    if (element == Element::float16) by_channels(Float16());
    if (element == Element::bfloat16) by_channels(BFloat16());
  }

  // Renders a group. after: the group that comes next.
  void render(int64_t b, int64_t q0, int count, const PointGroup& group, const PointGroup& after) {
    if (!by_channel) {
      for (int lane = 0; lane < kLanes; ++lane) set_rel_cell(lane, group.rel_cell_y[lane], group.rel_cell_x[lane]);
    }
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
        network(group, cells, turn + 1 < last ? group.params[turn + 1] : after.params[0], rel_y, rel_x, rgb);
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

  // Renders points [q0, end) of image b.
  void task(int64_t b, int64_t q0, int64_t end) {
    PointGroup groups[2];
    gather(b, q0, end, groups[0]);
    for (int i = 0; q0 < end; i ^= 1, q0 += kLanes) {
      const int64_t next = q0 + kLanes;
      if (next < end) gather(b, next, end, groups[i ^ 1]);
      render(b, q0, int(next < end ? kLanes : end - q0), groups[i], groups[next < end ? i ^ 1 : i]);
    }
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
  const int64_t points = call.out.cols, per_image = (points + kPointsAtOnce - 1) / kPointsAtOnce;
  const int64_t all = points * call.fields.batch;
  [[maybe_unused]] const int threads =  // only OpenMP reads it
      useful_threads(call.threads, 4 * all * ModulatedLayout<int64_t>(c.mlp).weights());
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    PointsWorker worker(c, weights);
#pragma omp for schedule(dynamic, 1)
    for (int64_t t = 0; t < per_image * call.fields.batch; ++t) {
      const int64_t q0 = t % per_image * kPointsAtOnce, end = q0 + kPointsAtOnce;
      worker.task(t / per_image, q0, end < points ? end : points);
    }
  }
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf
