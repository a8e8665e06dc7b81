"""While one thread traces or compiles, models run in others as ever."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from service.sampling import tracing
from service.sampling.tracing import keep_tracing_to_its_thread

PASSES = 3000


class Traced(nn.Module):
    """Takes a moment to trace."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(50))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


@contextmanager
def traced_elsewhere() -> Iterator[None]:
    """Another thread traces, again and again."""
    over, begun = threading.Event(), threading.Event()

    def trace() -> None:
        while not over.is_set():
            torch.fx.symbolic_trace(Traced())
            begun.set()

    thread = threading.Thread(target=trace)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


def passes(network: nn.Module) -> None:
    for _ in range(PASSES):
        network(torch.zeros(1, 4))


def test_a_model_runs_while_another_thread_traces() -> None:
    keep_tracing_to_its_thread()
    with traced_elsewhere():
        passes(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))


def test_what_is_traced_is_as_ever() -> None:
    keep_tracing_to_its_thread()
    network = Traced()
    graph = torch.fx.symbolic_trace(network)
    assert sum(node.op == "call_module" for node in graph.graph.nodes) == 50
    x = torch.randn(3, 4)
    assert torch.equal(graph(x), network(x))


def test_without_it_they_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once torch keeps to its thread by itself, this fails, and the file can go."""
    monkeypatch.setattr(torch.fx._symbolic_trace._Patcher, "patch_method", tracing._as_torch_does)
    with traced_elsewhere(), pytest.raises(NameError, match="not installed as a submodule"):
        passes(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
