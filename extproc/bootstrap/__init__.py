"""Plan -> Envoy's own configuration, typed with Envoy's own messages."""
