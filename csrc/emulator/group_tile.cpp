// Runs the bodies of csrc/cuda/group_tile.h on the emulator.
#include "../cuda/group_tile.h"

#include <stdexcept>

#include "call_memory.h"
#include "kernels.h"

namespace lmf::emulator {
namespace {

using dense::TileCall;
using dense::TileRing;

// The two steps of a stage in each other's place.
struct OtherStep : TileRing {
  using TileRing::TileRing;
  uint64_t descriptor(int i) const { return TileRing::descriptor(1 - i); }
};

// All groups of eight outputs at the place of the first one.
struct NoStride : TileRing {
  using TileRing::TileRing;
  uint64_t descriptor(int i) const { return TileRing::descriptor(i) & ~(uint64_t(0x3fff) << 32); }
};

template <class Half, class Ring>
void run(const TileCall& c) {
  const Range a("a", c.a, 2, {{dense::kTileRows * dense::kTileInputs, 1}});
  const Range b("b", c.b, 2, {{dense::kTileInputs * dense::kWidth, 1}});
  GlobalMemory to_pack({b, Range("packed", c.packed, 16, {{dense::kStageVectors, 1}}, true)});
  Machine::launch({1, dense::kTileWarps, 0}, to_pack,
                  [&](int64_t, int warp, unsigned char*) { dense::pack_tile<Half>(c, warp, dense::kTileWarps); });
  GlobalMemory memory({a, Range("packed", c.packed, 16, {{dense::kStageVectors, 1}}),
                       Range("d", c.d, 4, {{dense::kTileRows * dense::kWidth, 1}}, true)});
  Machine::launch({1, dense::kTileWarps, dense::kTileSharedBytes}, memory,
                  [&](int64_t, int warp, unsigned char* shared) { dense::multiply_tile<Half, Ring>(c, shared, warp); });
}

template <class Half>
void run(const TileCall& c, const std::string& mistake) {
  if (mistake == "") return run<Half, TileRing>(c);
  if (mistake == "steps") return run<Half, OtherStep>(c);
  if (mistake == "stride") return run<Half, NoStride>(c);
  throw std::invalid_argument("there is no mistake \"" + mistake + "\".");
}

}  // namespace

void group_tile(Element half, const void* a, const void* b, void* packed, float* d, const std::string& mistake) {
  const TileCall call{a, b, static_cast<uint4*>(packed), d, half};
  half == Element::float16 ? run<warp::F16>(call, mistake) : run<warp::BF16>(call, mistake);
}

}  // namespace lmf::emulator
