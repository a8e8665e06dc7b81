"""The same MLP behind LitServe, as a competent author would serve it: batched, and all samples in one pass.

Run by `serving.py`, in an environment of its own. Two endpoints: /predict, and /uncertainty, which replicates
the rows of a batch and answers with the mean, the variance and the entropy of every row.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import litserve
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))

from works import mlp  # the folder of a script is on its path

SAMPLES = 50
BATCH = 32
BATCH_SECONDS = 0.002


class Predict(litserve.LitAPI):
    """Probabilities of the whole network."""

    def setup(self, device: str) -> None:
        """Build the network."""
        self.network = prepared(mlp(), device)

    def decode_request(self, request: dict[str, Any]) -> Tensor:
        """Read the one row of a request."""
        return torch.tensor(request["inputs"][0], dtype=torch.float32)

    def batch(self, inputs: list[Tensor]) -> Tensor:
        """Put rows together."""
        return torch.stack(inputs)

    @torch.inference_mode()
    def predict(self, x: Tensor) -> list[dict[str, Any]]:
        """Answer all rows of a batch."""
        return [{"probabilities": row} for row in self.network(x).softmax(-1).tolist()]

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Give each row its own."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Answer with JSON as it is."""
        return output


class Uncertainty(Predict):
    """Moments over samples with dropout, and an entropy."""

    def setup(self, device: str) -> None:
        """Build the network with its dropout on."""
        self.network = prepared(mlp(), device).train()

    @torch.inference_mode()
    def predict(self, x: Tensor) -> list[dict[str, Any]]:
        """Answer all rows of a batch from one pass."""
        samples = self.network(x.repeat(SAMPLES, 1)).softmax(-1).view(SAMPLES, len(x), -1)
        mean, variance = samples.mean(0), samples.var(0)
        entropy = torch.special.entr(mean).sum(-1)
        columns = zip(mean.tolist(), variance.tolist(), entropy.tolist(), strict=True)
        return [{"mean": m, "variance": v, "predictive_entropy": e} for m, v, e in columns]


def prepared(network: nn.Module, device: str) -> nn.Module:
    """Put a network where it runs."""
    return network.eval().to(device)


def main() -> None:
    """Serve one endpoint on a port."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("endpoint", choices=("predict", "uncertainty"))
    options.add_argument("port", type=int)
    given = options.parse_args()
    kind = Predict if given.endpoint == "predict" else Uncertainty
    api = kind(max_batch_size=BATCH, batch_timeout=BATCH_SECONDS, api_path=f"/{given.endpoint}")
    server = litserve.LitServer(api, accelerator="cpu", fast_queue=True)
    server.run(host="127.0.0.1", port=given.port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
