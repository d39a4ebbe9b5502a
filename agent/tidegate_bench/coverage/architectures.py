"""The list of architectures, by name; all with random weights."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tidegate.errors import EX_UNAVAILABLE, TidegateError

CONVOLUTIONAL = """
resnet18 resnet50 resnet26d resnext50_32x4d wide_resnet50_2 resnetv2_50 seresnet18 skresnet18 ecaresnet26t
res2net50_14w_8s resnest14d gernet_s regnetx_002 regnety_002 regnetz_b16 mobilenetv2_100 mobilenetv3_small_050
mobilenetv3_large_100 mobilenetv4_conv_small mobileone_s0 mnasnet_small semnasnet_075 spnasnet_100 fbnetc_100
fbnetv3_b hardcorenas_a lcnet_050 tinynet_e ghostnet_050 ghostnetv2_100 efficientnet_b0 efficientnet_lite0
efficientnetv2_rw_t tf_efficientnetv2_b0 mixnet_s rexnet_100 densenet121 vgg11 vgg11_bn inception_v3 inception_v4
xception41 dla34 dpn48b hrnet_w18_small darknet53 cspdarknet53 cspresnet50 vovnet39a ese_vovnet19b_dw selecsls42
nfnet_l0 dm_nfnet_f0 repvgg_a0 convnext_atto convnext_femto convnextv2_atto convmixer_768_32 fasternet_t0
repghostnet_050 starnet_s1 inception_next_tiny
"""
"""Of timm, at 96x96, or at 224x224 where the name says so behind an @."""

ATTENTION = """
vit_tiny_patch16_224@224 vit_small_patch16_224@224 deit_tiny_patch16_224@224 deit3_small_patch16_224@224
swin_tiny_patch4_window7_224@224 swinv2_tiny_window8_256@256 beit_base_patch16_224@224 cait_xxs24_224@224
mixer_s32_224@224 resmlp_12_224@224 gmlp_ti16_224@224 pit_ti_224@224 tiny_vit_5m_224@224 levit_128s@224
efficientformer_l1@224 efficientformerv2_s0@224 efficientvit_b0@128 efficientvit_m0@224 edgenext_xx_small@128
fastvit_t8@128 mobilevit_xxs@128 mobilevitv2_050@128 poolformer_s12@128 poolformerv2_s12@128 swiftformer_xs@224
repvit_m0_9@224 coatnet_0_rw_224@224 maxvit_tiny_tf_224@224 nest_tiny@224 twins_svt_small@224 visformer_tiny@224
crossvit_9_240@240 xcit_nano_12_p16_224@224 eva02_tiny_patch14_224@224 mvitv2_tiny@224 pvt_v2_b0@224
volo_d1_224@224 coat_tiny@224 convit_tiny@224 mobilenetv4_hybrid_medium@224
"""
"""Of timm, with attention or mixing of tokens."""

_ENCODER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_PATCHES = {"image_size": 64, "patch_size": 16, **_ENCODER}
_STAGES = {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]}
_SERIES = {"num_input_channels": 2, "context_length": 64, "patch_length": 8, "patch_stride": 8, "d_model": 16}
_SOUND = {
    "conv_dim": [16, 16, 16],
    "conv_stride": [5, 4, 4],
    "conv_kernel": [10, 8, 4],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
_RELATIVE = {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]}

Kind = tuple[str, str, Mapping[str, Any], tuple[int, ...]]
TRANSFORMERS: tuple[Kind, ...] = (
    ("ViTForImageClassification", "ViTConfig", _PATCHES, (3, 64, 64)),
    ("DeiTForImageClassification", "DeiTConfig", _PATCHES, (3, 64, 64)),
    ("BeitForImageClassification", "BeitConfig", _PATCHES, (3, 64, 64)),
    (
        "Dinov2ForImageClassification",
        "Dinov2Config",
        {**_ENCODER, "image_size": 56, "patch_size": 14},
        (3, 56, 56),
    ),
    ("CLIPVisionModelWithProjection", "CLIPVisionConfig", {**_PATCHES, "projection_dim": 16}, (3, 64, 64)),
    ("SiglipVisionModel", "SiglipVisionConfig", _PATCHES, (3, 64, 64)),
    (
        "SwinForImageClassification",
        "SwinConfig",
        {"image_size": 64, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4},
        (3, 64, 64),
    ),
    ("ConvNextForImageClassification", "ConvNextConfig", _STAGES, (3, 64, 64)),
    ("ConvNextV2ForImageClassification", "ConvNextV2Config", _STAGES, (3, 64, 64)),
    (
        "RegNetForImageClassification",
        "RegNetConfig",
        {**_STAGES, "embedding_size": 8, "groups_width": 8},
        (3, 64, 64),
    ),
    (
        "ResNetForImageClassification",
        "ResNetConfig",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
        (3, 64, 64),
    ),
    ("MobileNetV1ForImageClassification", "MobileNetV1Config", {"depth_multiplier": 0.25}, (3, 64, 64)),
    ("MobileNetV2ForImageClassification", "MobileNetV2Config", {"depth_multiplier": 0.35}, (3, 64, 64)),
    ("SegformerForSemanticSegmentation", "SegformerConfig", {**_STAGES, "decoder_hidden_size": 16}, (3, 64, 64)),
    ("PoolFormerForImageClassification", "PoolFormerConfig", _STAGES, (3, 64, 64)),
    (
        "PvtV2ForImageClassification",
        "PvtV2Config",
        {**_STAGES, "image_size": 64, "num_attention_heads": [1, 2, 2, 2]},
        (3, 64, 64),
    ),
    (
        "ASTForAudioClassification",
        "ASTConfig",
        {
            **_ENCODER,
            "max_length": 64,
            "num_mel_bins": 32,
            "patch_size": 8,
            "frequency_stride": 8,
            "time_stride": 8,
        },
        (64, 32),
    ),
    ("PatchTSMixerForPrediction", "PatchTSMixerConfig", {**_SERIES, "prediction_length": 8}, (64, 2)),
    (
        "MobileViTForImageClassification",
        "MobileViTConfig",
        {
            "image_size": 64,
            "hidden_sizes": [16, 16, 16],
            "neck_hidden_sizes": [8, 8, 16, 16, 16, 16, 32],
            "num_attention_heads": 2,
        },
        (3, 64, 64),
    ),
    (
        "MobileViTV2ForImageClassification",
        "MobileViTV2Config",
        {"image_size": 64, "width_multiplier": 0.5},
        (3, 64, 64),
    ),
    (
        "EfficientNetForImageClassification",
        "EfficientNetConfig",
        {"image_size": 64, "width_coefficient": 0.5, "depth_coefficient": 0.5, "hidden_dim": 640},
        (3, 64, 64),
    ),
    (
        "Swinv2ForImageClassification",
        "Swinv2Config",
        {"image_size": 64, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4},
        (3, 64, 64),
    ),
    (
        "YolosForObjectDetection",
        "YolosConfig",
        {**_PATCHES, "image_size": [64, 64], "num_detection_tokens": 8},
        (3, 64, 64),
    ),
    (
        "VideoMAEForVideoClassification",
        "VideoMAEConfig",
        {**_PATCHES, "num_frames": 4},
        (4, 3, 64, 64),
    ),
    (
        "Wav2Vec2ForSequenceClassification",
        "Wav2Vec2Config",
        {**_ENCODER, **_SOUND},
        (1600,),
    ),
    ("WavLMModel", "WavLMConfig", {**_ENCODER, **_SOUND}, (1600,)),
    (
        "PatchTSTForClassification",
        "PatchTSTConfig",
        {**_SERIES, "num_attention_heads": 2, "num_hidden_layers": 1, "ffn_dim": 32, "num_targets": 3},
        (64, 2),
    ),
    ("RobertaModel", "RobertaConfig", {**_ENCODER, "vocab_size": 100}, (16,)),
    ("DebertaV2Model", "DebertaV2Config", {**_ENCODER, **_RELATIVE, "vocab_size": 100}, (16,)),
    ("ElectraModel", "ElectraConfig", {**_ENCODER, "vocab_size": 100, "embedding_size": 16}, (16,)),
    ("GPT2Model", "GPT2Config", {"vocab_size": 100, "n_embd": 32, "n_layer": 2, "n_head": 2}, (16,)),
    ("LlamaModel", "LlamaConfig", {**_ENCODER, "vocab_size": 100, "num_key_value_heads": 1}, (16,)),
    ("BertModel", "BertConfig", {**_ENCODER, "vocab_size": 100}, (16,)),
    ("DistilBertModel", "DistilBertConfig", {"dim": 32, "n_layers": 2, "n_heads": 2, "vocab_size": 100}, (16,)),
)
"""Classes of transformers with their configurations, small ones, and the shape of an input."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """One by name; `make` gives the module with random weights, `shape` is an input's.

    With `words` an input are that many different whole numbers, else numbers between 0 and 1.
    """

    family: str
    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    words: int = 0

    def inputs(self, n: int) -> Tensor:
        """Random ones (n, *shape)."""
        return torch.randint(0, self.words, (n, *self.shape)) if self.words else torch.rand(n, *self.shape)


class CoverageUnavailable(TidegateError):  # noqa: N818 - reads as what it is at the call site
    """The libraries that have the architectures are not installed."""

    exit_code = EX_UNAVAILABLE


class LastOf(nn.Module):
    """A recurrent layer and a head on what it says at the end."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.layer(x)[0][:, -1])
        return answer


