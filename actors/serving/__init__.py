"""Encoding by tritonserver: model repositories for it, and the client that takes an encoder's place."""
