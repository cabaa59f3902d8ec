"""gateway.yaml: what the operator wrote, read, checked and typed. Pydantic and YAML live here and nowhere below."""
