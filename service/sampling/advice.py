"""What is wrong with a model's dropout, and what its owner should do before believing its uncertainty."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import expm1, log1p, prod

from service.sampling.catalogue import FINDINGS
from service.sampling.kinds import BERNOULLI, UNIFORM
from service.sampling.layer_types import layer_type, steps
from service.sampling.report import Finding, IdleDropout
from service.sampling.sites import Site
from service.sampling.surroundings import Surroundings

_SAMPLES = 50
_ALIKE = 0.05  # of requests; where more drop nothing, their uncertainty of 0 is chance
_UNSEEN = 0.5
_SHIFT_RATE = 0.1
_HALF = 0.5

_ONE_STEP = 2  # dimensions: rows and features

_DRAWN = frozenset({BERNOULLI.name, UNIFORM.name})
_ELEMENTWISE = frozenset({"dropout", "alpha_dropout"})


def findings(
    sites: Sequence[Site],
    around: Mapping[str, Surroundings],
    idle: Sequence[IdleDropout],
    effect: Sequence[bool],
) -> list[Finding]:
    """Say what the model's owner should know, warnings first.

    Args:
        sites: selected.
        around: what stands around each, by its name.
        idle: dropout modules that never ran.
        effect: for each output, whether sampling changes it.
    """
    found = [*_of_model(sites, effect), *_of_idle(idle), *_of_recurrent(sites, around)]
    for site in sites:
        found += _of_site(site, around[site.name])
    return sorted(found, key=lambda finding: finding.severity == "info")


def nothing_dropped(sites: Iterable[Site]) -> float:
    """Give the probability that none of 50 samples drops any unit: Π (1 - rate)^(50 · units), 0 to 1."""
    return 1 + expm1(sum(_SAMPLES * prod(site.mask_shape) * log1p(-site.rate) for site in sites))


def _finding(code: str, site: str | None, message: str, source: str | None = None) -> Finding:
    kind = FINDINGS[code]
    return Finding(code, kind.severity, site, message, source or kind.source, kind.remedy)


def _of_model(sites: Sequence[Site], effect: Sequence[bool]) -> Iterator[Finding]:
    dropping = [site for site in sites if _drops(site)]
    if not any(site.sampled for site in sites):
        yield _finding("no_dropout", None, "nothing is dropped: uncertainty requests are refused")
    elif not any(effect):
        yield _finding("no_effect", None, "sampling changes no output: uncertainty requests are refused")
    elif not all(effect):
        columns = ", ".join(str(index) for index, changes in enumerate(effect) if not changes)
        yield _finding("partial_effect", None, f"sampling does not change these outputs: {columns}")
    if dropping and nothing_dropped(dropping) > _ALIKE:
        units = sum(prod(site.mask_shape) for site in dropping)
        yield _finding(
            "samples_alike",
            None,
            f"with {units} units in all, {nothing_dropped(dropping):.0%} of requests for {_SAMPLES} samples "
            "drop nothing: Π (1 - rate)^(50 · units)",
        )


def _of_idle(idle: Iterable[IdleDropout]) -> Iterator[Finding]:
    for module in idle:
        yield _finding("never_runs", module.path, f"{module.kind} was never reached by a forward pass")


def _of_recurrent(sites: Sequence[Site], around: Mapping[str, Surroundings]) -> Iterator[Finding]:
    """Tell once where a module drops in a recurrent net, however often it runs."""
    beside = [site for site in sites if _drops(site) and _is_recurrent(around[site.name])]
    for path in dict.fromkeys(site.path for site in beside):
        own = [site for site in beside if site.path == path]
        length = max(map(steps, own))
        # A mask of ones in the place of time is shared, however many layers use it.
        each = [site for site in own if len(site.mask_shape) == _ONE_STEP and _fed(around[site.name])]
        if length > 1 and not all(around[site.name].one_step for site in own):
            yield _finding("mask_per_step", path, f"its mask has units of its own for each of {length} steps")
        elif len(each) > 1:
            yield _finding(
                "mask_per_step", path, f"it runs {len(each)} times in a pass, with a mask for each"
            )


def _drops(site: Site) -> bool:
    """Tell whether samples differ in what it drops of rows."""
    return site.sampled and site.rate < 1


def _is_recurrent(around: Surroundings) -> bool:
    return "recurrent" in around.made_by | around.taken_by


def _fed(around: Surroundings) -> bool:
    return "recurrent" in around.taken_by


def _of_site(site: Site, around: Surroundings) -> Iterator[Finding]:
    if site.rate == 0:
        yield _finding("rate_zero", site.name, "its rate is 0: it does nothing and costs nothing")
    elif site.rate == 1:
        yield _finding(
            "rate_one", site.name, "its rate is 1: it drops everything, and no two samples differ here"
        )
    elif not site.sampled:
        yield _finding("not_sampled", site.name, "sampling.sites leaves it out: it drops nothing")
    else:
        yield from _of_rate(site, around)
        yield from _of_place(site, around)


def _of_rate(site: Site, around: Surroundings) -> Iterator[Finding]:
    kind = None if site.kind in _DRAWN else layer_type(site, around)
    if site.rate > _HALF:
        kept = f"{1 - site.rate:.0%}"
        yield _finding(
            "rate_above_half", site.name, f"its rate is {site.rate:g}: a sample keeps {kept} of its units"
        )
    elif kind and kind.exceeded(site.rate):
        message = f"its rate is {site.rate:g}; for {kind.name} {kind.usual} is usual"
        yield _finding("rate_above_usual", site.name, message, kind.source)
    # A block that stochastic depth rarely skips is as its authors made it: rates grow from zero with depth.
    unseen = nothing_dropped([site])
    if unseen > _UNSEEN and site.kind not in _DRAWN:
        units = prod(site.mask_shape)
        yield _finding(
            "rate_too_small",
            site.name,
            f"with rate {site.rate:g} and {units} units, {unseen:.0%} of requests for {_SAMPLES} samples "
            f"drop nothing here: (1 - {site.rate:g})^({_SAMPLES} · {units})",
        )


def _of_place(site: Site, around: Surroundings) -> Iterator[Finding]:
    if around.on_output:
        yield _finding("output_dropped", site.name, "what it drops is the model's output: no layer takes it")
    if site.kind in _DRAWN or site.rows is None:
        return
    if around.on_maps and site.kind in _ELEMENTWISE and prod(site.mask_shape[2:]) > 1:
        shape = "×".join(map(str, site.mask_shape))
        message = f"beside a convolution, {site.kind} drops single elements of maps: its mask is {shape}"
        yield _finding("elements_of_maps", site.name, message)
    if around.on_skip_path:
        message = f"it drops, with rate {site.rate:g}, what a residual sum adds to its branch"
        yield _finding("skip_path_dropped", site.name, message)
    yield from _of_batch_norm(site, around)


def _of_batch_norm(site: Site, around: Surroundings) -> Iterator[Finding]:
    larger = 1 / (1 - site.rate)
    shift = f"with rate {site.rate:g} it makes the mean square of what it drops {larger:.3g} times"
    if around.before_batch_norm == "directly":
        yield _finding("before_batch_norm", site.name, f"{shift} as large, and a batch norm follows")
    elif around.before_batch_norm == "later" and site.rate > _SHIFT_RATE:
        yield _finding("batch_norm_later", site.name, f"{shift} as large, and batch norms come later")
