"""The server as an application of Ray Serve: a deployment a model, and one in front of them."""
