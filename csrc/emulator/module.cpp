// The Python module of the emulator. tests/emulator.py compiles it. It is in no wheel.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <initializer_list>
#include <stdexcept>

#include "../bindings/packed_call.h"
#include "kernels.h"

namespace py = pybind11;

namespace {

using lmf::bindings::unpack_call;
using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Integers = py::array_t<uint32_t, py::array::c_style | py::array::forcecast>;

template <class Array>
void check_shape(const Array& array, std::initializer_list<py::ssize_t> shape) {
  py::ssize_t size = 1;
  for (const py::ssize_t n : shape) size *= n;
  if (array.size() != size) throw std::invalid_argument("an array has the wrong size.");
}

// "float16" or "bfloat16".
lmf::Element half_type(const std::string& name) {
  if (name == "float16") return lmf::Element::float16;
  if (name == "bfloat16") return lmf::Element::bfloat16;
  throw std::invalid_argument("half must be \"float16\" or \"bfloat16\", got \"" + name + "\".");
}

// (method, element, head, depth, tall), for example ("mma_columns", "float16", "linear", 6, True).
py::tuple describe(const lmf::modulated::Path& path) {
  const char* methods[] = {"float32", "float32_columns", "mma_per_pixel", "mma_columns"};
  return py::make_tuple(methods[int(path.method)], lmf::kElements[int(path.element)].name,
                        lmf::kHeads[int(path.head)].name, path.depth, path.tall);
}

py::tuple modulated_mlp(const py::bytes& call, const py::tuple& addresses, int multiprocessors) {
  const auto unpacked = unpack_call<lmf::ModulatedCall>(call, addresses);
  lmf::modulated::Path path;
  {
    py::gil_scoped_release release;
    path = lmf::emulator::modulated_mlp(unpacked, multiprocessors);
  }
  return describe(path);
}

// The functions of a family of 256-wide layers.
template <class Call, class Mlp>
void export_dense(py::module_& m, const std::string& name, int64_t (*packed_bytes)(const Mlp&),
                  void (*pack)(const Call&, bool, void*), void (*render)(const Call&, bool, const void*, int)) {
  m.def((name + "_packed_bytes").c_str(),
        [=](const py::bytes& call) { return packed_bytes(unpack_call<Call>(call).mlp); }, py::arg("call"));
  m.def((name + "_pack").c_str(),
        [=](const py::bytes& call, const py::tuple& addresses, bool group, uintptr_t packed) {
          const auto unpacked = unpack_call<Call>(call, addresses);
          py::gil_scoped_release release;
          pack(unpacked, group, reinterpret_cast<void*>(packed));
        },
        py::arg("call"), py::arg("addresses"), py::arg("group"), py::arg("packed"),
        "Packs a call's weights. group: for the kernel for compute capability 9.0.");
  m.def(
      name.c_str(),
      [=](const py::bytes& call, const py::tuple& addresses, bool group, uintptr_t packed, int multiprocessors) {
        const auto unpacked = unpack_call<Call>(call, addresses);
        py::gil_scoped_release release;
        render(unpacked, group, reinterpret_cast<const void*>(packed), multiprocessors);
      },
      py::arg("call"), py::arg("addresses"), py::arg("group"), py::arg("packed"), py::arg("multiprocessors"),
      "Runs the family's CUDA kernel on CPU tensors, with weights that were packed before.");
}

void group_tile(const std::string& half, uintptr_t a, uintptr_t b, uintptr_t packed, uintptr_t d,
                const std::string& mistake) {
  lmf::emulator::group_tile(half_type(half), reinterpret_cast<const void*>(a), reinterpret_cast<const void*>(b),
                            reinterpret_cast<void*>(packed), reinterpret_cast<float*>(d), mistake);
}

Floats mma(const std::string& half, const Integers& a, const Integers& b, const Floats& c) {
  check_shape(a, {32, 4});
  check_shape(b, {32, 2});
  check_shape(c, {32, 4});
  Floats d({32, 4});
  lmf::emulator::mma(half_type(half), a.data(), b.data(), c.data(), d.mutable_data());
  return d;
}

Floats shuffle(const Floats& values, const py::array_t<int32_t, py::array::c_style | py::array::forcecast>& sources) {
  check_shape(values, {32});
  check_shape(sources, {32});
  Floats out(32);
  lmf::emulator::shuffle(values.data(), sources.data(), out.mutable_data());
  return out;
}

Integers mma_half(const Integers& a, const Integers& b) {
  check_shape(a, {32, 4});
  check_shape(b, {32, 2});
  Integers d({32, 2});
  lmf::emulator::mma_half(a.data(), b.data(), d.mutable_data());
  return d;
}

Integers elementwise(const std::string& operation, const std::string& half, const Integers& a, const Integers& b,
                     const Integers& c) {
  check_shape(b, {a.size()});
  check_shape(c, {a.size()});
  Integers out(a.size());
  lmf::emulator::elementwise(operation, half_type(half), a.size(), a.data(), b.data(), c.data(), out.mutable_data());
  return out;
}

py::tuple place_among_cells(int64_t n_in, int64_t n_out, int64_t pos) {
  int k0, row_k0, first;
  float f, first_f;
  lmf::emulator::place_among_cells(n_in, n_out, pos, &k0, &f, &row_k0, &first, &first_f);
  return py::make_tuple(k0, f, row_k0, first, first_f);
}

}  // namespace

