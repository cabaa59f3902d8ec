"""What an operator asks the sidecar itself, over HTTP on its own address."""
