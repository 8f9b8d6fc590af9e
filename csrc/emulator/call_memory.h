// The memory of a render call that a kernel may access, the same for all families.
#pragma once

#include <vector>

#include "../common/params.h"
#include "memory.h"

namespace lmf::emulator {

constexpr int64_t kMaxBlocks = 3;  // enough to make the kernels loop over the grid

inline int64_t size_of(Element element) { return element == Element::float32 ? 4 : 2; }

inline int64_t size_of(Store store) { return store == Store::float32 ? 4 : store == Store::uint8 ? 1 : 2; }

// The elements of the call's tensors except the weights, and nothing else. channels: of the fields. skip_rows,
// skip_cols: of the skip.
inline std::vector<Range> ranges_of(const RenderCall& call, int64_t channels, int64_t skip_rows, int64_t skip_cols) {
  const Fields& f = call.fields;
  const Skip& s = call.skip;
  const Output& o = call.out;
  std::vector<Range> ranges;
  ranges.emplace_back(
      "fields", f.data, size_of(f.element),
      std::vector<Axis>{{f.batch, f.stride_b}, {f.rows, f.stride_y}, {f.cols, f.stride_x}, {channels, 1}});
  if (s.data)
    ranges.emplace_back(
        "skip", s.data, size_of(s.element),
        std::vector<Axis>{{f.batch, s.stride_b}, {3, s.stride_c}, {skip_rows, s.stride_y}, {skip_cols, s.stride_x}});
  if (call.points.coord) {
    const std::vector<Axis> pairs{{f.batch * o.cols * 2, 1}};
    ranges.emplace_back("coord", call.points.coord, 4, pairs);
    ranges.emplace_back("cell", call.points.cell, 4, pairs);
  }
  ranges.emplace_back(
      "out", o.data, size_of(o.store),
      std::vector<Axis>{{f.batch, o.stride_b}, {3, o.stride_c}, {o.rows, o.stride_y}, {o.cols, o.stride_x}}, true);
  return ranges;
}

// Of a family whose skip lies over the same window as the fields.
inline std::vector<Range> ranges_of(const RenderCall& call, int64_t channels) {
  return ranges_of(call, channels, call.fields.rows, call.fields.cols);
}

}  // namespace lmf::emulator
