// The device body of the coarse-to-fine family (DIIF, DLTE) on tensor cores: the whole render stage. A warp takes the
// slices of some neighbouring cells (a Unit) through the coarse layers and fine layer 0, keeps the results in shared
// memory, and then takes the cells' pixels, 16 at a time, through the other fine layers. Activations stay in registers
// within these three parts. The warps of a block go through the layers together, because they share the stream of
// weights.
#pragma once

#include "c2f_slices.h"
#include "dense_store.h"

namespace lmf::c2f {

// Says which matrices this pass and the next one multiply by. The producer of a ring knows by itself.
LMF_DEVICE void steer(Stream& stream, int now, int next) { stream.sequence().steer(now, next); }
LMF_DEVICE void steer(Ring&, int, int) {}

// What a warp sees of the packed constants and of the block's shared memory beside the ring of weights.
struct WarpMemory {
  const C2fArguments& call;
  const uint4* start;  // of the packed constants
  RowTable table;
  Unit* unit;

  LMF_DEVICE WarpMemory(const C2fArguments& c, const SharedLayout& parts, unsigned char* shared, int warp)
      : call(c),
        start(c.packed + c.layout.constants()),
        table(shared + parts.tables() + warp * kTableBytes),
        unit(reinterpret_cast<Unit*>(shared + parts.units() + warp * kUnitBytes)) {}

