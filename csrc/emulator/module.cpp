// The Python face of the emulator. tests/emulator.py compiles it; no wheel contains it.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>

#include "../bindings/modulated_call.h"
#include "kernels.h"

namespace py = pybind11;

namespace {

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Words = py::array_t<uint32_t, py::array::c_style | py::array::forcecast>;

template <class Array>
void check_shape(const Array& array, std::initializer_list<py::ssize_t> shape) {
  py::ssize_t size = 1;
  for (const py::ssize_t n : shape) size *= n;
  if (array.size() != size) throw std::invalid_argument("an array has the wrong size");
}

int modulated_mlp(lmf::Address fields, const std::array<int64_t, 11>& fields_info, lmf::Address skip,
                  const std::array<int64_t, 5>& skip_info, lmf::Address out, const std::array<int64_t, 12>& out_info,
                  lmf::Address coord, lmf::Address cell, lmf::Address weights, const std::array<int64_t, 6>& net,
                  const std::array<float, 2>& rel_cell, int multiprocessors) {
  const lmf::ModulatedCall call = lmf::make_modulated_call(fields, fields_info, skip, skip_info, out, out_info, coord,
                                                           cell, weights, net, rel_cell, 1);
  py::gil_scoped_release release;
  return lmf::emulator::modulated_mlp(call, multiprocessors);
}

Floats mma(int half, const Words& a, const Words& b, const Floats& c) {
  check_shape(a, {32, 4});
  check_shape(b, {32, 2});
  check_shape(c, {32, 4});
  Floats d({32, 4});
  lmf::emulator::mma(half, a.data(), b.data(), c.data(), d.mutable_data());
  return d;
}

Floats shuffle(const Floats& values, const py::array_t<int32_t, py::array::c_style | py::array::forcecast>& sources) {
  check_shape(values, {32});
  check_shape(sources, {32});
  Floats out(32);
  lmf::emulator::shuffle(values.data(), sources.data(), out.mutable_data());
  return out;
}

Words elementwise(const std::string& operation, int half, const Words& a, const Words& b) {
  check_shape(b, {a.size()});
  Words out(a.size());
  lmf::emulator::elementwise(operation, half, a.size(), a.data(), b.data(), out.mutable_data());
  return out;
}

py::tuple quad_pixel(int64_t rows, int64_t cols, uint32_t p) {
  uint32_t count;
  int row, col;
  lmf::emulator::quad_pixel(rows, cols, p, &count, &row, &col);
  return py::make_tuple(count, row, col);
}

}  // namespace

PYBIND11_MODULE(lmf_emulator, m) {
  m.def("modulated_mlp", &modulated_mlp, "The CUDA kernel on CPU tensors, lane by lane; returns the plan's path.");
  m.def("mma", &mma, py::arg("half"), py::arg("a"), py::arg("b"), py::arg("c"),
        "One m16n8k16 product of lane registers a (32, 4), b (32, 2) and c (32, 4): d (32, 4).");
  m.def("shuffle", &shuffle, py::arg("values"), py::arg("sources"), "values[sources], 32 of each.");
  m.def("elementwise", &elementwise, py::arg("operation"), py::arg("half"), py::arg("a"), py::arg("b"),
        "pack, pack_relu, widen_low, widen_high or times_one_plus over arrays of 32-bit words.");
  m.def("round_to_byte", &lmf::emulator::round_to_byte);
  m.def("quad_pixel", &quad_pixel, py::arg("rows"), py::arg("cols"), py::arg("p"),
        "(count, row, col): a quad's pixels, and where its p-th is.");
  m.def("misuse", &lmf::emulator::misuse, py::arg("name"), "Runs a kernel that breaks a rule on purpose.");
  m.def("misuses", &lmf::emulator::misuses, "The names that misuse() takes.");
}
