"""Serves the MLP of the benchmarks by Ray Serve on this machine, with so many replicas, until told to end."""

import argparse
import signal
import sys
import threading
from pathlib import Path

import ray
from ray import serve
from ray.serve.context import _get_global_client  # what `serve deploy` asks, there by the dashboard
from ray.serve.schema import ServeDeploySchema

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> None:
    """Start a cluster, deploy, wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--replicas", type=int, required=True)
    asked = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ray.init(num_cpus=asked.replicas + 1, include_dashboard=False)
    serve.start(http_options={"host": "127.0.0.1", "port": asked.port})
    application = {
        "import_path": "service.ray_serve.application:unsure",
        "args": {
            "repository": asked.repository,
            "factories": "works",
            "review_url": "off",
            "without_keys": True,
        },
        "deployments": [{"name": "mlp", "num_replicas": asked.replicas}],
    }
    _get_global_client().deploy_apps(ServeDeploySchema.model_validate({"applications": [application]}))
    stop.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
