"""What identifies a tensor's present values without reading them."""


def state_of(tensor):
    """(address, version counter, dtype, device, shape, strides) of a tensor.

    Every in-place operation of torch changes the version counter; a write through `tensor.data` is the one edit that
    torch does not count. Tensors of inference mode have no counter: None. An address can be given to another tensor
    once the memory is free, so who keeps a state must hold the memory too, or hear of its end.

    Raises RuntimeError for what stands for a tensor while torch traces.
    """
    version = None if tensor.is_inference() else tensor._version
    return tensor.data_ptr(), version, tensor.dtype, tensor.device, tuple(tensor.shape), tensor.stride()
