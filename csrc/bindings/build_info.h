// How a compiled module was built, as the dictionaries that lmf_kernels/build_info.py reads.
#pragma once

#include <pybind11/pybind11.h>

#include <initializer_list>
#include <string>
#include <utility>

#include "build_facts.h"

namespace lmf::bindings {

// sources: a digest of csrc, the same for the same files.
inline pybind11::dict common_build_info() {
  pybind11::dict facts;
  facts["version"] = LMF_FACT_VERSION;
  facts["compiler"] = LMF_FACT_COMPILER;
  facts["compiler_path"] = LMF_FACT_COMPILER_PATH;
  facts["build_type"] = LMF_FACT_BUILD_TYPE;
  facts["sources"] = LMF_FACT_SOURCES;
  facts["processor"] = LMF_FACT_PROCESSOR;
  return facts;
}

// isa_flags: compiler flags of each instruction set, weakest first. isa_sources: the files compiled for each.
// openmp: its version, or empty if the kernels run on one thread.
inline pybind11::dict cpu_build_info() {
  pybind11::dict facts = common_build_info();
  pybind11::dict flags;
  using Pair = std::pair<const char*, const char*>;
  for (const Pair& isa : std::initializer_list<Pair>{LMF_FACT_ISA_FLAGS}) {
    flags[isa.first] = isa.second;
  }
  pybind11::list sources;
  for (const char* source : std::initializer_list<const char*>{LMF_FACT_ISA_SOURCES}) {
    sources.append(source);
  }
  facts["isa_flags"] = flags;
  facts["isa_sources"] = sources;
  facts["openmp"] = LMF_FACT_OPENMP;
  return facts;
}

// nvcc: its version. nvcc_path: where it was found. cuda_flags: its flags except the architectures, the same for every
// file in cuda_sources. architectures: "sm_90" is machine code, "compute_120" is PTX.
inline pybind11::dict cuda_build_info() {
  pybind11::dict facts = common_build_info();
  facts["nvcc"] = LMF_FACT_CUDA_COMPILER;
  facts["nvcc_path"] = LMF_FACT_CUDA_COMPILER_PATH;
  facts["cuda_flags"] = LMF_FACT_CUDA_FLAGS;
  pybind11::list sources;
  for (const char* source : std::initializer_list<const char*>{LMF_FACT_CUDA_SOURCES}) {
    sources.append(source);
  }
  facts["cuda_sources"] = sources;
  facts["architectures"] = pybind11::str(LMF_FACT_CUDA_TARGETS).attr("split")(";");
  return facts;
}

}  // namespace lmf::bindings
