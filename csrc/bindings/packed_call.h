// How Python hands over a render call: the bytes of its structs (common/params.h), packed from the tables that each
// module exports as `structs` and `enums`, and the addresses of its tensors. The bytes serve every call whose tensors
// have the same shapes and strides.
#pragma once

#include <pybind11/pybind11.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "../common/params_table.h"

namespace lmf::bindings {

[[noreturn]] inline void refuse_size(std::size_t needed, std::size_t got) {
  throw std::invalid_argument("a packed struct of " + std::to_string(needed) + " bytes is needed, got " +
                              std::to_string(got) + " bytes: pack it with this module's own `structs`.");
}

// The struct in a bytes object. Raises ValueError where the sizes differ.
template <class Struct>
Struct unpack(const pybind11::bytes& packed) {
  static_assert(std::is_trivially_copyable_v<Struct>);
  const std::string_view bytes(packed);
  if (bytes.size() != sizeof(Struct)) refuse_size(sizeof(Struct), bytes.size());
  Struct value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// The widths of a network's layers, which lie behind the packed structs. Each returns their end.
inline const int32_t* place_widths(ModulatedMlp&, const int32_t* at) { return at; }

inline const int32_t* place_widths(PlainMlp& mlp, const int32_t* at) {
  mlp.widths = at;
  return at + mlp.depth;
}

inline const int32_t* place_widths(C2fMlp& mlp, const int32_t* at) {
  mlp.coarse = at;
  mlp.fine = at + mlp.coarse_depth;
  return mlp.fine + mlp.fine_depth;
}

// A family's packed call without its tensors. It points into the bytes, which must outlive it.
template <class Call>
Call unpack_call(const pybind11::bytes& packed) {
  const std::string_view bytes(packed);
  const int32_t* widths = reinterpret_cast<const int32_t*>(bytes.data() + sizeof(Call));
  Call call = {};
  if (bytes.size() >= sizeof(Call)) std::memcpy(&call, bytes.data(), sizeof(Call));
  const int64_t size = reinterpret_cast<const char*>(place_widths(call.mlp, widths)) - bytes.data();
  if (int64_t(bytes.size()) != size) refuse_size(size, bytes.size());
  return call;
}

// The same with its tensors: the addresses of fields, weights, skip, coord, cell, mask and out, 0 where there is none.
template <class Call>
Call unpack_call(const pybind11::bytes& packed, const pybind11::tuple& addresses, int threads = 1) {
  Call call = unpack_call<Call>(packed);
  if (addresses.size() != 7) {
    throw std::invalid_argument("addresses of fields, weights, skip, coord, cell, mask and out are needed, got " +
                                std::to_string(addresses.size()) + ".");
  }
  void* at[7];
  for (int i = 0; i < 7; ++i) {
    at[i] = PyLong_AsVoidPtr(PyTuple_GET_ITEM(addresses.ptr(), i));
    if (!at[i] && PyErr_Occurred()) throw pybind11::error_already_set();
  }
  RenderCall& render = call.render;
  render.fields.data = at[0];
  call.mlp.weights = at[1];
  render.skip.data = at[2];
  render.points = {static_cast<const float*>(at[3]), static_cast<const float*>(at[4])};
  render.mask = static_cast<const uint8_t*>(at[5]);
  render.out.data = at[6];
  render.threads = threads;
  return call;
}

// (size in bytes, ((name, type, offset), ...)) of one struct.
template <class Struct, std::size_t N>
pybind11::tuple describe_struct(const Member (&members)[N]) {
  pybind11::tuple rows(N);
  for (std::size_t i = 0; i < N; ++i) {
    rows[i] = pybind11::make_tuple(members[i].name, std::string(1, members[i].type), members[i].offset);
  }
  return pybind11::make_tuple(sizeof(Struct), rows);
}

template <std::size_t N>
pybind11::dict describe_enum(const Enumerator (&enumerators)[N]) {
  pybind11::dict values;
  for (const Enumerator& e : enumerators) values[e.name] = e.value;
  return values;
}

// Adds `structs` and `enums` to a module.
inline void export_tables(pybind11::module_& m) {
  pybind11::dict structs, enums;
  structs["RenderCall"] = describe_struct<RenderCall>(kRenderCallMembers);
  structs["ModulatedMlp"] = describe_struct<ModulatedMlp>(kModulatedMlpMembers);
  structs["PlainMlp"] = describe_struct<PlainMlp>(kPlainMlpMembers);
  structs["C2fMlp"] = describe_struct<C2fMlp>(kC2fMlpMembers);
  structs["ModulatedGradients"] = describe_struct<ModulatedGradients>(kModulatedGradientsMembers);
  structs["BilinearCall"] = describe_struct<BilinearCall>(kBilinearCallMembers);
  enums["Head"] = describe_enum(kHeads);
  enums["Epilogue"] = describe_enum(kEpilogues);
  enums["Element"] = describe_enum(kElements);
  enums["Store"] = describe_enum(kStores);
  m.attr("structs") = structs;
  m.attr("enums") = enums;
}

}  // namespace lmf::bindings
