// Bilinear resizing of a window of a picture, with the epilogue and the store of a render.
#pragma once

#include "../common/params.h"

namespace lmf {

// Writes the window `call.out` of the picture `call.source` resized to out.height x out.width.
void resize_bilinear(const BilinearCall& call);

}  // namespace lmf
