// lmf_kernels._cpu: raw pointers in, nothing of torch. The GIL is released while a kernel runs.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <stdexcept>

#include "../cpu/kernels.h"
#include "build_info.h"
#include "modulated_call.h"

namespace py = pybind11;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the uint8 store takes the low byte of a word");

namespace {

const lmf::CpuKernels& kernels() {
  const char* error = nullptr;
  const lmf::CpuKernels* k = lmf::choose_kernels(&error);
  if (!k) throw std::runtime_error(error);
  return *k;
}

template <class... Args>
void modulated_mlp(Args... args) {
  const lmf::ModulatedCall call = lmf::make_modulated_call(args...);
  const lmf::CpuKernels& k = kernels();
  py::gil_scoped_release release;
  k.modulated_mlp(call);
}

// The arguments of a render whose output is the gradient that arrives, then where the gradients go (0: not wanted).
template <class... Args>
void modulated_backward(lmf::Address fields, lmf::Address weights, lmf::Address skip, Args... args) {
  const lmf::ModulatedCall call = lmf::make_modulated_call(args...);
  const lmf::ModulatedGradients wanted{reinterpret_cast<float*>(fields), reinterpret_cast<float*>(weights),
                                       reinterpret_cast<float*>(skip)};
  const lmf::CpuKernels& k = kernels();
  py::gil_scoped_release release;
  k.modulated_backward(call, wanted);
}

// Operations per second of multiply-adds in registers on `threads` threads together.
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

py::dict isas() {
  const lmf::IsaEntry* table;
  const int n = lmf::isa_table(&table);
  py::dict d;
  for (int i = 0; i < n; ++i) d[table[i].kernels.isa] = table[i].usable;
  return d;
}

}  // namespace

PYBIND11_MODULE(_cpu, m) {
  using I5 = const std::array<int64_t, 5>&;
  using I6 = const std::array<int64_t, 6>&;
  using I11 = const std::array<int64_t, 11>&;
  using I12 = const std::array<int64_t, 12>&;
  using F2 = const std::array<float, 2>&;
  using lmf::Address;
  m.def("modulated_mlp",
        &modulated_mlp<Address, I11, Address, I5, Address, I12, Address, Address, Address, I6, F2, int>);
  m.def("modulated_backward",
        &modulated_backward<Address, I11, Address, I5, Address, I12, Address, Address, Address, I6, F2, int>);
  m.def("fma_rate", &fma_rate, py::arg("seconds"), py::arg("threads"),
        "Multiply-adds in registers, in operations (two each) a second: the peak a kernel is held against.");
  m.def("isas", &isas, "Instruction sets that were built, best first, and whether this machine can run each.");
  m.def("isa", [] { return kernels().isa; }, "The instruction set a call would use now (LMF_CPU_ISA overrides).");
  m.def("build_info", &lmf::bindings::cpu_build_info, "What this module was made with.");
}
