"""Networks by name: ``timm:NAME`` for any model of timm, or one of our own, each in a file of its own; `kernels.networks` lists them.

Importing this package is cheap: timm is imported by the function that needs it, after the remedy of `_torchvision`.
"""

from __future__ import annotations

import difflib
import functools
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from kernels.nets import _compiler, _torchvision
from kernels.networks import NETWORKS, UnknownNetError, network_of

if TYPE_CHECKING:
    from types import ModuleType

    from torch import nn

__all__ = ["UnknownNetError", "create", "features"]

_SEED = 0
_PATIENCE = 5.0  # seconds that the hub has to answer


def create(
    name: str, *, bands: int = 1, size: int = 64, pretrained: bool = False, **options: Any
) -> nn.Module:
    """Build a network, in evaluation mode, float32 on the CPU.

    Untrained weights are the same in every process: they are drawn from one seed, and the caller's random state is left alone.

    Parameters
    ----------
    name : str
        ``timm:NAME``, without its classifier, or one of `kernels.networks.NETWORKS`. Encoders: (n, bands, size, size) ->
        (n, features).
    bands : int
        Input channels. In timm nets pretrained RGB filters are summed for one band, repeated and scaled for others.
    size : int
        Side of the input in pixels, for timm nets of fixed size (ViT, Swin...) and those of ours whose weights depend on it;
        others take any.
    pretrained : bool
        Take timm's weights from the Hugging Face hub or its local cache; safetensors only.
    **options
        Passed to the network.

    Raises
    ------
    UnknownNetError
        With the nearest names.
    kernels.nets.weights.WeightsError
        When pretrained weights cannot be had.
    """
    if name in NETWORKS:
        if NETWORKS[name].described:
            raise UnknownNetError(f'"{name}" is made for what its weights\' file describes: give one')
        if pretrained:
            from kernels.nets.weights import WeightsError  # noqa: PLC0415

            raise WeightsError(f'"{name}" has no weights on the hub; give checkpoint = "file.safetensors"')
        network, stamps = NETWORKS[name], {"bands": bands, "size": size}
        given = {**{key: stamps[key] for key in network.shape}, **network.options, **options}
        return _seeded(getattr(import_module(network.module), network.attribute), given)
    timm, model, fixed = _timm(name, bands, size)
    if pretrained:
        options = {**options, "pretrained": True, "pretrained_cfg_overlay": {"file": _download(timm, model)}}
    return _seeded(timm.create_model, {"model_name": model, **fixed, **options})


@functools.lru_cache(maxsize=64)
def features(name: str, *, bands: int = 1, size: int = 64, **options: Any) -> int:
    """Length of the network's pooled feature vector. timm's, which may be large, are looked at on the meta device: no weights are made or loaded."""
    if network_of(name).role != "encoder":
        raise UnknownNetError(f'"{name}" is no encoder: it has no pooled features')
    with torch.device("cpu" if name in NETWORKS else "meta"), torch.no_grad(), _compiler.left_out():
        if name in NETWORKS:
            net = create(name, bands=bands, size=size, **options)
        else:
            timm, model, fixed = _timm(name, bands, size)
            net = timm.create_model(model, **fixed, **options).eval()
        # a forward pass, because some heads widen what timm declares as num_features
        return int(net(torch.zeros(1, bands, size, size)).shape[-1])


def _timm(name: str, bands: int, size: int) -> tuple[ModuleType, str, dict[str, Any]]:
    """The timm package, its name of the model, and the arguments that make it an encoder of these bands and size."""
    network_of(name)
    model = name.partition(":")[2]
    with _compiler.left_out():
        _torchvision.install()
        import timm  # noqa: PLC0415

    if not timm.is_model(model):
        near = difflib.get_close_matches(model, timm.list_models(), n=3)
        raise UnknownNetError(f'timm {timm.__version__} has no model "{model}"; the nearest names are {near}')
    arguments: dict[str, Any] = {"in_chans": bands, "num_classes": 0}
    config = timm.models.get_pretrained_cfg(model)
    if config is not None and config.fixed_input_size:
        arguments["img_size"] = size
    return timm, model, arguments


def _seeded(build: Any, options: dict[str, Any]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)
        net: nn.Module = build(**options)
    return net.eval()


def _download(timm: ModuleType, model: str) -> str:
    """Local path of a model's pretrained weights; a hub that does not answer is an error within seconds."""
    import huggingface_hub  # noqa: PLC0415

    from kernels.nets.weights import WeightsError  # noqa: PLC0415

    advice = (
        f'fetch its model.safetensors elsewhere and give checkpoint = "file.safetensors" (model timm:{model})'
    )
    config = timm.models.get_pretrained_cfg(model)
    if config is None or not config.hf_hub_id:
        raise WeightsError(f"timm has no pretrained weights for {model} on the hub: {advice}")
    repository, filename = config.hf_hub_id, "model.safetensors"
    cached = huggingface_hub.try_to_load_from_cache(repository, filename)
    if isinstance(cached, str):
        return cached
    try:
        # asks once, with a limit: the download by itself would try again for minutes
        huggingface_hub.HfApi().model_info(repository, timeout=_PATIENCE)
        return str(huggingface_hub.hf_hub_download(repository, filename, etag_timeout=_PATIENCE))
    except Exception as error:  # the hub client's errors have no common base
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise WeightsError(
            f"cannot fetch {filename} of {repository} from the hub ({reason}): {advice}"
        ) from error
