"""Networks of images, maps and volumes: timm, torchvision, MONAI, segmentation_models_pytorch and others."""

from typing import Any

from torch import nn
from zoo_entry import (  # the folder of a script is on its path
    Build,
    Entry,
    First,
    Input,
    flat,
    image,
    library,
    made,
)

_TIMM: dict[str, dict[str, Any]] = {
    name: {}
    for name in [
        "resnet18",
        "resnet10t",
        "seresnet18",
        "skresnet18",
        "mobilenetv3_small_050",
        "mobilenetv4_conv_small_035",
        "efficientnet_lite0",
        "tinynet_e",
        "mnasnet_small",
        "lcnet_035",
        "tf_mixnet_s",
        "ghostnet_050",
        "repghostnet_050",
        "regnetx_002",
        "convnext_atto",
        "convnextv2_atto",
        "inception_next_atto",
        "edgenext_xx_small",
        "mambaout_femto",
        "poolformer_s12",
        "ese_vovnet19b_dw",
        "starnet_s1",
        "hgnetv2_b0",
        "efficientvit_b0",
        "fastvit_t8",
        "repvit_m0_9",
        "pvt_v2_b0",
        "test_vit",
        "test_resnet",
        "test_efficientnet",
        "test_convnext",
        "test_byobnet",
        "test_nfnet",
        "test_mambaout",
    ]
} | {
    name: {"img_size": 64}
    for name in [
        "vit_tiny_patch16_224",
        "deit_tiny_patch16_224",
        "cait_xxs24_224",
        "mixer_s32_224",
        "gmlp_s16_224",
        "resmlp_12_224",
        "eva02_tiny_patch14_224",
        "xcit_nano_12_p16_224",
        "vit_relpos_small_patch16_224",
    ]
}
_TIMM |= {
    "botnet26t_256": {"_size": 256},
    "halonet26t": {"_size": 256},
    "resnet18, drop block": {"drop_block_rate": 0.1},
    "swin_tiny_patch4_window7_224": {"img_size": 64, "window_size": 4},
    "mobilevit_xxs": {},
    "mobilevitv2_050": {},
    "levit_128s": {"_size": 224},
    "pit_ti_224": {"_size": 224},
    "twins_pcpvt_small": {"_size": 64},
    "inception_v3": {"_size": 96},
}


def _timm(title: str, given: dict[str, Any]) -> Entry:
    size = given.get("_size", given.get("img_size", 32))
    arguments = {name: value for name, value in given.items() if not name.startswith("_")}
    name = title.partition(",")[0]

    def build() -> nn.Module:
        make = library("timm").create_model
        try:
            network: nn.Module = make(name, num_classes=5, drop_rate=0.2, drop_path_rate=0.2, **arguments)
        except TypeError:  # it has no stochastic depth
            network = make(name, num_classes=5, drop_rate=0.2, **arguments)
        return network

    return Entry("timm", title, build, image(size))


def _swin(name: str) -> Build:
    def build() -> nn.Module:
        swin = library("torchvision.models.swin_transformer")
        given = (
            {"block": swin.SwinTransformerBlockV2, "downsample_layer": swin.PatchMergingV2} if name else {}
        )
        network: nn.Module = swin.SwinTransformer(
            patch_size=[4, 4],
            embed_dim=24,
            depths=[2, 2],
            num_heads=[2, 4],
            window_size=[4, 4],
            stochastic_depth_prob=0.2,
            dropout=0.1,
            attention_dropout=0.1,
            num_classes=5,
            **given,
        )
        return network

    return build


def _drop_block(kind: str) -> Build:
    def build() -> nn.Module:
        drop = getattr(library("torchvision.ops"), kind)(0.3, 3)
        return nn.Sequential(
            nn.Conv2d(3, 16, 3, 2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            drop,
            nn.Conv2d(16, 16, 3, 2),
            nn.ReLU(),
            drop,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, 5),
        )

    return build


