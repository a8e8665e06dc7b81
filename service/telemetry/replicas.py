"""The metrics of several replicas as one text: each keeps its own series, by a label of its own."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

REPLICA = "replica"
"""The label. A sum over replicas would fall when one ends; a counter that is gone does not."""


def of_replicas(texts: Mapping[str, bytes]) -> bytes:
    """Put metrics together.

    Args:
        texts: of each replica, in the text format.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OfReplicas(texts))
    return generate_latest(registry)


class _OfReplicas(Collector):
    def __init__(self, texts: Mapping[str, bytes]) -> None:
        self._texts = texts

    def collect(self) -> Iterable[Metric]:
        """Give each metric once, with the samples of all replicas."""
        metrics: dict[str, Metric] = {}
        for replica, text in self._texts.items():
            for family in text_string_to_metric_families(text.decode()):
                metric = metrics.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {**sample.labels, REPLICA: replica}
                    metric.add_sample(sample.name, labels, sample.value)
        return metrics.values()
