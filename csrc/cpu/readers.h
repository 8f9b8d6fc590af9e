// The way back from cells to pixels: who reads a cell, in a fixed order. A backward pass walks cell by cell, so that
// each cell's gradient is summed in one place, by one thread, and written once.
#pragma once

#include "../common/geometry.h"
#include "../common/params.h"
#include "scratch.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// One pixel or point at one of its ensemble corners.
struct Reader {
  float rel_y, rel_x;    // its place in the cell
  float cell_y, cell_x;  // rel_cell
  float share;           // of the network's value at this corner in the pixel; 0: only the skip reads the cell
  float skip;            // share of the LR pixel; 0 without a skip
  int64_t at;            // element offset of the pixel in its image's output
};

// A counting sort's ranges: count every entry, `close`, place every entry; then [begin, end) holds those of a key.
// Entries of a key stay in the order in which they were placed.
struct Ranges {
  int64_t* start;  // keys + 2 zeros at first

  static int64_t bytes(int64_t keys) { return (keys + 2) * int64_t(sizeof(int64_t)); }
  void count(int64_t key) { ++start[key + 2]; }
  void close(int64_t keys) {
    for (int64_t k = 2; k < keys + 2; ++k) start[k] += start[k - 1];
  }
  int64_t place(int64_t key) { return start[key + 1]++; }  // and with the last of them start[key + 1] is its end
  int64_t begin(int64_t key) const { return start[key]; }
  int64_t end(int64_t key) const { return start[key + 1]; }
};

// Grid: a cell's readers are its rows' times its columns'.
class GridReaders {
 public:
  explicit GridReaders(const ModulatedCall& c)
      : call_(c), y_(c.fields.rows, c.out.rows), x_(c.fields.cols, c.out.cols) {
    y_.sort(c, c.fields.lr_h, c.fields.lr_y0, c.fields.rows, c.out.H, c.out.y0, c.out.rows, c.out.stride[2]);
    x_.sort(c, c.fields.lr_w, c.fields.lr_x0, c.fields.cols, c.out.W, c.out.x0, c.out.cols, c.out.stride[3]);
  }

  template <class F>
  void for_each(int64_t, int64_t row, int64_t col, F f) const {
    for (int64_t i = y_.ranges.begin(row); i < y_.ranges.end(row); ++i) {
      for (int64_t j = x_.ranges.begin(col); j < x_.ranges.end(col); ++j) {
        const Along &y = y_.entries.get()[i], &x = x_.entries.get()[j];
        const float weight = y.weight * x.weight;
        const float share = call_.mlp.ensemble ? weight : (y.nearest && x.nearest ? 1.0f : 0.0f);
        const float skip = call_.skip.data ? weight : 0.0f;
        f(Reader{y.rel, x.rel, call_.rel_cell[0], call_.rel_cell[1], share, skip, y.at + x.at});
      }
    }
  }

 private:
  struct Along {
    int64_t at;
    float rel, weight;
    bool nearest;
  };

  struct Axis {
    Scratch<int64_t> start;
    Scratch<Along> entries;
    Ranges ranges;

    Axis(int64_t cells, int64_t positions)
        : start(Ranges::bytes(cells)), entries(2 * positions * int64_t(sizeof(Along))), ranges{start.get()} {
      __builtin_memset(start.get(), 0, size_t(Ranges::bytes(cells)));
    }

    void sort(const ModulatedCall& c, int64_t n_in, int64_t first, int64_t cells, int64_t n_out, int64_t pos0,
              int64_t positions, int64_t stride) {
      for (int pass = 0; pass < 2; ++pass) {
        for (int64_t i = 0; i < positions; ++i) {
          const AxisCorners at = grid_corners(pos0 + i, n_in, n_out);
          for (int a = 0; a < 2; ++a) {
            const bool nearest = a == at.nearest;
            if (c.mlp.ensemble || c.skip.data ? at.weight[a] == 0.0f : !nearest) continue;
            const int64_t cell = at.cell[a] - first;
            if (pass == 0)
              ranges.count(cell);
            else
              entries.get()[ranges.place(cell)] = Along{i * stride, at.rel[a], at.weight[a], nearest};
          }
        }
        if (pass == 0) ranges.close(cells);
      }
    }
  };

  const ModulatedCall& call_;
  Axis y_, x_;
};

// Points: the readers of every image sorted by cell, within a cell by their place in the call.
class PointReaders {
 public:
  explicit PointReaders(const ModulatedCall& c)
      : cols_(c.fields.cols),
        keys_(c.fields.rows * c.fields.cols),
        count_(c.out.cols),
        starts_(c.fields.batch * Ranges::bytes(keys_)),
        readers_(c.fields.batch * 4 * count_ * int64_t(sizeof(Reader))) {
#pragma omp parallel for schedule(static) num_threads(c.threads) if (c.threads > 1)
    for (int64_t b = 0; b < c.fields.batch; ++b) sort(c, b);
  }

  template <class F>
  void for_each(int64_t b, int64_t row, int64_t col, F f) const {
    const Ranges r = ranges(b);
    const Reader* readers = readers_.get() + b * 4 * count_;
    const int64_t key = row * cols_ + col;
    for (int64_t i = r.begin(key); i < r.end(key); ++i) f(readers[i]);
  }

 private:
  Ranges ranges(int64_t b) const { return Ranges{starts_.get() + b * (keys_ + 2)}; }

  void sort(const ModulatedCall& c, int64_t b) {
    Ranges r = ranges(b);
    __builtin_memset(r.start, 0, size_t(Ranges::bytes(keys_)));
    Reader* readers = readers_.get() + b * 4 * count_;
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t q = 0; q < count_; ++q) {
        const float *coord = c.points.coord + 2 * (b * count_ + q), *cell = c.points.cell + 2 * (b * count_ + q);
        const AxisCorners y = point_corners(coord[0], c.fields.lr_h), x = point_corners(coord[1], c.fields.lr_w);
        for (int corner = 0; corner < 4; ++corner) {
          const int a = corner / 2, e = corner % 2;
          const float weight = y.weight[a] * x.weight[e];
          const float share = c.mlp.ensemble ? weight : (a == y.nearest && e == x.nearest ? 1.0f : 0.0f);
          const float skip = c.skip.data ? weight : 0.0f;
          if (share == 0.0f && skip == 0.0f) continue;
          const int64_t key = y.cell[a] * cols_ + x.cell[e];
          if (pass == 0)
            r.count(key);
          else
            readers[r.place(key)] = Reader{y.rel[a], x.rel[e], cell[0] * float(c.fields.lr_h),
                                           cell[1] * float(c.fields.lr_w), share, skip, q * c.out.stride[3]};
        }
      }
      if (pass == 0) r.close(keys_);
    }
  }

  int64_t cols_, keys_, count_;
  Scratch<int64_t> starts_;
  Scratch<Reader> readers_;
};

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf
