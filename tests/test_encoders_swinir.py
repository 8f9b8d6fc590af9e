"""SwinIR: attention pair by pair, padding, its window grid, and the constants that published state dicts hold."""

import copy
import random

import numpy
import pytest
import torch

from lmf_kernels.encoders import make_encoder
from lmf_kernels.encoders.swin_blocks import WindowAttention
from lmf_kernels.encoders.swin_windows import pad_to_windows, relative_position_index, window_grid


def encoder(**args):
    """A small SwinIR in float64 and evaluation mode, weights large enough that attention matters."""
    args = {"img_size": 8, "window_size": 4, "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 3], **args}
    made = make_encoder({"name": "swinir", "args": args}).double().eval()
    with torch.no_grad():
        for value in made.parameters():
            value.add_(0.2 * torch.randn_like(value))
    return made


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_attention_is_what_the_paper_says_pair_by_pair(shift, seed):
    window, heads, size, (height, width) = 4, 2, 3, (8, 12)
    attention = WindowAttention(heads * size, window, heads, qkv_bias=True, qk_scale=None).double().eval()
    with torch.no_grad():
        for value in attention.parameters():
            value.copy_(torch.randn_like(value))
    x = torch.randn(2, height, width, heads * size, dtype=torch.float64)
    grid = window_grid(2, height, width, window, shift, x)
    rows = attention(x.flatten(0, 2).index_select(0, grid.order), grid, relative_position_index(window))
    got = rows.index_select(0, grid.inverse).view(x.shape)

    # Every token looks at the tokens of its own image in its window; the window grid starts `shift` pixels in, and what
    # lies before it or after the last whole window are windows of their own.
    row, column = torch.arange(height).repeat_interleave(width), torch.arange(width).repeat(height)
    room = ((row - shift) // window) * 100 + (column - shift) // window
    table = attention.relative_position_bias_table.view(2 * window - 1, 2 * window - 1, heads)
    for image in range(2):
        q, k, v = attention.qkv(x[image].flatten(0, 1)).view(-1, 3, heads, size).permute(1, 2, 0, 3)
        logits = q @ k.transpose(1, 2) / size**0.5
        down, right = row[:, None] - row, column[:, None] - column
        together = room[:, None] == room
        logits = logits + table[(down + window - 1).clamp(0, 2 * window - 2),
                                (right + window - 1).clamp(0, 2 * window - 2)].permute(2, 0, 1)
        weights = logits.masked_fill(~together, -torch.inf).softmax(dim=-1)
        expected = attention.proj((weights @ v).permute(1, 0, 2).flatten(1)).view(height, width, -1)
        assert (got[image] - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (3, 9), (8, 5), (16, 8), (1, 20)])
def test_padding_is_a_reflection_at_the_bottom_and_right(size, seed):
    image = torch.randn(2, 3, *size)
    target = [-(-side // 8) * 8 for side in size]
    expected = numpy.pad(image.numpy(), ((0, 0), (0, 0), *((0, n - side) for n, side in zip(target, size))), "reflect")
    assert torch.equal(pad_to_windows(image, 8), torch.from_numpy(expected))
    model = encoder()
    with torch.no_grad():
        padded = model(pad_to_windows(image.double(), model.window))
        assert torch.allclose(model(image.double()), padded[..., :size[0], :size[1]], rtol=0, atol=1e-12)


@pytest.mark.parametrize("args", [{}, {"window_size": 3, "img_size": 9}, {"resi_connection": "3conv", "depths": [1, 3]},
                                  {"img_size": 4}])
def test_the_receptive_field_is_exact_on_the_window_grid(args, seed):
    model = encoder(**args)
    reach, window = model.receptive_field, model.window
    start = -(-reach // window) * window
    farthest = 0
    for at in range(start, start + window):
        image = torch.randn(1, 3, window, 2 * start + 2 * window, dtype=torch.float64, requires_grad=True)
        model(image)[..., at].sum().backward()
        columns = image.grad[0].abs().sum(dim=(0, 1))
        touched = (columns > 1e-25 * columns.max()).nonzero().flatten()  # a mask of -100 lets e^-100 through
        farthest = max(farthest, at - touched[0].item(), touched[-1].item() - at)
    assert farthest == reach


def test_a_crop_on_the_window_grid_has_the_features_of_the_whole(seed):
    model = encoder()
    reach, window = model.receptive_field, model.window
    whole = torch.randn(1, 3, 9, 3 * reach + 30, dtype=torch.float64)
    first = window * random.Random(seed).randint(1, 3)
    last = first + 2 * reach + 7
    with torch.no_grad():
        expected, got = model(whole), model(whole[..., first:last])
        moved = model(whole[..., first + 1:last])
    inside = slice(reach, -reach)
    expected = expected[..., first:last]
    assert torch.allclose(got[..., inside], expected[..., inside], rtol=0, atol=1e-11)
    assert not torch.allclose(moved[..., inside], expected[..., 1:][..., inside], rtol=0, atol=1e-6)


def test_the_state_dict_has_the_published_constants(seed):
    model = encoder(img_size=[8, 12])
    weights = model.state_dict()
    constants = set(weights) - set(dict(model.named_parameters()))
    start = "layers.{}.residual_group.blocks.{}."
    assert constants == {start.format(i, j) + "attn.relative_position_index" for i in (0, 1) for j in (0, 1)} | {
        start.format(i, 1) + "attn_mask" for i in (0, 1)}
    index = weights[start.format(0, 0) + "attn.relative_position_index"]
    assert index.dtype == torch.int64 and index.shape == (16, 16)
    assert index[0, 0] == 24 and index[0, 15] == 0 and index[15, 0] == 48 and index[1, 0] == 25 and index[4, 0] == 31
    mask = weights[start.format(1, 1) + "attn_mask"]
    assert mask.dtype == torch.float64 and mask.shape == (6, 16, 16)
    grid = window_grid(1, 8, 12, 4, 2, mask)
    # Windows with the same mask come together: the image's 2 x 3 windows, then bottom, right, corner.
    listed = [one for one, count in zip(grid.masks, grid.counts) for _ in range(count)]
    for window, of_group in zip((0, 1, 3, 4, 2, 5), listed, strict=True):
        assert torch.equal(mask[window], torch.zeros(16, 16).double() if of_group is None else of_group)
    assert set(mask.unique().tolist()) == {0.0, -100.0}


def test_constants_in_a_file_are_not_read_and_may_be_missing(seed):
    model, image = encoder(), torch.randn(1, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        before = model(image)
        weights = model.state_dict()
        for key in set(weights) - set(dict(model.named_parameters())):
            weights[key] = torch.full_like(weights[key], 10**6)
        twin = encoder()
        twin.load_state_dict(weights, strict=True)
        assert torch.equal(twin(image), before)
        twin = encoder()
        twin.load_state_dict(dict(model.named_parameters()), strict=True)
        assert torch.equal(twin(image), before)
        assert torch.equal(copy.deepcopy(model)(image), before)
    with pytest.raises(RuntimeError, match="attn_other"):
        model.load_state_dict({**weights, "layers.0.residual_group.blocks.0.attn_other": torch.zeros(1)})


def test_a_model_without_memory_has_a_state_dict_without_memory():
    with torch.device("meta"):
        large = make_encoder({"name": "swinir", "args": {"img_size": 2**16}})
    mask = large.state_dict()["layers.0.residual_group.blocks.1.attn_mask"]
    assert mask.is_meta and mask.shape == (2**26, 64, 64)


def test_stochastic_depth_is_for_training_only(seed):
    model, image = encoder(drop_path_rate=0.5), torch.randn(4, 3, 8, 8, dtype=torch.float64)
    drops = [block.drop for group in model.layers for block in group.residual_group["blocks"]]
    assert drops == pytest.approx([0, 0.5 / 3, 1 / 3, 0.5])
    with torch.no_grad():
        assert torch.equal(model(image), model(image))
        model.train()
        assert any(not torch.equal(model(image), model(image)) for _ in range(20))
        block = model.layers[1].residual_group["blocks"][1]
        kept = block._dropped(torch.ones(1000, 1, 1, 1, dtype=torch.float64)).flatten()
    assert set(kept.tolist()) == {0.0, 2.0}
    assert abs(kept.mean() - 1) < 0.3
