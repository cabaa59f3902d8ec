"""What a gateway decides, with the standard library alone: no I/O, no clock, no gRPC, no YAML."""
