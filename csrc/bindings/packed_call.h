// How Python hands over a render call: the bytes of its structs (common/params.h), packed from the tables that each
// module exports as `structs` and `enums`.
#pragma once

#include <pybind11/pybind11.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "../common/params_table.h"

namespace lmf::bindings {

// The struct in a bytes object. Raises ValueError where the sizes differ.
template <class Struct>
Struct unpack(const pybind11::bytes& packed) {
  static_assert(std::is_trivially_copyable_v<Struct>);
  const std::string_view bytes(packed);
  if (bytes.size() != sizeof(Struct)) {
    throw std::invalid_argument("a packed struct of " + std::to_string(sizeof(Struct)) + " bytes is needed, got " +
                                std::to_string(bytes.size()) + " bytes: pack it with this module's own `structs`.");
  }
  Struct value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
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
