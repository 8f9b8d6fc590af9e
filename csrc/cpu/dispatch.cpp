// Chooses an instruction set at run time. Compiled without any -march flag, because it must run on every machine.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels.h"

namespace lmf {
namespace {

bool machine_has(const char* isa) {
#if defined(__x86_64__)
  // Every machine with these features has the others that -march=x86-64-v4 and -march=x86-64-v3 enable.
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (!strcmp(isa, "avx512"))
    return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512cd");
  if (!strcmp(isa, "avx2")) return v3;
#endif
  return !strcmp(isa, "baseline");
}

IsaEntry g_table[] = {
#ifdef LMF_HAVE_ISA_AVX512
    {{"avx512", avx512::modulated_mlp, avx512::modulated_backward, avx512::plain_mlp, avx512::c2f_mlp,
      avx512::fma_chain},
     machine_has("avx512")},
#endif
#ifdef LMF_HAVE_ISA_AVX2
    {{"avx2", avx2::modulated_mlp, avx2::modulated_backward, avx2::plain_mlp, avx2::c2f_mlp, avx2::fma_chain},
     machine_has("avx2")},
#endif
    {{"baseline", baseline::modulated_mlp, baseline::modulated_backward, baseline::plain_mlp, baseline::c2f_mlp,
      baseline::fma_chain},
     machine_has("baseline")},
};

}  // namespace

int isa_table(const IsaEntry** table) {
  *table = g_table;
  return int(sizeof g_table / sizeof g_table[0]);
}

const CpuKernels* choose_kernels(const char** error) {
  static thread_local char message[256];
  const char* requested = getenv("LMF_CPU_ISA");
  if (requested && !*requested) requested = nullptr;
  for (const IsaEntry& e : g_table)
    if (requested ? !strcmp(requested, e.kernels.isa) && e.usable : e.usable) return &e.kernels;
  int n =
      snprintf(message, sizeof message, "LMF_CPU_ISA=%.32s is not available on this machine; use one of:", requested);
  for (const IsaEntry& e : g_table)
    if (e.usable && n < int(sizeof message)) n += snprintf(message + n, sizeof message - n, " %s", e.kernels.isa);
  *error = message;
  return nullptr;
}

}  // namespace lmf
