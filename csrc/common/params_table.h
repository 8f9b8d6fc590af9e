// The members of the structs in params.h as tables of (name, type, offset), from which Python packs a call.
//
// What differs from one call to the next is not packed: the addresses of the tensors and the number of threads. Python
// hands it over beside the packed bytes (bindings/packed_call.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "params.h"

namespace lmf {

struct Member {
  const char* name;      // "fields.stride_y"
  char type;             // code of Python's struct module: Q pointer, q int64, i int32 or enum, f float, ? bool;
                         // x: not packed
  int64_t size, offset;  // in bytes
};

template <class T>
constexpr char type_code() {
  if constexpr (std::is_pointer_v<T>) {
    static_assert(sizeof(T) == 8, "pointers are packed as 64-bit integers");
    return 'Q';
  } else if constexpr (std::is_enum_v<T>) {
    return type_code<std::underlying_type_t<T>>();
  } else if constexpr (std::is_same_v<T, int64_t>) {
    return 'q';
  } else if constexpr (std::is_same_v<T, int32_t>) {
    return 'i';
  } else if constexpr (std::is_same_v<T, float>) {
    return 'f';
  } else {
    static_assert(std::is_same_v<T, bool> && sizeof(T) == 1, "this type has no code");
    return '?';
  }
}

#define LMF_MEMBER(Struct, member) \
  Member { #member, type_code<decltype(Struct{}.member)>(), sizeof(Struct{}.member), offsetof(Struct, member) }
#define LMF_NOT_PACKED(Struct, member) \
  Member { #member, 'x', sizeof(Struct{}.member), offsetof(Struct, member) }

constexpr Member kRenderCallMembers[] = {
    LMF_NOT_PACKED(RenderCall, fields.data), LMF_MEMBER(RenderCall, fields.element),
    LMF_MEMBER(RenderCall, fields.stride_b), LMF_MEMBER(RenderCall, fields.stride_y),
    LMF_MEMBER(RenderCall, fields.stride_x), LMF_MEMBER(RenderCall, fields.batch),
    LMF_MEMBER(RenderCall, fields.rows),     LMF_MEMBER(RenderCall, fields.cols),
    LMF_MEMBER(RenderCall, fields.lr_h),     LMF_MEMBER(RenderCall, fields.lr_w),
    LMF_MEMBER(RenderCall, fields.lr_y0),    LMF_MEMBER(RenderCall, fields.lr_x0),
    LMF_NOT_PACKED(RenderCall, skip.data),   LMF_MEMBER(RenderCall, skip.element),
    LMF_MEMBER(RenderCall, skip.stride_b),   LMF_MEMBER(RenderCall, skip.stride_c),
    LMF_MEMBER(RenderCall, skip.stride_y),   LMF_MEMBER(RenderCall, skip.stride_x),
    LMF_NOT_PACKED(RenderCall, out.data),    LMF_MEMBER(RenderCall, out.stride_b),
    LMF_MEMBER(RenderCall, out.stride_c),    LMF_MEMBER(RenderCall, out.stride_y),
    LMF_MEMBER(RenderCall, out.stride_x),    LMF_MEMBER(RenderCall, out.height),
    LMF_MEMBER(RenderCall, out.width),       LMF_MEMBER(RenderCall, out.y0),
    LMF_MEMBER(RenderCall, out.x0),          LMF_MEMBER(RenderCall, out.rows),
    LMF_MEMBER(RenderCall, out.cols),        LMF_MEMBER(RenderCall, out.epilogue),
    LMF_MEMBER(RenderCall, out.store),       LMF_NOT_PACKED(RenderCall, points.coord),
    LMF_NOT_PACKED(RenderCall, points.cell), LMF_NOT_PACKED(RenderCall, mask),
    LMF_MEMBER(RenderCall, rel_cell_y),      LMF_MEMBER(RenderCall, rel_cell_x),
    LMF_NOT_PACKED(RenderCall, threads),
};

constexpr Member kModulatedMlpMembers[] = {
    LMF_NOT_PACKED(ModulatedMlp, weights), LMF_MEMBER(ModulatedMlp, element), LMF_MEMBER(ModulatedMlp, head),
    LMF_MEMBER(ModulatedMlp, in_dim),      LMF_MEMBER(ModulatedMlp, hidden),  LMF_MEMBER(ModulatedMlp, depth),
    LMF_MEMBER(ModulatedMlp, ensemble),
};

constexpr Member kPlainMlpMembers[] = {
    LMF_NOT_PACKED(PlainMlp, weights), LMF_NOT_PACKED(PlainMlp, widths), LMF_MEMBER(PlainMlp, element),
    LMF_MEMBER(PlainMlp, head),        LMF_MEMBER(PlainMlp, in_dim),     LMF_MEMBER(PlainMlp, depth),
    LMF_MEMBER(PlainMlp, ensemble),
};

constexpr Member kC2fMlpMembers[] = {
    LMF_NOT_PACKED(C2fMlp, weights),  LMF_NOT_PACKED(C2fMlp, coarse),    LMF_NOT_PACKED(C2fMlp, fine),
    LMF_MEMBER(C2fMlp, element),      LMF_MEMBER(C2fMlp, head),          LMF_MEMBER(C2fMlp, in_dim),
    LMF_MEMBER(C2fMlp, coarse_depth), LMF_MEMBER(C2fMlp, fine_depth),    LMF_MEMBER(C2fMlp, cell_y),
    LMF_MEMBER(C2fMlp, cell_x),       LMF_MEMBER(C2fMlp, linear_slices), LMF_MEMBER(C2fMlp, slice_ensemble),
};

constexpr Member kModulatedGradientsMembers[] = {
    LMF_MEMBER(ModulatedGradients, fields),
    LMF_MEMBER(ModulatedGradients, weights),
    LMF_MEMBER(ModulatedGradients, skip),
};

constexpr Member kBilinearCallMembers[] = {
    LMF_MEMBER(BilinearCall, out.data),     LMF_MEMBER(BilinearCall, out.stride_b),
    LMF_MEMBER(BilinearCall, out.stride_c), LMF_MEMBER(BilinearCall, out.stride_y),
    LMF_MEMBER(BilinearCall, out.stride_x), LMF_MEMBER(BilinearCall, out.height),
    LMF_MEMBER(BilinearCall, out.width),    LMF_MEMBER(BilinearCall, out.y0),
    LMF_MEMBER(BilinearCall, out.x0),       LMF_MEMBER(BilinearCall, out.rows),
    LMF_MEMBER(BilinearCall, out.cols),     LMF_MEMBER(BilinearCall, out.epilogue),
    LMF_MEMBER(BilinearCall, out.store),    LMF_MEMBER(BilinearCall, source),
    LMF_MEMBER(BilinearCall, batch),        LMF_MEMBER(BilinearCall, rows),
    LMF_MEMBER(BilinearCall, cols),         LMF_MEMBER(BilinearCall, y0),
    LMF_MEMBER(BilinearCall, x0),           LMF_MEMBER(BilinearCall, full_rows),
    LMF_MEMBER(BilinearCall, full_cols),    LMF_MEMBER(BilinearCall, threads),
};

#undef LMF_NOT_PACKED
#undef LMF_MEMBER

// Whether a table lists every member of its struct: nothing lies between two of them but the second one's alignment.
template <class Struct, std::size_t N>
constexpr bool is_complete(const Member (&members)[N]) {
  const auto aligned = [](int64_t offset, int64_t to) { return (offset + to - 1) / to * to; };
  int64_t end = 0;
  for (const Member& m : members) {
    if (m.offset != aligned(end, m.size)) return false;
    end = m.offset + m.size;
  }
  return aligned(end, alignof(Struct)) == sizeof(Struct);
}

static_assert(is_complete<RenderCall>(kRenderCallMembers), "kRenderCallMembers lacks a member of RenderCall");
static_assert(is_complete<ModulatedMlp>(kModulatedMlpMembers), "kModulatedMlpMembers lacks a member of ModulatedMlp");
static_assert(is_complete<PlainMlp>(kPlainMlpMembers), "kPlainMlpMembers lacks a member of PlainMlp");
static_assert(is_complete<C2fMlp>(kC2fMlpMembers), "kC2fMlpMembers lacks a member of C2fMlp");
static_assert(is_complete<BilinearCall>(kBilinearCallMembers), "kBilinearCallMembers lacks a member of BilinearCall");
static_assert(is_complete<ModulatedGradients>(kModulatedGradientsMembers),
              "kModulatedGradientsMembers lacks a member of ModulatedGradients");

// A family's call is its two structs one after the other, so Python may pack them by themselves.
static_assert(offsetof(ModulatedCall, mlp) == sizeof(RenderCall) &&
              sizeof(ModulatedCall) == sizeof(RenderCall) + sizeof(ModulatedMlp));
static_assert(offsetof(PlainCall, mlp) == sizeof(RenderCall) &&
              sizeof(PlainCall) == sizeof(RenderCall) + sizeof(PlainMlp));
static_assert(offsetof(C2fCall, mlp) == sizeof(RenderCall) && sizeof(C2fCall) == sizeof(RenderCall) + sizeof(C2fMlp));

struct Enumerator {
  const char* name;
  int32_t value;
};

#define LMF_ENUMERATOR(Enum, name) \
  Enumerator { #name, static_cast<int32_t>(Enum::name) }

constexpr Enumerator kHeads[] = {LMF_ENUMERATOR(Head, linear), LMF_ENUMERATOR(Head, fourier)};
constexpr Enumerator kEpilogues[] = {LMF_ENUMERATOR(Epilogue, none), LMF_ENUMERATOR(Epilogue, unit)};
constexpr Enumerator kElements[] = {LMF_ENUMERATOR(Element, float32), LMF_ENUMERATOR(Element, float16),
                                    LMF_ENUMERATOR(Element, bfloat16)};
constexpr Enumerator kStores[] = {LMF_ENUMERATOR(Store, float32), LMF_ENUMERATOR(Store, uint8),
                                  LMF_ENUMERATOR(Store, float16), LMF_ENUMERATOR(Store, bfloat16)};

#undef LMF_ENUMERATOR

}  // namespace lmf
