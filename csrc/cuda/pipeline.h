// The part of the thin layer of warp.h that compute capability 9.0 added: barriers in shared memory that count arrivals
// and bytes (PTX's mbarrier), and bulk copies that report to them.
//
// A barrier is in phase 0, 1, ... A phase ends when the expected number of warps have arrived and all bytes that were
// announced have been copied. barrier_wait(b, parity) waits for the end of a phase of that parity: at the beginning
// a wait for parity 1 returns at once, as if a phase -1 had ended.
#pragma once

#include "warp.h"

#ifdef LMF_EMULATE
#include "../emulator/pipeline.h"
#else

namespace lmf::warp {

using Barrier = uint64_t;  // in shared memory

LMF_DEVICE uint32_t shared_address(const void* p) { return uint32_t(__cvta_generic_to_shared(p)); }

// Called by one lane. A barrier of the block must follow before other lanes use it. arrivals: that end a phase.
LMF_DEVICE void barrier_init(Barrier* b, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// One arrival of a whole warp, whose lanes all call it: what they did before is seen by those who wait for the phase.
LMF_DEVICE void barrier_arrive(Barrier* b) {
  __syncwarp();
  if (lane() == 0)
    asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}

// One arrival, by one lane, which announces bytes of copies to come.
LMF_DEVICE void barrier_expect(Barrier* b, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes)
               : "memory");
}

// Called by all lanes of a warp.
LMF_DEVICE void barrier_wait(Barrier* b, int parity) {
  asm volatile(
      "{\n.reg .pred done;\nagain:\nmbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n}" ::"r"(shared_address(b)),
      "r"(parity)
      : "memory");
}

// Called by one lane: copies bytes, a multiple of 16, between places aligned to 16. The barrier counts them when they
// have arrived.
LMF_DEVICE void bulk_copy(void* shared, const void* global, int bytes, Barrier* b) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   shared_address(shared)),
               "l"(global), "r"(bytes), "r"(shared_address(b))
               : "memory");
}

}  // namespace lmf::warp

#endif
