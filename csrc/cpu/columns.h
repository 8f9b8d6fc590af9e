// Splits an output row into blocks whose pixels read at most sixteen LR columns, and a block into steps of up to
// sixteen pixels.
#pragma once

#include "../common/geometry.h"
#include "lanes.h"

namespace lmf {
namespace LMF_ISA {
namespace {

constexpr int kMaxSteps = 32;

// Up to sixteen pixels of a row, neighbours but for a step of active pixels. Lanes past `count` repeat the last pixel.
struct alignas(64) Step {
  float rel[2][kLanes], weight[2][kLanes];  // of the left and the right ensemble corner: see AxisCorners
  float rel_nearest[kLanes];
  Select corner[2], nearest;  // which of the block's cells each pixel reads
  bool counts[2];             // whether any pixel has a weight at that corner: at x1 the right one has none
  int64_t x;                  // output column of the first pixel
  int count;
  bool gaps;           // they are no neighbours: lane i is column x + at[i]
  int32_t at[kLanes];  // only with gaps
};

struct Block {
  Step step[kMaxSteps];
  int steps, cells;      // used steps, LR columns read
  int64_t cell0, x_end;  // first LR column; output column after the last pixel
};

// Writes the selection of `count` cells. Lanes past the count repeat the last one.
inline void make_select(const int32_t* cell, int count, Select* s) {
  for (int i = 0; i < kVectors; ++i) {
    int32_t low = kLanes, lane_cell[kVectorWidth];
    for (int j = 0; j < kVectorWidth; ++j) {
      const int lane = i * kVectorWidth + j;
      lane_cell[j] = cell[lane < count ? lane : count - 1];
      low = lane_cell[j] < low ? lane_cell[j] : low;
    }
    const int32_t offset = kSelectSpan == kLanes ? 0 : (low < kLanes - kSelectSpan ? low : kLanes - kSelectSpan);
    s->offset[i] = offset;
    for (int j = 0; j < kVectorWidth; ++j) s->index[i][j] = lane_cell[j] - offset;
  }
}

// Fills a step with the pixels of columns position(0), position(1), ... while they fit: at most sixteen of the
// `available` ones, cells within the block, and within each vector's span. Returns their number.
template <class Position>
inline int fill_step(Position position, int64_t available, int64_t n_in, int64_t n_out, int64_t cell0, Step* st) {
  int32_t cell[3][kLanes];
  int count = 0;
  int32_t first[2] = {0, 0};
  for (; count < kLanes && count < available; ++count) {
    const AxisCorners c = grid_corners(position(count), n_in, n_out);
    if (c.cell[1] - cell0 >= kLanes) break;
    bool fits = true;
    for (int b = 0; b < 2; ++b) {
      const int32_t k = int32_t(c.cell[b] - cell0);
      if (count % kVectorWidth == 0) first[b] = k;
      fits &= k - first[b] < kSelectSpan;
      cell[b][count] = k;
    }
    const int32_t nearest = cell[c.nearest][count];
    // The nearest cell is the left or the right one, so it may span one more cell than either of them alone.
    fits &= nearest - first[0] < kSelectSpan;
    if (!fits) break;
    cell[2][count] = nearest;
    for (int b = 0; b < 2; ++b) {
      st->rel[b][count] = c.rel[b];
      st->weight[b][count] = c.weight[b];
    }
    st->rel_nearest[count] = c.rel[c.nearest];
  }
  if (count == 0) return 0;
  for (int lane = count; lane < kLanes; ++lane) {
    for (int b = 0; b < 2; ++b) {
      st->rel[b][lane] = st->rel[b][count - 1];
      st->weight[b][lane] = st->weight[b][count - 1];
    }
    st->rel_nearest[lane] = st->rel_nearest[count - 1];
  }
  for (int b = 0; b < 2; ++b) {
    make_select(cell[b], count, &st->corner[b]);
    st->counts[b] = false;
    for (int lane = 0; lane < count; ++lane) st->counts[b] |= st->weight[b][lane] != 0.0f;
  }
  make_select(cell[2], count, &st->nearest);
  st->x = position(0);
  st->count = count;
  st->gaps = false;
  return count;
}

// The block that begins at output column x. It ends before column x_end.
inline void make_block(int64_t x, int64_t x_end, int64_t n_in, int64_t n_out, Block* blk) {
  blk->cell0 = grid_corners(x, n_in, n_out).cell[0];
  blk->steps = 0;
  while (blk->steps < kMaxSteps && x < x_end) {
    const int count =
        fill_step([x](int i) { return x + i; }, x_end - x, n_in, n_out, blk->cell0, &blk->step[blk->steps]);
    if (count == 0) break;
    // A step with fewer pixels wastes lanes. In the middle of a row the next block takes these pixels instead, unless
    // they are all that this block has.
    if (count < kLanes && x + count < x_end && blk->steps > 0) break;
    x += count;
    ++blk->steps;
  }
  blk->cells = int(grid_corners(x - 1, n_in, n_out).cell[1] - blk->cell0) + 1;
  blk->x_end = x;
}

// Replaces the block's steps by those of its active pixels from column x on, until there is no room for more. Returns
// the first active column that is left, or the block's end. active: a byte per LR column of the row that owns the
// pixels, at least those from the block's first cell on.
inline int64_t fill_active_steps(int64_t x, int64_t n_in, int64_t n_out, const uint8_t* active, Block* blk) {
  int64_t column[kMaxSteps * kLanes];
  int n = 0, done = 0;
  for (; x < blk->x_end && n < kMaxSteps * kLanes; ++x)
    if (active[x * n_in / n_out - blk->cell0]) column[n++] = x;
  for (blk->steps = 0; blk->steps < kMaxSteps && done < n; ++blk->steps) {
    Step* st = &blk->step[blk->steps];
    const int64_t* next = column + done;
    done += fill_step([next](int i) { return next[i]; }, n - done, n_in, n_out, blk->cell0, st);
    st->gaps = next[st->count - 1] - next[0] >= st->count;
    for (int i = 0; i < st->count; ++i) st->at[i] = int32_t(next[i] - next[0]);
  }
  return done < n ? column[done] : x;
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf
