// Runs the packing of csrc/cuda/dense_packed.h on the emulator.
#pragma once

#include "../cuda/dense_packed.h"
#include "call_memory.h"

namespace lmf::emulator {

// Each byte of the packed weights must be written exactly once.
template <class Half>
void pack_weights(const dense::PackCall& call, uint4* packed) {
  GlobalMemory memory(
      {Range("weights", call.weights, size_of(call.element), {{call.out.bias + call.out.out, 1}}),  // the last piece
       Range("packed", packed, 16, {{call.to.vectors(), 1}}, true)});
  const int blocks = 2;  // fewer than a launch has, so that the kernel loops
  Machine::launch({blocks, 1, 0}, memory, [&](int64_t block, int warp, unsigned char*) {
    dense::pack<Half>(call, packed, {warp, 1, int(block), blocks});
  });
}

}  // namespace lmf::emulator
