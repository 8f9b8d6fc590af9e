// Which kernel runs a call of the modulated family, and on how large a grid. Plain C++, for the launcher and the tests.
#pragma once

#include "../common/geometry.h"
#include "../common/params.h"

namespace lmf {

// One kernel each: how a lane computes (Half is a tag of warp.h), with which head, over which piece of the picture.
template <class Half, Head head>
struct Quads {};  // the pixels between four LR centres: the cells' FiLM is folded into the weights
template <class Half, Head head>
struct Strips {};  // 16 pixels of a row, or 16 points, each with cells of its own
template <Head head>
struct Ieee {};  // float32 throughout, a pixel a lane

struct ModulatedPlan {
  int path;          // for with_path
  int warps;         // of a block
  int64_t blocks;    // at most as many as the device runs at once; the kernels stride over what is left
  int shared_bytes;  // of a block
};

constexpr int kWidth = 16;              // hidden width, and the Fourier head's input width
constexpr int kDeepest = 32;            // modulated layers whose weights fit a block's shared memory
constexpr int kWarps = 4;               // of a block
// Blocks that share a multiprocessor: 168 registers a lane, and 128 where that is enough. With more in the grid the last
// ones would run after the others, one a multiprocessor.
template <class Path>
constexpr int kBlocksPerProcessor = 3;
template <class Half, Head head>
constexpr int kBlocksPerProcessor<Strips<Half, head>> = 4;
constexpr int kTileRows = 16;           // pixels in a matrix instruction
constexpr int kLanes = 32;

LMF_HOST_DEVICE constexpr int matrix_count(Head head, int depth) { return head == Head::linear ? depth - 1 : depth; }

LMF_HOST_DEVICE constexpr int64_t weight_floats(Head head, int depth) {
  const int64_t in_head = head == Head::linear ? 4 * kWidth : kWidth;
  return in_head + int64_t(matrix_count(head, depth)) * kWidth * kWidth + kWidth * 3 + 3;
}

LMF_HOST_DEVICE inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Pixels along an axis of a quad, which 16 bits index; 32 bits count all of its pixels.
constexpr int64_t kMostAcross = 0xfff0;
static_assert(kMostAcross * kMostAcross + 0x10000 < int64_t(1) << 32, "the last tiles reach past a quad's pixels");

// Sharing the cells pays when the pixels between four LR centres fill half a tile. It depends on the whole picture and
// never on the window, so that a window has the whole's bits. Larger quads go as strips.
inline bool quads_pay(const ModulatedCall& call) {
  const Output& o = call.out;
  const int64_t h = call.fields.lr_h, w = call.fields.lr_w;
  return !call.points.coord && call.mlp.ensemble && 2 * o.H * o.W >= kTileRows * h * w && o.H / h < kMostAcross &&
         o.W / w < kMostAcross;
}

inline ModulatedPlan plan_modulated(const ModulatedCall& call, int multiprocessors) {
  const Output& o = call.out;
  const int fourier = call.mlp.head == Head::fourier;
  ModulatedPlan plan{};
  plan.warps = kWarps;
  int64_t items;
  int resident;
  if (call.fields.element == Element::f32) {
    plan.path = fourier;
    plan.shared_bytes = int(weight_floats(call.mlp.head, call.mlp.depth) + 3) / 4 * 16;
    items = call.fields.batch * o.rows * ceil_div(o.cols, kLanes);
    resident = kBlocksPerProcessor<Ieee<Head::linear>>;
  } else {
    const bool quads = quads_pay(call);
    plan.path = 2 + 4 * quads + 2 * (call.fields.element == Element::bf16) + fourier;
    // Fragments of every matrix, of the output layer, the head's floats, the output bias.
    plan.shared_bytes = matrix_count(call.mlp.head, call.mlp.depth) * kLanes * 16 + kLanes * 8 + (4 * kWidth + 4) * 4;
    items = call.fields.batch * (quads ? (call.fields.lr_h + 1) * (call.fields.lr_w + 1)
                                       : o.rows * ceil_div(o.cols, kTileRows));
    resident = quads ? kBlocksPerProcessor<Quads<void, Head::linear>> : kBlocksPerProcessor<Strips<void, Head::linear>>;
  }
  plan.blocks = ceil_div(items, plan.warps);
  const int64_t full = int64_t(multiprocessors) * resident;
  if (plan.blocks > full) plan.blocks = full;
  return plan;
}

}  // namespace lmf
