"""Networks and their weights: what would go wrong without being seen."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kernels.nets import UnknownNetError, create, features
from kernels.nets.weights import WeightsError, bundled, fingerprint, load

SMALL = "timm:test_convnext"


def test_importing_nets_or_making_the_default_encoder_drags_timm_in() -> None:
    code = (
        "import sys, kernels.nets; kernels.nets.create('galaxy-atto')\n"
        "sys.exit('timm' in sys.modules or 'torchvision' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode
        == 0
    )


@pytest.mark.parametrize(
    ("name", "bands", "size"),
    [
        (SMALL, 1, 32),
        ("timm:convnext_atto", 5, 64),
        ("timm:test_vit", 3, 48),
        ("timm:mobilenetv3_small_050", 2, 33),
    ],
)
def test_declared_features_differ_from_the_networks(name: str, bands: int, size: int) -> None:
    net = create(name, bands=bands, size=size)
    with torch.inference_mode():
        assert net(torch.zeros(2, bands, size, size)).shape == (2, features(name, bands=bands, size=size))


def test_trunk_of_galaxy_atto_is_not_timms() -> None:
    dims = (8, 16, 24, 32)
    net = create("galaxy-atto", bands=3, dims=dims, drop_path=0.5)
    options = {"ls_init_value": 1.0, "dims": dims, "drop_path_rate": 0.5}
    own, timms = net.get_submodule("backbone"), create("timm:convnext_atto", bands=3, **options)
    assert list(own.state_dict()) == list(timms.state_dict())
    assert fingerprint(own) == fingerprint(timms)
    images = torch.rand(5, 3, 64, 64)
    for precision in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision):
            assert torch.equal(own(images), timms(images))
    learned = []
    for trained in (own.train(), timms.train()):
        torch.manual_seed(3)
        trained(images).square().sum().backward()
        learned.append([weight.grad for weight in trained.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*learned, strict=True))


def test_workers_get_different_untrained_weights() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = fingerprint(create(SMALL))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert fingerprint(create(SMALL)) == first
    assert fingerprint(create("denoiser")) == fingerprint(create("denoiser"))


def test_unet_changes_the_shape_or_needs_to_know_everything() -> None:
    net = create("galaxy-unet", bands=2, size=24, attributes=3, width=32)
    stamps, time_ = torch.randn(2, 2, 24, 24), torch.tensor([0.1, 1.0])
    told = torch.tensor([[0.5, torch.nan, -1.0], [torch.nan] * 3])
    with torch.inference_mode():
        said = net(stamps, time_, told, torch.ones(2, 3))
    assert said.shape == stamps.shape
    assert bool(said.isfinite().all())
    with pytest.raises(ValueError, match="size 20 must be a multiple of 8"):
        create("galaxy-unet", bands=2, size=20, attributes=3, width=32)


def test_wrong_name_gives_no_hint() -> None:
    with pytest.raises(UnknownNetError, match="convnext_atto"):
        create("timm:convnext_ato")
    with pytest.raises(UnknownNetError, match="denoiser"):
        create("resnet18")
    with pytest.raises(UnknownNetError, match="no encoder"):
        features("denoiser")


def test_absent_network_hangs_for_minutes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)

    def unreachable(*_, timeout: float, **__):
        assert timeout < 10
        raise TimeoutError("no answer")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    start = time.perf_counter()
    with pytest.raises(WeightsError, match=r'convnext_atto.*checkpoint = "file\.safetensors"'):
        create("timm:convnext_atto", pretrained=True)
    assert time.perf_counter() - start < 10


def test_pretrained_rgb_weights_lose_their_meaning_in_other_bands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub
    import timm

    torch.manual_seed(7)
    rgb = timm.create_model("convnext_atto", num_classes=1000).eval()
    path = tmp_path / "model.safetensors"
    save_file(rgb.state_dict(), path)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(path))
    grey = torch.rand(2, 1, 64, 64)
    for bands in (1, 3, 5, 6):
        hub = create("timm:convnext_atto", bands=bands, pretrained=True)
        own = create("timm:convnext_atto", bands=bands)
        load(own, path)
        assert fingerprint(own) == fingerprint(hub)
        if bands == 5:  # RGBRG is no multiple of RGB
            continue
        with torch.inference_mode():
            wanted = rgb.forward_head(rgb.forward_features(grey.expand(-1, 3, -1, -1)), pre_logits=True)
            torch.testing.assert_close(own(grey.expand(-1, bands, -1, -1)), wanted, atol=2e-5, rtol=1e-4)


def test_pickle_is_opened(tmp_path: Path) -> None:
    for name in ("a.pt", "a.pth", "a.bin", "a.ckpt"):
        torch.save({}, tmp_path / name)
        with pytest.raises(WeightsError, match="can run any code"):
            load(create("denoiser"), tmp_path / name)


def test_weights_of_another_network_are_half_loaded(tmp_path: Path) -> None:
    net = create("denoiser")
    before = fingerprint(net)
    path = tmp_path / "w.safetensors"
    stored = net.state_dict()
    stored["encode9.weight"] = stored.pop("encode1.weight").clone()
    stored["encode2.bias"] = torch.zeros(3)
    save_file(stored, path)
    with pytest.raises(WeightsError) as error:
        load(net, path)
    for part in (
        "1 missing: encode1.weight",
        "1 unexpected: encode9.weight",
        "encode2.bias is (3,), not (32,)",
    ):
        assert part in str(error.value)
    assert fingerprint(net) == before
    with pytest.raises(WeightsError, match="no such file"):
        load(net, tmp_path / "none.safetensors")
    path.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load(net, path)


def test_other_weights_have_the_same_fingerprint() -> None:
    net = create("denoiser")
    prints = {fingerprint(net)}
    with torch.no_grad():
        net.decode1.bias[0] += 1e-7
    prints.add(fingerprint(net))
    prints.add(fingerprint(net.half()))
    prints.add(fingerprint(create("denoiser", width=8)))
    assert len(prints) == 4


def test_bundled_weights_grow_large_or_lose_their_card() -> None:
    path = bundled("denoiser")
    assert path.stat().st_size < 1_000_000
    assert all(value.dtype == torch.float16 for value in load_file(path).values())
    card = path.with_suffix(".md").read_text()
    assert all(word in card for word in ("Licence", "Data", "Recipe", "Scores", "Limits"))
    load(create("denoiser"), path)
