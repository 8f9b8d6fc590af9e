// The device bodies of the modulated family, one for each path of modulated_plan.h.
#pragma once

#include "modulated_ieee.h"
#include "modulated_quads.h"
#include "modulated_strips.h"

namespace lmf {

// Renders the part of the call that falls to this warp. All lanes of the block run it together.
// shared: plan.shared_bytes of the block's memory, aligned to 16.
template <class Path>
LMF_DEVICE void modulated_mlp_body(const ModulatedCall& call, unsigned char* shared, warp::Place place) {
  render(Path{}, call, shared, place);
}

// Calls f with the tag of a plan's path.
template <class F>
void with_path(int path, F f) {
  using warp::BF16;
  using warp::F16;
  switch (path) {
    case 0: f(Ieee<Head::linear>{}); break;
    case 1: f(Ieee<Head::fourier>{}); break;
    case 2: f(Strips<F16, Head::linear>{}); break;
    case 3: f(Strips<F16, Head::fourier>{}); break;
    case 4: f(Strips<BF16, Head::linear>{}); break;
    case 5: f(Strips<BF16, Head::fourier>{}); break;
    case 6: f(Quads<F16, Head::linear>{}); break;
    case 7: f(Quads<F16, Head::fourier>{}); break;
    case 8: f(Quads<BF16, Head::linear>{}); break;
    case 9: f(Quads<BF16, Head::fourier>{}); break;
  }
}

}  // namespace lmf
