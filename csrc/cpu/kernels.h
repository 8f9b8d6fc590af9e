// The kernels of each instruction set, and the choice among them.
#pragma once

#include "../common/params.h"

namespace lmf {

#define LMF_DECLARE_ISA(isa)                                                               \
  namespace isa {                                                                          \
  void modulated_mlp(const ModulatedCall& call);                                           \
  void modulated_backward(const ModulatedCall& call, const ModulatedGradients& gradients); \
  void plain_mlp(const PlainCall& call);                                                   \
  double fma_chain(int64_t rounds);                                                        \
  }
LMF_DECLARE_ISA(baseline)
LMF_DECLARE_ISA(avx2)
LMF_DECLARE_ISA(avx512)
#undef LMF_DECLARE_ISA

struct CpuKernels {
  const char* isa;
  void (*modulated_mlp)(const ModulatedCall& call);
  void (*modulated_backward)(const ModulatedCall& call, const ModulatedGradients& gradients);
  void (*plain_mlp)(const PlainCall& call);
  double (*fma_chain)(int64_t rounds);  // runs `rounds` rounds of multiply-adds, returns the number of operations
};

struct IsaEntry {
  CpuKernels kernels;
  bool usable;  // on this machine
};

// Sets *table to all instruction sets that were built, best first, and returns how many there are.
int isa_table(const IsaEntry** table);

// The kernels of the instruction set that LMF_CPU_ISA names, or else of the best usable one. Returns nullptr and sets
// *error to a sentence if LMF_CPU_ISA names one that is not usable.
const CpuKernels* choose_kernels(const char** error);

}  // namespace lmf