def _torchvision() -> list[Entry]:
    models, maps, videos = (
        "torchvision.models",
        "torchvision.models.segmentation",
        "torchvision.models.video",
    )
    transformer = made(
        models,
        "VisionTransformer",
        image_size=32,
        patch_size=8,
        num_layers=3,
        num_heads=2,
        hidden_dim=32,
        mlp_dim=64,
        dropout=0.1,
        attention_dropout=0.1,
        num_classes=5,
    )
    maxvit = made(
        models,
        "MaxVit",
        input_size=(32, 32),
        stem_channels=16,
        partition_size=2,
        block_channels=[16, 32],
        block_layers=[1, 1],
        head_dim=16,
        stochastic_depth_prob=0.2,
        num_classes=5,
    )
    plain = (
        "alexnet vgg11_bn squeezenet1_1 densenet121 mobilenet_v2 mobilenet_v3_small mnasnet0_5 "
        "efficientnet_b0 convnext_tiny shufflenet_v2_x0_5 resnet18 regnet_x_400mf"
    )
    entries = [
        Entry(
            "torchvision",
            name,
            made(models, name, weights=None, num_classes=5),
            image(64 if name[-1] != "8" else 32),
        )
        for name in plain.split()
    ]
    googlenet = made(models, "googlenet", weights=None, num_classes=5, aux_logits=False, init_weights=False)
    entries += [
        Entry("torchvision", "googlenet", googlenet, image(96)),
        Entry(
            "torchvision",
            "inception_v3",
            made(models, "inception_v3", weights=None, num_classes=5, aux_logits=False, init_weights=False),
            image(96),
        ),
        Entry(
            "torchvision",
            "inception_v3, with its auxiliary head",
            made(models, "inception_v3", weights=None, num_classes=5, init_weights=False),
            image(299),
        ),
        Entry("torchvision", "VisionTransformer", transformer, image(32)),
        Entry("torchvision", "SwinTransformer", _swin(""), image(32)),
        Entry("torchvision", "SwinTransformer v2", _swin("v2"), image(32)),
        Entry("torchvision", "MaxVit", maxvit, image(32)),
        Entry("torchvision", "DropBlock2d", _drop_block("DropBlock2d"), image(32)),
        Entry(
            "torchvision",
            "r3d_18",
            made(videos, "r3d_18", weights=None, num_classes=5),
            (Input((3, 4, 32, 32)),),
        ),
        Entry(
            "torchvision", "s3d", made(videos, "s3d", weights=None, num_classes=5), (Input((3, 16, 64, 64)),)
        ),
        *(
            Entry(
                "torchvision",
                name,
                flat(made(maps, name, weights=None, weights_backbone=None, num_classes=3)),
                image(48),
                task="maps",
            )
            for name in ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")
        ),
    ]
    return entries


def _monai() -> list[Entry]:
    nets = "monai.networks.nets"
    volume, slab = (Input((1, 16, 16, 16)),), (Input((1, 32, 32)),)
    unet: dict[str, Any] = {"channels": (8, 16, 16), "strides": (2, 2)}
    parts = [
        (
            "DenseNet",
            made(
                nets,
                "DenseNet",
                3,
                1,
                3,
                init_features=8,
                growth_rate=8,
                block_config=(2, 2),
                dropout_prob=0.2,
            ),
            volume,
            "",
            "",
        ),
        (
            "SEResNet50",
            made(nets, "SEResNet50", spatial_dims=2, in_channels=1, num_classes=3, dropout_prob=0.2),
            (Input((1, 32, 32)),),
            "",
            "",
        ),
        (
            "EfficientNetBN b0",
            made(
                nets,
                "EfficientNetBN",
                "efficientnet-b0",
                spatial_dims=2,
                in_channels=1,
                num_classes=3,
                pretrained=False,
            ),
            (Input((1, 32, 32)),),
            "",
            "",
        ),
        (
            "ViT",
            lambda: First(
                made(
                    nets,
                    "ViT",
                    1,
                    (16, 16, 16),
                    (8, 8, 8),
                    hidden_size=24,
                    mlp_dim=32,
                    num_layers=2,
                    num_heads=2,
                    classification=True,
                    num_classes=3,
                    dropout_rate=0.1,
                )()
            ),
            volume,
            "",
            "the first of its outputs",
        ),
        (
            "ViTAutoEnc",
            lambda: First(
                made(
                    nets,
                    "ViTAutoEnc",
                    1,
                    (16, 16, 16),
                    (4, 4, 4),
                    hidden_size=24,
                    mlp_dim=32,
                    num_layers=2,
                    num_heads=2,
                    dropout_rate=0.1,
                )()
            ),
            volume,
            "maps",
            "",
        ),
        (
            "Classifier",
            made(nets, "Classifier", (1, 16, 16), 3, (8, 16), (2, 2), dropout=0.2),
            (Input((1, 16, 16)),),
            "",
            "",
        ),
        (
            "Regressor",
            made(nets, "Regressor", (1, 16, 16), (2,), (8, 16), (2, 2), dropout=0.2),
            (Input((1, 16, 16)),),
            "",
            "",
        ),
        (
            "FullyConnectedNet",
            made(nets, "FullyConnectedNet", 8, 3, [16, 16], dropout=0.2),
            (Input((8,)),),
            "",
            "",
        ),
        (
            "HighResNet",
            made("monai.networks.nets", "HighResNet", 2, 1, 3, dropout_prob=0.2),
            slab,
            "maps",
            "",
        ),
        ("UNet", made(nets, "UNet", 2, 1, 3, dropout=0.2, **unet), slab, "maps", ""),
        ("AttentionUnet", made(nets, "AttentionUnet", 2, 1, 3, dropout=0.2, **unet), slab, "maps", ""),
        (
            "BasicUNet",
            made(nets, "BasicUNet", 2, 1, 3, features=(8, 8, 8, 8, 8, 8), dropout=0.2),
            slab,
            "maps",
            "",
        ),
        ("SegResNet", made(nets, "SegResNet", 2, 8, 1, 3, dropout_prob=0.2), slab, "maps", ""),
        (
            "VNet",
            made(nets, "VNet", 2, 1, 3, dropout_prob_down=0.5, dropout_prob_up=(0.5, 0.5)),
            slab,
            "maps",
            "",
        ),
        (
            "DynUNet",
            made(nets, "DynUNet", 2, 1, 3, (3, 3, 3), (1, 2, 2), (2, 2), filters=(8, 8, 8), dropout=0.2),
            slab,
            "maps",
            "",
        ),
        (
            "UNETR",
            made(
                nets,
                "UNETR",
                1,
                3,
                (32, 32),
                feature_size=8,
                hidden_size=24,
                mlp_dim=32,
                num_heads=2,
                dropout_rate=0.1,
                spatial_dims=2,
            ),
            slab,
            "maps",
            "",
        ),
        (
            "SwinUNETR",
            made(
                nets,
                "SwinUNETR",
                1,
                3,
                feature_size=12,
                depths=(1, 1, 1, 1),
                num_heads=(1, 1, 1, 1),
                drop_rate=0.1,
                attn_drop_rate=0.1,
                dropout_path_rate=0.1,
                spatial_dims=2,
            ),
            (Input((1, 32, 32)),),
            "maps",
            "",
        ),
    ]
    return [
        Entry(
            "MONAI",
            name,
            flat(build) if task else build,
            inputs,
            task=task,
            adapter=adapter,
        )
        for name, build, inputs, task, adapter in parts
    ]


