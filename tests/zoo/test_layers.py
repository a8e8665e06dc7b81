"""The layers of `models.layers` against their formulas and torch's own."""

import pytest
import torch
from agreement import assert_close, sampled
from torch import Tensor, nn
from zoo_networks import FAMILIES

from models.layers.attention import EncoderLayer, SelfAttention
from models.layers.drop_connect import DropConnectLinear
from models.layers.residual import Residual
from models.layers.variational import VariationalGRU, VariationalLSTM, VariationalRecurrent
from models.zoo import recurrent, resnet, transformer
from service.sampling.engine import Engine
from service.sampling.masks import site_factors

FEATURES, UNITS, STEPS = 5, 6, 7
CELLS = {"lstm": (VariationalLSTM, nn.LSTM), "gru": (VariationalGRU, nn.GRU)}


@pytest.fixture(params=sorted(CELLS))
def cell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def recurrent_layer(cell: str) -> VariationalRecurrent:
    torch.manual_seed(0)
    return CELLS[cell][0](FEATURES, UNITS, input_dropout=0.4, state_dropout=0.5)


def of_torch(cell: str, layer: VariationalRecurrent, of_input: Tensor, of_state: Tensor) -> nn.Module:
    """torch's own layer with the same weights, their columns multiplied by what drops the units they take."""
    plain = CELLS[cell][1](FEATURES, UNITS, batch_first=True).requires_grad_(False)
    plain.weight_ih_l0.copy_(layer.of_input.weight * of_input)
    plain.weight_hh_l0.copy_(layer.of_state.weight * of_state)
    plain.bias_ih_l0.copy_(layer.of_input.bias)
    plain.bias_hh_l0.copy_(layer.of_state.bias)
    return plain


class States(nn.Module):
    """A recurrent layer whose states of all steps are its answer: [rows, steps · units]."""

    def __init__(self, layer: VariationalRecurrent) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, values: Tensor) -> Tensor:
        return self.layer(values).flatten(1)


def test_a_recurrent_layer_is_torchs_when_nothing_is_dropped(cell: str) -> None:
    layer, values = recurrent_layer(cell).eval(), torch.randn(3, STEPS, FEATURES)
    ones = torch.ones(1)
    expected, _ = of_torch(cell, layer, ones, ones)(values)
    assert_close(expected, layer(values).detach())


def test_a_sample_has_one_mask_for_all_steps_and_the_next_another(cell: str) -> None:
    """Each sample's states, after every step, are those of torch's layer without the columns it drops."""
    layer, values = recurrent_layer(cell), torch.randn(3, STEPS, FEATURES)
    engine = Engine(States(layer), [[STEPS, FEATURES]], [torch.float32])
    samples = sampled(engine, (values,), range(4), seed=7)
    inputs, states = (site_factors(7, site, range(4)) for site in engine.report.sites)
    for sample, of_input, of_state in zip(samples, inputs, states, strict=True):
        expected, _ = of_torch(cell, layer, of_input, of_state)(values)
        assert_close(expected.flatten(1), sample)
    assert len({tuple(mask.flatten().tolist()) for mask in states}) == 4


def test_each_row_has_masks_of_its_own_in_training(cell: str) -> None:
    layer = recurrent_layer(cell).train()
    torch.manual_seed(1)
    given = layer(torch.randn(1, STEPS, FEATURES).expand(8, -1, -1))
    assert len({tuple(row) for row in given[:, -1].tolist()}) == 8


@pytest.mark.parametrize("name", ["lstm_tokens", "gru_tokens", "transformer"])
def test_padding_changes_nothing(name: str) -> None:
    network = FAMILIES[name].network().eval()
    tokens = torch.tensor([[3, 1, 4]])
    padded = nn.functional.pad(tokens, (0, 5))
    with torch.no_grad():
        assert_close(network(tokens), network(padded))
        assert network(torch.zeros(2, 4, dtype=torch.int64)).isfinite().all()
        assert not torch.allclose(network(tokens), network(torch.tensor([[3, 1, 4, 2]])))


