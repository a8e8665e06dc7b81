"""Networks of transformers: texts, images, sound and series."""

from typing import Any

import torch
from torch import Tensor, nn
from zoo_entry import (  # the folder of a script is on its path
    Build,
    Entry,
    Input,
    flat,
    image,
    library,
)

_SMALL = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_RATES = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}

# A kind of text to what its configuration needs besides.
_TEXTS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        [
            "Bert",
            "Roberta",
            "Electra",
            "ConvBert",
            "RoFormer",
            "Nystromformer",
            "RobertaPreLayerNorm",
            "IBert",
            "Mra",
            "Yoso",
        ],
        _RATES,
    ),
    "DistilBert": {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2},
    "Albert": {**_RATES, "embedding_size": 8, "classifier_dropout_prob": 0.1},
    "DebertaV2": {
        **_RATES,
        "relative_attention": True,
        "position_buckets": 8,
        "pos_att_type": ["p2c", "c2p"],
    },
    "Deberta": {**_RATES, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "RemBert": {**_RATES, "input_embedding_size": 8, "output_embedding_size": 8},
    "MobileBert": {**_RATES, "embedding_size": 8, "intra_bottleneck_size": 8, "true_hidden_size": 8},
    "SqueezeBert": {
        **_RATES,
        "embedding_size": 16,
        "q_groups": 1,
        "k_groups": 1,
        "v_groups": 1,
        "post_attention_groups": 1,
        "intermediate_groups": 1,
        "output_groups": 1,
    },
    "FNet": {"hidden_dropout_prob": 0.1, "tpu_short_seq_length": 8},
    "MPNet": _RATES,
    "XLNet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32, "dropout": 0.1},
    "Funnel": {
        "vocab_size": 60,
        "d_model": 16,
        "n_head": 2,
        "d_head": 8,
        "d_inner": 32,
        "block_sizes": [1, 1],
        "num_decoder_layers": 1,
    },
    "Longformer": {**_RATES, "attention_window": 4, "max_position_embeddings": 32},
    "BigBird": {**_RATES, "attention_type": "original_full"},
    "Canine": {
        **_RATES,
        "num_hash_buckets": 60,
        "local_transformer_stride": 4,
        "downsampling_rate": 2,
        "max_position_embeddings": 64,
    },
    "XLM": {
        "emb_dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "n_words": 60,
    },
    "ModernBert": {
        "embedding_dropout": 0.1,
        "attention_dropout": 0.1,
        "mlp_dropout": 0.1,
        "classifier_dropout": 0.1,
        "cls_token_id": 1,
        "sep_token_id": 2,
    },
    "GPT2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32},
    "GPTNeo": {
        "num_layers": 2,
        "num_heads": 2,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 4,
        "attention_dropout": 0.1,
        "embed_dropout": 0.1,
        "resid_dropout": 0.1,
    },
    "GPTJ": {"n_embd": 16, "n_layer": 2, "n_head": 2, "rotary_dim": 4, "attn_pdrop": 0.1, "resid_pdrop": 0.1},
    "GPTNeoX": {"attention_dropout": 0.1, "hidden_dropout": 0.1, "classifier_dropout": 0.1},
    "OPT": {"ffn_dim": 32, "dropout": 0.1, "attention_dropout": 0.1, "word_embed_proj_dim": 16},
    "Bloom": {"n_layer": 2, "n_head": 2, "hidden_dropout": 0.1, "attention_dropout": 0.1},
    "Falcon": {"hidden_dropout": 0.1, "attention_dropout": 0.1},
    "CTRL": {"n_embd": 16, "n_layer": 2, "n_head": 2, "dff": 32, "n_positions": 32},
    "Biogpt": {"_class": "BioGpt", **_RATES, "layerdrop": 0.0},
    "Llama": {"attention_dropout": 0.1, "num_key_value_heads": 1},
    "Qwen2": {"attention_dropout": 0.1, "num_key_value_heads": 1},
    "Phi": {"attention_dropout": 0.1, "resid_pdrop": 0.1, "embd_pdrop": 0.1},
    "Mixtral": {"attention_dropout": 0.1, "num_key_value_heads": 1, "num_local_experts": 2},
    "Bart": {
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "activation_dropout": 0.1,
        "classifier_dropout": 0.1,
    },
    "T5": {
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 32,
        "num_layers": 2,
        "num_heads": 2,
        "dropout_rate": 0.1,
        "decoder_start_token_id": 0,
    },
    "Reformer": {
        "attn_layers": ["local", "local"],
        "attention_head_size": 8,
        "feed_forward_size": 32,
        "axial_pos_embds": False,
        "max_position_embeddings": 32,
        "hash_seed": 0,
        "num_buckets": 2,
        "local_attn_chunk_length": 4,
        "lsh_attn_chunk_length": 4,
        "is_decoder": False,
    },
}