def _segmentation() -> list[Entry]:
    head = {"aux_params": {"classes": 3, "dropout": 0.3}}
    names = ("Unet", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus", "PAN")
    given = {"encoder_name": "resnet18", "encoder_weights": None, "in_channels": 3, "classes": 2}
    entries = [
        Entry(
            "segmentation_models_pytorch",
            name,
            flat(made("segmentation_models_pytorch", name, **given, **head)),
            image(32),
            task="maps",
        )
        for name in names
    ]
    only_head = made("segmentation_models_pytorch", "Unet", **given, **head)
    entries.append(
        Entry(
            "segmentation_models_pytorch",
            "Unet, its classes",
            lambda: First(only_head(), 1),
            image(32),
            adapter="the second of its outputs",
        )
    )
    return entries


def _vit_pytorch() -> list[Entry]:
    small = {"image_size": 32, "patch_size": 8, "num_classes": 3, "dim": 32, "heads": 2, "mlp_dim": 32}
    drops = {"dropout": 0.1, "emb_dropout": 0.1}
    parts: dict[str, tuple[str, str, dict[str, Any]]] = {
        "ViT": ("vit_pytorch", "ViT", {**small, **drops, "depth": 2}),
        "DeepViT": ("vit_pytorch.deepvit", "DeepViT", {**small, **drops, "depth": 2}),
        "CaiT": (
            "vit_pytorch.cait",
            "CaiT",
            {**small, **drops, "depth": 2, "cls_depth": 1, "layer_dropout": 0.0},
        ),
        "CaiT, with layer drop": (
            "vit_pytorch.cait",
            "CaiT",
            {**small, **drops, "depth": 2, "cls_depth": 1, "layer_dropout": 0.1},
        ),
        "ViT for small datasets": (
            "vit_pytorch.vit_for_small_dataset",
            "ViT",
            {**small, **drops, "depth": 2},
        ),
        "PiT": ("vit_pytorch.pit", "PiT", {**small, **drops, "depth": (1, 1)}),
        "Parallel ViT": ("vit_pytorch.parallel_vit", "ViT", {**small, **drops, "depth": 2}),
        "ViT with patch dropout": (
            "vit_pytorch.vit_with_patch_dropout",
            "ViT",
            {**small, **drops, "depth": 2, "patch_dropout": 0.25},
        ),
        "CCT": (
            "vit_pytorch.cct",
            "CCT",
            {
                "img_size": 32,
                "embedding_dim": 32,
                "n_conv_layers": 1,
                "num_layers": 2,
                "num_heads": 2,
                "mlp_ratio": 1.0,
                "num_classes": 3,
                "kernel_size": 3,
                "stride": 2,
                "padding": 1,
                "pooling_kernel_size": 3,
                "pooling_stride": 2,
                "pooling_padding": 1,
            },
        ),
        "CrossFormer": (
            "vit_pytorch.crossformer",
            "CrossFormer",
            {
                "num_classes": 3,
                "dim": (16, 16, 16, 16),
                "depth": (1, 1, 1, 1),
                "global_window_size": (1, 1, 1, 1),
                "local_window_size": 1,
                "attn_dropout": 0.1,
                "ff_dropout": 0.1,
            },
        ),
    }
    return [
        Entry("vit-pytorch", title, made(module, name, **given), image(32))
        for title, (module, name, given) in parts.items()
    ]


def _swish() -> list[Entry]:
    def build() -> nn.Module:
        network: nn.Module = library("efficientnet_pytorch").EfficientNet.from_name(
            "efficientnet-b0", num_classes=5, image_size=64
        )
        return network

    return [Entry("efficientnet_pytorch", "efficientnet-b0, with memory-efficient Swish", build, image(32))]


ENTRIES = (
    *(_timm(name, given) for name, given in _TIMM.items()),
    *_torchvision(),
    *_monai(),
    *_segmentation(),
    *_vit_pytorch(),
    *_swish(),
)
