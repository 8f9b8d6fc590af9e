// Which kernel renders a call of the modulated family, and with what launch size. Used by the launcher and the
// emulator.
#pragma once

#include "modulated_fragments.h"

namespace lmf::modulated {

// Tags of the kernels. Half: warp::F16 or warp::BF16.
//
// Tensor cores, for large scale factors: the pixels between four LR centres share their four cells, so a cell's FiLM is
// folded into the weights once for all of them.
template <class Half, Head head>
struct MmaFolded {};
// Tensor cores, for small scale factors and free points: each pixel has cells of its own and applies their FiLM itself.
template <class Half, Head head>
struct MmaPerPixel {};
// float32 throughout, without tensor cores. A lane renders one pixel.
template <Head head>
struct Float32 {};

enum class Method { float32, mma_per_pixel, mma_folded };

// Selects one kernel.
struct Path {
  Method method;
  Element element;  // of the fields
  Head head;
};

struct Plan {
  Path path;
  int warps;         // per block
  int64_t blocks;    // at most as many as the device runs at once; the kernels loop over the rest
  int shared_bytes;  // per block
};

constexpr int kWarps = 4;  // per block

// Blocks that are resident on a multiprocessor at once: they allow 168 registers per lane, or 128 where that is enough.
// A larger grid would leave its last blocks to run alone after the others.
template <class Tag>
constexpr int kBlocksPerMultiprocessor = 3;
template <class Half, Head head>
constexpr int kBlocksPerMultiprocessor<MmaPerPixel<Half, head>> = 4;

// Shared memory of a block in bytes. The float32 kernel keeps the weights as they are.
template <Head head>
constexpr int shared_bytes(Float32<head>, int depth) {
  return (make_layout(head, depth).weights() + 3) / 4 * 16;
}
template <class Half, Head head>
constexpr int shared_bytes(MmaPerPixel<Half, head>, int depth) {
  return WeightFragments<Half, head>::bytes(depth);
}
template <class Half, Head head>
constexpr int shared_bytes(MmaFolded<Half, head>, int depth) {
  return WeightFragments<Half, head>::bytes(depth);
}
static_assert(shared_bytes(Float32<Head::fourier>{}, kMaxDepth) <= 48 << 10, "kMaxDepth layers do not fit");
static_assert(shared_bytes(MmaFolded<warp::F16, Head::fourier>{}, kMaxDepth) <= 48 << 10,
              "kMaxDepth layers do not fit");

LMF_HOST_DEVICE inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Most pixels between two LR centres along an axis: 16 bits index them, and 32 bits count the pixels of both axes.
constexpr int64_t kMaxPixelsPerCell = 0xfff0;
static_assert(kMaxPixelsPerCell * kMaxPixelsPerCell + 0x10000 < int64_t(1) << 32, "the last tile exceeds 32 bits");

// Whether folding is faster: where the pixels between four LR centres fill half a tile. This depends on the whole
// picture and not on the window, so that a window has the bits of the whole.
inline bool folding_pays(const ModulatedCall& call) {
  const Output& o = call.render.out;
  const int64_t h = call.render.fields.lr_h, w = call.render.fields.lr_w;
  return !call.render.points.coord && call.mlp.ensemble && 2 * o.height * o.width >= kTilePixels * h * w &&
         o.height / h < kMaxPixelsPerCell && o.width / w < kMaxPixelsPerCell;
}

// Calls f with the tag of the path's kernel.
template <Head head, class F>
void with_head(const Path& path, F f) {
  const bool folded = path.method == Method::mma_folded;
  if (path.method == Method::float32) {
    f(Float32<head>{});
  } else if (path.element == Element::float16) {
    folded ? f(MmaFolded<warp::F16, head>{}) : f(MmaPerPixel<warp::F16, head>{});
  } else {
    folded ? f(MmaFolded<warp::BF16, head>{}) : f(MmaPerPixel<warp::BF16, head>{});
  }
}
template <class F>
void with_path(const Path& path, F f) {
  path.head == Head::linear ? with_head<Head::linear>(path, f) : with_head<Head::fourier>(path, f);
}

inline Plan make_plan(const ModulatedCall& call, int multiprocessors) {
  const Fields& fields = call.render.fields;
  const Output& o = call.render.out;
  const bool halves = fields.element != Element::float32, folded = halves && folding_pays(call);
  Plan plan{};
  plan.path.method = folded ? Method::mma_folded : halves ? Method::mma_per_pixel : Method::float32;
  plan.path.element = fields.element;
  plan.path.head = call.mlp.head;
  plan.warps = kWarps;
  // What one warp renders at a time: the pixels between four LR centres, or a run of pixels in a row.
  const int64_t items =
      folded ? (fields.lr_h + 1) * (fields.lr_w + 1) : o.rows * ceil_div(o.cols, halves ? kTilePixels : warp::kSize);
  plan.blocks = ceil_div(fields.batch * items, plan.warps);
  with_path(plan.path, [&](auto tag) {
    const int64_t resident = int64_t(multiprocessors) * kBlocksPerMultiprocessor<decltype(tag)>;
    if (plan.blocks > resident) plan.blocks = resident;
    plan.shared_bytes = shared_bytes(tag, call.mlp.depth);
  });
  return plan;
}

}  // namespace lmf::modulated
