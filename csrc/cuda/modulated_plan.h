// Which kernel renders a call of the modulated family, and with what launch size. Used by the launcher and the
// emulator.
#pragma once

#include "modulated_columns.h"
#include "modulated_fragments.h"

namespace lmf::modulated {

// Tags of the kernels. Half: warp::F16 or warp::BF16.
//
// Tensor cores, for grids of x1 and more: a lane has one column of pixels that share their four cells. kDepth: the
// number of layers, or 0 for any. kTall: for more than four rows between two LR centres.
template <class Half, Head head, int kDepth, bool kTall>
struct MmaColumns {};
// Tensor cores, for smaller scales and free points: each pixel has cells of its own.
template <class Half, Head head>
struct MmaPerPixel {};
// float32 throughout, without tensor cores: a lane has up to four pixels of a column, or one pixel.
template <Head head>
struct Float32Columns {};
template <Head head>
struct Float32 {};

enum class Method { float32, float32_columns, mma_per_pixel, mma_columns };

// Selects one kernel.
struct Path {
  Method method;
  Element element;  // of the fields
  Head head;
  int depth;  // mma_columns: kDepth
  bool tall;  // mma_columns: kTall
};

struct Plan {
  Path path;
  int warps;           // per block
  int64_t blocks;      // at most as many as the device runs at once; the kernels loop over the rest
  int shared_bytes;    // per block
  ColumnPlan columns;  // of the methods by columns
};

constexpr int kWarps = 4;        // per block
constexpr int kRowsOfSmall = 4;  // between two LR centres: kernels that are not kTall take no more

// Depths of the published networks: their kernels have all layers unrolled.
constexpr int kUsualDepth[] = {6, 8};  // of a linear head, of a Fourier head

// Blocks that are resident on a multiprocessor at once: they allow 128 registers per lane. A larger grid would leave
// its last blocks to run alone after the others.
template <class Tag>
constexpr int kBlocksPerMultiprocessor = 4;
template <Head head>
constexpr int kBlocksPerMultiprocessor<Float32<head>> = 3;  // 168 registers
template <Head head>
constexpr int kBlocksPerMultiprocessor<Float32Columns<head>> = 2;  // with 168 registers it spills on Blackwell
template <int kDepth>
constexpr int kBlocksPerMultiprocessor<MmaColumns<warp::BF16, Head::linear, kDepth, false>> = 3;

// Shared memory of a block in bytes. The float32 kernel keeps the weights as they are.
template <Head head>
constexpr int shared_bytes(Float32<head>, int depth) {
  return (make_layout(head, depth).weights() + 3) / 4 * 16;
}
template <Head head>
constexpr int shared_bytes(Float32Columns<head>, int depth) {
  return shared_bytes(Float32<head>{}, depth);
}
template <class Half, Head head>
constexpr int shared_bytes(MmaPerPixel<Half, head>, int depth) {
  return WeightFragments<Half, head>::bytes(depth);
}
template <class Half, Head head, int kDepth, bool kTall>
constexpr int shared_bytes(MmaColumns<Half, head, kDepth, kTall>, int depth) {
  return WeightFragments<Half, head>::bytes(depth);
}
static_assert(shared_bytes(Float32<Head::fourier>{}, kMaxDepth) <= 48 << 10, "kMaxDepth layers do not fit");
static_assert(shared_bytes(MmaPerPixel<warp::F16, Head::fourier>{}, kMaxDepth) <= 48 << 10,
              "kMaxDepth layers do not fit");

// Calls f with the tag of the path's kernel.
template <class Half, Head head, class F>
void with_half(const Path& path, F f) {
  constexpr int usual = kUsualDepth[int(head)];
  if (path.method == Method::mma_per_pixel) {
    f(MmaPerPixel<Half, head>{});
  } else if (path.depth == usual) {
    path.tall ? f(MmaColumns<Half, head, usual, true>{}) : f(MmaColumns<Half, head, usual, false>{});
  } else {
    path.tall ? f(MmaColumns<Half, head, 0, true>{}) : f(MmaColumns<Half, head, 0, false>{});
  }
}
template <Head head, class F>
void with_head(const Path& path, F f) {
  if (path.method == Method::float32) {
    f(Float32<head>{});
  } else if (path.method == Method::float32_columns) {
    f(Float32Columns<head>{});
  } else if (path.element == Element::float16) {
    with_half<warp::F16, head>(path, f);
  } else {
    with_half<warp::BF16, head>(path, f);
  }
}
template <class F>
void with_path(const Path& path, F f) {
  path.head == Head::linear ? with_head<Head::linear>(path, f) : with_head<Head::fourier>(path, f);
}

inline Plan make_plan(const ModulatedCall& call, int multiprocessors) {
  const Fields& fields = call.render.fields;
  const Output& o = call.render.out;
  const bool halves = fields.element != Element::float32;
  const ItemSize item = halves ? kMmaItem : kFloat32Item;
  const bool columns = columns_fit(call, item);
  Plan plan{};
  plan.path.method = halves    ? columns ? Method::mma_columns : Method::mma_per_pixel
                     : columns ? Method::float32_columns
                               : Method::float32;
  plan.path.element = fields.element;
  plan.path.head = call.mlp.head;
  plan.warps = kWarps;
  // What one warp renders at a time: a chunk of columns, or a run of pixels in a row.
  int64_t items = fields.batch * o.rows * ceil_div(o.cols, halves ? kTilePixels : warp::kSize);
  if (columns) {
    plan.columns = make_column_plan(call, item);
    items = plan.columns.items;
  }
  if (plan.path.method == Method::mma_columns) {
    plan.path.depth = call.mlp.depth == kUsualDepth[int(call.mlp.head)] ? call.mlp.depth : 0;
    plan.path.tall = plan.columns.chunk_rows > kRowsOfSmall;
  }
  plan.blocks = ceil_div(items, plan.warps);
  with_path(plan.path, [&](auto tag) {
    const int64_t resident = int64_t(multiprocessors) * kBlocksPerMultiprocessor<decltype(tag)>;
    if (plan.blocks > resident) plan.blocks = resident;
    plan.shared_bytes = shared_bytes(tag, call.mlp.depth);
  });
  return plan;
}

}  // namespace lmf::modulated
