// The functions of warp.h one at a time, and the numbering of a quad's pixels, for tests that compare them with numpy
// and torch.
#include <stdexcept>

#include "../cuda/modulated_mma_folded.h"
#include "kernels.h"
#include "warp.h"

namespace lmf::emulator {
namespace {

template <class F>
void with_half(Element half, F f) {
  half == Element::float16 ? f(warp::F16{}) : f(warp::BF16{});
}

template <class H>
uint32_t one(const std::string& operation, uint32_t a, uint32_t b) {
  if (operation == "pack") return warp::pack<H>(float_of(a), float_of(b));
  if (operation == "pack_relu") return warp::pack_relu<H>(float_of(a), float_of(b));
  if (operation == "widen_low") return bits_of(warp::widen_low<H>(a));
  if (operation == "widen_high") return bits_of(warp::widen_high<H>(a));
  if (operation == "times_one_plus") return warp::times_one_plus<H>(a, b);
  throw std::invalid_argument("there is no operation \"" + operation + "\".");
}

}  // namespace

void mma(Element half, const uint32_t* a, const uint32_t* b, const float* c, float* d) {
  GlobalMemory memory({Range("a", a, 4, {{4 * kWarp, 1}}), Range("b", b, 4, {{2 * kWarp, 1}}),
                       Range("c", c, 4, {{4 * kWarp, 1}}), Range("d", d, 4, {{4 * kWarp, 1}}, true)});
  with_half(half, [&](auto tag) {
    Machine::launch({1, 1, 0}, memory, [&](int64_t, int, unsigned char*) {
      const int lane = warp::lane();
      uint32_t own_a[4], own_b[2];
      float own_c[4];
      for (int i = 0; i < 4; ++i) own_a[i] = warp::load(a + 4 * lane + i);
      for (int i = 0; i < 2; ++i) own_b[i] = warp::load(b + 2 * lane + i);
      for (int i = 0; i < 4; ++i) own_c[i] = warp::load(c + 4 * lane + i);
      warp::mma<decltype(tag)>(own_c, own_a, own_b, own_c);
      for (int i = 0; i < 4; ++i) warp::store(d + 4 * lane + i, own_c[i]);
    });
  });
}

void shuffle(const float* values, const int32_t* sources, float* out) {
  GlobalMemory memory({Range("values", values, 4, {{kWarp, 1}}), Range("sources", sources, 4, {{kWarp, 1}}),
                       Range("out", out, 4, {{kWarp, 1}}, true)});
  Machine::launch({1, 1, 0}, memory, [&](int64_t, int, unsigned char*) {
    const int lane = warp::lane();
    warp::store(out + lane, warp::shuffle(warp::load(values + lane), int(warp::load(sources + lane))));
  });
}

void elementwise(const std::string& operation, Element half, int64_t n, const uint32_t* a, const uint32_t* b,
                 uint32_t* out) {
  with_half(half, [&](auto tag) {
    for (int64_t i = 0; i < n; ++i) out[i] = one<decltype(tag)>(operation, a[i], b[i]);
  });
}

uint8_t round_to_byte(float x) { return warp::round_to_byte(x); }

void quad_pixel(int64_t rows, int64_t cols, uint32_t p, uint32_t* count, int* row, int* col) {
  using modulated::CellPair;
  const modulated::Axis y{1, rows, 0, rows, 0, 0}, x{1, cols, 0, cols, 0, 0};
  const modulated::CellQuad quad = {0, CellPair(y, 0, 0, rows), CellPair(x, 0, 0, cols), 1.0f / float(cols)};
  *count = quad.count();
  quad.split(p, row, col);
}

}  // namespace lmf::emulator
