"""galaxy-d4: what would make its codes change with the turn of a galaxy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from kernels.nets import create, features
from kernels.nets.equivariant import (
    ORDER,
    DepthwiseConv,
    GalaxyD4,
    GroupConv,
    LiftingConv,
    act,
    blur_pool,
    inverse,
    product,
)

TURN, MIRROR = np.array([[0, -1], [1, 0]]), np.array([[1, 0], [0, -1]])
MATRICES = [
    np.linalg.matrix_power(TURN, g % 4) @ np.linalg.matrix_power(MIRROR, g // 4) for g in range(ORDER)
]
"""What the elements do to (y, x), counted from the centre of an image."""


def shaken(net):
    """The network with weights that no symmetry of their first values hides behind."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=draw))
    return net


def moved(fields, element):
    """Fields (n, f * ORDER, y, x) of the moved image: each channel moves, and they change places."""
    places = [product(inverse(element), g) for g in range(ORDER)]
    return act(element, fields).unflatten(1, (-1, ORDER))[:, :, places].flatten(1, 2)


def test_elements_do_not_act_like_their_matrices():
    image = torch.rand(5, 5)
    for g, h in itertools.product(range(ORDER), repeat=2):
        assert torch.equal(act(product(g, h), image), act(g, act(h, image)))
        assert torch.equal(act(inverse(g), act(g, image)), image)
        for y, x in itertools.product(range(-2, 3), repeat=2):
            there = MATRICES[g] @ (y, x)
            assert act(g, image)[there[0] + 2, there[1] + 2] == image[y + 2, x + 2]


def test_group_convolution_is_another_sum():
    """By loops over the definition: out[g](p) = sum over h and q of W[g^-1 h](g^-1 q) in[h](p + q)."""
    net = GroupConv(2, 3, kernel=3).double()
    images = torch.randn(1, 2 * ORDER, 4, 5, dtype=torch.float64)
    found = net(images).detach().numpy().reshape(3, ORDER, 4, 5)
    weight = net.weight.detach().numpy().reshape(3, 2, ORDER, 3, 3)
    padded = np.pad(images.numpy().reshape(2, ORDER, 4, 5), ((0, 0), (0, 0), (1, 1), (1, 1)))
    wanted = np.zeros_like(found) + net.bias.detach().numpy()[:, None, None, None]
    for g, h in itertools.product(range(ORDER), repeat=2):
        back = MATRICES[g].T
        relative = next(e for e in range(ORDER) if (MATRICES[e] == back @ MATRICES[h]).all())
        for y, x in itertools.product((-1, 0, 1), repeat=2):
            dy, dx = back @ (y, x)
            seen = padded[:, h, 1 + y : 5 + y, 1 + x : 6 + x]
            wanted[:, g] += np.einsum("oi,iyx->oyx", weight[:, :, relative, dy + 1, dx + 1], seen)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("side", [6, 7])
@pytest.mark.parametrize("layer", [GroupConv(2, 3, kernel=3), DepthwiseConv(2, 5), blur_pool])
def test_layer_does_not_move_with_its_input(layer, side):
    fields = torch.randn(2, 2 * ORDER, side, side)
    with torch.inference_mode():
        for g in range(ORDER):
            torch.testing.assert_close(layer(moved(fields, g)), moved(layer(fields), g))


@pytest.mark.parametrize("stride", [1, 2])
def test_lifted_image_does_not_move_with_it(stride):
    layer, images = LiftingConv(3, 2, 5, stride=stride), torch.randn(2, 3, 9, 9)
    with torch.inference_mode():
        for g in range(ORDER):
            torch.testing.assert_close(layer(act(g, images)), moved(layer(images), g))


@pytest.mark.parametrize("side", [64, 65, 50, 33, 20])
def test_turned_or_mirrored_galaxy_has_another_code(side):
    net, stamps = shaken(create("galaxy-d4", bands=2, depths=(1, 1, 1, 1))), torch.randn(3, 2, side, side)
    with torch.inference_mode():
        codes = net(stamps)
        assert codes.shape == (3, features("galaxy-d4", bands=2, size=side))
        assert (codes[0] - codes[1]).abs().max() > 0.01 * codes.abs().max()
        for g in range(ORDER):
            assert (net(act(g, stamps)) - codes).abs().max() <= 1e-5 * codes.abs().max()
        apart = torch.cat([net(stamps[:1]), net(stamps[1:])])
    torch.testing.assert_close(apart, codes, atol=1e-5 * float(codes.abs().max()), rtol=0)


def test_gradients_prefer_an_orientation():
    net, stamps = GalaxyD4(1, fields=(1, 2), depths=(1, 1)), torch.randn(4, 1, 17, 17)
    each = []
    for g in range(ORDER):
        net.zero_grad()
        net(act(g, stamps)).square().sum().backward()
        each.append(torch.cat([weight.grad.flatten() for weight in net.parameters()]))
    for gradient in each:
        torch.testing.assert_close(gradient, each[0], atol=1e-4 * float(each[0].abs().max()), rtol=0)


def test_stochastic_depth_is_left_on_or_never_on():
    options = {"bands": 1, "fields": (2, 2), "depths": (1, 1)}
    net, plain = create("galaxy-d4", drop_path=0.9, **options), create("galaxy-d4", **options)
    stamps = torch.randn(8, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(net(stamps), plain(stamps))
        assert not torch.equal(net.train()(stamps), plain(stamps))


def test_stages_without_depths_are_left_out():
    with pytest.raises(ValueError, match="one of each for every stage"):
        create("galaxy-d4", fields=(1, 2), depths=(1,))
