// The pixels that an LR cell contributes to, in a fixed order. A backward pass walks over the cells, so that one thread
// sums each cell's gradient in one place and writes it once.
#pragma once

#include "../common/geometry.h"
#include "../common/params.h"
#include "scratch.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// One output pixel or query point at one of its ensemble corners.
struct ContributingPixel {
  float rel_y, rel_x;            // its position relative to the cell: half a cell is 1
  float rel_cell_y, rel_cell_x;  // size of its output pixel, as the network sees it
  float weight;                  // of the network's value at this corner in the pixel; 0: only the skip reads the cell
  float skip_weight;             // of the LR pixel in the pixel; 0 without a skip
  int64_t offset;                // of the pixel in its image's output, in elements
};

// Ranges of a counting sort. First `count` the key of every entry, then `close`, then `insert` every entry in the same
// order. The entries of a key are then [begin, end), in the order in which they were inserted.
struct Ranges {
  int64_t* start;  // keys + 2 numbers, zero at first

  static int64_t bytes(int64_t keys) { return (keys + 2) * int64_t(sizeof(int64_t)); }
  void count(int64_t key) { ++start[key + 2]; }
  void close(int64_t keys) {
    for (int64_t k = 2; k < keys + 2; ++k) start[k] += start[k - 1];
  }
  int64_t insert(int64_t key) { return start[key + 1]++; }  // index of the entry; the last one makes it the key's end
  int64_t begin(int64_t key) const { return start[key]; }
  int64_t end(int64_t key) const { return start[key + 1]; }
};

// Grid mode: a cell contributes to the product of its rows and its columns.
class GridContributingPixels {
 public:
  GridContributingPixels(const RenderCall& c, bool ensemble)
      : call_(c), ensemble_(ensemble), y_(c.fields.rows, c.out.rows), x_(c.fields.cols, c.out.cols) {
    const Fields& f = c.fields;
    const bool both = ensemble || c.skip.data;
    y_.sort(both, f.lr_h, f.lr_y0, f.rows, c.out.height, c.out.y0, c.out.rows, c.out.stride_y);
    x_.sort(both, f.lr_w, f.lr_x0, f.cols, c.out.width, c.out.x0, c.out.cols, c.out.stride_x);
  }

  // Calls f(pixel) for every pixel that cell (row, col) of the fields contributes to.
  template <class F>
  void for_each(int64_t, int64_t row, int64_t col, F f) const {
    for (int64_t i = y_.ranges.begin(row); i < y_.ranges.end(row); ++i) {
      for (int64_t j = x_.ranges.begin(col); j < x_.ranges.end(col); ++j) {
        const Entry &y = y_.entries.get()[i], &x = x_.entries.get()[j];
        const float bilinear = y.weight * x.weight;
        const float weight = ensemble_ ? bilinear : (y.nearest && x.nearest ? 1.0f : 0.0f);
        const float skip_weight = call_.skip.data ? bilinear : 0.0f;
        const int64_t offset = y.offset + x.offset;
        f(ContributingPixel{y.rel, x.rel, call_.rel_cell_y, call_.rel_cell_x, weight, skip_weight, offset});
      }
    }
  }

 private:
  // One output row or column at one of its two corners.
  struct Entry {
    int64_t offset;
    float rel, weight;
    bool nearest;
  };

  struct Axis {
    Scratch<int64_t> start;
    Scratch<Entry> entries;
    Ranges ranges;

    Axis(int64_t cells, int64_t positions)
        : start(Ranges::bytes(cells)), entries(2 * positions * int64_t(sizeof(Entry))), ranges{start.get()} {
      __builtin_memset(start.get(), 0, size_t(Ranges::bytes(cells)));
    }

    // both: sort each position under both of its corners, else under the nearest cell alone.
    void sort(bool both, int64_t n_in, int64_t first, int64_t cells, int64_t n_out, int64_t pos0, int64_t positions,
              int64_t stride) {
      for (int pass = 0; pass < 2; ++pass) {
        for (int64_t i = 0; i < positions; ++i) {
          const AxisCorners corners = grid_corners(pos0 + i, n_in, n_out);
          for (int a = 0; a < 2; ++a) {
            const bool nearest = a == corners.nearest;
            if (both ? corners.weight[a] == 0.0f : !nearest) continue;
            const int64_t cell = corners.cell[a] - first;
            if (pass == 0)
              ranges.count(cell);
            else
              entries.get()[ranges.insert(cell)] = Entry{i * stride, corners.rel[a], corners.weight[a], nearest};
          }
        }
        if (pass == 0) ranges.close(cells);
      }
    }
  };

  const RenderCall& call_;
  bool ensemble_;
  Axis y_, x_;
};

// Points mode: the query points of every image, sorted by cell and then by index.
class PointContributingPixels {
 public:
  PointContributingPixels(const RenderCall& c, bool ensemble)
      : ensemble_(ensemble),
        cols_(c.fields.cols),
        keys_(c.fields.rows * c.fields.cols),
        count_(c.out.cols),
        starts_(c.fields.batch * Ranges::bytes(keys_)),
        pixels_(c.fields.batch * 4 * count_ * int64_t(sizeof(ContributingPixel))) {
#pragma omp parallel for schedule(static) num_threads(c.threads) if (c.threads > 1)
    for (int64_t b = 0; b < c.fields.batch; ++b) sort(c, b);
  }

  // Calls f(pixel) for every query point of image b that cell (row, col) contributes to.
  template <class F>
  void for_each(int64_t b, int64_t row, int64_t col, F f) const {
    const Ranges r = ranges(b);
    const ContributingPixel* pixels = pixels_.get() + b * 4 * count_;
    const int64_t key = row * cols_ + col;
    for (int64_t i = r.begin(key); i < r.end(key); ++i) f(pixels[i]);
  }

 private:
  Ranges ranges(int64_t b) const { return Ranges{starts_.get() + b * (keys_ + 2)}; }

  void sort(const RenderCall& c, int64_t b) {
    Ranges r = ranges(b);
    __builtin_memset(r.start, 0, size_t(Ranges::bytes(keys_)));
    ContributingPixel* pixels = pixels_.get() + b * 4 * count_;
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t q = 0; q < count_; ++q) {
        const float *coord = c.points.coord + 2 * (b * count_ + q), *cell = c.points.cell + 2 * (b * count_ + q);
        const AxisCorners y = point_corners(coord[0], c.fields.lr_h), x = point_corners(coord[1], c.fields.lr_w);
        for (int corner = 0; corner < 4; ++corner) {
          const int a = corner / 2, e = corner % 2;
          const float bilinear = y.weight[a] * x.weight[e];
          const float weight = ensemble_ ? bilinear : (a == y.nearest && e == x.nearest ? 1.0f : 0.0f);
          const float skip_weight = c.skip.data ? bilinear : 0.0f;
          if (weight == 0.0f && skip_weight == 0.0f) continue;
          const int64_t key = y.cell[a] * cols_ + x.cell[e];
          if (pass == 0) {
            r.count(key);
          } else {
            const float rel_cell_y = cell[0] * float(c.fields.lr_h), rel_cell_x = cell[1] * float(c.fields.lr_w);
            const int64_t offset = q * c.out.stride_x;
            pixels[r.insert(key)] = {y.rel[a], x.rel[e], rel_cell_y, rel_cell_x, weight, skip_weight, offset};
          }
        }
      }
      if (pass == 0) r.close(keys_);
    }
  }

  bool ensemble_;
  int64_t cols_, keys_, count_;
  Scratch<int64_t> starts_;
  Scratch<ContributingPixel> pixels_;
};

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf
