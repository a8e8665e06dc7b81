"""Every finding about a model's dropout: how grave it is, who says so, and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning"]


@dataclass(frozen=True)
class FindingKind:
    """One kind of finding.

    Args:
        code: for programs.
        severity: "warning" where the uncertainty may not be what the owner expects; "info" for the rest.
        meaning: when it is made.
        source: author, year and short title, or where it is documented.
        remedy: what to do.
    """

    code: str
    severity: Severity
    meaning: str
    source: str
    remedy: str


_BAYESIAN = "Gal and Ghahramani 2016, Dropout as a Bayesian approximation"
_LI = "Li et al. 2019, Understanding the disharmony between dropout and batch normalization"
_HE = "He et al. 2016, Identity mappings in deep residual networks"
RECURRENT = (
    "Gal and Ghahramani 2016, A theoretically grounded application of dropout in recurrent neural networks"
)
SRIVASTAVA = "Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from overfitting"
DEVLIN = "Devlin et al. 2019, BERT: pre-training of deep bidirectional transformers"
PARK = "Park and Kwak 2016, Analysis on the dropout effect in convolutional neural networks"
_TOMPSON = "Tompson et al. 2015, Efficient object localization using convolutional networks"
_ONE_NETWORK = "docs/decisions/0001-a-sample-is-one-network.md"
VASWANI = "Vaswani et al. 2017, Attention is all you need"

_KINDS = (
    FindingKind(
        "no_dropout",
        "warning",
        "No dropout function runs with a rate above 0.",
        _BAYESIAN,
        "Put dropout before the last layers and train with it, or ask for predictions only.",
    ),
    FindingKind(
        "no_effect",
        "warning",
        "Dropout runs, and samples are the same all the same.",
        _BAYESIAN,
        "Use what the dropout gives: `x = dropout(x)`; and let its rate be below 1.",
    ),
    FindingKind(
        "partial_effect",
        "warning",
        "Some outputs do not change when units are dropped: their uncertainty is always 0.",
        _BAYESIAN,
        "Put a site before every output, or do not read the uncertainty of these.",
    ),
    FindingKind(
        "samples_alike",
        "warning",
        "So little is dropped that 50 samples may drop nothing: Π (1 - rate)^(50 · units) over all sites is "
        "above 0.05.",
        _ONE_NETWORK,
        "Raise the rate, or drop from a wider layer, and train anew.",
    ),
    FindingKind(
        "never_runs",
        "warning",
        "The model has a dropout module that no forward pass reached.",
        "torch.nn.Module, documentation of PyTorch",
        "Call it in `forward`, or take it out.",
    ),
    FindingKind(
        "rate_one",
        "warning",
        "A site drops everything, so no two samples differ there.",
        SRIVASTAVA,
        "Lower the rate.",
    ),
    FindingKind(
        "rate_above_half",
        "warning",
        "A site drops more than half of its units.",
        SRIVASTAVA,
        "Use 0.5 at most, and train anew: samples of networks this thin differ for want of units, and not of "
        "data.",
    ),
    FindingKind(
        "elements_of_maps",
        "warning",
        "Single elements of feature maps are dropped next to a convolution. Neighbours say nearly the same, "
        "so little is lost and the uncertainty comes out too small.",
        _TOMPSON,
        "Drop whole maps: Dropout1d, Dropout2d or Dropout3d; and train anew.",
    ),
    FindingKind(
        "mask_per_step",
        "warning",
        "A recurrent net meets another mask at each step of time. Such noise averages out along the "
        "sequence, and no sample is one recurrent net.",
        RECURRENT,
        "Let all steps share a mask: multiply with `F.dropout(torch.ones(rows, 1, features), rate, "
        "self.training)`; and train anew.",
    ),
    FindingKind(
        "output_dropped",
        "warning",
        "The last operation is a dropout: units of the output itself are set to zero.",
        _BAYESIAN,
        "Drop before the last layer: what is dropped after it says nothing about weights.",
    ),
    FindingKind(
        "skip_path_dropped",
        "warning",
        "Dropout lies on the skip path of a residual block, where values should pass as they are.",
        _HE,
        "Drop in the branch: `x + dropout(branch(x))`; and train anew.",
    ),
    FindingKind(
        "before_batch_norm",
        "warning",
        "A batch norm follows a dropout with no layer between. Its running variance was measured with "
        "dropout, so in `predict`, without, it is off; samples agree with it.",
        _LI,
        "Drop after the last batch norm, or use group or layer norm; and train anew.",
    ),
    FindingKind(
        "batch_norm_later",
        "info",
        "Batch norms come somewhere after a dropout with a rate above 0.1: their running variance was "
        "measured with dropout.",
        _LI,
        "Compare `predict` with the mean of samples; where they differ, drop after the last batch norm.",
    ),
    FindingKind(
        "rate_above_usual",
        "info",
        "A rate is more than 0.1 above what is usual for its type of layer.",
        "the source of the range of its type of layer",
        "Compare the accuracy of the mean of samples with that of predictions; where it is worse, lower the "
        "rate and train anew.",
    ),
    FindingKind(
        "rate_too_small",
        "info",
        "So few units are dropped at a site that most requests of 50 samples see nothing of it: "
        "(1 - rate)^(50 · units) is above 0.5.",
        _ONE_NETWORK,
        "Raise the rate, drop from a wider layer, or take the site out.",
    ),
    FindingKind(
        "rate_zero",
        "info",
        "A site has rate 0: it does nothing and costs nothing.",
        "torch.nn.Dropout, documentation of PyTorch",
        "Nothing, unless it was meant to drop.",
    ),
    FindingKind(
        "not_sampled",
        "info",
        "`sampling.sites` of model.toml leaves a site out: it drops nothing.",
        "docs/model-repository.md",
        "Nothing, unless it was meant to be sampled.",
    ),
)

FINDINGS: Mapping[str, FindingKind] = {kind.code: kind for kind in _KINDS}
"""Every kind by its code, warnings first."""
