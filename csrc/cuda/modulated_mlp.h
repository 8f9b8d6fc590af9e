// The device bodies of the modulated family. Each tag of modulated_plan.h has one:
//
//   render(tag, call, columns, shared, position)
//
// renders this warp's part of the call. All lanes of the block run it together. columns: Plan::columns. shared:
// Plan::shared_bytes bytes of the block's memory, aligned to 16.
#pragma once

#include "modulated_float32.h"
#include "modulated_float32_columns.h"
#include "modulated_mma_columns.h"
#include "modulated_mma_per_pixel.h"
