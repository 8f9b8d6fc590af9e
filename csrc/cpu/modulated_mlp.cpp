// The modulated family on the CPU: renders every output pixel in one pass, without an intermediate picture.
//
// Compiled once per instruction set with -DLMF_ISA=<name>. dispatch.cpp chooses one at run time.
#include "kernels.h"
#include "modulated_grid.h"
#include "modulated_points.h"

namespace lmf {
namespace LMF_ISA {
namespace {

void run(const ModulatedCall& call, const float* weights) {
  if (call.render.points.coord)
    run_points(call, weights);
  else
    run_grid(call, weights);
}

}  // namespace

void modulated_mlp(const ModulatedCall& call) {
  const ModulatedMlp& mlp = call.mlp;
  if (mlp.element == Element::float32) return run(call, static_cast<const float*>(mlp.weights));
  const int64_t count = ModulatedLayout<int64_t>(mlp).weights();
  Scratch<float> weights(count * int64_t(sizeof(float)));
  for (int64_t i = 0; i < count; ++i) weights.get()[i] = load_element(mlp.weights, mlp.element, i);
  run(call, weights.get());
}

}  // namespace LMF_ISA
}  // namespace lmf
