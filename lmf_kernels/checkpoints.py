"""Models from files and to files.

Read: the authors' checkpoints, `{"model": {"name", "args", "sd"}, ...}` in a .pth or .pt file, with weights_only=True
always, so that no code in a file ever runs; and our own .safetensors files, whose metadata hold the model's name and
args as JSON under the key "lmf_kernels". Written: .safetensors.
"""

import json
import os
import pickle
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from . import built_in
from .errors import CheckpointError, InputError
from .files import atomic_write
from .models import Decoder, build_model

RUN_WEIGHTS = "weights.safetensors"  # in the folder of a training run
_METADATA_KEY = "lmf_kernels"
_PICKLES = (".pth", ".pt")
_REMEDY = ("load them into a model of lmf_kernels.build_model by its load_state_dict, and write both with "
           "lmf_kernels.save_model")


def load_model(
    path_or_name: str | os.PathLike[str],
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    backend: str = "auto",
) -> Decoder:
    """Load a model, ready to run: in evaluation mode, on `device`.

    Args:
        path_or_name: a .pth or .pt file as the authors' training writes it, a .safetensors file of `save_model`, the
            folder of a training run, or the name of a built-in model.
        device: torch device or its name; None: torch's default device.
        dtype: floating-point type of the weights; None: as stored.
        backend: which backend renders, see `lmf_kernels.backends`.

    Returns:
        models.Decoder. Options that the file leaves out are told from the weights' shapes, else on.

    Raises:
        CheckpointError: there is no such file or name, or the file does not hold a model that we know, whole.
        InputError: the device, dtype or backend is unusable.
    """
    device, dtype = _device(device), _dtype(dtype)
    path = find(path_or_name)
    spec, weights = _read_safetensors(path) if path.lower().endswith(".safetensors") else _read_pickle(path)
    weights = _checked_weights(weights, path)
    try:
        # Built without memory first: nothing of the size that args ask for exists before the weights are known to fit.
        with torch.device("meta"):
            model = build_model(spec, shapes={key: tuple(value.shape) for key, value in weights.items()})
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (RuntimeError, OverflowError):  # torch cannot even name so large a tensor
        raise CheckpointError(f"{path}: its args ask for layers larger than any tensor.") from None
    _check_fit(model.state_dict(), weights, path)
    stored = {value.dtype for value in weights.values() if value.is_floating_point()}
    dtype = dtype or (stored.pop() if len(stored) == 1 else torch.float32)
    # Copies, so that nothing keeps a view into a larger storage or shares one with another parameter.
    weights = {key: torch.empty(value.shape, dtype=dtype if value.is_floating_point() else value.dtype, device=device,
                                memory_format=_memory_format(value, device)).copy_(value)
               for key, value in weights.items()}
    model.load_state_dict(weights, strict=True, assign=True)
    model.backend, model.built_in = backend, built_in.name_of(path)
    return model.eval()


