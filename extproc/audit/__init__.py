"""What a configuration gives away: rules over the plain data of a gateway file or of any Envoy configuration."""
