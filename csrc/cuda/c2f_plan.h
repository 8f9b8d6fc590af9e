// Which kernel renders a call of the coarse-to-fine family, and with what launch size. Used by the launcher and the
// emulator.
#pragma once

#include "../common/slices.h"
#include "c2f_packed.h"
#include "dense_group.h"
#include "dense_plan.h"

namespace lmf::c2f {

using dense::ceil_div;
using dense::Group;
using dense::kThreads;
using dense::kWarps;
using dense::Mma;

// What fine layer 0 gives a pixel, of which a warp keeps 16 rows: the mean and half the difference of its slice's two
// ends (linear slices), the results at the four vertices of its cell (constant slices), or one result for each slice
// (no slice ensemble).
enum class Rows { ends, vertices, centres };

// Cells that a warp takes: with their rows the 16 of a matrix instruction. Each row of `ends` comes from two vertices,
// which take turns.
LMF_HOST_DEVICE constexpr int cells_of(Rows rows) { return rows == Rows::ends ? 8 : rows == Rows::vertices ? 4 : 16; }

// One axis of csrc/common/slices.h, with what makes its divisions fast on a GPU.
struct Axis {
  int64_t n_in, n_out;
  double per_two_in, per_two_out;  // 1 / (2 n_in), 1 / (2 n_out)
};
inline Axis make_axis(const SliceAxis& a) { return {a.n_in, a.n_out, 0.5 / double(a.n_in), 0.5 / double(a.n_out)}; }

// What the kernel gets. A unit is what a warp renders at a time: neighbouring cells of a row of cells, and of their
// pixels one row (linear slices) or all. All units have as many passes: one chain of passes for each side of the cells,
// the projection by fine layer 0, and one chain for each tile of 16 pixels.
struct C2fArguments {
  RenderCall render;    // skip.data is moved so that the skip seems to begin at fields.lr_y0, lr_x0
  const uint4* packed;  // PackedLayout
  PackedLayout layout;
  int head_width;  // of the head's result, as in PackCall
  Rows rows;
  bool linear_slices;
  int coarse;             // passes of a coarse chain
  int sides, tiles;       // coarse chains and tiles of a unit
  int64_t units;          // one for a warp at a time
  int jobs;               // kWarps units, one for a block at a time
  int64_t groups, lines;  // units of a row of cells; rows of an image that have units
  Axis y, x;
  int64_t low_y, low_x, high_x;  // cells: the first row and column, and the last column, that own pixels of the window
  float cell_y, cell_x;          // size of an output pixel in half cells, as the network sees it
  float length_y, length_x;      // rel of a slice's last pixel less that of its first
};

using Stream = dense::WeightStream<kThreads, dense::Steered, 1>;
using Ring = dense::GroupRing<8>;
constexpr int kTableBytes = 16 * 2 * dense::kWidth;  // of a warp: 16 rows of halves
constexpr int kUnitBytes = 88;                       // of a warp: a Unit of c2f_units.h

// The parts of a block's shared memory, in bytes: ring | tables | units. Group: and the ring's barriers. The constants
// do not fit as well: they are read through the L1 cache.
struct SharedLayout {
  int ring;

