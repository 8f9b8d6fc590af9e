// Loop hints of nvcc that other compilers do not know.
#pragma once

#ifdef __CUDACC__
#define LMF_UNROLL _Pragma("unroll")
#define LMF_KEEP_LOOP _Pragma("unroll 1")  // a body of hundreds of instructions: once is enough
#else
#define LMF_UNROLL
#define LMF_KEEP_LOOP
#endif