def test_where_all_is_padding_the_first_position_attends_to_itself() -> None:
    encoder = FAMILIES["transformer"].network().eval().get_submodule("encoder")
    with torch.no_grad():
        alone = encoder(torch.zeros(1, 0, 8))
        assert_close(alone, encoder(torch.randn(1, 3, 8), torch.zeros(1, 3, dtype=torch.bool)))


def test_drop_connect_drops_weights_and_keeps_the_bias() -> None:
    """Fed with unit vectors the layer shows its matrix: each weight is 0 or W / (1 - p)."""
    torch.manual_seed(0)
    layer = DropConnectLinear(40, 50, dropout=0.25).train()
    seen = (layer(torch.eye(40)) - layer.bias).T
    kept = seen.abs() > 1e-6
    assert torch.allclose(seen[kept], (layer.weight / 0.75)[kept], atol=1e-6)
    assert abs(kept.double().mean().item() - 0.75) < 5 * (0.75 * 0.25 / 2000) ** 0.5
    assert_close(layer.eval()(torch.eye(40)).T, layer.weight + layer.bias[:, None])


def test_the_skip_path_is_never_dropped() -> None:
    """Where the branch gives ones, what dropout adds is 0 or 1 / (1 - p), and the input is all there."""

    class Ones(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return torch.ones_like(values)

    values = torch.randn(100, 10)
    added = Residual(Ones(), dropout=0.5).train()(values) - values
    assert {round(value, 4) for value in added.flatten().tolist()} == {0.0, 2.0}


def test_a_residual_network_drops_in_branches_alone() -> None:
    network = resnet.classifier(image=[1, 8, 8], classes=3, channels=[4, 6], dropout=0.2)
    dropouts = {path for path, module in network.named_modules() if isinstance(module, nn.Dropout)}
    residuals = {path for path, module in network.named_modules() if isinstance(module, Residual)}
    assert dropouts == {f"{path}.drop" for path in residuals}


def test_attention_is_torchs() -> None:
    torch.manual_seed(0)
    ours = SelfAttention(width=8, heads=2, dropout=0.1).eval().requires_grad_(False)
    plain = nn.MultiheadAttention(8, 2, batch_first=True).eval().requires_grad_(False)
    plain.in_proj_weight.copy_(ours.queries_keys_values.weight)
    plain.in_proj_bias.copy_(ours.queries_keys_values.bias)
    plain.out_proj.load_state_dict(ours.out.state_dict())
    values, present = torch.randn(3, 5, 8), torch.arange(5) < torch.tensor([[5], [3], [1]])
    normed = ours.norm(values)
    expected, _ = plain(normed, normed, normed, key_padding_mask=~present)
    assert_close(expected, ours(values, present))


def test_an_encoder_layer_is_its_formula() -> None:
    layer = EncoderLayer(8, 2, 16, attention_dropout=0.1, residual_dropout=0.1).eval()
    values = torch.randn(3, 5, 8)
    between = values + layer.attention.branch(values)
    assert_close((between + layer.dense.branch(between)).detach(), layer(values).detach())


def test_a_vision_transformer_embeds_patches() -> None:
    """What a patch holds reaches its own place alone."""
    network = transformer.image_classifier(image=[1, 8, 8], classes=3, patch=4, width=8, heads=2)
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 2, 6] = 1  # in the second of four patches
    met: list[Tensor] = []
    network.encoder.register_forward_pre_hook(lambda _module, inputs: met.append(inputs[0]))
    network(image)
    network(torch.zeros(1, 1, 8, 8))
    assert (met[0] != met[1]).any(-1).tolist() == [[False, True, False, False]]


def test_a_sequence_classifier_takes_the_units_of_its_features() -> None:
    network = recurrent.classifier(features=2, classes=3)
    values = torch.randn(50, 4, 2) * 7 + 3
    network.fit_units(values, torch.zeros(50))
    scaled = network.standardize(values)
    assert torch.allclose(scaled.mean((0, 1)), torch.zeros(2), atol=1e-5)
