"""The messages Envoy exchanges with the sidecar, generated from protos/ by protos/generate.py; never edited."""
