// The cells that own output positions, and the place of a position in its cell (DIIF, arXiv 2306.12321). One axis of a
// grid of n_out positions over n_in cells, in whole numbers; python_ref/slices.py states the rule.
#pragma once

#include <cstdint>

#include "geometry.h"

namespace lmf {
namespace {  // internal linkage: objects compiled for different instruction sets must not share these functions

struct SliceAxis {
  int64_t n_in, n_out;

  LMF_HOST_DEVICE int64_t owner(int64_t position) const { return (2 * position + 1) * n_in / (2 * n_out); }
  LMF_HOST_DEVICE int64_t first_position(int64_t cell) const { return -floor_div(n_in - 2 * cell * n_out, 2 * n_in); }
  // 2 * (u - cell): half a cell is 1.
  LMF_HOST_DEVICE float rel(int64_t position, int64_t cell) const {
    return float(double((2 * position + 1) * n_in - n_out - 2 * cell * n_out) / double(n_out));
  }
  // rel of the last position of a slice as large as the largest cell, less that of its first.
  LMF_HOST_DEVICE float length() const {
    return float(double(((n_out + n_in - 1) / n_in - 1) * 2 * n_in) / double(n_out));
  }
};

}  // namespace
}  // namespace lmf