PYBIND11_MODULE(lmf_emulator, m) {
  lmf::bindings::export_tables(m);
  m.def("modulated_mlp", &modulated_mlp, py::arg("call"), py::arg("addresses"), py::arg("multiprocessors"),
        "Runs the CUDA kernel on CPU tensors, lane by lane. Returns its path: (method, element, head, depth, "
        "tall).");
  export_dense<lmf::PlainCall>(m, "plain_mlp", &lmf::emulator::plain_mlp_packed_bytes, &lmf::emulator::plain_mlp_pack,
                               &lmf::emulator::plain_mlp);
  export_dense<lmf::C2fCall>(m, "c2f_mlp", &lmf::emulator::c2f_mlp_packed_bytes, &lmf::emulator::c2f_mlp_pack,
                             &lmf::emulator::c2f_mlp);
  m.def("group_tile", &group_tile, py::arg("half"), py::arg("a"), py::arg("b"), py::arg("packed"), py::arg("d"),
        py::arg("mistake") = "",
        "The self-test's product by a warpgroup, from addresses as _cuda.group_tile takes them.");
  m.def("mma", &mma, py::arg("half"), py::arg("a"), py::arg("b"), py::arg("c"),
        "One m16n8k16 product of lane registers a (32, 4), b (32, 2) and c (32, 4): d (32, 4). half: \"float16\" or "
        "\"bfloat16\".");
  m.def("shuffle", &shuffle, py::arg("values"), py::arg("sources"), "values[sources], with 32 of each.");
  m.def("mma_half", &mma_half, py::arg("a"), py::arg("b"),
        "The same of float16 with float16 sums and without C: registers d (32, 2).");
  m.def("elementwise", &elementwise, py::arg("operation"), py::arg("half"), py::arg("a"), py::arg("b"), py::arg("c"),
        "pack, pack_relu, widen_low, widen_high, fma_pair or fma_relu_pair of arrays of 32-bit integers.");
  m.def("round_to_byte", &lmf::emulator::round_to_byte, py::arg("x"));
  m.def("place_among_cells", &place_among_cells, py::arg("n_in"), py::arg("n_out"), py::arg("pos"),
        "(k0, f, row_k0, first, first_f): how the kernel by columns places output position pos of an axis. As a "
        "column: cell and place. As a row: cell, the first row of its chunk, that row's place.");
  m.def("misuse", &lmf::emulator::misuse, py::arg("name"), "Runs a kernel that breaks a rule on purpose.");
  m.def("misuses", &lmf::emulator::misuses, "The names that misuse() accepts.");
}
