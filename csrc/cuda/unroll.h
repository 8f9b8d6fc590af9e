// Loop hints for nvcc, which other compilers do not know.
#pragma once

#ifdef __CUDACC__
#define LMF_UNROLL _Pragma("unroll")
#define LMF_KEEP_LOOP _Pragma("unroll 1")  // for bodies of hundreds of instructions
#else
#define LMF_UNROLL
#define LMF_KEEP_LOOP
#endif
