import pytest
import torch
import torch.nn.functional as F

from mmma.models.adapters import TIAdapter
from mmma.models.backbones.videomae import VideoMAEViT
from mmma.models.backbones.videomae_tia import VideoMAETIA

SMALL = dict(embed_dims=24, depth=3, num_heads=3, img_size=32, num_frames=4)


def build(scale=0.2, **kwargs):
    """A small backbone whose parameters, adapters included, are random."""
    torch.manual_seed(0)
    model = VideoMAETIA(SMALL, **kwargs)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return model


def windows(count=1, frames=16, side=32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, frames, side, side, generator=generator)


def train_steps(model, steps, x=None):
    x = windows() if x is None else x
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=0.05, weight_decay=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(x) - 1).square().mean().backward()
        optimizer.step()
    return model


def test_names_are_those_of_opentad():
    with torch.device('meta'):
        ours = set(VideoMAETIA(SMALL).state_dict())
        vit = set(VideoMAEViT(SMALL).state_dict())
    layers = ('down_proj', 'dwconv', 'conv', 'up_proj')
    parts = [f'{layer}.{kind}' for layer in layers for kind in ('weight', 'bias')]
    adapters = {f'blocks.{i}.adapter.{p}' for i in range(3) for p in [*parts, 'gamma']}
    assert ours == {n for n in vit if not n.startswith('fc_norm')} | adapters


@pytest.mark.parametrize('init', [False, True])
def test_it_starts_as_videomae_on_every_chunk(init):
    model, vit = VideoMAETIA(SMALL).eval(), VideoMAEViT(SMALL, return_feat_map=True)
    if init:
        model.init_weights()
    vit.load_state_dict(model.state_dict(), strict=False)
    x = windows(count=2, frames=12)
    maps = [vit.eval()(part).mean(dim=(3, 4)) for part in x.split(4, dim=2)]
    torch.testing.assert_close(model(x), torch.cat(maps, dim=2))


def test_any_number_of_chunks_and_any_size():
    model = build()
    for frames, size in ((4, (32, 32)), (16, (48, 16)), (36, (32, 32))):
        assert model(torch.randn(2, 3, frames, *size)).shape == (2, 24, frames // 2)


def test_an_adapter_is_the_formula_of_the_paper():
    torch.manual_seed(0)
    adapter = TIAdapter(8)
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter)
    n, c, t, s = 2, 3, 4, 5
    tokens = torch.randn(n * c, t * s, 8)
    expected = torch.empty(n, c * t, s, 8)
    whole = tokens.reshape(n, c * t, s, 8)
    for window in range(n):
        for place in range(s):
            x = whole[window, :, place]  # (C*t, D)
            h = F.gelu(adapter.down_proj(x))
            u = adapter.conv(adapter.dwconv(h.T[None]))[0].T
            expected[window, :, place] = x + adapter.gamma * adapter.up_proj(h + u)
    found = adapter(tokens, n, t).reshape(expected.shape)
    torch.testing.assert_close(found, expected)


def changed_slices(model):
    """Slices (of two frames) that change when frame 7, the last of chunk 1, does."""
    x, other = windows(frames=24).double(), windows(frames=24).double()
    other[:, :, 7] += 3
    with torch.no_grad():
        change = (model(x) - model(other)).abs().amax(dim=(0, 1))
    return (change > 1e-14).nonzero()[:, 0].tolist()


def test_one_frame_moves_other_chunks_after_a_step_but_not_before():
    model = build().double()
    for block in model.blocks:
        block.adapter.init_weights()
    assert changed_slices(model) == [2, 3]
    found = changed_slices(train_steps(model, 1, windows().double()))
    # Each adapter reaches one slice further, attention the chunk of two around it:
    # 2-3, 1-4, 0-5, 0-6, 0-7, and the last adapter 0-8.
    assert found == list(range(9))


def test_samples_of_a_batch_never_mix():
    model = build().eval()
    x = windows(count=3, frames=24)
    single = torch.cat([model(window[None]) for window in x])
    torch.testing.assert_close(model(x), single, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('with_cp', [False, True])
def test_frozen_weights_stay_bit_for_bit(with_cp):
    model = build(with_cp=with_cp).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_steps(model, 3)
    same = {n for n, v in model.state_dict().items() if torch.equal(v, before[n])}
    assert same == set(model.frozen_names())
    assert len(before) - len(same) == 3 * 9


def test_frozen_parts_are_in_evaluation_mode_but_for_stochastic_depth():
    model = build(drop_path_rate=0.5).train()
    block = model.blocks[2]
    modes = {name: part.training for name, part in block.named_children()}
    off = dict.fromkeys(('norm1', 'attn', 'norm2', 'mlp'), False)
    assert modes == {**off, 'drop_path': True, 'adapter': True}
    assert not model.patch_embed.training
    assert not any(part.training for part in model.eval().modules())


def test_everything_may_train():
    model = build(frozen=False).train()
    assert model.frozen_names() == []
    assert all(part.training for part in model.modules())
    model(windows()).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize('frozen', [False, True])
def test_checkpointing_changes_no_gradient(frozen):
    gradients = []
    for with_cp in (False, True):
        model = build(with_cp=with_cp, frozen=frozen).train()
        model(windows(count=2)).square().sum().backward()
        gradients.append(
            {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
        )
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def saved_bytes(model, x):
    """Bytes of what the forward pass keeps for the backward pass."""
    kept = {}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(x)
    return sum(kept.values())


def test_checkpointing_keeps_little_for_the_backward_pass():
    x = windows(count=1, frames=32)
    plain = saved_bytes(build(), x)
    tokens = 2 * 32 * 24 * 4 * 2  # slices, places, channels, bytes
    assert saved_bytes(build(with_cp=True), x) < plain / 4
    assert plain > 10 * tokens


def test_frozen_weights_may_be_kept_in_half_the_memory():
    full, half = build(), build(frozen_dtype='bfloat16')
    half.load_state_dict(full.state_dict())
    for name, parameter in half.named_parameters():
        reduced = '.adapter.' not in name and parameter.ndim > 1
        assert parameter.dtype == (torch.bfloat16 if reduced else torch.float32), name
    x = windows()
    expected, found = full(x), half.train()(x)
    assert found.dtype == torch.float32
    assert (found - expected).norm() < 0.05 * expected.norm()
    found.sum().backward()
    assert half.blocks[0].adapter.up_proj.weight.grad.dtype == torch.float32
    model = build(frozen_dtype='bfloat16', with_cp=True).train()
    model(windows()).sum().backward()
    assert model.blocks[0].adapter.gamma.grad.isfinite().all()


def test_bad_options_and_windows_are_refused():
    with pytest.raises(ValueError, match='frozen_dtype'):
        VideoMAETIA(SMALL, frozen_dtype='float16')
    with pytest.raises(ValueError, match='weights that learn stay in float32'):
        VideoMAETIA(SMALL, frozen=False, frozen_dtype='bfloat16')
    with pytest.raises(ValueError, match=r'windows of 18 frames: .* multiples of 4'):
        build()(windows(frames=18))
