"""viewpoints: its sixteen parts are those of the paper, and so are its numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels.nets import create
from kernels.nets.equivariant import ORDER, act
from kernels.nets.viewpoints import VIEWS, corner_side, diagonal_grid, viewpoints


def seen(stamps):
    return viewpoints(stamps, diagonal_grid(stamps.shape[-1]))


def test_parts_are_not_the_papers():
    stamp = torch.arange(69 * 69.0).reshape(1, 1, 69, 69)
    image = stamp[0, 0].numpy()
    published = [  # of its MultiRotSliceLayer
        image[:45, :45],
        image[:45, :-46:-1].T,
        image[:-46:-1, :-46:-1],
        image[:-46:-1, :45].T,
    ]
    parts = seen(stamp)[0, :, 0].numpy()
    assert parts.shape == (VIEWS, 45, 45)
    for part in parts[:4]:
        assert sum(np.array_equal(part, other) for other in published) == 1
        assert part[34, 34] == image[34, 34], "the centre is at the lower right"
    assert len({part.tobytes() for part in parts}) == VIEWS


def test_stamp_is_turned_by_another_angle():
    stamp = torch.zeros(1, 1, 69, 69)
    stamp[..., 34, 44] = 1  # 10 pixels beside the centre; 7.07 and 7.07 once turned
    brightest = {np.unravel_index(part.argmax(), part.shape) for part in seen(stamp)[0, 8:, 0].numpy()}
    assert brightest == {(27, 27), (27, 41), (41, 27), (41, 41)}


@pytest.mark.parametrize("side", [69, 64, 47])
def test_turned_or_mirrored_stamp_shows_other_parts(side):
    stamp = torch.rand(1, 2, side, side)
    parts = seen(stamp)[0]
    for g in range(ORDER):
        apart = (seen(act(g, stamp))[0][:, None] - parts[None]).abs().amax(dim=(2, 3, 4))
        assert (apart < 1e-4).sum(dim=0).tolist() == [1] * VIEWS
        assert (apart < 1e-4).sum(dim=1).tolist() == [1] * VIEWS


def test_network_has_another_size_than_the_papers():
    with torch.device("meta"):
        net = create("viewpoints", bands=3, size=69)
        assert net(torch.zeros(2, 3, 69, 69)).shape == (2, 2048)
    convolutions = [(3, 32, 6, 40), (32, 64, 5, 16), (64, 128, 3, 6), (128, 128, 3, 4)]
    wanted = sum(a * b * k**2 + b * side**2 for a, b, k, side in convolutions)  # biases differ by pixel
    wanted += (VIEWS * 128 * 2**2 + 1) * 4096 + (2048 + 1) * 4096
    assert sum(weight.numel() for weight in net.parameters()) == wanted


def test_dropout_is_left_on_or_never_on():
    net, stamps = create("viewpoints", bands=1, size=46, width=2, dense=8), torch.rand(3, 1, 46, 46)
    with torch.inference_mode():
        assert torch.equal(net(stamps), net(stamps))
        assert not torch.equal(net.train()(stamps), net(stamps))


def test_smaller_stamp_than_the_layers_need_is_a_riddle():
    with pytest.raises(ValueError, match="at least 46 pixels, not 45"):
        create("viewpoints", size=45)
    assert corner_side(46) == 30
