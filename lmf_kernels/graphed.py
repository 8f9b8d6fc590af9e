"""Many pictures of one size, as a video's frames: the whole pipeline in one CUDA graph."""

import copy

import torch
from torch import Tensor

from .backends import packed_weights, requested
from .errors import InputError
from .models import Decoder
from .ops.arguments import whole_numbers
from .request import Scale, Size, check_model, check_request, check_result
from .upscale import run_stages

WARM_UPS = 3  # calls before a capture: libraries choose their algorithms, weights are packed, kernels are loaded


class GraphedUpscaler:
    """`upscale` for many pictures of one size.

        frames = lmf_kernels.GraphedUpscaler(model, (180, 320), scale=4)
        for image in video:                     # (1, 3, 180, 320)
            picture = frames(image)             # (1, 3, 720, 1280)

    On a GPU the encoder, the latent stage and the render stage are captured once into a CUDA graph; a call copies its
    picture in and replays the graph, one launch instead of about a hundred. On the CPU a call runs the stages as they
    are. Results are those of `upscale`. The graph has not run on a GPU yet.

    Args:
        model: from `lmf_kernels.load_model`. It is copied: later changes to it have no effect here. Its backend is also
            fixed now, including one from `use_backend`.
        lr_size: (h, w) of every picture, in pixels.
        scale, size: as for `upscale`.
        batch: pictures per call.
        dtype, layout: of the result, as for `upscale`.

    Attributes:
        size: (H, W) of the result.

    One object serves one call at a time, on one CUDA stream at a time. It keeps its buffers, intermediate results
    included, while it lives.

    Raises:
        InputError: the model, a size, dtype or layout cannot be used; the message has the reason.
        BackendError: the backend that the model asks for cannot run this.
    """

    def __init__(
        self,
        model: Decoder,
        lr_size: tuple[int, int],
        scale: Scale | None = None,
        size: Size | None = None,
        *,
        batch: int = 1,
        dtype: torch.dtype = torch.float32,
        layout: str = "nchw",
    ) -> None:
        check_model(model)
        shape = (*whole_numbers("batch", (batch,), 1), 3, *whole_numbers("lr_size", lr_size, 2))
        if min(shape) < 1:
            raise InputError(f"batch {shape[0]} of {shape[3]}x{shape[2]} pixels: each must be 1 or more.")
        check_result(dtype, layout)
        with torch.inference_mode(False), torch.no_grad():  # buffers of inference mode could not be written outside it
            model = copy.deepcopy(model)  # a graph reads the weights, packed ones included, where they lay
            model.backend = requested(model.backend)
            parameter = next(model.parameters())
            self._image = torch.zeros(shape, dtype=parameter.dtype, device=parameter.device)
            self.size = check_request(model, self._image, scale, size)

            def run():
                return run_stages(model, self._image, self.size, dtype=dtype, layout=layout)

            if parameter.device.type == "cuda":
                self._replay, self._result = capture(run, parameter.device)
            else:
                self._result = run()

                def replay():
                    self._result.copy_(run())

                self._replay = replay

    @torch.no_grad()
    def __call__(
        self,
        image: Tensor,  # (batch, 3, h, w), values in [0, 1]
        copy: bool = True,
    ) -> Tensor:
        """Upscale one batch of pictures.

        Args:
            image: floating point, of the model's dtype and on its device.
            copy: False: the result is the object's own buffer, which the next call overwrites.

        Returns:
            Tensor (batch, 3, H, W) in [0, 1], or (batch, H, W, 3) in layout "nhwc".

        Raises:
            InputError: the image has another shape, dtype or device.
        """
        self._check(image)
        self._image.copy_(image)
        self._replay()
        return self._result.clone() if copy else self._result

    def _check(self, image):
        own = self._image
        if not torch.is_tensor(image):
            raise InputError(f"The image is a tensor {tuple(own.shape)}, got a {type(image).__name__}.")
        if (image.shape, image.dtype, image.device) != (own.shape, own.dtype, own.device):
            raise InputError(
                f"This object takes images {tuple(own.shape)} of {own.dtype} on {own.device}, got "
                f"{tuple(image.shape)} of {image.dtype} on {image.device}; make another GraphedUpscaler for others.")


def capture(run, device):
    """Capture what `run()` does on `device` into a CUDA graph.

    run: takes nothing, allocates freely, returns a tensor; it must not wait for the device, and the weights that it
        uses must not change afterwards.
    Returns (replay, result): `replay()` does it again on the current stream, and `result`, always the same tensor, then
    holds what `run` would return.
    """
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph, packed = torch.cuda.CUDAGraph(), []
        with packed_weights.held_by(packed), torch.cuda.graph(graph, stream=stream):
            result = run()

    def replay():
        with torch.cuda.device(device):
            graph.replay()

    replay.reads = packed  # the graph reads them where they lie
    return replay, result
