// Marks functions that run on the CPU and, where nvcc compiles them, on the GPU too.
#pragma once

#ifdef __CUDACC__
#define LMF_HOST_DEVICE __host__ __device__
#else
#define LMF_HOST_DEVICE
#endif