def _time_first() -> nn.Module:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32), 2, enable_nested_tensor=False)

        def forward(self, x: Tensor) -> Tensor:
            encoded: Tensor = self.body(x.transpose(0, 1))
            return encoded.mean(0)

    return Encoder()


class ByFrame(nn.Module):
    """A network on each frame of a film, and a recurrent layer over what it says of them."""

    def __init__(self) -> None:
        super().__init__()
        norm, pool = nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1)
        self.image = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), norm, nn.ReLU(), pool)
        self.film = LastOf(nn.LSTM(8, 8, batch_first=True), 8)

    def forward(self, x: Tensor) -> Tensor:
        """(n, frames, 3, height, width)"""
        seen = self.image(x.flatten(0, 1))
        answer: Tensor = self.film(seen.view(x.shape[0], x.shape[1], -1))
        return answer


def _over_a_film() -> nn.Module:
    first = nn.Conv3d(3, 8, 3, (1, 2, 2), 1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d(2)
    return nn.Sequential(
        *first, nn.Conv3d(8, 16, 3, padding=1), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 4)
    )


def _from_sound_to_sound() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(1, 16, 16, 8), nn.PReLU(), nn.GroupNorm(1, 16), nn.ConvTranspose1d(16, 1, 16, 8)
    )


SEQUENCES: Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "lstm": (lambda: LastOf(nn.LSTM(6, 8, batch_first=True), 8), (16, 6)),
    "gru": (lambda: LastOf(nn.GRU(6, 8, batch_first=True), 8), (16, 6)),
    "rnn": (lambda: LastOf(nn.RNN(6, 8, batch_first=True), 8), (16, 6)),
    "lstm, two layers, both ways": (
        lambda: LastOf(nn.LSTM(6, 8, 2, batch_first=True, bidirectional=True), 16),
        (8, 6),
    ),
    "transformer encoder, time first": (_time_first, (12, 16)),
    "images and an lstm over frames": (ByFrame, (4, 3, 32, 32)),
    "convolutions over a film": (_over_a_film, (3, 8, 32, 32)),
    "sound to sound": (_from_sound_to_sound, (1, 512)),
}
"""Of torch itself."""


