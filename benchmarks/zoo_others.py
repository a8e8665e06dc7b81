"""Networks of sound, tables, series and graphs, and of torch alone as its users write it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from zoo_entry import (  # the folder of a script is on its path
    Build,
    Entry,
    First,
    Flat,
    Input,
    Pooled,
    library,
    made,
)


class _Tabular(nn.Module):
    """Numbers alone, for a network that takes numbers and categories: these are signs of the first."""

    def __init__(self, network: nn.Module, categories: int, *, categories_first: bool) -> None:
        super().__init__()
        self.network = network
        self.categories = categories
        self.first = categories_first

    def forward(self, values: Tensor) -> Tensor:
        of_kinds = (values[:, : self.categories] > 0).long()
        given: Tensor = self.network(of_kinds, values) if self.first else self.network(values, None)
        return given


def _tables() -> list[Entry]:
    columns = (Input((6,)),)
    rtdl, tab = "rtdl_revisiting_models", "tab_transformer_pytorch"
    numbers = {"d_in": 6, "d_out": 3}
    residual = {"n_blocks": 2, "d_block": 16, "d_hidden_multiplier": 2.0, "dropout1": 0.2, "dropout2": 0.1}
    former = {
        "n_cont_features": 6,
        "cat_cardinalities": [],
        "d_out": 3,
        "n_blocks": 2,
        "d_block": 16,
        "attention_n_heads": 2,
        "attention_dropout": 0.2,
        "ffn_d_hidden": 32,
        "ffn_d_hidden_multiplier": None,
        "ffn_dropout": 0.1,
        "residual_dropout": 0.1,
    }
    small = {
        "categories": (4, 5),
        "num_continuous": 6,
        "dim": 16,
        "depth": 2,
        "heads": 2,
        "dim_out": 3,
        "attn_dropout": 0.1,
        "ff_dropout": 0.1,
    }

    def tabnet() -> nn.Module:
        kind = library("pytorch_tabnet.tab_network").TabNet
        return nn.Sequential(
            First(kind(6, 8, n_d=4, n_a=4, n_steps=2, group_attention_matrix=torch.eye(6))),
            nn.Dropout(0.2),
            nn.Linear(8, 3),
        )

    return [
        Entry("rtdl", "MLP", made(rtdl, "MLP", **numbers, n_blocks=2, d_block=16, dropout=0.2), columns),
        Entry("rtdl", "ResNet", made(rtdl, "ResNet", **numbers, **residual), columns),
        Entry(
            "rtdl",
            "FTTransformer",
            lambda: _Tabular(made(rtdl, "FTTransformer", **former)(), 0, categories_first=False),
            columns,
            adapter="no categories",
        ),
        Entry(
            "tab-transformer-pytorch",
            "TabTransformer",
            lambda: _Tabular(
                made(tab, "TabTransformer", **small, mlp_act=nn.ReLU())(), 2, categories_first=True
            ),
            columns,
            adapter="categories from numbers",
        ),
        Entry(
            "tab-transformer-pytorch",
            "FTTransformer",
            lambda: _Tabular(made(tab, "FTTransformer", **small)(), 2, categories_first=True),
            columns,
            adapter="categories from numbers",
        ),
        Entry("pytorch-tabnet", "TabNet", tabnet, columns, adapter="a head with dropout"),
    ]


def _series() -> list[Entry]:
    parts = "pytorch_forecasting.models.temporal_fusion_transformer.sub_modules"
    steps = (Input((6, 16)),)

    def attended() -> nn.Module:
        attend = made(parts, "InterpretableMultiHeadAttention", 2, 16, dropout=0.1)()

        class OfItself(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.attend = attend

            def forward(self, values: Tensor) -> Any:
                return self.attend(values, values, values)

        return Pooled(OfItself(), 16)

    return [
        Entry(
            "pytorch-forecasting",
            "GatedResidualNetwork",
            lambda: Pooled(made(parts, "GatedResidualNetwork", 16, 16, 16, dropout=0.1)(), 16),
            steps,
            adapter="a linear head",
        ),
        Entry(
            "pytorch-forecasting",
            "GateAddNorm chain",
            lambda: Pooled(made(parts, "GatedLinearUnit", 16, 16, dropout=0.1)(), 16),
            steps,
            adapter="a linear head",
        ),
        Entry(
            "pytorch-forecasting", "InterpretableMultiHeadAttention", attended, steps, adapter="a linear head"
        ),
        Entry(
            "pytorch-forecasting",
            "FullyConnectedModule",
            made(
                "pytorch_forecasting.models.mlp.submodules",
                "FullyConnectedModule",
                16,
                3,
                16,
                2,
                activation_class=nn.ReLU,
                dropout=0.2,
                norm=True,
            ),
            (Input((16,)),),
        ),
    ]


class _Graph(nn.Module):
    """A graph a row, all with the same edges: a ring of six nodes."""

    def __init__(self, convolution: Callable[[int, int], nn.Module], width: int) -> None:
        super().__init__()
        self.first, self.second = convolution(4, width), convolution(width, width)
        self.head = nn.Linear(width, 3)

    def forward(self, nodes: Tensor) -> Tensor:
        adjacency = torch.eye(6).roll(1, 0) + torch.eye(6).roll(-1, 0)
        hidden = self.first(nodes, adjacency).relu()
        hidden = nn.functional.dropout(hidden, 0.3, self.training)
        hidden = self.second(hidden, adjacency).relu().mean(1)
        given: Tensor = self.head(nn.functional.dropout(hidden, 0.3, self.training))
        return given


class _Edges(nn.Module):
    """The same by a list of edges: rows are put beside each other, as a batch of torch-geometric is."""

    def __init__(self, body: nn.Module, width: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(width, 3)

    def forward(self, nodes: Tensor) -> Tensor:
        rows = len(nodes)
        ring = torch.arange(6)
        edges = torch.stack([ring, (ring + 1) % 6])
        edges = (edges[:, None] + 6 * torch.arange(rows)[:, None]).flatten(1)
        given: Tensor = self.head(self.body(nodes.flatten(0, 1), edges).unflatten(0, (rows, 6)).mean(1))
        return given


def _graphs() -> list[Entry]:
    nodes = (Input((6, 4)),)

    def dense(name: str) -> Build:
        return lambda: _Graph(getattr(library("torch_geometric.nn"), name), 16)

    def listed(name: str, **given: Any) -> Build:
        return lambda: _Edges(
            getattr(library("torch_geometric.nn"), name)(4, 16, 2, 16, dropout=0.3, **given), 16
        )

    return [
        *(
            Entry("torch-geometric", name, dense(name), nodes, adapter="fixed edges")
            for name in ("DenseGCNConv", "DenseGraphConv", "DenseSAGEConv")
        ),
        *(
            Entry("torch-geometric", name, listed(name), nodes, adapter="fixed edges")
            for name in ("GCN", "GraphSAGE", "GIN", "GAT")
        ),
    ]


def _sounds() -> list[Entry]:
    def conformer() -> nn.Module:
        network = library("torchaudio.models").Conformer(16, 2, 32, 2, 3, dropout=0.1)

        class WithLengths(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def forward(self, values: Tensor) -> Any:
                lengths = torch.full((len(values),), values.shape[1])
                return self.network(values, lengths)[0]

        return Pooled(WithLengths(), 16)

    def wave() -> nn.Module:
        network = library("torchaudio.models").wav2vec2_model(
            "layer_norm",
            [(16, 10, 5), (16, 3, 2)],
            True,
            16,
            0.1,
            8,
            2,
            2,
            2,
            0.1,
            32,
            0.1,
            0.1,
            True,
            0.0,
            None,
        )
        return Pooled(network, 16)

    def deep_speech() -> nn.Module:
        return Flat(library("torchaudio.models").DeepSpeech(16, n_hidden=16, n_class=4, dropout=0.2))

    return [
        Entry("torchaudio", "Conformer", conformer, (Input((12, 16)),), adapter="lengths, and a linear head"),
        Entry("torchaudio", "Wav2Vec2Model", wave, (Input((400,)),), adapter="a linear head"),
        Entry("torchaudio", "DeepSpeech", deep_speech, (Input((1, 12, 16)),), task="sequences"),
    ]


class Cells(nn.Module):
    """A recurrent cell in a loop of the model's own, with dropout between its steps."""

    def __init__(self, kind: type[nn.RNNCellBase], width: int = 32) -> None:
        super().__init__()
        self.cell = kind(8, width)  # type: ignore[call-arg]
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(width, 3)

    def forward(self, values: Tensor) -> Tensor:
        state = None
        for step in values.unbind(1):
            state = self.cell(step, state)
            state = (self.drop(state[0]), state[1]) if isinstance(state, tuple) else self.drop(state)
        assert state is not None
        given: Tensor = self.head(state[0] if isinstance(state, tuple) else state)
        return given


