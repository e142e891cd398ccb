"""The encoder actor: what would go wrong without being seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from actors import encoder
from actors.embedder import Effort
from actors.encoder import EmbeddingError, Encoder
from actors.precision import resolve_precision
from kernels.nets import create

SMALL = {"model": "timm:test_convnext", "bands": 1, "size": 32, "input": 32, "batch_size": 16}


def stamps(n: int, bands: int = 1, size: int = 32) -> np.ndarray:
    rng = np.random.default_rng(1)
    line = np.arange(size) - size / 2
    made = rng.normal(size=(n, bands, size, size))
    centre, width = rng.uniform(-3, 3, (2, n, 1, 1, 1)), rng.uniform(2, 6, (n, 1, 1, 1))
    made += 40 * np.exp(-((line - centre[0]) ** 2 + 2 * (line[:, None] - centre[1]) ** 2) / (2 * width**2))
    return made.astype(np.float32)


def table(images: np.ndarray, usable: np.ndarray | None = None, ids: np.ndarray | None = None) -> pa.Table:
    n, length = len(images), int(np.prod(images.shape[1:]))
    return pa.table(
        {
            "object_id": np.arange(n) if ids is None else ids,
            "stamp": pa.FixedSizeListArray.from_arrays(pa.array(images.reshape(-1)), length),
            "usable": np.ones(n, bool) if usable is None else usable,
            "mag": np.linspace(18, 22, n),
        }
    )


def embeddings(answer: pa.Table) -> np.ndarray:
    column = pa.concat_arrays(answer.column("embedding").chunks)
    return column.values.to_numpy(zero_copy_only=False).reshape(len(answer), -1)


def bits(answer: pa.Table) -> np.ndarray:
    return embeddings(answer).view(np.uint16)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "options",
    [
        {"unwrap": "moments", "denoise": "bundled"},
        {"unwrap": "apct", "batch_size": 13, "turns": 2},
        {"unwrap": "none", "input": 40, "turns": 4},
    ],
)
def test_embedding_depends_on_slice_batch_or_neighbours(precision: str, options: dict[str, Any]) -> None:
    encoder = Encoder(**{**SMALL, **options}, precision=precision)
    images = stamps(60)
    whole = bits(encoder(table(images)))
    rng = np.random.default_rng(2)
    for size in (1, 2, 13, 16, 17, 59, 60):
        rows = rng.permutation(60)[:size]
        usable = rng.random(size) < 0.8
        usable[0] = True
        part = bits(encoder(table(images[rows], usable)))
        np.testing.assert_array_equal(part[usable], whole[rows][usable])


def test_real_network_depends_on_the_batch() -> None:
    images = stamps(300, size=64)
    for precision, model in (("float32", "timm:convnext_atto"), ("bfloat16", "galaxy-atto")):
        encoder = Encoder(model=model, bands=1, size=64, precision=precision)
        whole = bits(encoder(table(images)))
        rows = np.random.default_rng(3).permutation(300)
        np.testing.assert_array_equal(bits(encoder(table(images[rows]))), whole[rows])
        np.testing.assert_array_equal(bits(encoder(table(images[rows[:7]]))), whole[rows[:7]])


def test_large_stamp_depends_on_those_that_are_prepared_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few of them at a time, and the last of a batch beside zeros: the bits are those of all together."""
    images = stamps(20, 2, 96)
    options = {"model": "galaxy-atto", "bands": 2, "size": 96, "unwrap": "none", "batch_size": 16}
    together = bits(Encoder(**options)(table(images)))
    for numbers in (1, 3 * images[0].size, 5 * images[0].size):
        monkeypatch.setattr(encoder, "_TOGETHER", numbers)
        few = Encoder(**options)
        np.testing.assert_array_equal(bits(few(table(images))), together)
        for rows in ([19], [5, 0, 12, 19]):
            np.testing.assert_array_equal(bits(few(table(images[rows]))), together[rows])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "model", ["galaxy-d4", "astroformer-atto", pytest.param("viewpoints", marks=pytest.mark.slow)]
)
def test_object_has_other_bits_alone_than_in_company(model: str, precision: str) -> None:
    images = stamps(20, 2, 48)
    encoder = Encoder(
        model=model, bands=2, size=48, input=48, unwrap="none", precision=precision, batch_size=13
    )
    whole = bits(encoder(table(images)))
    for rows in ([19], [12], [5, 0, 12, 19, 3]):
        np.testing.assert_array_equal(bits(encoder(table(images[rows]))), whole[rows])


