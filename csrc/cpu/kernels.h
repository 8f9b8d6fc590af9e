// The kernels of each instruction set, and the choice among them.
#pragma once

#include "../common/params.h"

namespace lmf {

#define LMF_DECLARE_ISA(isa)                                                            \
  namespace isa {                                                                       \
  void modulated_mlp(const ModulatedCall& call);                                        \
  void modulated_backward(const ModulatedCall& call, const ModulatedGradients& wanted); \
  double fma_chain(int64_t rounds);                                                     \
  }
LMF_DECLARE_ISA(baseline)
LMF_DECLARE_ISA(avx2)
LMF_DECLARE_ISA(avx512)
#undef LMF_DECLARE_ISA

struct CpuKernels {
  const char* isa;
  void (*modulated_mlp)(const ModulatedCall& call);
  void (*modulated_backward)(const ModulatedCall& call, const ModulatedGradients& wanted);
  double (*fma_chain)(int64_t rounds);  // runs that many rounds of multiply-adds in registers; how many operations
};

// All that were built, best first; `usable` says whether this machine can run it.
struct IsaEntry {
  CpuKernels kernels;
  bool usable;
};
int isa_table(const IsaEntry** table);

// The best usable one, or what LMF_CPU_ISA names. nullptr and a sentence in *error when that cannot be had.
const CpuKernels* choose_kernels(const char** error);

}  // namespace lmf
