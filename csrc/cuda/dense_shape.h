// The dense layers of the 256-wide decoders on tensor cores: their sizes, and the order in which packed weights lie.
//
// A pass multiplies 16 rows per warp by one 256 x 256 matrix. Narrower layers are padded with zeros. The matrices of
// all passes are streamed through shared memory, stage by stage, in the order in which the lanes use them.
#pragma once

#include <cstdint>

#include "../common/host_device.h"

namespace lmf::dense {

constexpr int kWidth = 256;
constexpr int kRows = 16;            // of a warp's tile: M of a matrix instruction
constexpr int kSteps = kWidth / 16;  // of 16 inputs: K of a matrix instruction
constexpr int kTiles = kWidth / 8;   // of 8 outputs: N of a matrix instruction
constexpr int kPairs = kTiles / 2;   // a lane loads the operands of two tiles at once
constexpr int kStepsPerStage = 2;    // a stage holds 32 inputs x 256 outputs, 16 KB
constexpr int kPassStages = kSteps / kStepsPerStage;
constexpr int kLanes = 32;

// How the matrices of passes are packed: for the lanes of mma.sync, or for wgmma.
enum class Order { lanes, swizzled };

// Sizes in vectors of 16 bytes.
constexpr int kStepVectors = kPairs * kLanes;
constexpr int kStageVectors = kStepsPerStage * kStepVectors;
constexpr int kPassVectors = kPassStages * kStageVectors;
// A bias has four rows, one per lane t = lane % 4, each with the 64 biases of its columns. A row is padded by one
// vector, so that the rows of the four lanes lie in different banks.
constexpr int kBiasRowVectors = kWidth / 16 + 1;
constexpr int kBiasVectors = 4 * kBiasRowVectors;
// The output layer: for each step the operands of the 12 lanes with g = lane / 4 < 3, one output channel per g.
constexpr int kOutLanes = 12;
constexpr int kOutVectors = kSteps * kOutLanes / 2;

// The first layer's inputs are permuted, so that a lane's operands of two steps are eight consecutive channels, which
// it reads at once: the channel of input k of the matrix instructions. A head gives channel(8 i) to channel(8 i + 7) of
// chunk m to lane t = i % 4, in this order: registers 0 and 2 of step 2m, then of step 2m + 1.
LMF_HOST_DEVICE constexpr int head_channel(int k) {
  const int chunk = k / 32, step = k / 16 % 2, half = k / 8 % 2, t = k / 2 % 4;
  return 32 * chunk + 8 * t + 4 * step + 2 * half + k % 2;
}

}  // namespace lmf::dense
