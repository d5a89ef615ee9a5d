"""Backbones trained on faces give what their original runtimes give, and are timm models like any other.

Each network is compared twice: with stand-in weights that the test writes itself, and, where `face18 weights` has
fetched them, with the real ones.
"""

import hashlib
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from onnx import helper, numpy_helper

from pipelines.gender.specialist import GENDER
from shared import weights
from shared.messages import UserError
from shared.training.face_backbones import FaceRes, fold_dlib, start_head
from shared.training.model import Network
from shared.training.options import TrainOptions
from shared.training.run_folder import CheckpointMetadata
from shared.weights import FACE_BACKBONES, read_tfjs

TOLERANCE = 1e-4


def pattern(size: int) -> np.ndarray:
    """A deterministic RGB image (1, size, size, 3)."""
    y, x = np.mgrid[:size, :size]
    return np.stack([(3 * x + 2 * y) % 256, (x * y) % 256, (5 * y + x * x) % 256], -1).astype(np.uint8)[None]


def logits(network: Network, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network.eval()(torch.from_numpy(images)).numpy()


def has(name: str) -> bool:
    try:
        weights.find_weights(name)
    except UserError:
        return False
    return True


# The cache of the user is read once, before the fixtures below replace it.
REAL = {name: weights.weights_folder(name) for name in weights.SOURCES if has(name)}
needs_faceres = pytest.mark.skipif("faceres" not in REAL, reason="face18 weights faceres was not run")
needs_dlib = pytest.mark.skipif("dlib" not in REAL, reason="face18 weights dlib was not run")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache folder in place of the user's."""
    monkeypatch.setattr(weights, "weights_folder", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache"


def store(cache: Path, monkeypatch, name: str, contents: dict[str, bytes]) -> None:
    """Put stand-in files into the cache, and let their SHA-256 be the known ones."""
    sums = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
    stand_in = weights.Source("stand-in==0", ("no-such-client",), sums, "none", "random numbers")
    monkeypatch.setitem(weights.SOURCES, name, stand_in)
    (cache / name).mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        (cache / name / file).write_bytes(content)


# faceres


def faceres_stand_in() -> dict[str, np.ndarray]:
    """Random weights under the names of the original, float16, of a size that keeps activations alive."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        inputs = np.prod(shape[:-1]) if len(shape) > 1 else 1
        return (rng.normal(size=shape) * np.sqrt(2 / inputs)).astype(np.float16)

    tensors = {"age_pred/kernel": normal(256, 100), "age_pred/bias": normal(100) * np.float16(0.1)}
    tensors |= {"feats/kernel": normal(1024, 256), "feats/bias": normal(256) * np.float16(0.1)}
    tensors |= {"gender_pred/kernel": normal(256, 1), "gender_pred/bias": normal(1)}
    tensors |= {"conv1/convolution/merged_input": normal(3, 3, 3, 32) / np.float16(64)}
    tensors |= {"conv1_bn/batchnorm_1/sub": normal(32) * np.float16(0.1)}
    channels = 32
    for number, width in enumerate(FaceRes.CHANNELS, 1):
        tensors[f"conv_dw_{number}/depthwise_kernel"] = normal(3, 3, channels, 1) * np.float16(channels**0.5)
        tensors[f"conv_dw_{number}_bn/batchnorm_1/mul"] = np.abs(normal(channels)) + np.float16(0.5)
        tensors[f"conv_dw_{number}_bn/batchnorm_1/sub"] = normal(channels) * np.float16(0.1)
        tensors[f"conv_pw_{number}/convolution/merged_input"] = normal(1, 1, channels, width)
        tensors[f"conv_pw_{number}_bn/batchnorm_1/sub"] = normal(width) * np.float16(0.1)
        channels = width
    return tensors


def as_tfjs(tensors: dict[str, np.ndarray]) -> dict[str, bytes]:
    entries = [
        {"name": name, "shape": list(array.shape), "dtype": "float32", "quantization": {"dtype": "float16"}}
        for name, array in tensors.items()
    ]
    manifest = {"weightsManifest": [{"paths": ["faceres.bin"], "weights": entries}]}
    content = b"".join(array.tobytes() for array in tensors.values())
    return {"faceres.json": json.dumps(manifest).encode(), "faceres.bin": content}


def same_windows(maps: np.ndarray, stride: int) -> np.ndarray:
    """3x3 windows of (B, H, W, C) under TensorFlow's SAME padding, (B, H', W', C, 3, 3)."""
    pads = []
    for size in maps.shape[1:3]:
        total = max((-(-size // stride) - 1) * stride + 3 - size, 0)
        pads.append((total // 2, total - total // 2))
    padded = np.pad(maps, ((0, 0), *pads, (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::stride, ::stride]


def faceres_in_numpy(tensors: dict[str, np.ndarray], rgb: np.ndarray) -> dict[str, np.ndarray]:
    """The original graph in float64: features (B, 1024), the gender logit (B, 1) and the age logits (B, 100)."""
    t = {name: array.astype(np.float64) for name, array in tensors.items()}

    def relu6(maps: np.ndarray, bias: str) -> np.ndarray:
        return np.clip(maps + t[bias], 0, 6)

    bgr = rgb[..., ::-1].astype(np.float64) - (103.939, 116.779, 123.68)
    maps = np.einsum("bhwcij,ijco->bhwo", same_windows(bgr, 2), t["conv1/convolution/merged_input"])
    maps = relu6(maps, "conv1_bn/batchnorm_1/sub")
    for number, stride in enumerate(FaceRes.STRIDES, 1):
        depthwise = t[f"conv_dw_{number}/depthwise_kernel"][..., 0]
        maps = np.einsum("bhwcij,ijc->bhwc", same_windows(maps, stride), depthwise)
        maps = relu6(maps * t[f"conv_dw_{number}_bn/batchnorm_1/mul"], f"conv_dw_{number}_bn/batchnorm_1/sub")
        maps = maps @ t[f"conv_pw_{number}/convolution/merged_input"][0, 0]
        maps = relu6(maps, f"conv_pw_{number}_bn/batchnorm_1/sub")
    features = maps.mean((1, 2))
    feats = np.maximum(features @ t["feats/kernel"] + t["feats/bias"], 0)
    heads = {task: feats @ t[f"{task}_pred/kernel"] + t[f"{task}_pred/bias"] for task in ("gender", "age")}
    return {"features": features, **heads}


@pytest.fixture
def stand_in(cache, monkeypatch) -> dict[str, np.ndarray]:
    tensors = faceres_stand_in()
    store(cache, monkeypatch, "faceres", as_tfjs(tensors))
    return tensors


@pytest.mark.parametrize("size", [64, 45])
def test_faceres_equals_its_graph_computed_in_numpy_at_even_and_odd_sizes(stand_in, size):
    images = np.random.default_rng(1).integers(0, 256, (2, size, size, 3)).astype(np.uint8)
    expected = faceres_in_numpy(stand_in, images)
    network = Network("faceres", 100, dropout=0.0, pretrained=True)
    assert start_head(network.backbone, "age")
    assert np.abs(expected["age"]).max() > 0.1
    np.testing.assert_allclose(logits(network, images), expected["age"], atol=TOLERANCE)
    network = Network("faceres", 2, dropout=0.0, pretrained=True)
    assert start_head(network.backbone, "gender")
    margin = np.subtract(*logits(network, images).T)  # Male first.
    np.testing.assert_allclose(margin, expected["gender"][:, 0], atol=TOLERANCE)


def test_a_longer_age_head_shares_the_last_year_and_keeps_the_others(stand_in):
    images = pattern(32)
    network = Network("faceres", 101, dropout=0.0, pretrained=True)
    assert start_head(network.backbone, "age")
    exp = np.exp(faceres_in_numpy(stand_in, images)["age"])
    expected = exp / exp.sum()
    probabilities = torch.from_numpy(logits(network, images)).softmax(1).numpy()
    np.testing.assert_allclose(probabilities[:, :99], expected[:, :99], atol=1e-5)
    np.testing.assert_allclose(probabilities[:, 99:], expected[:, 99:].repeat(2, 1) / 2, atol=1e-5)


def test_without_the_layer_of_256_numbers_the_classifier_gets_the_features(stand_in):
    model = timm.create_model("faceres", pretrained=True, num_classes=0, feats=False).eval()
    images = pattern(32)
    normalised = torch.from_numpy(images.astype(np.float32) - (123.68, 116.779, 103.939)).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        np.testing.assert_allclose(model(normalised), faceres_in_numpy(stand_in, images)["features"], atol=TOLERANCE)


@needs_faceres
def test_faceres_gives_the_numbers_of_an_independent_run_of_its_graph():
    # All nodes of faceres.json executed in order in numpy float64, on pattern(64).
    network = Network("faceres", 100, dropout=0.0, pretrained=True)
    assert start_head(network.backbone, "age")
    given = logits(network, pattern(64))[0]
    expected = [-2.0045932, -0.6824319, 0.124067, -0.5611319, -2.7899747]
    np.testing.assert_allclose(given[[0, 20, 40, 60, 99]], expected, atol=TOLERANCE)
    network = Network("faceres", 2, dropout=0.0, pretrained=True)
    assert start_head(network.backbone, "gender")
    np.testing.assert_allclose(np.subtract(*logits(network, pattern(64))[0]), 1.5106729, atol=TOLERANCE)


@pytest.mark.usefixtures("stand_in")
def test_a_truncated_weights_file_is_named(cache):
    (cache / "faceres" / "faceres.bin").write_bytes(b"12")
    with pytest.raises(UserError, match=r"faceres\.json.*end before age_pred/kernel"):
        read_tfjs(cache / "faceres" / "faceres.json")


# dlib


def affine_convolution(rng, name: str, source: str, shape: tuple[int, ...], **how) -> tuple[list, list]:
    """Nodes and initialisers of a convolution with bias, scale and offset, as the originals have them."""
    values = {
        "weights": rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:])),
        "bias": rng.normal(size=shape[0]) * 0.1,
        "scale": rng.uniform(0.5, 1.5, (1, shape[0], 1, 1)),
        "offset": rng.normal(size=(1, shape[0], 1, 1)) * 0.1,
    }
    inputs = {kind: f"{name}_{kind}" for kind in values}
    nodes = [
        helper.make_node("Conv", [source, inputs["weights"], inputs["bias"]], [f"{name}_conv"], **how),
        helper.make_node("Mul", [f"{name}_conv", inputs["scale"]], [f"{name}_scaled"]),
        helper.make_node("Add", [f"{name}_scaled", inputs["offset"]], [name]),
    ]
    return nodes, [numpy_helper.from_array(v.astype(np.float32), inputs[kind]) for kind, v in values.items()]


def gender_stand_in() -> bytes:
    """dlib's gender network with random weights, as ONNX."""
    rng = np.random.default_rng(2)
    nodes, initialisers, source = [], [], "images"
    for place, (before, after) in enumerate([(3, 32), (32, 32), (32, 64), (64, 64)]):
        name = f"c{place}"
        more, values = affine_convolution(rng, name, source, (after, before, 3, 3), pads=[1, 1, 1, 1])
        nodes += [*more, helper.make_node("Relu", [name], [f"{name}_relu"])]
        initialisers += values
        source = f"{name}_relu"
        if place % 2:
            nodes.append(helper.make_node("AveragePool", [source], [f"p{place}"], kernel_shape=[2, 2], strides=[2, 2]))
            source = f"p{place}"
    for name, shape in (("f0", (4096, 16)), ("f1", (16, 2))):
        values = {
            "scalar": np.array([0.7]),
            "weights": rng.normal(size=shape) * 0.05,
            "bias": rng.normal(size=shape[1]),
        }
        initialisers += [numpy_helper.from_array(v.astype(np.float32), f"{name}_{kind}") for kind, v in values.items()]
        nodes += [
            helper.make_node("Mul", [source, f"{name}_scalar"], [f"{name}_times"]),
            helper.make_node("Flatten", [f"{name}_times"], [f"{name}_flat"]),
            helper.make_node("Gemm", [f"{name}_flat", f"{name}_weights", f"{name}_bias"], [name]),
            *([helper.make_node("Relu", [name], [f"{name}_relu"])] if name == "f0" else []),
        ]
        source = f"{name}_relu"
    nodes.append(helper.make_node("Softmax", ["f1"], ["probabilities"], axis=1))
    return as_onnx(nodes, initialisers, 32, 2)


def age_stand_in() -> bytes:
    """dlib's age network with random weights, as ONNX."""
    rng = np.random.default_rng(3)
    nodes, initialisers = affine_convolution(rng, "stem", "images", (64, 3, 7, 7), strides=[2, 2])
    nodes += [
        helper.make_node("Relu", ["stem"], ["stem_relu"]),
        helper.make_node("MaxPool", ["stem_relu"], ["b0"], kernel_shape=[3, 3], strides=[2, 2]),
    ]
    shapes = ((64, 64, 1, 0), (64, 128, 2, 1), (128, 128, 1, 0), (128, 256, 2, 0), (256, 256, 1, 0))
    for block, (before, after, stride, short) in enumerate(shapes, 1):
        name, source = f"b{block}", f"b{block - 1}"
        how = {"strides": [2, 2]} if stride == 2 else {"pads": [1, 1, 1, 1]}
        first, values = affine_convolution(rng, f"{name}_first", source, (after, before, 3, 3), **how)
        second, more = affine_convolution(
            rng, f"{name}_second", f"{name}_relu", (after, after, 3, 3), pads=[1, 1, 1, 1]
        )
        nodes += [*first, helper.make_node("Relu", [f"{name}_first"], [f"{name}_relu"]), *second]
        initialisers += [*values, *more]
        left, right = source, f"{name}_second"
        if stride == 2:
            pads = {"left": [0, 0, 0, 0, 0, after - before, 0, 0], "right": [0, 0, 0, 0, 0, 0, short, short]}
            for side, amounts in pads.items():
                initialisers.append(numpy_helper.from_array(np.array(amounts, np.int64), f"{name}_{side}_pads"))
            nodes += [
                helper.make_node("AveragePool", [left], [f"{name}_mean"], kernel_shape=[2, 2], strides=[2, 2]),
                helper.make_node("Pad", [f"{name}_mean", f"{name}_left_pads"], [f"{name}_left"]),
                helper.make_node("Pad", [right, f"{name}_right_pads"], [f"{name}_right"]),
            ]
            left, right = f"{name}_left", f"{name}_right"
        nodes += [
            helper.make_node("Add", [left, right], [f"{name}_sum"]),
            helper.make_node("Relu", [f"{name}_sum"], [name]),
        ]
    values = {"weights": rng.normal(size=(256, 81)) * 0.1, "bias": rng.normal(size=81) * 0.1}
    initialisers += [numpy_helper.from_array(v.astype(np.float32), f"fc_{kind}") for kind, v in values.items()]
    nodes += [
        helper.make_node("GlobalAveragePool", ["b5"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "fc_weights", "fc_bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    return as_onnx(nodes, initialisers, 64, 81)


def as_onnx(nodes: list, initialisers: list, size: int, outputs: int) -> bytes:
    images = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["N", 3, size, size])
    probabilities = helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["N", outputs])
    graph = helper.make_graph(nodes, "stand-in", [images], [probabilities], initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


DLIB = {"dlib_age_resnet10": ("age-v1.onnx", "age", 64, 81), "dlib_gender_cnn": ("gender-v1.onnx", "gender", 32, 2)}


def assert_equal_to_onnxruntime(backbone: str, content: bytes) -> None:
    _, task, size, outputs = DLIB[backbone]
    network = Network(backbone, outputs, dropout=0.0, pretrained=True)
    assert start_head(network.backbone, task)
    images = np.random.default_rng(4).integers(0, 256, (5, size, size, 3)).astype(np.uint8)
    chips = ((images - np.array([122.782, 117.001, 104.298])) / 256).astype(np.float32).transpose(0, 3, 1, 2)
    expected = onnxruntime.InferenceSession(content).run(None, {"images": chips})[0]
    given = torch.from_numpy(logits(network, images)).softmax(1).numpy()
    np.testing.assert_allclose(given, expected[:, ::-1] if task == "gender" else expected, atol=TOLERANCE)
    assert expected.std(0).max() > 1e-4, "an output that does not depend on the image shows nothing"


@pytest.fixture
def dlib_stand_in(cache, monkeypatch) -> dict[str, bytes]:
    contents = {"age-v1.onnx": age_stand_in(), "gender-v1.onnx": gender_stand_in()}
    store(cache, monkeypatch, "dlib", contents)
    return contents


@pytest.mark.parametrize("backbone", DLIB)
def test_dlib_networks_equal_onnxruntime(dlib_stand_in, backbone):
    assert_equal_to_onnxruntime(backbone, dlib_stand_in[DLIB[backbone][0]])


@needs_dlib
@pytest.mark.parametrize("backbone", DLIB)
def test_dlib_networks_equal_onnxruntime_with_their_real_weights(backbone):
    assert_equal_to_onnxruntime(backbone, (REAL["dlib"] / DLIB[backbone][0]).read_bytes())


def test_folding_multiplies_scale_into_weight_and_bias():
    one = torch.ones(1, 1, 1, 1)
    tensors = [("a_weights", 2 * one), ("a_bias", torch.tensor([3.0])), ("b_scale", 5 * one), ("b_offset", 7 * one)]
    ((weight, bias),) = fold_dlib(tensors)
    assert weight.item() == 10
    assert bias.item() == 22  # 3 * 5 + 7


# timm, the command, and what goes wrong


@pytest.mark.parametrize("backbone", [name for name in FACE_BACKBONES if name != "faceres_branches"])
def test_every_backbone_is_a_timm_model_with_a_replaceable_head(backbone):
    model = timm.create_model(backbone, num_classes=4, drop_rate=0.5).eval()
    size = model.pretrained_cfg["input_size"][1]
    images = torch.zeros(2, 3, size, size)
    with torch.no_grad():
        maps = model.forward_features(images)
        assert maps.shape[:2] == (2, model.num_features)
        assert model.forward_head(maps, pre_logits=True).shape == (2, model.head_hidden_size)
        assert model(images).shape == (2, 4)
        model.reset_classifier(7)
        assert model(images).shape == (2, 7)
        assert model.num_classes == model.get_classifier().out_features == 7
    assert model.head_drop.p == 0.5
    assert size == FACE_BACKBONES[backbone].size


@pytest.mark.usefixtures("stand_in")
def test_a_mask_head_has_no_pretrained_start():
    assert not start_head(timm.create_model("faceres", num_classes=3), "mask")
    assert not start_head(timm.create_model("dlib_gender_cnn", num_classes=101), "age")


@pytest.mark.parametrize(("backbone", "source"), [("faceres", "faceres"), ("dlib_age_resnet10", "dlib")])
@pytest.mark.usefixtures("cache")
def test_missing_weights_name_the_command_that_fetches_them(backbone, source):
    with pytest.raises(UserError, match=f"face18 weights {source}"):
        timm.create_model(backbone, pretrained=True)


@pytest.mark.usefixtures("stand_in")
def test_altered_weights_are_refused(cache):
    content = bytearray((cache / "faceres" / "faceres.bin").read_bytes())
    content[100] ^= 1
    (cache / "faceres" / "faceres.bin").write_bytes(content)
    with pytest.raises(UserError, match=r"faceres\.bin is damaged or altered.*face18 weights faceres"):
        timm.create_model("faceres", pretrained=True)


@pytest.mark.parametrize("kind", ["folder", "file", "tgz", "zip", "folder of tgz"])
def test_weights_are_taken_from_a_file_a_folder_or_an_archive(cache, monkeypatch, tmp_path, kind):
    contents = {"faceres.json": b"{}", "faceres.bin": b"numbers"}
    store(cache, monkeypatch, "faceres", contents)
    there = tmp_path / "there" / "models"
    there.mkdir(parents=True)
    source = there
    for file, content in contents.items():
        (cache / "faceres" / file).unlink()
        (there / file).write_bytes(content)
    if kind == "file":
        source = there / "faceres.bin"
    if kind == "zip":
        source = tmp_path / "package.whl"
        with zipfile.ZipFile(source, "w") as archive:
            for file in contents:
                archive.write(there / file, f"models/{file}")
    if kind.endswith("tgz"):
        folder = tmp_path / "archives"
        folder.mkdir()
        with tarfile.open(folder / "package.tgz", "w:gz") as archive:
            archive.add(there, "package/models")
        source = folder if kind == "folder of tgz" else folder / "package.tgz"
    weights.store_weights("faceres", source)
    assert {file: path.read_bytes() for file, path in weights.find_weights("faceres").items()} == contents


def test_other_weights_than_the_known_ones_are_refused_and_nothing_is_stored(cache, tmp_path):
    (tmp_path / "faceres.json").write_bytes(b"{}")
    with pytest.raises(UserError, match=r"faceres\.json in .* has another SHA-256"):
        weights.store_weights("faceres", tmp_path / "faceres.json")
    assert not (cache / "faceres").exists()


@pytest.mark.usefixtures("cache")
def test_a_broken_archive_and_an_absent_folder_are_named(tmp_path):
    (tmp_path / "package.tgz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"package\.tgz cannot be read as an archive"):
        weights.store_weights("faceres", tmp_path / "package.tgz")
    with pytest.raises(UserError, match="no such file or folder"):
        weights.store_weights("faceres", tmp_path / "absent")


@pytest.mark.usefixtures("cache")
def test_a_missing_client_is_named_with_the_way_around_it(monkeypatch):
    monkeypatch.setattr(weights.shutil, "which", lambda _: None)
    with pytest.raises(UserError, match=r"npm is not installed.*face18 weights faceres --from"):
        weights.store_weights("faceres", None)


@pytest.mark.usefixtures("cache")
def test_a_client_that_fails_is_reported_with_its_last_line(monkeypatch):
    stand_in = weights.Source("x==1", ("sh", "-c", "echo offline >&2; exit 1"), {"a": ""}, "none", "nothing")
    monkeypatch.setitem(weights.SOURCES, "faceres", stand_in)
    with pytest.raises(UserError, match=r"failed \(offline\)"):
        weights.store_weights("faceres", None)


def test_names_in_the_manifest_may_be_of_any_order(cache, monkeypatch):
    store(cache, monkeypatch, "faceres", as_tfjs(dict(reversed(faceres_stand_in().items()))))
    first = timm.create_model("faceres", pretrained=True, num_classes=0)
    store(cache, monkeypatch, "faceres", as_tfjs(faceres_stand_in()))
    second = timm.create_model("faceres", pretrained=True, num_classes=0)
    assert torch.equal(first.stem.weight, second.stem.weight)


# Options


def test_a_backbone_brings_its_own_size_and_window_and_options_override_them() -> None:
    own = TrainOptions.of(backbone="faceres")
    assert (own.model.input_size, own.model.input_window) == (160, (0.85, 0.5, 0.53))
    assert own.identity() == TrainOptions.of(backbone="faceres", size=160).identity()
    other = TrainOptions.of(backbone="faceres", size=112, window=(0.9, 0.5, 0.5))
    assert (other.model.input_size, other.model.input_window) == (112, (0.9, 0.5, 0.5))
    plain = TrainOptions.of()
    assert (plain.model.input_size, plain.model.input_window) == (112, None)


def test_a_checkpoint_names_the_origin_of_its_start() -> None:
    assert "VGGFace2" in CheckpointMetadata.of(GENDER, "faceres", 160, "0").origin
    assert CheckpointMetadata.of(GENDER, "resnet18", 112, "0").origin == ""