_IMAGES: dict[str, dict[str, Any]] = {
    "ViT": _RATES,
    "DeiT": _RATES,
    "Beit": {**_RATES, "drop_path_rate": 0.2, "layer_scale_init_value": 0.1},
    "Dinov2": {**_RATES, "drop_path_rate": 0.2},
    "Swin": {
        **_RATES,
        "embed_dim": 16,
        "depths": [1, 1],
        "num_heads": [2, 2],
        "window_size": 4,
        "patch_size": 4,
        "drop_path_rate": 0.2,
    },
    "ConvNext": {
        "patch_size": 4,
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1, 1, 1, 1],
        "drop_path_rate": 0.2,
    },
    "PoolFormer": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "drop_path_rate": 0.2},
    "Segformer": {
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 2, 2],
        **_RATES,
    },
    "Pvt": {
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 2, 2],
        **_RATES,
        "drop_path_rate": 0.2,
    },
    "MobileViT": {
        "hidden_sizes": [16, 16, 16],
        "neck_hidden_sizes": [8, 8, 16, 16, 16, 16, 16],
        "initializer_range": 0.2,  # as it is by default, nothing of a row arrives at the end
        **_RATES,
        "classifier_dropout_prob": 0.1,
    },
    "MobileNetV2": {"depth_multiplier": 0.35, "classifier_dropout_prob": 0.2},
    "EfficientNet": {
        "num_block_repeats": [1] * 7,
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "hidden_dim": 1280,
        "drop_connect_rate": 0.2,
        "dropout_rate": 0.2,
    },
    "FocalNet": {
        "embed_dim": 16,
        "depths": [1, 1],
        "focal_levels": [1, 1],
        "focal_windows": [3, 3],
        **_RATES,
        "drop_path_rate": 0.2,
        "hidden_sizes": [16, 32],
    },
}

_SPEECH = {
    "conv_dim": (16, 16),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 16,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "layerdrop": 0.0,
    "final_dropout": 0.1,
}


def _transformer(kind: str, task: str, given: dict[str, Any]) -> Build:
    def build() -> nn.Module:
        transformers = library("transformers")
        name = given.get("_class", kind)
        own = {key: value for key, value in given.items() if not key.startswith("_")}
        small = {"num_labels": 3} if own.keys() & {"depths", "depth", "block_sizes"} else _SMALL
        configuration = getattr(transformers, f"{name}Config")(**{**small, **own})
        configuration.use_cache = False
        network: nn.Module = getattr(transformers, f"{name}For{task}")(configuration)
        return network

    return build


_ENDED = ("Bart", "T5")