def _recurrent(kind: str) -> Build:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = getattr(nn, kind)(8, 16, 2, dropout=0.2, batch_first=True, bidirectional=True)
            self.head = nn.Linear(32, 3)

        def forward(self, values: Tensor) -> Tensor:
            given: Tensor = self.head(nn.functional.dropout(self.net(values)[0][:, -1], 0.2, self.training))
            return given

    return Net


def _torch() -> list[Entry]:
    steps = (Input((12, 8)),)

    def encoder() -> nn.Module:
        layer = nn.TransformerEncoderLayer(16, 2, 32, 0.1, batch_first=True)
        return Pooled(nn.TransformerEncoder(layer, 2), 16)

    return [
        Entry("torch", "LSTMCell in a loop", lambda: Cells(nn.LSTMCell), steps),
        Entry("torch", "GRUCell in a loop", lambda: Cells(nn.GRUCell), steps),
        Entry("torch", "RNNCell in a loop", lambda: Cells(nn.RNNCell), steps),
        Entry("torch", "LSTM", _recurrent("LSTM"), steps),
        Entry("torch", "GRU", _recurrent("GRU"), steps),
        Entry("torch", "TransformerEncoder", encoder, (Input((6, 16)),)),
    ]


ENTRIES = (*_torch(), *_sounds(), *_tables(), *_series(), *_graphs())
