// Where the 16 pixels of a warp's tile lie among the LR cells, in shared memory. One lane computes a pixel's corners
// once, the four lanes with its row read them at each corner: registers are scarce.
#pragma once

#include "coordinates.h"
#include "dense_shape.h"
#include "unroll.h"

namespace lmf::plain {

constexpr int kCorners = 4;

// One pixel at one corner of the ensemble: a Row of dense_heads.h.
struct PixelCorner {
  int64_t offset;  // of the cell's parameters in the fields, in elements
  float rel_y, rel_x, weight;
  float rel_cell_y, rel_cell_x;

  // base + W_rel rel + W_cell rel_cell
  LMF_DEVICE float affine(float base, const float4& w) const {
    base = warp::fma(w.w, rel_cell_x, warp::fma(w.z, rel_cell_y, base));
    return warp::fma(w.y, rel_x, warp::fma(w.x, rel_y, base));
  }
  // freq rel + phase rel_cell
  LMF_DEVICE float angle(float freq_y, float freq_x, float phase_y, float phase_x) const {
    const float fixed = warp::fma(phase_x, rel_cell_x, phase_y * rel_cell_y);
    return warp::fma(freq_y, rel_y, warp::fma(freq_x, rel_x, fixed));
  }
};

// The 16 pixels of a row, or query points, that a warp renders at a time.
struct Tile {
  int64_t batch, row, col;  // of the first pixel

  // Column of pixel p, or -1 beyond the end of the row.
  LMF_DEVICE int64_t column(const Output& o, int p) const { return col + p < o.cols ? col + p : -1; }
};

class CornerTable {
 public:
  static constexpr int kBytesPerWarp = dense::kRows * (kCorners * (16 + 8) + 8);

  // shared: kBytesPerWarp bytes for each warp of the block.
  LMF_DEVICE CornerTable(unsigned char* shared, int warp)
      : where_(reinterpret_cast<float4*>(shared + warp * kBytesPerWarp)),
        offsets_(reinterpret_cast<int64_t*>(where_ + dense::kRows * kCorners)),
        rel_cells_(reinterpret_cast<float2*>(offsets_ + dense::kRows * kCorners)) {}

  // Computes the corners of a tile. Pixels beyond the end of the row have those of the last one. A barrier must follow
  // before the first read.
  LMF_DEVICE void fill(const RenderCall& call, bool ensemble, const Tile& tile) const {
    const int pixel = warp::lane();
    if (pixel >= dense::kRows) return;
    const int64_t col = tile.column(call.out, pixel);
    const PixelCoordinates at = pixel_coordinates(call, tile.batch, tile.row, col < 0 ? call.out.cols - 1 : col);
    warp::shared_store(rel_cells_ + pixel, float2{at.rel_cell_y, at.rel_cell_x});
    LMF_KEEP_LOOP
    for (int corner = 0; corner < (ensemble ? kCorners : 1); ++corner) {
      const int a = ensemble ? corner >> 1 : at.y.nearest, b = ensemble ? corner & 1 : at.x.nearest;
      const int64_t cell_y = pick(a, at.y.cell[0], at.y.cell[1]), cell_x = pick(b, at.x.cell[0], at.x.cell[1]);
      const float weight = pick(a, at.y.weight[0], at.y.weight[1]) * pick(b, at.x.weight[0], at.x.weight[1]);
      warp::shared_store(
          where_ + corner * dense::kRows + pixel,
          float4{pick(a, at.y.rel[0], at.y.rel[1]), pick(b, at.x.rel[0], at.x.rel[1]), ensemble ? weight : 1.0f, 0.0f});
      warp::shared_store(offsets_ + corner * dense::kRows + pixel,
                         cell_offset(call.fields, tile.batch, cell_y, cell_x));
    }
  }

  LMF_DEVICE PixelCorner at(int corner, int pixel) const {
    const float4 where = warp::shared_load(where_ + corner * dense::kRows + pixel);
    const float2 rel_cell = warp::shared_load(rel_cells_ + pixel);
    const int64_t offset = warp::shared_load(offsets_ + corner * dense::kRows + pixel);
    return {offset, where.x, where.y, where.z, rel_cell.x, rel_cell.y};
  }

  // Weight of a pixel at a corner.
  LMF_DEVICE float weight(int corner, int pixel) const {
    return warp::shared_load(&where_[corner * dense::kRows + pixel].z);
  }

 private:
  float4* where_;  // (corners, pixels): rel_y, rel_x, weight
  int64_t* offsets_;
  float2* rel_cells_;
};

}  // namespace lmf::plain