def save_model(model: Decoder, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a model to a .safetensors file that `load_model` reads, whole or not at all.

    Args:
        model: models.Decoder, from `load_model` or `models.build_model`.
        path: the file; its folder exists. What is there is replaced.
        metadata: mapping of names to strings, or to anything that JSON holds, kept in the file for `read_metadata`:
            licence, training data and the like. None: nothing.

    Raises:
        InputError: the model is not one of ours, the metadata are no such mapping, or the path cannot be written or
            has another suffix.
    """
    from safetensors.torch import save

    spec = getattr(model, "spec", None)
    if spec is None or not isinstance(model, torch.nn.Module):
        raise InputError(f"save_model takes a model of load_model or build_model, got a {type(model).__name__}.")
    path = os.fspath(path)
    if not path.lower().endswith(".safetensors"):
        raise InputError(f"Cannot save a model as {path}: give a name that ends in .safetensors.")
    weights = {key: value.detach().cpu().contiguous().clone() for key, value in model.state_dict().items()}
    content = save(weights, {**_metadata_texts(metadata), _METADATA_KEY: json.dumps(spec)})
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.write(content)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `save_model` was given as metadata: {name: string, or what its JSON holds}.

    Raises:
        CheckpointError: there is no such .safetensors file, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = find(path)
    try:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror or error}.") from None
    except SafetensorError:
        raise CheckpointError(f"{path} is damaged or no safetensors file.") from None
    return {name: _value_of(text) for name, text in texts.items() if name != _METADATA_KEY}


def _metadata_texts(metadata):
    """Metadata as safetensors holds them, {name: string}: what is no string becomes JSON."""
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, Mapping) or not all(isinstance(name, str) for name in metadata):
        raise InputError(f"metadata is a mapping of names to strings or JSON values, got {metadata!r:.60}.")
    if _METADATA_KEY in metadata:
        raise InputError(f"The metadata name {_METADATA_KEY!r} is taken: it holds the model's own description.")
    try:
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}
    except (TypeError, ValueError):
        raise InputError("A metadata value is neither a string nor anything that JSON holds.") from None


def _value_of(text):
    """The string itself, or the list or mapping that it is as JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def find(path_or_name):
    """The path of a model's file, as a string, when a file of a known kind is there.

    path_or_name: as for `load_model`.

    Raises:
        CheckpointError: there is no such file or name, or its suffix is unknown.
    """
    if not isinstance(path_or_name, (str, os.PathLike)) or isinstance(os.fspath(path_or_name), bytes):
        raise CheckpointError(f"A model is given as a file or a name, got a {type(path_or_name).__name__}.")
    path = os.fspath(path_or_name)
    shipped = built_in.path_of(path)
    if shipped:
        return shipped
    if os.path.isdir(path):
        if not os.path.exists(os.path.join(path, RUN_WEIGHTS)):
            raise CheckpointError(f"{path} is a folder without {RUN_WEIGHTS}, which a training run would have written; "
                                  "give a checkpoint file.")
        path = os.path.join(path, RUN_WEIGHTS)
    suffix = os.path.splitext(path)[1].lower()
    if not os.path.exists(path):
        if not suffix and os.path.basename(path) == path:
            known = f"there are {', '.join(built_in.names())}" if built_in.names() else "none ships with this version"
            raise CheckpointError(f"There is no built-in model '{path}' ({known}) and no such file; "
                                  "give a .pth or .safetensors file.")
        raise CheckpointError(f"There is no file {path}.")
    if suffix not in (*_PICKLES, ".safetensors"):
        raise CheckpointError(f"{path} has an unknown suffix; a checkpoint ends in {', '.join(_PICKLES)} "
                              "or .safetensors.")
    return path


def _read_pickle(path):
    """(spec, weights) of an authors' checkpoint."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickle protocols; either the file reads or we say why not
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror or error}.") from None
    except pickle.UnpicklingError as error:
        if any(sign in str(error) for sign in ("GLOBAL", "reduce", "Can only")):  # well-formed, but not plain data
            raise CheckpointError(f"{path} was refused: it holds Python objects, not only tensors and plain values, "
                                  "and loading those could run code; save it again as the model's spec and weights."
                                  ) from None
        raise CheckpointError(f"{path} is damaged or not a checkpoint: it cannot be unpickled.") from None
    except Exception:  # torch and zip report damage with many types; none of their texts helps a user
        raise CheckpointError(f"{path} is damaged or not a checkpoint: torch cannot read it.") from None
    spec = content.get("model") if isinstance(content, Mapping) else None
    if isinstance(content, Mapping) and any(map(_is_state_dict, (content, *content.values()))):
        raise CheckpointError(f"{path} holds bare weights (a state_dict), not which model they are for; {_REMEDY}.")
    if not isinstance(spec, Mapping) or not {"name", "args", "sd"} <= set(spec):
        raise CheckpointError(f"{path} is no checkpoint of a known kind: it should hold "
                              "{'model': {'name', 'args', 'sd'}}, as the authors' training writes it.")
    return {"name": spec["name"], "args": spec["args"]}, spec["sd"]


def _read_safetensors(path):
    """(spec, weights) of a file of save_model."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            spec = (file.metadata() or {}).get(_METADATA_KEY)
            weights = {key: file.get_tensor(key) for key in file.keys()}
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror or error}.") from None
    except SafetensorError:
        raise CheckpointError(f"{path} is damaged or no safetensors file.") from None
    if spec is None:
        raise CheckpointError(f"{path} holds tensors, but its metadata name no model; {_REMEDY}.")
    try:
        return json.loads(spec), weights
    except ValueError:
        raise CheckpointError(f"{path} is damaged: its metadata do not describe a model.") from None


def _is_state_dict(content):
    """Whether it is what a module's `state_dict` gives: {name: tensor}."""
    return isinstance(content, Mapping) and len(content) > 0 and all(map(torch.is_tensor, content.values()))


def _checked_weights(weights, path):
    """The state dict, when it is one: {name: dense tensor}."""
    if not isinstance(weights, Mapping) or not weights:
        raise CheckpointError(f"{path} holds no weights.")
    for key, value in weights.items():
        if not isinstance(key, str) or not torch.is_tensor(value):
            raise CheckpointError(f"{path}: the weight {key!r:.80} is no tensor.")
        if value.layout != torch.strided:
            raise CheckpointError(f"{path}: the weight {key} is {value.layout}; weights are dense tensors.")
    return dict(weights)


def _check_fit(wanted, given, path):
    """One sentence for the first weight that is missing, unknown, or of another shape or kind."""
    missing = [key for key in wanted if key not in given]
    unknown = [key for key in given if key not in wanted]
    for what, keys in (("lacks the weight", missing), ("has the unknown weight", unknown)):
        if keys:
            more = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
            raise CheckpointError(f"{path} {what} {keys[0]:.80}{more}; its args describe another model.")
    for key, value in wanted.items():
        if value.shape != given[key].shape:
            raise CheckpointError(f"{path}: the weight {key} is {tuple(given[key].shape)}, "
                                  f"but the model's args make it {tuple(value.shape)}.")
        if value.is_floating_point() != given[key].is_floating_point():  # SwinIR's index is the only integer one
            kind = "a floating-point" if value.is_floating_point() else "an integer"
            raise CheckpointError(f"{path}: the weight {key} is {given[key].dtype}; it should be {kind} tensor.")


def _device(device):
    """A torch device that is there."""
    try:
        device = torch.get_default_device() if device is None else torch.device(device)
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, TypeError, ValueError):  # NotImplementedError, of "meta", is a RuntimeError
        raise InputError(f"The device {device!r:.40} cannot be used here; give 'cpu', or 'cuda' where there is a GPU."
                         ) from None
    return device


def _memory_format(weight, device):
    """How a weight lies in memory. Models run channels last: cuDNN would reorder any other filter in every call."""
    on_gpu = device.type == "cuda" and weight.dim() == 4
    return torch.channels_last if on_gpu else torch.contiguous_format


def _dtype(dtype):
    """A floating-point dtype or None."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise InputError(f"dtype is a floating-point torch dtype or None, got {dtype!r:.40}.")
    return dtype
