// Turns the plain numbers that Python hands over into the structs that every kernel takes.
#pragma once

#include <array>
#include <cstdint>

#include "../common/params.h"

namespace lmf {

using Address = uintptr_t;

// The order in each array is the order of the struct's members (common/params.h).
// Python's twin is lmf_kernels/backends/native_call.py.
inline ModulatedCall make_modulated_call(Address fields, const std::array<int64_t, 11>& fields_info, Address skip,
                                         const std::array<int64_t, 5>& skip_info, Address out,
                                         const std::array<int64_t, 12>& out_info, Address coord, Address point_cell,
                                         Address weights, const std::array<int64_t, 6>& net,
                                         const std::array<float, 2>& rel_cell, int threads) {
  ModulatedCall c{};
  const auto& f = fields_info;
  c.fields = {reinterpret_cast<const void*>(fields), static_cast<Element>(f[0]), {f[1], f[2], f[3]}, f[4], f[5], f[6],
              f[7], f[8], f[9], f[10]};
  const auto& s = skip_info;
  c.skip = {reinterpret_cast<const void*>(skip), static_cast<Element>(s[0]), {s[1], s[2], s[3], s[4]}};
  const auto& o = out_info;
  c.out = {reinterpret_cast<void*>(out), {o[0], o[1], o[2], o[3]}, o[4], o[5], o[6], o[7], o[8], o[9],
           static_cast<Finish>(o[10]), static_cast<Store>(o[11])};
  c.points = {reinterpret_cast<const float*>(coord), reinterpret_cast<const float*>(point_cell)};
  c.mlp = {reinterpret_cast<const void*>(weights), static_cast<Element>(net[0]), static_cast<Head>(net[1]),
           int32_t(net[2]), int32_t(net[3]), int32_t(net[4]), net[5] != 0};
  c.rel_cell[0] = rel_cell[0];
  c.rel_cell[1] = rel_cell[1];
  c.threads = threads < 1 ? 1 : threads;
  return c;
}

}  // namespace lmf
