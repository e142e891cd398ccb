"""The autoregressive network: what each token may see, what missing modalities change, and that flux is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pytest
import torch

from kernels.autoregressive_model import Description, from_bytes, load, to_bytes
from kernels.brightness import Brightness
from kernels.modalities import Modalities, Scalars, Stamps, Vector
from kernels.nets.autoregressive import TOKENS, Autoregressive, Pooling
from kernels.nets.modality_tokens import spiral
from kernels.nets.weights import WeightsError
from kernels.training.autoregressive_objective import AutoregressiveObjective
from kernels.training.choose_pooling import candidates, embeddings, given, scores
from kernels.training.draws import draws, keys
from kernels.training.recipe import Recipe
from kernels.training.token_loss import token_loss
from kernels.training.trainer import Training

BANDS, SIDE, PATCH, LENGTH = ("g", "r"), 16, 4, 10
FLAT = Brightness("asinh", (1.0,), (0.0,), (1.0,))


def modalities(flux: str = "kept", order: str = "spiral") -> Modalities:
    two = Brightness("asinh", (1.0, 2.0), (0.0, 0.0), (1.0, 1.0))
    return Modalities(
        Stamps(BANDS, SIDE, PATCH, order, flux, two),  # type: ignore[arg-type]
        (Scalars("phot", ("u", "j", "h"), ("mag",) * 3, "none", (20.0,) * 3, (2.0,) * 3),),
        (Vector("spectrum", LENGTH, 4, tuple(np.linspace(400, 900, LENGTH)), "nJy", FLAT),),
    )


def net_of(
    given: Modalities | None = None, what: Modalities | None = None, **options: object
) -> Autoregressive:
    torch.manual_seed(0)
    net = Autoregressive(what or modalities(), layers=3, heads=2, width=16, given=given, **options)  # type: ignore[arg-type]
    with torch.no_grad():  # as if it had learned: everything matters
        for weight in net.parameters():
            weight.add_(0.2 * torch.randn(weight.shape))
    return net.eval()


def batch(n: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    stamps = torch.randn(n, len(BANDS), SIDE, SIDE, generator=draw)
    rows = torch.rand(n, modalities().width, generator=draw) + 0.1
    rows[:, :3] = 20 + 2 * rows[:, :3]
    return stamps, rows


IN_ORDER = torch.arange(3).expand(5, 3)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 7, 8])
def test_the_spiral_visits_every_patch_once_from_the_centre_outwards(side: int) -> None:
    places = spiral(side)
    assert sorted(places.tolist()) == list(range(side * side))
    y, x = places // side, places % side
    ring = torch.maximum((2 * y - side + 1).abs(), (2 * x - side + 1).abs())
    assert (ring.diff() >= 0).all(), "a patch further out comes before one further in"
    steps = (y.diff().abs() + x.diff().abs()).tolist()
    assert steps == [1] * (side * side - 1), "it jumps"


def test_no_token_is_predicted_from_itself_or_later_ones() -> None:
    net, (stamps, rows) = net_of(), batch()
    images = net.images(stamps)
    before = net.predicted(images, rows, IN_ORDER)
    centre_out = spiral(SIDE // PATCH)
    changed = images.clone()
    place = int(centre_out[6])
    y, x = PATCH * (place // 4), PATCH * (place % 4)
    changed[:, :, y : y + PATCH, x : x + PATCH] += 3
    after = net.predicted(changed, rows, IN_ORDER)
    same = [
        torch.allclose(b, a, atol=1e-5)
        for b, a in zip(before[0].outputs[0], after[0].outputs[0], strict=True)
    ]
    assert all(same[:7]), "a patch is predicted from itself"
    assert not any(same[7:]), "later patches do not see it"
    assert not torch.allclose(before[1].outputs, after[1].outputs), "modalities that follow do not see it"


def test_modalities_come_in_the_order_that_is_asked_for() -> None:
    net, (stamps, rows) = net_of(), batch()
    other = stamps + 1
    order = torch.tensor([2, 0, 1]).expand(5, 3)  # scalars, spectrum, stamps
    first = net.predicted(net.images(stamps), rows, order)
    second = net.predicted(net.images(other), rows, order)
    for i in (1, 2):
        torch.testing.assert_close(first[i].outputs, second[i].outputs)
    assert not torch.allclose(first[0].outputs, second[0].outputs)
    mixed = torch.where((torch.arange(5) % 2 == 0)[:, None], order, IN_ORDER)
    torch.testing.assert_close(
        net.predicted(net.images(stamps), rows, mixed)[0].outputs[::2], first[0].outputs[::2]
    )


@pytest.mark.parametrize("lacking", ["phot", "spectrum", "both"])
def test_what_an_object_lacks_changes_nothing(lacking: str) -> None:
    whole, (stamps, rows) = modalities(), batch()
    parts = {"phot": slice(0, 6), "spectrum": slice(6, None), "both": slice(None)}
    rows[:, parts[lacking]] = torch.nan
    given = Modalities(
        whole.stamps,
        whole.scalars if lacking == "spectrum" else (),
        whole.vectors if lacking == "phot" else (),
    )
    left = {"phot": rows[:, 6:], "spectrum": rows[:, :6], "both": None}[lacking]
    torch.testing.assert_close(net_of()(stamps, rows), net_of(given)(stamps, left), atol=1e-5, rtol=1e-5)


def test_a_survey_without_one_of_the_bands_is_encoded_by_the_others() -> None:
    whole, (stamps, rows) = modalities(), batch()
    only_r = Stamps(("r",), SIDE, PATCH, "spiral", "kept", Brightness("asinh", (2.0,), (0.0,), (1.0,)))
    net = net_of(Modalities(only_r, whole.scalars, whole.vectors))
    found = net(stamps[:, 1:], rows)
    assert found.isfinite().all()
    images = net.images(stamps[:, 1:])
    assert images[:, 0].isnan().all()
    torch.testing.assert_close(images[:, 1], net_of().images(stamps)[:, 1])
    weights = net.tokens(images, rows)["stamps"].weights
    assert not weights[:, :, : PATCH**2].any(), "a band that is missing is learned"
    assert weights[:, :, PATCH**2 :].all()
    reordered = Modalities(
        Stamps(("r", "g"), SIDE, PATCH, "spiral", "kept", whole.stamps.brightness),
        whole.scalars,
        whole.vectors,
    )
    torch.testing.assert_close(net_of(reordered)(stamps.flip(1), rows), net_of()(stamps, rows))


def test_flux_is_kept_unless_patches_are_standardised() -> None:
    stamps, rows = batch()
    rows[:] = torch.nan
    brighter = stamps * 3
    kept, lost = net_of(), net_of(what=modalities("standardised"))
    assert (kept(stamps, rows) - kept(brighter, rows)).abs().max() > 0.05
    faint = stamps * 1e-2, stamps * 3e-2  # where asinh is linear
    assert (lost(faint[0], rows) - lost(faint[1], rows)).abs().max() < 1e-3


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As actors have by default: matrices as narrow as these are shared out among threads by rows, whose sums then differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_an_object_has_the_same_bits_beside_any_others() -> None:
    net, (stamps, rows) = net_of(), batch(8)
    rows[3] = torch.nan
    whole = net(stamps, rows)
    moved = torch.tensor([5, 3, 1, 0, 2, 4, 7, 6])
    assert torch.equal(net(stamps[moved], rows[moved]), whole[moved])


def test_gaps_and_unknown_values_are_not_learned() -> None:
    net, (stamps, rows) = net_of(), batch()
    rows[0, 1] = torch.nan  # a magnitude
    rows[1, 6 + 3] = torch.nan  # a value of the spectrum
    rows[2, 6 + LENGTH + 5] = 0.0  # of no weight
    tokens = net.tokens(net.images(stamps), rows)
    assert tokens["phot"].weights[0, :, 0].tolist()[1] == 0
    weights = tokens["spectrum"].weights.flatten(1)
    assert weights[1, 3] == 0
    assert weights[2, 5] == 0
    assert not weights[:, LENGTH:].any(), "what fills the last patch up is learned"
    assert tokens["spectrum"].values.flatten(1)[2, 5] == 0
    changed = rows.clone()
    changed[2, 6 + 5] = 1e6  # what is of no weight is not seen
    torch.testing.assert_close(net(stamps, rows), net(stamps, changed))


def test_an_uncertain_scalar_counts_less() -> None:
    net, (stamps, rows) = net_of(), batch()
    rows[0, 3:6], rows[1, 3:6] = 0.01, 4.0
    weights = net.tokens(net.images(stamps), rows)["phot"].weights
    np.testing.assert_allclose(weights[1, :, 0], 1 / (1 + (4.0 / 2.0) ** 2), rtol=1e-6)
    assert (weights[0] > 0.99).all()


def test_losses_are_those_of_torch() -> None:
    draw = torch.Generator().manual_seed(2)
    values, weights = torch.randn(3, 4, 5, generator=draw), torch.ones(3, 4, 5)
    weights[0, 1] = 0
    outputs = torch.randn(3, 4, 5, generator=draw)
    wanted = torch.nn.functional.huber_loss(outputs[weights > 0], values[weights > 0])
    torch.testing.assert_close(token_loss(outputs, values, weights, 0), wanted)
    outputs = torch.randn(3, 4, 2 * 7, generator=draw)
    mean, deviation, share = outputs.view(3, 4, 2, 7).split([5, 1, 1], dim=3)
    each = torch.distributions.Independent(
        torch.distributions.Normal(mean, deviation.exp().expand_as(mean)), 1
    )
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=share[..., 0]), each
    )
    likelihood = mixture.log_prob(values)[weights[..., 0] > 0].sum()
    torch.testing.assert_close(token_loss(outputs, values, weights, 2), -likelihood / weights.sum())


@pytest.mark.parametrize("components", [0, 3])
def test_it_learns_what_one_modality_says_of_another(components: int) -> None:
    draw = torch.Generator().manual_seed(3)
    size = torch.rand(64, generator=draw)
    stamps = (10 * size)[:, None, None, None] + torch.zeros(64, len(BANDS), SIDE, SIDE)
    rows = torch.full((64, modalities().width), torch.nan)
    rows[:, :3] = 20 + 4 * (size[:, None] - 0.5)
    torch.manual_seed(0)
    net = Autoregressive(modalities(), layers=2, heads=2, width=32, components=components)
    objective = AutoregressiveObjective(net, Recipe(rate=3e-3, precision="float32"), components)
    training = Training(objective, net, 0)
    images, targets = net.images(stamps), torch.cat([rows, torch.arange(64.0)[:, None]], dim=1)
    losses = [float(training.step(images, targets, 0.3, epoch=epoch)["phot"]) for epoch in range(120)]
    assert np.mean(losses[-10:]) < np.mean(losses[:5]) - 0.1
    in_turn = torch.arange(3).expand(64, 3)
    with torch.inference_mode():
        told = net.predicted(images, rows, in_turn)[1]
        blind = net.predicted(images.flip(0), rows, in_turn)[1]
    if not components:
        error = [(each.outputs - each.tokens.values)[:, 0].square().mean() for each in (told, blind)]
        assert error[0] < 0.5 * error[1], "the first scalar is not predicted from the stamp"


def test_a_file_says_what_its_network_is_made_for(tmp_path) -> None:
    about = Description("ar-1m", modalities(), 0, Pooling(3, 4, "each"), "R2 0.9")
    assert Description.from_json(about.to_json()) == about
    assert Modalities.from_values(json.loads(json.dumps(modalities().to_values()))) == modalities()
    torch.manual_seed(0)
    net = about.build().eval()
    data = to_bytes(net, about)
    path = tmp_path / "net.safetensors"
    path.write_bytes(data)
    stamps, rows = batch()
    found, said = from_bytes(data, "net")
    assert said == about
    torch.testing.assert_close(found(stamps, rows), load(path, "ar-1m", SIDE)(stamps, rows))
    torch.testing.assert_close(found(stamps, rows), net(stamps, rows), atol=2e-3, rtol=2e-3)
    with pytest.raises(WeightsError, match="is of ar-1m, not of ar-5m"):
        load(path, "ar-5m", SIDE)
    with pytest.raises(WeightsError, match="looks at stamps of 16 pixels, and these are of 32"):
        load(path, "ar-1m", 32)


def test_the_embedding_is_chosen_by_what_follows_from_it() -> None:
    draw = torch.Generator().manual_seed(4)
    label = torch.randn(200, 1, generator=draw)
    codes = torch.randn(3, 200, 8, generator=draw)
    codes[1, :, 2] += 3 * label[:, 0]
    label[5] = torch.nan
    found = scores(list(codes), label)
    assert found.argmax() == 1
    assert found[1] > 0.8
    poolings = candidates(net_of())
    assert {each.layer for each in poolings} == {1, 2, 3}
    assert {each.over for each in poolings} == {"tokens", "modalities", "each", "scalars"}


def test_embeddings_are_chosen_as_if_everything_were_always_there() -> None:
    net, (stamps, rows) = net_of(), batch()
    parts = given(net)
    assert parts == [("stamps",), ("stamps", "phot"), ("stamps", "spectrum"), ("stamps", "phot", "spectrum")]
    poolings, images = [Pooling(2, 4, "scalars")], net.images(stamps)
    alone, with_scalars, _, everything = (
        embeddings(net, images, rows, poolings, names)[0] for names in parts
    )
    no_spectrum = rows.clone()
    no_spectrum[:, 6:] = torch.nan
    expected = embeddings(net, images, no_spectrum, poolings, parts[-1])[0]
    torch.testing.assert_close(with_scalars, expected, atol=1e-5, rtol=1e-5)
    width = 16
    assert not alone[:, width:].any()
    assert everything[:, -width:].any()


@pytest.mark.parametrize("given", [True, False])
def test_places_that_no_embedding_is_made_of_are_left_out_and_change_nothing(*, given: bool) -> None:
    stamps, rows = batch()
    rows[1, :6] = torch.nan
    pooling = Pooling(3, 4, "each")
    net = net_of(pooling=pooling) if given else net_of(Modalities(modalities().stamps), pooling=pooling)
    tokens = net.tokens(net.images(stamps), rows if given else None)
    (whole,) = net.states(tokens, None, [3], dict.fromkeys(tokens, TOKENS))
    seen = []
    net.blocks[-1].widened.register_forward_hook(lambda layer, args, answer: seen.append(answer.shape[1]))
    found = net(stamps, rows if given else None)
    torch.testing.assert_close(found, net.pooled(whole, tokens, pooling), atol=1e-5, rtol=1e-5)
    assert seen == [4 + 3 + 3 if given else 4]


def test_scalars_by_themselves_are_the_tokens_of_which_each_is_the_mean() -> None:
    stamps, rows = batch()
    rows[1, :6] = torch.nan
    means = net_of(pooling=Pooling(2, 4, "each"))(stamps, rows).unflatten(1, (3, 16))
    apart = net_of(pooling=Pooling(2, 4, "scalars"))(stamps, rows).unflatten(1, (5, 16))
    torch.testing.assert_close(apart[:, 1:4].mean(dim=1), means[:, 1])
    torch.testing.assert_close(apart[:, [0, 4]], means[:, [0, 2]])
    assert not apart[1, 1:4].any(), "what an object lacks is not zero"
    assert (apart[0, 1] != apart[0, 2]).all()
    about = Description("ar-1m", modalities(), 0, Pooling(2, 4, "scalars"))
    assert about.features == about.build().features == 5 * 128


def test_what_is_random_of_an_object_follows_from_its_id_and_the_epoch() -> None:
    objects = torch.from_numpy(keys(np.arange(1000, 1064)))
    whole = draws(objects, 3, 7, 6)
    torch.testing.assert_close(draws(objects[10:20].flip(0), 3, 7, 6), whole[10:20].flip(0))
    assert whole.unique().numel() == whole.numel(), "two numbers follow from one another"
    for other in (draws(objects, 4, 7, 6), draws(objects, 3, 8, 6)):
        assert not (other == whole).any()
    many = draws(torch.from_numpy(keys(np.arange(4000))), 0, 0, 3)
    first = many.argmin(dim=1).bincount() / 4000
    np.testing.assert_allclose(first, 1 / 3, atol=0.04)
    assert {tuple(each) for each in many.argsort(dim=1).tolist()} == set(permutations(range(3)))


def test_the_loss_of_an_object_depends_on_what_it_is_learned_beside() -> None:
    stamps, rows = batch()
    net = net_of()
    objective = AutoregressiveObjective(net, Recipe(precision="float32"), 0)
    images, targets = net.images(stamps), torch.cat([rows, torch.arange(5.0)[:, None]], dim=1)

    def loss(which: list[int], epoch: int) -> float:
        objective.epoch = epoch
        return objective(images[which], targets[which], torch.Generator().manual_seed(len(which)))[0].item()

    together = loss([0, 1, 2, 3, 4], 1)
    assert loss([4, 2, 0, 1, 3], 1) == pytest.approx(together, rel=1e-5)
    assert loss([0, 1, 2, 3, 4], 2) != pytest.approx(together, rel=1e-5)
