"""Models as the JSON that clients see, on the native face."""

from collections.abc import Sequence
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from service.api.calibration_views import CalibrationView, calibration_view
from service.api.views import policy_view, samples_view
from service.api.wire import AdaptiveSamples, PolicyView
from service.predictor.answers import Exact
from service.predictor.entry import Entry, State
from service.predictor.served_model import ServedModel
from service.predictor.taken import Taken
from service.sampling.report import Finding, IdleDropout
from service.sampling.sites import Site


class ModelLine(Struct):
    """One model of the list."""

    name: str
    state: State
    versions: list[str]
    task: str | None


class ModelList(Struct):
    """Every model of the repository, whether it could be loaded or not."""

    models: list[ModelLine]


class TensorView(Struct):
    """One input. A length of -1 is any; the dtype of texts is string, and each is a row.

    `columns` are what its numbers are called, where model.toml says so.
    """

    name: str
    dtype: str
    shape: list[int]
    columns: list[str] | UnsetType = UNSET


class OutputView(Struct):
    """What an answer holds for a row."""

    width: int
    labels: list[str]
    variance_head: bool


class SamplingView(Struct):
    """How the model is sampled when a request does not say; `exact` is whether a request may be exact."""

    samples: int | AdaptiveSamples | Exact
    max_samples: int
    seed: int
    exact: bool


class PlanTime(Struct):
    """How long one plan took for a few samples of some rows when the model was loaded."""

    plan: str
    rows: int
    seconds: float


class CompiledView(Struct):
    """Code that stands for a plan: for up to `rows` rows; its time is `ratio` of the plan's."""

    plan: str
    rows: int
    samples: int
    ratio: float


class PlanView(Struct):
    """How samples are run: the plans by number of rows, the fastest and all that may run, fastest first.

    `measured` are times of a request of `samples`, and `steady` whether they came out the same when they were
    measured again; if not, the machine did other things, and the next start measures anew. `moved` is how far
    plans in lower precision move means or deviations, on average and at most, as shares of their Monte Carlo
    standard errors; `compiled` is what there is code for.
    """

    by_rows: dict[str, str]
    ranking: dict[str, list[str]]
    samples: int
    measured: list[PlanTime]
    steady: bool
    refused: dict[str, str]
    moved: dict[str, tuple[float, float]]
    compiled: list[CompiledView]


class SiteLine(Struct):
    """One dropout site in short."""

    path: str
    kind: str
    rate: float
    sampled: bool


class ModelReply(Struct):
    """One model that answers."""

    name: str
    version: str
    versions: list[str]
    state: State
    task: str
    inputs: list[TensorView]
    output: OutputView
    sampling: SamplingView
    policy: PolicyView
    calibration: CalibrationView | None
    plan: PlanView | None
    device: str
    weights_sha256: str
    files_sha256: dict[str, str]
    sites: list[SiteLine]


class SiteView(Struct):
    """One dropout site.

    `share_of_cost` is the share of a pass's operations that run after it, `share_of_parameters` the share of
    the model's parameters that are used after it.
    """

    name: str
    path: str
    kind: str
    rate: float
    mask_shape: list[int]
    fired: bool
    sampled: bool
    share_of_cost: float
    share_of_parameters: float


class FindingView(Struct):
    """Something the model's owner should know: what was seen, who says that it matters, and what to do."""

    code: str
    severity: Literal["info", "warning"]
    site: str | None
    message: str
    source: str
    remedy: str


class DropoutReply(Struct):
    """The dropout report."""

    model: str
    version: str
    can_sample: bool
    sites: list[SiteView]
    findings: list[FindingView]


def model_line(entry: Entry) -> ModelLine:
    """Show a model in the list."""
    task = entry.default.manifest.task if entry.versions else None
    return ModelLine(entry.name, entry.state, _versions(entry), task)


def model_reply(entry: Entry, model: ServedModel) -> ModelReply:
    """Show a model."""
    manifest, engine = model.manifest, model.engine
    return ModelReply(
        name=entry.name,
        version=model.identity.version,
        versions=_versions(entry),
        state=entry.state,
        task=manifest.task,
        inputs=[_tensor_view(taken, manifest.columns.get(taken.name)) for taken in model.inputs.taken],
        output=OutputView(model.shown_width, list(manifest.output.labels), manifest.output.variance_head),
        sampling=SamplingView(
            samples_view(model.default_samples),
            manifest.sampling.max_samples,
            manifest.sampling.seed,
            model.inexact is None,
        ),
        policy=policy_view(model.policy),
        calibration=calibration_view(model.certificate.calibration),
        plan=_plan_view(model),
        device=str(engine.device),
        weights_sha256=model.weights_sha256,
        files_sha256=model.files_sha256,
        sites=[SiteLine(site.path, site.kind, site.rate, site.sampled) for site in engine.report.sites],
    )


def dropout_reply(model: ServedModel) -> DropoutReply:
    """Show a dropout report."""
    report = model.engine.report
    return DropoutReply(
        model=model.identity.model,
        version=model.identity.version,
        can_sample=report.can_sample,
        sites=[_site_view(site, report.around[site.name].share_of_parameters) for site in report.sites]
        + [_idle_view(idle) for idle in report.idle],
        findings=[_finding_view(finding) for finding in report.findings],
    )


def _tensor_view(taken: Taken, columns: Sequence[str] | None) -> TensorView:
    named = UNSET if columns is None else list(columns)
    return TensorView(taken.name, taken.dtype, list(taken.shape), named)


def _versions(entry: Entry) -> list[str]:
    return [str(number) for number in sorted(entry.versions)]


def _plan_view(model: ServedModel) -> PlanView | None:
    plans = model.engine.plans
    if plans is None:
        return None
    return PlanView(
        by_rows={str(rows): names[0] for rows, names in plans.by_rows.items()},
        ranking={str(rows): list(names) for rows, names in plans.by_rows.items()},
        samples=plans.samples,
        measured=[PlanTime(plan, rows, seconds) for (plan, rows), seconds in plans.seconds.items()],
        steady=plans.steady,
        refused=dict(plans.refused),
        moved=dict(plans.shares),
        compiled=[
            CompiledView(code.base, code.rows, code.samples, ratio)
            for code, ratio in model.engine.compiled.items()
        ],
    )


def _site_view(site: Site, share_of_parameters: float) -> SiteView:
    return SiteView(
        name=site.name,
        path=site.path,
        kind=site.kind,
        rate=site.rate,
        mask_shape=list(site.mask_shape),
        fired=True,
        sampled=site.sampled,
        share_of_cost=site.share_of_cost,
        share_of_parameters=share_of_parameters,
    )


def _idle_view(idle: IdleDropout) -> SiteView:
    return SiteView(
        *(idle.path, idle.path, idle.kind, idle.rate, []),
        fired=False,
        sampled=False,
        share_of_cost=0.0,
        share_of_parameters=0.0,
    )


def _finding_view(finding: Finding) -> FindingView:
    return FindingView(
        *(finding.code, finding.severity, finding.site, finding.message, finding.source, finding.remedy)
    )