def architectures() -> Iterator[Architecture]:
    """All of the list. Raises CoverageUnavailable where a library is missing."""
    try:
        _without_torchvisions_kernels()
        import timm  # noqa: PLC0415 - an extra
        import transformers  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise CoverageUnavailable(f"coverage: {error}; install them: pip install 'tidegate[coverage]'") from error
    for family, names in (("timm, convolutional", CONVOLUTIONAL), ("timm, attention", ATTENTION)):
        for named in names.split():
            name, _, side = named.partition("@")
            size = int(side or 96)
            make = partial(timm.create_model, name, pretrained=False, num_classes=10)
            yield Architecture(family, name, make, (3, size, size))
    for model, config, options, shape in TRANSFORMERS:
        made = partial(_of_transformers, transformers, model, config, options)
        yield Architecture("transformers", model, made, shape, options.get("vocab_size", 0))
    for name, (sequence, shape) in SEQUENCES.items():
        yield Architecture("torch, sequences", name, sequence, shape)


def _of_transformers(library: Any, model: str, config: str, options: Mapping[str, Any]) -> nn.Module:
    made: nn.Module = getattr(library, model)(getattr(library, config)(**options))
    return made


def _without_torchvisions_kernels() -> None:
    """timm imports torchvision, which fails where its kernels are for another torch; nobody calls them here."""
    try:
        import torchvision  # noqa: F401, PLC0415 - whether it loads
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # torch's
        for name in ("nms", "qnms"):
            schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define(schema)  # type: ignore[no-untyped-call]  # as above
        _KEPT.append(library)


_KEPT: list[torch.library.Library] = []
"""What is defined is gone with its library."""
