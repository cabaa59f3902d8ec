"""The gRPC services that Envoy calls. Protobuf stays here: what goes further in is plain Python.

Every allow is built in one place per service, and every other way out denies: an empty CheckResponse means ALLOW, an
RLS code UNKNOWN admits, and a cleanly closed ext_proc stream lets a request through.
"""
