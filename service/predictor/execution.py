"""How models are run, and what an earlier start has found out about that."""

import platform
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
import torch

from service import __version__
from service.repository.findings import Findings, PlanTime
from service.repository.folder import ReadModel
from service.sampling.executor import Budgets, Pinned
from service.sampling.planner import PlanChoice

AUTO = "auto"
FLOAT32 = "float32"


@dataclass(frozen=True)
class Execution:
    """What an operator decides about running models.

    Args:
        device: where.
        plan: the plan that runs what it can run; "auto" for the fastest.
        precision: "float32", or "auto" for a lower one where it is fast and moves the mean little.
        compile_after_seconds: how long requests of a shape have run before code is compiled for it; 0: never.
        keep_findings: whether to write down what measuring finds, for the next start.
        beside: whether others compute on this machine already: what the first of them has measured is better
            than what could be measured now, steady or not.
    """

    device: str = "cpu"
    plan: str = AUTO
    precision: str = AUTO
    compile_after_seconds: float = 0.0
    keep_findings: bool = True
    beside: bool = False

    @property
    def pinned(self) -> Pinned:
        """What is not left to measuring."""
        return Pinned(None if self.plan == AUTO else self.plan, float32=self.precision == FLOAT32)

    @property
    def budgets(self) -> Budgets:
        """What the engine may take."""
        return Budgets(compiling_after_seconds=self.compile_after_seconds or None)

    def circumstances(self, read: ReadModel) -> dict[str, str]:
        """Name all that measured findings depend on."""
        return {
            "weights": read.weights_sha256,
            **read.others_sha256,
            "manifest": sha256(msgspec.json.encode(read.manifest)).hexdigest(),
            "machine": _processor(self.device),
            "threads": str(torch.get_num_threads()),
            "device": self.device,
            "plan": self.plan,
            "precision": self.precision,
            "torch": str(torch.__version__),
            "unsure": __version__,
        }


def choice_of(findings: Findings) -> PlanChoice:
    """Read what was found."""
    return PlanChoice(
        by_rows={int(rows): tuple(names) for rows, names in findings.by_rows.items()},
        seconds={(time.plan, time.rows): time.seconds for time in findings.seconds},
        refused=findings.refused,
        samples=findings.samples,
        shares=findings.shares,
        steady=findings.steady,
    )


def findings_of(choice: PlanChoice, circumstances: dict[str, str]) -> Findings:
    """Write down what was found."""
    return Findings(
        circumstances=circumstances,
        by_rows={str(rows): list(names) for rows, names in choice.by_rows.items()},
        seconds=[PlanTime(plan, rows, seconds) for (plan, rows), seconds in choice.seconds.items()],
        refused=dict(choice.refused),
        samples=choice.samples,
        shares=dict(choice.shares),
        steady=choice.steady,
    )


def _processor(device: str) -> str:
    """Name what runs the model: findings of another machine do not hold."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.is_file() else []
    models = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
    return ", ".join(sorted(models)) or platform.processor() or platform.machine()