  // The packed constants from there on. The compiler spills where it is left the choice: of the pointer for sm_80, of
  // what else it would keep for sm_90a.
  LMF_DEVICE const uint4* constants(int offset) const {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    return start + offset;
#else
    return call.packed + call.layout.constants() + offset;
#endif
  }
  LMF_DEVICE const float4* floats(int offset) const { return reinterpret_cast<const float4*>(constants(offset)); }
};

// The first activation of a coarse chain.
template <class Half, Head head>
LMF_DEVICE void slice_head(Operand& x, const C2fArguments& c, const WarpMemory& memory, int side) {
  const uint16_t* fields = static_cast<const uint16_t*>(c.render.fields.data);
  const SliceRow rows[2] = {slice_row<head>(c, memory.unit, side, 0), slice_row<head>(c, memory.unit, side, 1)};
  const float4* table = memory.floats(c.layout.head_table());
  if constexpr (head == Head::linear) {
    dense::linear_head<Half, InGlobal>(x, fields, rows, c.head_width, table);
  } else {
    dense::fourier_head<Half, InGlobal>(x, fields, rows, c.head_width, table);
  }
}

// The first activation of a tile's pixels.
template <class Half>
LMF_DEVICE void pixel_head(Operand& x, const C2fArguments& c, const WarpMemory& memory, int tile) {
  Pixel pixels[2];
  pixels_of_tile(c, memory.unit, tile, pixels);
  const float4* rel = memory.floats(c.layout.rel());
  if (c.rows == Rows::ends) {
    pixels_between_ends<Half>(x, memory.table, pixels);
  } else {
    pixels_among_rows<Half>(x, memory.table, pixels, c.rows == Rows::vertices, rel);
  }
}

// Keeps what fine layer 0 gave for the unit's slices.
template <class Half>
LMF_DEVICE void keep(const Sums& sums, const C2fArguments& c, const WarpMemory& memory) {
  warp::warp_barrier();  // each lane has taken its own vectors back
  if (c.rows == Rows::ends) {
    keep_ends<Half>(sums, memory.table, warp::shared_load(&memory.unit->first_y), memory.floats(c.layout.rel()));
  } else {
    keep_rows<Half>(sums, memory.table);
  }
  warp::warp_barrier();
}

// Finishes and stores the pixels of a tile: channels 2t and 2t + 1 of rows g and g + 8.
LMF_DEVICE void store_tile(const C2fArguments& c, const WarpMemory& memory, int tile, const float (&sums)[4]) {
  const int g = warp::lane() >> 2, t = warp::lane() & 3;
  if (t > 1) return;  // there are three channels
  const Unit* unit = memory.unit;
  const Output& o = c.render.out;
  const int64_t cols = warp::shared_load(&unit->cols), count = warp::shared_load(&unit->rows) * cols;
  const float4 bias = InGlobal::load(memory.floats(c.layout.out_bias()));
  LMF_KEEP_LOOP
  for (int r = 0; r < 2; ++r) {
    const int64_t index = int64_t(tile) * dense::kRows + g + 8 * r;
    if (index >= count) continue;
    const int64_t row = c.linear_slices ? 0 : uint32_t(index) / uint32_t(cols);
    const int64_t y = warp::shared_load(&unit->top) + row, x = warp::shared_load(&unit->left) + index - row * cols;
    PixelCoordinates at;
    if (c.render.skip.data) at = {skip_corners(c.y, y), skip_corners(c.x, x), 0.0f, 0.0f};
    const float channels[2] = {pick(r, sums[0], sums[2]), pick(r, sums[1], sums[3])};
    dense::store_pixel(c.render, warp::shared_load(&unit->batch), y - o.y0, x - o.x0, at, t, channels, bias);
  }
}

// Takes x through the matrices [begin, end), with ReLU after each. next: the matrix after them.
template <class Half, class WeightSource>
LMF_DEVICE void run_layers(Operand& x, const C2fArguments& c, const WarpMemory& memory, WeightSource& stream, int begin,
                           int end, int next) {
  LMF_KEEP_LOOP
  for (int matrix = begin; matrix < end; ++matrix) {
    steer(stream, matrix, matrix + 1 < end ? matrix + 1 : next);
    Sums y;
    dense::start_with_bias<InGlobal>(y, memory.floats(c.layout.bias(matrix)));
    dense::multiply<Half>(y, x, stream);
    dense::activate<Half>(x, y);
  }
}

// Renders a warp's part of the call. stream: gives the matrices of the passes; all warps that share it go through the
// same ones. Each of the three parts has passes of its own: with all of them in one loop, the compiler would not find
// neighbouring registers for the operands of a matrix instruction.
template <class Half, Head head, class WeightSource>
LMF_DEVICE void render_units(const C2fArguments& c, const WarpMemory& memory, WeightSource& stream,
                             const warp::Position& position) {
  if (warp::lane() == 0) warp::shared_store(&memory.unit->warp, int64_t(position.warp));
  LMF_KEEP_LOOP
  for (int job = position.block; job < c.jobs; job += position.blocks) {
    warp::warp_barrier();  // the last unit has been read
    fill(c, job, memory.unit);
    warp::warp_barrier();
    const int first_layer = c.coarse;  // of the fine MLP
    LMF_KEEP_LOOP
    for (int side = 0; side < c.sides; ++side) {
      Operand x;
      slice_head<Half, head>(x, c, memory, side);
      run_layers<Half>(x, c, memory, stream, 0, first_layer, side + 1 < c.sides ? 0 : first_layer);
      if (c.rows == Rows::ends) {
        keep_side<Half>(x, memory.table, side, warp::shared_load(&memory.unit->first_y));
      } else {
        keep_slices(x, memory.table);
      }
    }
    {
      Operand x;
      load_slices(x, memory.table);
      steer(stream, first_layer, first_layer + 1);
      Sums y;
      dense::start_with_bias<InGlobal>(y, memory.floats(c.layout.bias(first_layer)));
      dense::multiply<Half>(y, x, stream);
      keep<Half>(y, c, memory);
    }
    LMF_KEEP_LOOP
    for (int tile = 0; tile < c.tiles; ++tile) {
      Operand x;
      pixel_head<Half>(x, c, memory, tile);
      run_layers<Half>(x, c, memory, stream, first_layer + 1, c.layout.passes,
                       tile + 1 < c.tiles ? first_layer + 1 : 0);
      float sums[4];
      dense::output_product<Half, InGlobal>(sums, x, reinterpret_cast<const uint2*>(memory.constants(c.layout.out())));
      store_tile(c, memory, tile, sums);
    }
  }
}

// Renders a block's part of the call. All lanes of the block run it together. shared: Plan::shared_bytes bytes of the
// block's memory, aligned to 16, or to 1024 for Group.
template <class Half, Head head>
LMF_DEVICE void render(Mma<Half, head>, const C2fArguments& c, unsigned char* shared, warp::Position position) {
  const int thread = position.warp * warp::kSize + warp::lane();
  const WarpMemory memory(c, SharedLayout{Stream::kBytes}, shared, position.warp);
  Stream stream(reinterpret_cast<uint4*>(shared), c.packed + c.layout.matrices(), dense::Steered(0), thread);
  render_units<Half, head>(c, memory, stream, position);
  stream.drain();
}

// Copies the matrices [begin, end).
LMF_DEVICE void produce(Ring& ring, const C2fArguments& c, int begin, int end) {
  LMF_KEEP_LOOP
  for (int stage = begin * dense::kPassStages; stage < end * dense::kPassStages; ++stage) {
    ring.produce(c.packed + c.layout.matrices() + stage * dense::kStageVectors);
  }
}

// The same by wgmma: warps 0 to 7 render, warp 8 copies the matrices, and three more belong to its warpgroup.
template <class Half, Head head>
LMF_DEVICE void render(Group<Half, head>, const C2fArguments& c, unsigned char* shared, warp::Position position) {
  const SharedLayout parts{Ring::kBytes};
  const bool renders = position.warp < kWarps;
  Ring ring(shared, shared + parts.bytes());
  if (position.warp == 0 && warp::lane() == 0) ring.init(kWarps);
  warp::block_barrier();  // the barriers are there
  if (renders) {
    warp::more_registers<240>();
    const WarpMemory memory(c, parts, shared, position.warp);
    render_units<Half, head>(c, memory, ring, position);
    return;
  }
  warp::fewer_registers<24>();
  if (position.warp > kWarps) return;
  LMF_KEEP_LOOP
  for (int job = position.block; job < c.jobs; job += position.blocks) {
    for (int side = 0; side < c.sides; ++side) produce(ring, c, 0, c.coarse);
    produce(ring, c, c.coarse, c.coarse + 1);
    for (int tile = 0; tile < c.tiles; ++tile) produce(ring, c, c.coarse + 1, c.layout.passes);
  }
}

}  // namespace lmf::c2f
