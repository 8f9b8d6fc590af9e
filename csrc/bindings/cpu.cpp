// lmf_kernels._cpu: takes raw pointers and does not link libtorch. The GIL is released while a kernel runs.
#include <pybind11/pybind11.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>

#include "../cpu/bilinear.h"
#include "../cpu/kernels.h"
#include "build_info.h"
#include "packed_call.h"

namespace py = pybind11;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the uint8 store takes the low byte of a 32-bit integer");

namespace {

using lmf::bindings::unpack;
using lmf::bindings::unpack_call;

const lmf::CpuKernels& kernels() {
  const char* error = nullptr;
  const lmf::CpuKernels* k = lmf::choose_kernels(&error);
  if (!k) throw std::runtime_error(error);
  return *k;
}

template <class Call, void (*lmf::CpuKernels::*kernel)(const Call&)>
void render(const py::bytes& call, const py::tuple& addresses, int threads) {
  const auto unpacked = unpack_call<Call>(call, addresses, threads);
  const lmf::CpuKernels& k = kernels();
  py::gil_scoped_release release;
  (k.*kernel)(unpacked);
}

void modulated_backward(const py::bytes& call, const py::tuple& addresses, int threads, const py::bytes& gradients) {
  const auto unpacked = unpack_call<lmf::ModulatedCall>(call, addresses, threads);
  const auto destinations = unpack<lmf::ModulatedGradients>(gradients);
  const lmf::CpuKernels& k = kernels();
  py::gil_scoped_release release;
  k.modulated_backward(unpacked, destinations);
}

void resize_bilinear(const py::bytes& call) {
  const auto unpacked = unpack<lmf::BilinearCall>(call);
  py::gil_scoped_release release;
  lmf::resize_bilinear(unpacked);
}

// Operations per second of multiply-adds in registers, of `threads` threads together.
double fma_rate(double seconds, int threads) {
  const lmf::CpuKernels& k = kernels();
  py::gil_scoped_release release;
  using Clock = std::chrono::steady_clock;
  double operations = 0;
  const auto start = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
#pragma omp parallel num_threads(threads) reduction(+ : operations) if (threads > 1)
  while (elapsed() < seconds) operations += k.fma_chain(100000);
  return operations / elapsed();
}

// As os.environ.get, which takes five times as long.
py::object setting(const char* name) {
  const char* value = getenv(name);
  return value ? py::reinterpret_steal<py::object>(PyUnicode_DecodeFSDefault(value)) : py::none();
}

py::dict isas() {
  const lmf::IsaEntry* table;
  const int n = lmf::isa_table(&table);
  py::dict d;
  for (int i = 0; i < n; ++i) d[table[i].kernels.isa] = table[i].usable;
  return d;
}

}  // namespace

PYBIND11_MODULE(_cpu, m) {
  lmf::bindings::export_tables(m);
  const auto define = [&](const char* name, auto* function, const char* text) {
    m.def(name, function, py::arg("call"), py::arg("addresses"), py::arg("threads"), text);
  };
  define("modulated_mlp", &render<lmf::ModulatedCall, &lmf::CpuKernels::modulated_mlp>,
         "Renders a packed RenderCall followed by a ModulatedMlp, from and to tensors at these addresses.");
  define("plain_mlp", &render<lmf::PlainCall, &lmf::CpuKernels::plain_mlp>,
         "Renders a packed RenderCall followed by a PlainMlp and its widths.");
  define("c2f_mlp", &render<lmf::C2fCall, &lmf::CpuKernels::c2f_mlp>,
         "Renders a packed RenderCall followed by a C2fMlp and its coarse and fine widths.");
  m.def("modulated_backward", &modulated_backward, py::arg("call"), py::arg("addresses"), py::arg("threads"),
        py::arg("gradients"),
        "Computes the gradients that a packed ModulatedGradients has addresses for. The call is that of modulated_mlp, "
        "but its output holds the gradient with respect to the output.");
  m.def("resize_bilinear", &resize_bilinear, py::arg("call"), "Resizes the window of a packed BilinearCall.");
  m.def("fma_rate", &fma_rate, py::arg("seconds"), py::arg("threads"),
        "Operations per second of multiply-adds (two operations each) in registers: the peak for a kernel.");
  m.def("isas", &isas, "The instruction sets that were built, best first, and whether this machine can run each.");
  m.def("setting", &setting, py::arg("name"), "The value of an environment variable, or None.");
  m.def(
      "isa", [] { return kernels().isa; }, "The instruction set that a call would use now. LMF_CPU_ISA overrides it.");
  m.def("build_info", &lmf::bindings::cpu_build_info, "How this module was built.");
}