@pytest.mark.parametrize("size", [40, 41])
def test_turned_or_mirrored_galaxy_has_another_d4_embedding(size: int) -> None:
    """Resized by the encoder, too, and to float16's last digit."""
    images = stamps(6, size=size)
    encoder = Encoder(model="galaxy-d4", bands=1, size=size, input=48, unwrap="none", precision="float32")
    whole = embeddings(encoder(table(images))).astype(float)
    for turns, mirrors in ((1, False), (2, True), (3, True)):
        turned = np.rot90(images[..., ::-1] if mirrors else images, turns, axes=(2, 3))
        found = embeddings(encoder(table(np.ascontiguousarray(turned)))).astype(float)
        np.testing.assert_allclose(found, whole, rtol=0, atol=1e-3 * np.abs(whole).max())


def test_number_of_threads_changes_the_bits() -> None:
    before, images = torch.get_num_threads(), stamps(40)
    try:
        one = bits(Encoder(**SMALL, threads=1)(table(images)))
        np.testing.assert_array_equal(bits(Encoder(**SMALL, threads=2)(table(images))), one)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("bands", "normalise"), [(1, "none"), (3, "imagenet"), (2, "imagenet")])
def test_pipeline_differs_from_plain_timm(bands: int, normalise: str) -> None:
    images = stamps(20, bands)
    options = {**SMALL, "bands": bands, "unwrap": "none", "stretch": "linear", "normalise": normalise}
    answer = embeddings(Encoder(**options, precision="float32")(table(images)))
    plain = images / images.max(axis=(1, 2, 3), keepdims=True).clip(1e-30)
    plain = torch.from_numpy(plain.clip(-1, 1))
    if normalise == "imagenet":
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        if bands == 2:
            mean, std = np.full(2, mean.mean()), np.full(2, std.mean())
        plain = (plain - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    with torch.inference_mode():
        wanted = create(SMALL["model"], bands=bands, size=32)(plain.float()).numpy()
    # float16 has 11 bits: half of the last is 2^-11 of the value
    np.testing.assert_allclose(answer.astype(np.float32), wanted, atol=2e-4 * np.abs(wanted).max(), rtol=6e-4)


def test_bands_in_another_order_are_another_embedding() -> None:
    images = stamps(12, 3)
    options = {**SMALL, "model": "galaxy-atto", "bands": 3, "unwrap": "none", "precision": "float32"}
    straight = bits(Encoder(**options)(table(images)))
    back = np.ascontiguousarray(images[:, ::-1])
    np.testing.assert_array_equal(bits(Encoder(**options, order=[2, 1, 0])(table(back))), straight)
    assert (bits(Encoder(**options)(table(back))) != straight).any()


def test_bfloat16_is_another_embedding() -> None:
    images = stamps(30)
    full, half = (
        embeddings(Encoder(**SMALL, precision=precision)(table(images))).astype(float)
        for precision in ("float32", "bfloat16")
    )
    assert np.abs(full - half).max() < 0.1 * full.std()


def test_half_precision_loses_the_flux_of_denoised_stamps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network may be in bfloat16, the arithmetic around it not."""
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(encoder, "stretch_stamps", lambda stamps, *_: seen.append(stamps) or stamps)
    images = stamps(16)
    Encoder(**SMALL, unwrap="none", denoise="bundled", precision="bfloat16")(table(images))
    assert not np.allclose(seen[0], images, atol=0.1)
    np.testing.assert_allclose(seen[0].sum(dim=(1, 2, 3)), images.sum(axis=(1, 2, 3)), atol=0.05, rtol=1e-5)


def test_turned_galaxy_has_another_embedding() -> None:
    images = stamps(40)
    turned = np.ascontiguousarray(np.rot90(images, axes=(2, 3)))
    for options in ({"unwrap": "moments"}, {"unwrap": "none", "turns": 4}):
        encoder = Encoder(**{**SMALL, **options}, precision="float32")
        one, other = (embeddings(encoder(table(part))).astype(float) for part in (images, turned))
        apart = np.linalg.norm(one - other, axis=1) / np.linalg.norm(one - one.mean(axis=0), axis=1).mean()
        assert np.median(apart) < 0.02


def test_unusable_objects_get_lost_or_get_values() -> None:
    images = stamps(40)
    usable = np.arange(40) % 3 > 0
    images[~usable] = np.nan
    objects = table(images, usable).set_column(
        2, "usable", pa.array([None if i == 1 else bool(u) for i, u in enumerate(usable)])
    )
    answer = Encoder(**SMALL)(objects)
    assert answer.column_names == ["object_id", "mag", "embedding"]
    assert answer.column("object_id").to_pylist() == list(range(40))
    expected = usable.copy()
    expected[1] = False
    assert answer.column("embedding").is_valid().to_pylist() == expected.tolist()
    alone = Encoder(**SMALL)(table(images[expected]))
    np.testing.assert_array_equal(bits(answer)[expected], bits(alone))


def test_sliced_chunked_or_null_stamps_are_read_from_the_wrong_place() -> None:
    encoder, images = Encoder(**SMALL), stamps(30)
    whole = bits(encoder(table(images)))
    np.testing.assert_array_equal(bits(encoder(table(images).slice(7, 11))), whole[7:18])
    chunked = pa.concat_tables([table(images).slice(20, 5), table(images).slice(3, 4)])
    np.testing.assert_array_equal(bits(encoder(chunked)), whole[[20, 21, 22, 23, 24, 3, 4, 5, 6]])
    values = [None if i == 4 else images[i].ravel().tolist() for i in range(8)]
    objects = pa.table(
        {"stamp": pa.array(values, pa.list_(pa.float32(), 32 * 32)), "usable": [i != 4 for i in range(8)]}
    )
    answer = encoder(objects)
    np.testing.assert_array_equal(np.delete(bits(answer), 4, 0), np.delete(whole[:8], 4, 0))


def test_empty_slice_or_slice_without_usable_objects_fails() -> None:
    encoder = Encoder(**SMALL)
    empty = encoder(table(stamps(3)).slice(0, 0))
    assert len(empty) == 0
    assert empty.schema.field("embedding") == Encoder.columns(**SMALL).schema.field("embedding")
    none = encoder(table(stamps(3), np.zeros(3, bool)))
    assert none.column("embedding").null_count == 3
    nothing = pa.table(
        {
            "stamp": pa.chunked_array([], pa.list_(pa.float32(), 1024)),
            "usable": pa.chunked_array([], pa.bool_()),
        }
    )
    assert len(encoder(nothing)) == 0


def test_padding_counts_as_images() -> None:
    encoder = Encoder(**SMALL)
    assert encoder.effort == Effort("cpu")
    encoder(table(stamps(17), np.arange(17) > 0))
    encoder(table(stamps(17)))
    assert (encoder.effort.images, encoder.effort.slots) == (33, 48)
    assert encoder.effort.seconds > 0


def test_promised_columns_differ_from_the_written_ones() -> None:
    options = {**SMALL, "bands": 2, "turns": 2}
    promised = Encoder.columns(**options).schema
    assert promised.names == ["embedding"]
    assert Encoder(**options)(table(stamps(2, 2))).schema.field("embedding") == promised.field("embedding")
    with pytest.raises(TypeError, match="checkpiont"):
        Encoder.columns(**options, checkpiont="a")


def test_overflowing_embedding_enters_the_catalog(tmp_path: Path) -> None:
    net = create(SMALL["model"], bands=1, size=32)
    weights = net.state_dict()
    last = next(name for name in weights if "head.norm" in name and name.endswith("weight"))
    weights[last] = weights[last] * 1e6
    save_file(weights, tmp_path / "w.safetensors")
    encoder = Encoder(**SMALL, checkpoint=str(tmp_path / "w.safetensors"))
    ids = np.array(["a7", "b8", "c9"])
    with pytest.raises(EmbeddingError, match=r"2 of 2 .*'a7', 'c9'"):
        encoder(table(stamps(3), np.array([True, False, True]), ids))


def test_fingerprint_misses_weights(tmp_path: Path) -> None:
    net = create(SMALL["model"], bands=1, size=32)
    weights = {name: value + 0.01 for name, value in net.state_dict().items()}
    save_file(weights, tmp_path / "w.safetensors")
    prints = {
        Encoder.weights_fingerprint(**SMALL),
        Encoder.weights_fingerprint(**SMALL, checkpoint=str(tmp_path / "w.safetensors")),
        Encoder.weights_fingerprint(**SMALL, denoise="bundled"),
    }
    assert len(prints) == 3
    assert Encoder.weights_fingerprint(**SMALL, unwrap="none") in prints


def test_automatic_precision_is_decided_by_chance() -> None:
    assert resolve_precision("float32", "cuda") == "float32"
    assert resolve_precision("auto", "cuda:0") == "bfloat16"
    assert len({resolve_precision("auto", "cpu") for _ in range(3)}) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"unwrap": "polar"},
        {"stretch": "sqrt"},
        {"turns": 3},
        {"precision": "float16"},
        {"normalise": "yes"},
        {"input": 33},
    ],
)
def test_wrong_option_is_taken_for_another(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Encoder(**{**SMALL, **options})


def test_stamps_of_another_size_are_cut_up() -> None:
    with pytest.raises(ValueError, match="bands = 1, size = 32"):
        Encoder(**SMALL)(table(stamps(4, 1, 16)))
