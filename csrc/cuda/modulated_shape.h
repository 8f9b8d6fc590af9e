// The shape of the networks that the CUDA kernels of the modulated family are built for.
#pragma once

#include "../common/modulated_layout.h"

namespace lmf::modulated {

constexpr int kWidth = 16;       // hidden width, and width of the Fourier product
constexpr int kMaxDepth = 32;    // modulated layers whose weights fit in the shared memory of a block
constexpr int kTilePixels = 16;  // pixels per matrix instruction

// Layout of the weights and of the cell parameters.
LMF_HOST_DEVICE constexpr ModulatedLayout<int> make_layout(Head head, int depth) {
  return {head, head == Head::linear ? 0 : kWidth, kWidth, depth};
}

// Number of (16, 16) matrices between the head and the output layer.
LMF_HOST_DEVICE constexpr int matrix_count(Head head, int depth) { return head == Head::linear ? depth - 1 : depth; }

// Offset of the first of these matrices in the weights, in elements. The head's weights lie before it.
LMF_HOST_DEVICE constexpr int first_matrix(Head head) {
  return head == Head::linear ? make_layout(head, 1).w1() : make_layout(head, 1).w0();
}

}  // namespace lmf::modulated