  LMF_HOST_DEVICE constexpr int tables() const { return ring; }
  LMF_HOST_DEVICE constexpr int units() const { return tables() + kWarps * kTableBytes; }
  LMF_HOST_DEVICE constexpr int bytes() const { return units() + kWarps * kUnitBytes; }
};
static_assert(SharedLayout{Stream::kBytes}.bytes() <= 99 << 10,
              "a block has 99 KB of shared memory on compute capability 8.6, 8.9 and 12.0");
static_assert(SharedLayout{Ring::kBytes}.bytes() + Ring::kBarrierBytes <= 227 << 10,
              "a block has 227 KB of shared memory on compute capability 9.0");

struct Plan : dense::LaunchPlan {
  C2fArguments render;
};

inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// A skip begins one LR pixel before the fields, as far as the picture has it.
inline const void* moved_skip(const Skip& s, const Fields& f) {
  if (!s.data) return nullptr;
  const int64_t rows = f.lr_y0 - larger(f.lr_y0 - 1, 0), cols = f.lr_x0 - larger(f.lr_x0 - 1, 0);
  const int64_t element = s.element == Element::float32 ? 4 : 2;
  return static_cast<const char*>(s.data) + (rows * s.stride_y + cols * s.stride_x) * element;
}

// rel of a slice's last pixel less that of its first.
inline float length_y(const C2fCall& call) {
  return call.mlp.linear_slices ? 0.0f : SliceAxis{call.render.fields.lr_h, call.render.out.height}.length();
}
inline float length_x(const C2fCall& call) {
  return SliceAxis{call.render.fields.lr_w, call.render.out.width}.length();
}

// packed: memory that holds the plan's packed weights when the kernel runs. The window must not be empty.
inline C2fArguments make_mma_call(const C2fCall& call, const void* packed) {
  const C2fMlp& mlp = call.mlp;
  const Output& o = call.render.out;
  const SliceAxis y{call.render.fields.lr_h, o.height}, x{call.render.fields.lr_w, o.width};
  C2fArguments c{};
  c.render = call.render;
  c.render.skip.data = moved_skip(call.render.skip, call.render.fields);
  c.packed = static_cast<const uint4*>(packed);
  c.layout = packed_layout(mlp);
  c.head_width = C2fLayout(mlp).first_width();
  c.rows = !mlp.slice_ensemble ? Rows::centres : mlp.linear_slices ? Rows::ends : Rows::vertices;
  c.linear_slices = mlp.linear_slices;
  c.coarse = coarse_passes(mlp);
  c.sides = c.rows == Rows::ends ? 2 : 1;
  c.y = make_axis(y);
  c.x = make_axis(x);
  c.low_y = y.owner(o.y0);
  c.low_x = x.owner(o.x0);
  c.high_x = x.owner(o.x0 + o.cols - 1);
  const int cells = cells_of(c.rows);
  c.groups = ceil_div(c.high_x + 1 - c.low_x, cells);
  c.lines = mlp.linear_slices ? o.rows : y.owner(o.y0 + o.rows - 1) + 1 - c.low_y;
  c.units = call.render.fields.batch * c.lines * c.groups;
  c.jobs = int(ceil_div(c.units, kWarps));
  // n cells own at most ceil(n r) positions of an axis, where r is its scale.
  const int64_t rows = mlp.linear_slices ? 1 : smaller(ceil_div(y.n_out, y.n_in), o.rows);
  const int64_t cols = smaller(ceil_div(cells * x.n_out, x.n_in), o.cols);
  c.tiles = int(ceil_div(rows * cols, dense::kRows));
  c.cell_y = mlp.cell_y;
  c.cell_x = mlp.cell_x;
  c.length_y = length_y(call);
  c.length_x = length_x(call);
  return c;
}

inline Plan make_plan(const C2fCall& call, dense::Method method, const void* packed, int multiprocessors) {
  Plan plan{};
  plan.method = method;
  plan.element = call.render.fields.element;
  plan.head = call.mlp.head;
  plan.shared_bytes = method == dense::Method::group ? SharedLayout{Ring::kBytes}.bytes() + Ring::kBarrierBytes
                                                     : SharedLayout{Stream::kBytes}.bytes();
  plan.pack = make_pack_call(call.mlp, dense::order_for(method), length_y(call), length_x(call));
  if (call.render.fields.batch * call.render.out.rows * call.render.out.cols == 0) return plan;  // no blocks
  plan.render = make_mma_call(call, packed);
  plan.blocks = smaller(plan.render.jobs, multiprocessors);
  return plan;
}

}  // namespace lmf::c2f
