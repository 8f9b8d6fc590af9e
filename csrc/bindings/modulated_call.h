// Turns the plain numbers that Python hands over into the structs that every kernel takes.
#pragma once

#include <array>
#include <cstdint>

#include "../common/params.h"

namespace lmf {

using Address = uintptr_t;

// The order in each array is the order of the struct's members (common/params.h).
// Python's twin is lmf_kernels/backends/native_call.py.
inline ModulatedCall make_modulated_call(Address fields, const std::array<int64_t, 10>& fields_info, Address skip,
                                         const std::array<int64_t, 4>& skip_stride, Address out,
                                         const std::array<int64_t, 12>& out_info, Address coord, Address point_cell,
                                         Address weights, const std::array<int64_t, 5>& net,
                                         const std::array<float, 2>& rel_cell, int threads) {
  ModulatedCall c{};
  const auto& f = fields_info;
  c.fields = {reinterpret_cast<const float*>(fields), {f[0], f[1], f[2]}, f[3], f[4], f[5], f[6], f[7], f[8], f[9]};
  c.skip = {reinterpret_cast<const float*>(skip), {skip_stride[0], skip_stride[1], skip_stride[2], skip_stride[3]}};
  const auto& o = out_info;
  c.out = {reinterpret_cast<void*>(out), {o[0], o[1], o[2], o[3]}, o[4], o[5], o[6], o[7], o[8], o[9],
           static_cast<Finish>(o[10]), static_cast<Store>(o[11])};
  c.points = {reinterpret_cast<const float*>(coord), reinterpret_cast<const float*>(point_cell)};
  c.mlp = {reinterpret_cast<const float*>(weights), static_cast<Head>(net[0]), int32_t(net[1]), int32_t(net[2]),
           int32_t(net[3]), net[4] != 0};
  c.rel_cell[0] = rel_cell[0];
  c.rel_cell[1] = rel_cell[1];
  c.threads = threads < 1 ? 1 : threads;
  return c;
}

}  // namespace lmf
