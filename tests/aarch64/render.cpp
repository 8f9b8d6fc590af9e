// Runs one packed call of the modulated family: render CALL OUT. CALL holds six sizes in bytes (int64: fields, skip,
// weights, coordinates, cells, output), the packed ModulatedCall and the tensors. OUT gets the output's bytes.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "../../csrc/cpu/kernels.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  FILE* in = fopen(argv[1], "rb");
  int64_t sizes[6];
  lmf::ModulatedCall call;
  if (!in || fread(sizes, sizeof sizes, 1, in) != 1 || fread(&call, sizeof call, 1, in) != 1) return 3;
  std::vector<double> memory[6];
  for (int i = 0; i < 6; ++i) {
    memory[i].resize(size_t(sizes[i]) / 8 + 1);
    if (i < 5 && fread(memory[i].data(), 1, size_t(sizes[i]), in) != size_t(sizes[i])) return 4;
  }
  fclose(in);
  const auto at = [&](int i) { return sizes[i] ? static_cast<void*>(memory[i].data()) : nullptr; };
  call.render.fields.data = at(0);
  call.render.skip.data = at(1);
  call.mlp.weights = at(2);
  call.render.points.coord = static_cast<const float*>(at(3));
  call.render.points.cell = static_cast<const float*>(at(4));
  call.render.out.data = at(5);
  lmf::baseline::modulated_mlp(call);
  FILE* out = fopen(argv[2], "wb");
  return out && fwrite(memory[5].data(), 1, size_t(sizes[5]), out) == size_t(sizes[5]) && !fclose(out) ? 0 : 5;
}
