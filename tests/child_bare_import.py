"""Run by itself: the package where nothing for pictures or the command line can be imported, and a rendered tensor."""

import sys

BLOCKED = ("PIL", "click", "png", "tifffile", "imagecodecs", "skimage", "matplotlib")
sys.modules.update(dict.fromkeys(BLOCKED))  # None: an import of it raises ImportError

import lmf_kernels as lmf  # noqa: E402
import torch  # noqa: E402


def main():
    model = lmf.load_model(sys.argv[1])
    image = torch.rand(1, 3, 9, 12)
    picture = lmf.upscale(model, image, 2.5)
    assert picture.shape == (1, 3, 22, 30) and picture.std() > 0
    rows = lmf.upscale_rows(model, image, 2.5, layout="nchw", dtype=torch.float32)
    assert torch.equal(torch.cat([part for _, part in rows], dim=2), picture)
    assert torch.equal(lmf.GraphedUpscaler(model, (9, 12), 2.5)(image), picture)
    assert lmf.explain(model).runs and lmf.backends()
    print("rendered")


if __name__ == "__main__":
    main()