def _ended(build: Build) -> Build:
    """Put the token at the end of each text that these look for: made-up rows have none."""

    class Ended(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = build()

        def forward(self, tokens: Tensor) -> Tensor:
            ends = torch.full_like(tokens[:, :1], _SMALL["eos_token_id"])
            given: Tensor = self.network(torch.cat([tokens[:, :-1], ends], 1)).logits
            return given

    return Ended


def _transformers() -> list[Entry]:
    text = (Input((8,), torch.int64, (3, 59), "input_ids"),)
    pixels = (Input((3, 32, 32), name="pixel_values"),)
    sound = (Input((400,), name="input_values"),)
    sized = {"image_size": 32, "patch_size": 8}
    entries = [
        Entry(
            "transformers",
            f"{kind}ForSequenceClassification",
            _transformer(kind, "SequenceClassification", given),
            text,
            "logits",
        )
        for kind, given in _TEXTS.items()
        if kind not in _ENDED
    ]
    entries += [
        Entry(
            "transformers",
            f"{kind}ForSequenceClassification",
            _ended(_transformer(kind, "SequenceClassification", _TEXTS[kind])),
            (Input((8,), torch.int64, (3, 59)),),
            adapter="each text ends with a token of its own",
        )
        for kind in _ENDED
    ]
    layer_drop = _transformer("Wav2Vec2", "SequenceClassification", {**_SPEECH, "layerdrop": 0.2})
    entries += [
        Entry(
            "transformers",
            f"{kind}ForTokenClassification",
            _transformer(kind, "TokenClassification", _TEXTS[kind]),
            text,
            "logits",
            task="tokens",
        )
        for kind in ("Bert", "Roberta", "DistilBert", "Electra")
    ]
    entries += [
        Entry(
            "transformers",
            f"{kind}ForImageClassification",
            _transformer(kind, "ImageClassification", {**({} if "patch_sizes" in given else sized), **given}),
            (Input((3, 128, 128), name="pixel_values"),) if kind in ("MobileViT", "EfficientNet") else pixels,
            "logits",
        )
        for kind, given in _IMAGES.items()
    ]
    entries += [
        Entry(
            "transformers",
            f"{kind}ForSequenceClassification",
            _transformer(kind, "SequenceClassification", _SPEECH),
            sound,
            "logits",
        )
        for kind in ("Wav2Vec2", "WavLM")
    ]
    forecasts = {
        "context_length": 16,
        "prediction_length": 4,
        "num_input_channels": 2,
        "d_model": 16,
        "num_targets": 3,
        "patch_length": 4,
        "patch_stride": 4,
        "ffn_dim": 32,
        "dropout": 0.1,
        "ff_dropout": 0.1,
        "head_dropout": 0.1,
        "positional_dropout": 0.1,
        "attention_dropout": 0.1,
        "path_dropout": 0.1,
        "random_mask_ratio": 0.0,
        "do_mask_input": False,
        "num_parallel_samples": 1,
        "loss": "mse",
        "num_layers": 2,
    }
    entries += [
        Entry(
            "transformers", "Wav2Vec2ForSequenceClassification, with layer drop", layer_drop, sound, "logits"
        ),
        Entry(
            "transformers",
            "ASTForAudioClassification",
            _transformer(
                "AST",
                "AudioClassification",
                {**_RATES, "max_length": 32, "num_mel_bins": 16, "patch_size": 8},
            ),
            (Input((32, 16), name="input_values"),),
            "logits",
        ),
        Entry(
            "transformers",
            "PatchTSTForClassification",
            _transformer("PatchTST", "Classification", forecasts),
            (Input((16, 2), name="past_values"),),
            "prediction_logits",
        ),
        Entry(
            "transformers",
            "PatchTSTForRegression",
            _transformer("PatchTST", "Regression", forecasts),
            (Input((16, 2), name="past_values"),),
            "regression_outputs",
        ),
        Entry(
            "transformers",
            "PatchTSMixerForRegression",
            _transformer("PatchTSMixer", "Regression", forecasts),
            (Input((16, 2), name="past_values"),),
            "regression_outputs",
        ),
        Entry(
            "transformers",
            "SegformerForSemanticSegmentation",
            flat(
                _transformer(
                    "Segformer",
                    "SemanticSegmentation",
                    {**_IMAGES["Segformer"], "decoder_hidden_size": 16, "classifier_dropout_prob": 0.1},
                )
            ),
            image(32),
            task="maps",
        ),
    ]
    return entries


ENTRIES = tuple(_transformers())
