// The part of the thin layer of warp.h for the matrix instructions of a warpgroup, four warps (PTX's wgmma). Only code
// for sm_90a has them.
//
// group_mma starts a product and returns. Its sums and A operand must not be touched, and its B operand in shared
// memory not be written, until group_wait has waited for its group. group_fence orders earlier uses of these registers
// before the next product. All lanes of the warpgroup must call these functions together.
#pragma once

#include "pipeline.h"
#include "unroll.h"

#ifdef LMF_EMULATE
#include "../emulator/warpgroup.h"
#else

namespace lmf::warp {

LMF_DEVICE void group_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
LMF_DEVICE void group_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until at most the kPending youngest groups are on their way.
template <int kPending>
LMF_DEVICE void group_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Takes registers for each lane of the warpgroup from the block's pool, or gives them back.
template <int kCount>
LMF_DEVICE void more_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
LMF_DEVICE void fewer_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

// Makes the compiler finish these registers here. Without it, it computes an operand between the products that use it,
// and spills.
template <int kRows, int kColumns>
LMF_DEVICE void pin(uint32_t (&x)[kRows][kColumns]) {
  LMF_UNROLL
  for (int i = 0; i < kRows; ++i) {
    LMF_UNROLL
    for (int j = 0; j < kColumns; ++j) asm volatile("" : "+r"(x[i][j])::"memory");
  }
}

// D (64 x 256) += A (64 x 16) B (16 x 256), float32 sums. Warp w of the warpgroup has rows 16 w to 16 w + 15; with that
// as its row 0, a lane's registers are those of warp::mma: a as its A, d[i] as its D of columns 8 i to 8 i + 7.
// b: descriptor of B in shared memory (PTX ISA, wgmma: matrix descriptor).
template <class H>
LMF_DEVICE void group_mma(float (&d)[32][4], const uint32_t (&a)[4], uint64_t b);

#define LMF_TILE(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define LMF_TILES(i) LMF_TILE(i), LMF_TILE(i + 1), LMF_TILE(i + 2), LMF_TILE(i + 3)
#define LMF_GROUP_MMA(Half, type)                                                                                 \
  template <>                                                                                                     \
  LMF_DEVICE void group_mma<Half>(float (&d)[32][4], const uint32_t (&a)[4], uint64_t b) {                        \
    asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32." type "." type                                     \
                 " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, "   \
                 "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, "     \
                 "%38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, "     \
                 "%56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, "     \
                 "%74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, "     \
                 "%92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, " \
                 "%109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, "     \
                 "%124, %125, %126, %127}, {%128, %129, %130, %131}, %132, 1, 1, 1, 0;"                           \
                 : LMF_TILES(0), LMF_TILES(4), LMF_TILES(8), LMF_TILES(12), LMF_TILES(16), LMF_TILES(20),         \
                   LMF_TILES(24), LMF_TILES(28)                                                                   \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                           \
  }
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
LMF_GROUP_MMA(F16, "f16")
LMF_GROUP_MMA(BF16, "bf16")
#endif
#undef LMF_GROUP_MMA
#undef LMF_TILES
#undef LMF_TILE

}  // namespace lmf::warp

#endif
