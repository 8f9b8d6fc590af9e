// The functions of warp.h one at a time, and the geometry of the kernel by columns, for tests that compare them with
// numpy and torch.
#include <stdexcept>

#include "../cuda/modulated_columns.h"
#include "kernels.h"
#include "warp.h"

namespace lmf::emulator {
namespace {

template <class F>
void with_half(Element half, F f) {
  half == Element::float16 ? f(warp::F16{}) : f(warp::BF16{});
}

template <class H>
uint32_t one(const std::string& operation, uint32_t a, uint32_t b, uint32_t c) {
  if (operation == "pack") return warp::pack<H>(float_of(a), float_of(b));
  if (operation == "pack_relu") return warp::pack_relu<H>(float_of(a), float_of(b));
  if (operation == "widen_low") return bits_of(warp::widen_low<H>(a));
  if (operation == "widen_high") return bits_of(warp::widen_high<H>(a));
  if (operation == "fma_pair") return warp::fma_pair<H>(a, b, c);
  if (operation == "fma_relu_pair") return warp::fma_relu_pair<H>(a, b, c);
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

void mma_half(const uint32_t* a, const uint32_t* b, uint32_t* d) {
  GlobalMemory memory({Range("a", a, 4, {{4 * kWarp, 1}}), Range("b", b, 4, {{2 * kWarp, 1}}),
                       Range("d", d, 4, {{2 * kWarp, 1}}, true)});
  Machine::launch({1, 1, 0}, memory, [&](int64_t, int, unsigned char*) {
    const int lane = warp::lane();
    uint32_t own_a[4], own_b[2], own_d[2];
    for (int i = 0; i < 4; ++i) own_a[i] = warp::load(a + 4 * lane + i);
    for (int i = 0; i < 2; ++i) own_b[i] = warp::load(b + 2 * lane + i);
    warp::mma_half(own_d, own_a, own_b);
    for (int i = 0; i < 2; ++i) warp::store(d + 2 * lane + i, own_d[i]);
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
                 const uint32_t* c, uint32_t* out) {
  with_half(half, [&](auto tag) {
    for (int64_t i = 0; i < n; ++i) out[i] = one<decltype(tag)>(operation, a[i], b[i], c[i]);
  });
}

uint8_t round_to_byte(float x) { return warp::round_to_byte(x); }

void place_among_cells(int64_t n_in, int64_t n_out, int64_t pos, int* k0, float* f, int* row_k0, int* first,
                       float* first_f) {
  ModulatedCall call{};
  call.render.fields.batch = 1;
  call.render.fields.lr_h = call.render.fields.lr_w = n_in;
  Output& o = call.render.out;
  o.height = o.width = n_out;
  o.y0 = o.x0 = pos;
  o.rows = o.cols = 1;
  call.mlp.ensemble = true;
  if (!modulated::columns_fit(call, modulated::kMmaItem)) {
    throw std::invalid_argument("the kernel by columns does not take these sizes.");
  }
  const modulated::ColumnPlan plan = modulated::make_column_plan(call, modulated::kMmaItem);
  const modulated::CellPair column = plan.column(0);
  *k0 = column.k0;
  *f = column.f;
  int found = 0;
  for (uint32_t block = 0; block < plan.blocks.divisor; ++block) {
    const modulated::RowChunk chunk = plan.chunk(block);
    if (chunk.high <= chunk.low) continue;
    if (chunk.high != chunk.low + 1 || chunk.high > modulated::kMmaItem.rows) throw std::logic_error("wrong rows.");
    ++found;
    *row_k0 = chunk.cells.k0;
    *first = int(pos) + chunk.row;
    *first_f = chunk.cells.f;
  }
  if (found != 1) throw std::logic_error(std::to_string(found) + " chunks have the row.");
}

}  // namespace lmf::emulator
